package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/web"
)

// ErrNothing: nothing in a payload could be understood.
var ErrNothing = errors.New("nothing in it can be understood")

// Explain says what a request of a source would become. Its format is that of
// the source unless it names one. Nothing is stored.
func (g *Gateway) Explain(ctx context.Context, r ingest.Request) (web.Explanation, error) {
	return g.explainSome(ctx, r, math.MaxInt)
}

// explainSome is Explain of at most so many alerts.
func (g *Gateway) explainSome(ctx context.Context, r ingest.Request, most int) (web.Explanation, error) {
	var out web.Explanation
	source, format := r.Source, r.Format
	if format == "" {
		c, ok := g.config.Load().Sources[source]
		if !ok {
			return out, &router.InputError{Field: "source", Reason: fmt.Sprintf("there is no source %q", source)}
		}
		format = c.Format
	}
	f, ok := g.format(source, format)
	if !ok {
		return out, &router.InputError{Field: "format", Reason: fmt.Sprintf("there is no format %q", format)}
	}
	return g.explainAs(ctx, f, r, most)
}

// explainAs is explainSome with a format.
func (g *Gateway) explainAs(ctx context.Context, f ingest.Format, r ingest.Request, most int) (web.Explanation, error) {
	var out web.Explanation
	if f.Tokens != nil {
		_, r.Body = f.Tokens(r)
	}
	batch, err := f.Decode(r)
	if err != nil {
		return out, notUnderstood(err)
	}
	left := max(len(batch.Alerts)-most, 0) + max(len(batch.Rejected)-most, 0)
	batch.Alerts, batch.Rejected = batch.Alerts[:min(len(batch.Alerts), most)], batch.Rejected[:min(len(batch.Rejected), most)]
	explained, err := g.Pipeline.Explain(ctx, batch.Alerts)
	if err != nil {
		return out, err
	}
	rejected := make([]web.Rejection, 0, len(batch.Rejected))
	for _, r := range batch.Rejected {
		rejected = append(rejected, web.Rejection{Reason: r.Reason, Field: r.Field})
	}
	out = web.NewExplanation(explained, rejected)
	out.LeftOut = left
	if len(explained) == 0 && len(rejected) > 0 {
		return out, fmt.Errorf("%w: %s", ErrNothing, rejected[0].Reason)
	}
	for n := range explained {
		if explained[n].Incident != nil {
			if err := g.explainTold(ctx, &explained[n], &out.Alerts[n]); err != nil {
				return web.Explanation{}, err
			}
		}
	}
	return out, nil
}

// explainTold says who would be told of the incident of an alert, and what would hide it.
func (g *Gateway) explainTold(ctx context.Context, e *router.Explained, v *web.ExplainedJSON) error {
	now := g.opts.Now()
	if t := g.told.Load(); t != nil {
		for _, r := range t.tree.Match(match.Of(e.Incident)) {
			v.Routes = append(v.Routes, web.ExplainedRouteJSON{Receiver: r.Receiver, Path: r.Path})
			if muted := t.muted[r]; muted != nil {
				if h, hidden := muted(now); hidden {
					v.Routes[len(v.Routes)-1].Hidden = &h
				}
			}
		}
	}
	if _, err := g.silences.View(ctx); err != nil {
		return err
	}
	h, hidden, err := g.muter.all.Load().WouldHide(ctx, e.Incident, e.Alert, e.Class.Severity, now)
	if hidden {
		v.Hidden = &h
	}
	return err
}

// notUnderstood says what is wrong with a body in the words of the API.
func notUnderstood(err error) error {
	var body *ingest.BodyError
	if errors.As(err, &body) {
		return &router.InputError{Field: cmp.Or(body.Field, "body"), Reason: strings.TrimPrefix(body.Reason, body.Field+": ")}
	}
	return err
}

// explainedAtMost is how many alerts of a payload the API explains, and how many
// rejected elements it lists. Each alert takes some kilobytes to say, and more where its
// incident is large, so that a payload within the limit could fill the memory.
const explainedAtMost = 200

// explain serves POST /api/v1/explain.
func (g *Gateway) explain(ctx context.Context, source string, body []byte) (web.Explanation, error) {
	return understood(g.explainSome(ctx, ingest.Request{Source: source, Body: body, ReceivedAt: g.opts.Now()}, explainedAtMost))
}

// understood takes it for no error that nothing can be understood: what is rejected says it.
func understood(out web.Explanation, err error) (web.Explanation, error) {
	if errors.Is(err, ErrNothing) {
		err = nil
	}
	return out, err
}

// mapping is the format that is nothing without a source's mapping.
const mapping = "mapping"

// mapped is a source that has a mapping.
func (g *Gateway) mapped(source string) (ingest.SourceConfig, error) {
	s, ok := g.config.Load().Sources[source]
	switch {
	case !ok:
		return s, &router.InputError{Field: "source", Reason: fmt.Sprintf("there is no source %q", source)}
	case s.Format != mapping:
		return s, &router.InputError{Field: "source", Reason: fmt.Sprintf("it has no mapping, it has the format %q", s.Format)}
	}
	return s, nil
}

// mapping serves GET /api/v1/explain/mapping.
func (g *Gateway) mapping(source string) (string, error) {
	s, err := g.mapped(source)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(s.Mapping); err != nil {
		return "", fmt.Errorf("gateway: mapping: %w", err) // unreachable: it was read from YAML
	}
	return out.String(), nil
}

// explainMapping serves POST /api/v1/explain/mapping.
func (g *Gateway) explainMapping(ctx context.Context, source, text string, body []byte) (web.Explanation, error) {
	s, err := g.mapped(source)
	if err != nil {
		return web.Explanation{}, err
	}
	s, err = config.ReadMapping([]byte(text), mapping, s)
	if found := (*config.MistakesError)(nil); errors.As(err, &found) {
		return web.Explanation{}, inMapping(found)
	}
	f, err := formats.All[mapping].Configure(s)
	if err != nil {
		return web.Explanation{}, err // unreachable: it was checked
	}
	return understood(g.explainAs(ctx, f, ingest.Request{Source: source, Body: body, ReceivedAt: g.opts.Now()}, explainedAtMost))
}

// inMapping says what is wrong with a mapping in the words of the API.
func inMapping(found *config.MistakesError) error {
	errs := make([]error, len(found.Mistakes))
	for n, m := range found.Mistakes {
		reason := m.Message
		if m.Line > 0 {
			reason = fmt.Sprintf("line %d, column %d: %s", m.Line, m.Column, reason)
		}
		if m.Suggestion != "" {
			reason += "; " + m.Suggestion
		}
		errs[n] = &router.InputError{Field: cmp.Or(m.Path, mapping), Reason: reason}
	}
	return errors.Join(errs...)
}
