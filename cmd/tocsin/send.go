package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/send"
)

// exitLost is the code of send when a message is neither delivered nor waits.
const exitLost = 3

// eventLimit is how much of standard input is read, in bytes.
const eventLimit = 4 << 20

// sending are the commands that bring a message to a gateway.
type sending struct {
	*client
	spool   string
	timeout time.Duration
	source  string
	again   bool

	macros              []string
	event               send.Event
	labels, annotations []string
	json                bool
}

func registerSend(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("send", `Bring a message from a monitoring tool to a gateway.

With --spool the message is written to the folder before anything else. It is delivered behind those that wait there, now or by a later `+"`send`"+`, in order; what the gateway refuses is set aside in the folder "rejected". Without it the message is tried until --timeout.

Exit codes: 0 delivered or spooled, 1 the gateway refuses it, 2 wrong usage, 3 neither delivered nor spooled (flush: messages still wait).`)
	o := &sending{client: newClient(cmd, s)}
	cmd.Flag("spool", "Folder in which messages wait while the gateway is away.").PlaceHolder("DIR").StringVar(&o.spool)
	cmd.Flag("timeout", "How long all of it may take.").Default("10s").DurationVar(&o.timeout)
	cmd.Flag("source", "Name of the source at the gateway; default: nagios, icinga or events.").NoEnvar().StringVar(&o.source)

	nagios := cmd.Command("nagios", "Send a notification of Nagios from its environment (enable_environment_macros=1).")
	nagios.Flag("macro", "A macro that is not in the environment, such as HOSTNAME=$HOSTNAME$; can be repeated.").NoEnvar().PlaceHolder("NAME=VALUE").StringsVar(&o.macros)
	icinga := cmd.Command("icinga", "Send a notification of Icinga 2 from the environment of its NotificationCommand.")
	event := cmd.Command("event", "Send an event of one's own.")
	o.registerEvent(event)
	flush := cmd.Command("flush", "Deliver what waits in the folder.")
	flush.Flag("rejected", "Also what the gateway has refused before.").NoEnvar().BoolVar(&o.again)
	return map[string]func(context.Context) error{
		nagios.FullCommand(): o.with(o.nagios), icinga.FullCommand(): o.with(o.icinga), event.FullCommand(): o.with(o.ofEvent),
		flush.FullCommand(): o.flush,
	}
}

func (o *sending) registerEvent(cmd *kingpin.CmdClause) {
	e := &o.event
	for _, f := range []struct {
		name, help string
		value      *string
	}{
		{"name", "What it is called; the same for the problem and its end.", &e.Name},
		{"host", "The machine it is about.", &e.Host},
		{"service", "The service it is about.", &e.Service},
		{"severity", "How bad it is, such as critical or warning.", &e.Severity},
		{"kind", "What sort of message it is, if it is no alert: acknowledgement, maintenance_started, note ...", &e.Kind},
		{"summary", "It in one line.", &e.Summary},
		{"description", "More about it; - reads standard input.", &e.Description},
		{"starts-at", "When it began (RFC 3339); default: now.", &e.StartsAt},
		{"ends-at", "When it ended (RFC 3339); default for a resolved one: now.", &e.EndsAt},
		{"identity", "Your own key for it.", &e.Identity},
		{"link", "Where to read on.", &e.URL},
	} {
		cmd.Flag(f.name, f.help).NoEnvar().StringVar(f.value)
	}
	cmd.Flag("status", "firing, or resolved when it is over.").NoEnvar().Default("firing").EnumVar(&e.Status, "firing", "resolved")
	cmd.Flag("label", "A label; can be repeated.").NoEnvar().PlaceHolder("NAME=VALUE").StringsVar(&o.labels)
	cmd.Flag("annotation", "An annotation; can be repeated.").NoEnvar().PlaceHolder("NAME=VALUE").StringsVar(&o.annotations)
	cmd.Flag("json", `Send standard input, which is JSON: {"events": [...]}.`).NoEnvar().BoolVar(&o.json)
}

// with runs a command that makes a message, and sends that.
func (o *sending) with(message func() (send.Message, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		sender, err := o.sender()
		if err != nil {
			return err
		}
		m, err := message()
		if err != nil {
			return usage(err)
		}
		switch sender.Send(ctx, m) {
		case send.Rejected:
			return errSaid
		case send.Failed:
			return codedError{errSaid, exitLost}
		}
		return nil
	}
}

func (o *sending) flush(ctx context.Context) error {
	if o.spool == "" {
		return usage(errors.New("--spool is missing"))
	}
	sender, err := o.sender()
	if err != nil {
		return err
	}
	empty, err := sender.Flush(ctx, o.again)
	if err != nil {
		fmt.Fprintf(o.err, "tocsin: send: %v\n", err)
	}
	if !empty || err != nil {
		return codedError{errSaid, exitLost}
	}
	return nil
}

func (o *sending) sender() (*send.Sender, error) {
	if err := send.CheckURL(o.base); err != nil {
		return nil, usage(fmt.Errorf("--url: %w", err))
	}
	if o.timeout <= 0 {
		return nil, usage(errors.New("--timeout: must be more than 0"))
	}
	return &send.Sender{URL: o.base, Token: o.token, Spool: o.spool, Timeout: o.timeout, Warn: func(format string, args ...any) {
		fmt.Fprintf(o.err, "tocsin: send: "+format+"\n", args...)
	}}, nil
}

// usage is an error of who calls.
func usage(err error) error { return codedError{fmt.Errorf("send: %w", err), exitUsage} }

func (o *sending) nagios() (send.Message, error) {
	macros, err := pairs("--macro", o.macros)
	if err != nil {
		return send.Message{}, err
	}
	return send.Nagios(o.sourceOr("nagios"), os.Environ(), macros)
}

func (o *sending) icinga() (send.Message, error) {
	return send.Icinga(o.sourceOr("icinga"), os.Environ())
}

func (o *sending) ofEvent() (m send.Message, err error) {
	source := o.sourceOr("events")
	if o.json {
		body, err := o.input()
		if err == nil && !jsontext.Value(body).IsValid() {
			err = errors.New("standard input is not JSON")
		}
		return send.Message{Source: source, ContentType: "application/json", Body: body}, err
	}
	e := o.event
	if e.Name == "" {
		return m, errors.New("--name is missing")
	}
	for flag, at := range map[string]string{"--starts-at": e.StartsAt, "--ends-at": e.EndsAt} {
		if _, err := time.Parse(time.RFC3339Nano, at); at != "" && err != nil {
			return m, fmt.Errorf("%s: %q is not RFC 3339, such as 2026-11-21T03:00:00Z", flag, at)
		}
	}
	if e.Description == "-" {
		text, err := o.input()
		if err != nil {
			return m, err
		}
		e.Description = string(text)
	}
	if e.Labels, err = pairs("--label", o.labels); err != nil {
		return m, err
	}
	if e.Annotations, err = pairs("--annotation", o.annotations); err != nil {
		return m, err
	}
	return e.Message(source, time.Now())
}

func (o *sending) sourceOr(name string) string {
	if o.source != "" {
		return o.source
	}
	return name
}

// input reads standard input.
func (o *sending) input() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(o.in, eventLimit+1))
	if err == nil && len(b) > eventLimit {
		err = errors.New("standard input is too long")
	}
	return b, err
}

// pairs reads NAME=VALUE.
func pairs(flag string, list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(list))
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: %q is not NAME=VALUE", flag, pair)
		}
		out[name] = value
	}
	return out, nil
}
