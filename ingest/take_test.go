package ingest

import (
	"errors"
	"maps"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
)

func TestTake(t *testing.T) {
	away := func(g *gateway) {
		g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errAway }
		g.sink.letter = func() error { return errAway }
	}
	var bad *BodyError
	for _, c := range []struct {
		name, source, body string
		prepare            func(*gateway)
		want               map[alert.Verdict]int
		spooled            bool
		err                error // ErrUnavailable and so on
		notUnderstood      bool
		letters, waiting   int
		code               string
	}{
		{name: "taken", source: "kept", body: webhook(good("A"), `{}`, good("B")), want: map[alert.Verdict]int{alert.Opened: 2, alert.Rejected: 1}, letters: 1, code: "200"},
		{name: "spooled", source: "kept", body: webhook(good("A"), good("B")), prepare: away, want: map[alert.Verdict]int{alert.Spooled: 2}, spooled: true, waiting: 1, code: "202"},
		{name: "a source that refuses", source: "alertmanager", body: webhook(good("A")), prepare: away, err: ErrUnavailable, code: "503"},
		{name: "not understood", source: "kept", body: `{}`, notUnderstood: true, letters: 1, code: "400"},
		{name: "not understood, and no letter", source: "kept", body: `{}`, prepare: away, err: ErrUnavailable, code: "503"},
		{name: "no source", source: "other", body: webhook(good("A")), err: ErrNoSource},
		{name: "too large", source: "small", body: webhook(good("A")), err: ErrTooLarge, code: "413"},
		{name: "too much at a time", source: "kept", body: webhook(good("A")), prepare: func(g *gateway) { g.budget.limit = 10 }, err: ErrUnavailable, code: "503"},
		{name: "shutting down", source: "kept", body: webhook(good("A")), prepare: func(g *gateway) { g.Drain() }, err: ErrUnavailable, code: "503"},
		{name: "the sink panics", source: "kept", body: webhook(good("A")), prepare: func(g *gateway) {
			g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { panic("at the disco") }
		}, err: ErrUnavailable, code: "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kept := &fakeSpool{}
			g := newGateway(t, map[string]SourceConfig{"alertmanager": {}, "kept": {Format: "alertmanager", OnStoreFailure: ToSpool},
				"small": {Format: "alertmanager", BodyLimit: 10}}, func(o *Options) { o.Spool = kept })
			if c.prepare != nil {
				c.prepare(g)
			}
			got, err := g.Take(t.Context(), c.source, Request{Body: []byte(c.body), Path: "smtp"})
			if c.err != nil && !errors.Is(err, c.err) || errors.As(err, &bad) != c.notUnderstood || (err == nil) != (c.err == nil && !c.notUnderstood) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if !maps.Equal(got.Outcomes, c.want) || got.Spooled != c.spooled {
				t.Errorf("got %+v, want %v, spooled: %t", got, c.want, c.spooled)
			}
			if len(g.sink.letters) != c.letters || len(kept.waiting) != c.waiting {
				t.Errorf("%d letters, %d spooled; want %d, %d", len(g.sink.letters), len(kept.waiting), c.letters, c.waiting)
			}
			for _, r := range kept.waiting {
				if r.Source != c.source || r.Format != "alertmanager" || string(r.Body) != c.body || !r.ReceivedAt.Equal(received) || r.Path != "smtp" {
					t.Errorf("spooled: got %+v, want the request", r)
				}
			}
			if used := g.budget.used.Load(); used != 0 {
				t.Errorf("%d bytes of the budget are not given back", used)
			}
			if n := g.metric(t, "tocsin_ingest_request_duration_seconds", "source", c.source, "code", c.code); c.code != "" && n != 1 {
				t.Errorf("requests with %s in the histogram: got %v, want 1", c.code, n)
			}
			g.checkConservation(t, "kept", "alertmanager", "small")
		})
	}
}

// TestTakeKeepsNoToken: what stands in the body for a token is gone before anything is kept.
func TestTakeKeepsNoToken(t *testing.T) {
	kept := &fakeSpool{waiting: []Request{{Source: "s"}}}
	g := newGateway(t, nil, func(o *Options) { o.Spool = kept })
	f := Alertmanager
	f.Tokens = func(r Request) ([]string, []byte) { return []string{"secret"}, r.Body[len("secret"):] }
	g.Set([]Source{{Name: "s", Format: f, BodyLimit: MiB, Spools: true}})
	if _, err := g.Take(t.Context(), "s", Request{Body: []byte("secret" + webhook(good("A")))}); err != nil {
		t.Fatal(err)
	}
	if got := string(kept.waiting[1].Body); got != webhook(good("A")) {
		t.Errorf("spooled: got %q, want it without the token", got)
	}
}
