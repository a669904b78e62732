package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// reports are the commands that fetch documents.
type reports struct {
	*client
	format, output, zone string
	name, by             string
	month, since         string
}

func registerReport(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("report", "Fetch documents from a running gateway: about an incident, a shift, a month.")
	r := &reports{client: newClient(cmd, s)}
	cmd.Flag("format", "html, md, json, or csv (disruption and monthly). Default: as the file of --output is called, else md.").Short('f').EnumVar(&r.format, "html", "md", "json", "csv")
	cmd.Flag("output", "File to write, replacing what is there; default: standard output.").Short('o').StringVar(&r.output)
	cmd.Flag("tz", "Time zone of the texts, such as Europe/Zurich.").Default("UTC").StringVar(&r.zone)
	commands := map[string]func(context.Context) error{}
	for _, c := range [...]struct{ kind, help string }{
		{"disruption", "The service disruption form of an incident."}, {"closure", "What an incident was, why, and what follows from it."},
		{"handover", "All that somebody has to know who takes an incident over."}} {
		one := cmd.Command(c.kind, c.help)
		one.Arg("incident", "Reference or id.").Required().StringVar(&r.name)
		one.Flag("by", "Who fills it in; with a token, its name counts.").Envar("USER").Default(login()).StringVar(&r.by)
		commands[one.FullCommand()] = func(ctx context.Context) error {
			return r.fetch(ctx, path(r.name, "/report"), url.Values{"kind": {c.kind}, "by": {r.by}})
		}
	}
	monthly := cmd.Command("monthly", "The pack for the monthly review.")
	monthly.Flag("month", "Such as 2026-11; default: the month before this one.").StringVar(&r.month)
	commands[monthly.FullCommand()] = func(ctx context.Context) error {
		return r.fetch(ctx, "/api/v1/reports/monthly", url.Values{"month": {r.month}})
	}
	shift := cmd.Command("shift", "The brief for the next shift.")
	shift.Flag("since", "Since when: RFC 3339, or how long ago; default: eight hours ago.").StringVar(&r.since)
	shift.Validate(func(*kingpin.CmdClause) (err error) {
		r.since, err = pointInTime(r.since, time.Now())
		return err
	})
	commands[shift.FullCommand()] = func(ctx context.Context) error {
		return r.fetch(ctx, "/api/v1/reports/shift", url.Values{"since": {r.since}})
	}
	return commands
}

// fetch writes a document where it is to go.
func (r *reports) fetch(ctx context.Context, path string, q url.Values) error {
	format := r.format
	if format == "" {
		switch format = strings.TrimPrefix(strings.ToLower(filepath.Ext(r.output)), "."); format {
		case "html", "json", "csv":
		case "htm":
			format = "html"
		default:
			format = "md"
		}
	}
	q.Set("format", format)
	q.Set("tz", r.zone)
	for name := range q {
		if q.Get(name) == "" {
			q.Del(name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := r.request(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit+1))
	switch {
	case err != nil:
		return fmt.Errorf("the answer broke off: %w", err)
	case len(body) > answerLimit:
		return fmt.Errorf("the document is larger than %d bytes", answerLimit)
	case r.output == "" || r.output == "-":
		_, err = r.out.Write(body)
		return err
	}
	return replaceFile(r.output, body)
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, body []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".tocsin-*")
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // what went wrong before matters more
			err = fmt.Errorf("--output: %w", err)
		}
	}()
	_, err = f.Write(body)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}
