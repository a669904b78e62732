package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/icinga"
	"github.com/tocsin-gateway/tocsin/ingest/icinga/stream"
	"github.com/tocsin-gateway/tocsin/remote"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/writeback"
)

// outside are the tools that sources belong to, for the pipeline's jobs.
type outside struct {
	tools atomic.Pointer[map[string]tool]
	log   *slog.Logger
}

// tool is what can be done with one source's tool; nil is what cannot.
type tool struct {
	open  func(context.Context) ([]alert.Alert, error)
	write writer
	close func()
}

// writer is a tool that hears what people do here.
type writer interface {
	Acknowledge(ctx context.Context, t writeback.Target) error
	Unacknowledge(ctx context.Context, t writeback.Target) error
	Note(ctx context.Context, t writeback.Target) error
}

// toolsOf makes the tools of the sources.
func (o *outside) toolsOf(sources map[string]ingest.SourceConfig) (map[string]tool, error) {
	tools := map[string]tool{}
	for name, s := range sources {
		t, err := o.tool(s)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", name, err)
		}
		tools[name] = t
	}
	return tools, nil
}

// use makes tools the current ones.
func (o *outside) use(tools map[string]tool) {
	if old := o.tools.Swap(&tools); old != nil {
		for _, t := range *old {
			if t.close != nil {
				t.close() // only what is idle
			}
		}
	}
}

func (o *outside) tool(s ingest.SourceConfig) (t tool, err error) {
	if t.write, err = newWriter(s); err != nil || s.API.URL == "" || s.API.Reconcile <= 0 {
		return t, err
	}
	if s.Format == icinga.Format.Name {
		reader, err := stream.New(o.stream(s.API))
		if err != nil {
			return t, err
		}
		t.open = func(ctx context.Context) ([]alert.Alert, error) { return problems(ctx, reader) }
		return t, nil
	}
	ask := map[string]func(context.Context, *http.Client, ingest.APIConfig) ([]alert.Alert, error){
		ingest.Alertmanager.Name: remote.Alertmanager, "grafana": remote.Grafana}[s.Format]
	if ask == nil {
		return t, nil // unreachable: config refuses it
	}
	client, err := remote.Client(s.API.CAFile, s.API.ServerName)
	if err != nil {
		return t, err
	}
	t.close = client.CloseIdleConnections
	t.open = func(ctx context.Context) ([]alert.Alert, error) { return ask(ctx, client, s.API) }
	return t, nil
}

// newWriter is how what people do gets to the tool of a source; nil if it does not.
func newWriter(s ingest.SourceConfig) (writer, error) {
	server := writeback.Server{URL: s.API.URL, User: s.API.Username, Password: s.API.Password, CAFile: s.API.CAFile, ServerName: s.API.ServerName}
	switch {
	case !s.API.WriteBack:
		return nil, nil
	case s.API.CommandFile != "":
		return &writeback.CommandFile{Path: s.API.CommandFile, Sticky: true}, nil
	case s.Format == icinga.Format.Name:
		w, err := writeback.NewIcinga(server)
		if err != nil {
			return nil, err
		}
		w.Sticky = true // it is the incident that is acknowledged, not a state
		return w, nil
	}
	w, err := writeback.NewCGI(server)
	if err != nil {
		return nil, err
	}
	w.Sticky = true
	return w, nil
}

// stream is how an Icinga's API is read.
func (o *outside) stream(a ingest.APIConfig) stream.Options {
	return stream.Options{URL: a.URL, User: a.Username, Password: a.Password, CAFile: a.CAFile, ServerName: a.ServerName, Log: o.log}
}

// problems are the alerts of all that is not well in an Icinga.
func problems(ctx context.Context, reader *stream.Stream) ([]alert.Alert, error) {
	lines, err := reader.Problems(ctx)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	batch, err := icinga.Format.Decode(ingest.Request{Body: lines})
	if err != nil {
		return nil, err
	}
	open := batch.Alerts[:0]
	for _, a := range batch.Alerts {
		if a.Kind == alert.KindAlert && a.Status == alert.Firing {
			open = append(open, a)
		}
	}
	return open, nil
}

var errNoAPI = errors.New("gateway: the source has no API")

// Open implements router.Outside.
func (o *outside) Open(ctx context.Context, source string) ([]alert.Alert, error) {
	t := (*o.tools.Load())[source]
	if t.open == nil {
		return nil, errNoAPI
	}
	return t.open(ctx)
}

// WriteBack implements router.Outside. What the tool will never do is only logged.
func (o *outside) WriteBack(ctx context.Context, source string, w router.WriteBack) error {
	t := (*o.tools.Load())[source]
	if t.write == nil {
		return errNoAPI
	}
	do := map[alert.Kind]func(context.Context, writeback.Target) error{alert.KindAcknowledgement: t.write.Acknowledge,
		alert.KindAcknowledgementRemoved: t.write.Unacknowledge, alert.KindNote: t.write.Note}[w.Kind]
	comment := strings.TrimSpace(w.Incident + " " + w.Comment)
	var failed error
	for i := range w.Alerts {
		a := &w.Alerts[i]
		err := do(ctx, writeback.Target{Host: a.Host(), Service: a.Service(), Author: w.Author, Comment: comment})
		if errors.Is(err, writeback.ErrPermanent) {
			o.log.WarnContext(ctx, "not said at the source", "alert_source", source, "incident", w.Incident, "err", err)
			continue
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// withoutEchoes makes nothing of what a source only repeats after us.
func withoutEchoes(alerts []alert.Alert) {
	for i := range alerts {
		if a := &alerts[i]; a.Kind != alert.KindAlert && writeback.IsEcho(a.Author, a.Comment) {
			a.Kind = alert.KindInformation
		}
	}
}
