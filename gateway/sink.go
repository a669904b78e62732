package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
)

// sink is what ingest hands alerts and dead letters to.
type sink struct{ *router.Pipeline }

// Accept implements ingest.Sink.
func (s sink) Accept(ctx context.Context, source string, alerts []alert.Alert) ([]alert.Outcome, error) {
	withoutEchoes(alerts)
	outcomes, err := s.Pipeline.Accept(ctx, source, alerts)
	return outcomes, forIngest(err)
}

// DeadLetter implements ingest.Sink.
func (s sink) DeadLetter(ctx context.Context, d ingest.DeadLetter) error {
	return forIngest(s.PutLetter(ctx, router.Letter{ID: d.ID, Source: d.Source, Format: d.Format, Reason: d.Reason, Field: d.Field, Method: d.Method,
		Path: d.Path, ContentType: d.ContentType, Body: d.Body, Cut: d.Cut, LastAt: d.ReceivedAt}))
}

// forIngest makes an error of a store that is away one that ingest knows.
func forIngest(err error) error {
	if errors.Is(err, store.ErrUnavailable) {
		return awayError{err}
	}
	return err
}

// awayError is an ingest.ErrUnavailable with the store's words.
type awayError struct{ error }

// Is makes it an ingest.ErrUnavailable.
func (e awayError) Is(target error) bool { return target == ingest.ErrUnavailable }

// Unwrap returns the store's error.
func (e awayError) Unwrap() error { return e.error }

// format is what the source of that name understands under the name of a format.
func (g *Gateway) format(source, name string) (ingest.Format, bool) {
	f, ok := formats.All[name]
	if c, configured := g.config.Load().Sources[source]; ok && configured && c.Format == name && f.Configure != nil {
		var err error
		f, err = f.Configure(c)
		ok = err == nil // unreachable: config has checked it
	}
	return f, ok
}

// retry takes a dead letter through ingest again, as of the time it came first.
func (g *Gateway) retry(ctx context.Context, l router.Letter) ([]alert.Outcome, error) {
	format, ok := g.format(l.Source, l.Format)
	if !ok {
		return nil, &router.InputError{Field: "format", Reason: fmt.Sprintf("this version does not know the format %q", l.Format)}
	}
	batch, err := format.Decode(ingest.Request{Source: l.Source, Body: l.Body, ReceivedAt: l.FirstAt, ContentType: l.ContentType})
	if err != nil {
		return nil, notUnderstood(err)
	}
	outcomes, err := g.Pipeline.Accept(ctx, l.Source, batch.Alerts)
	if err != nil {
		return nil, err
	}
	for _, r := range batch.Rejected {
		outcomes = append(outcomes, alert.Outcome{Verdict: alert.Rejected, Reason: r.Reason})
	}
	return outcomes, nil
}
