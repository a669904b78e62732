package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// errAway is what a sink says whose store is away.
var errAway = fmt.Errorf("connection refused: %w", ErrUnavailable)

// fakeSpool keeps requests in memory.
type fakeSpool struct {
	mu       sync.Mutex
	waiting  []Request
	aside    []Request
	fail     func() error
	asideErr error
}

func (f *fakeSpool) Append(_ context.Context, r Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		if err := f.fail(); err != nil {
			return err
		}
	}
	r.Body = bytes.Clone(r.Body)
	f.waiting = append(f.waiting, r)
	return nil
}

func (f *fakeSpool) Holds(source string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.waiting, func(r Request) bool { return r.Source == source })
}

func (f *fakeSpool) SetAside(r Request) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asideErr != nil {
		return "", f.asideErr
	}
	f.aside = append(f.aside, r)
	return "aside/" + r.Source, nil
}

// handOn replays what waits, two at a time, until that fails.
func (f *fakeSpool) handOn(t testing.TB, g *gateway) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.waiting) > 0 {
		n := min(2, len(f.waiting))
		if err := g.Replay(t.Context(), f.waiting[:n], false); err != nil {
			return
		}
		f.waiting = f.waiting[n:]
	}
}

// names are the sources of the requests.
func sourcesOf(requests []Request) (names []string) {
	for _, r := range requests {
		names = append(names, r.Source)
	}
	return names
}

// newSpooling returns a gateway with a source that spools, kept, and one that does not.
func newSpooling(t testing.TB) (*gateway, *fakeSpool) {
	kept := &fakeSpool{}
	sources := map[string]SourceConfig{"alertmanager": {}, "kept": {Format: "alertmanager", OnStoreFailure: ToSpool}}
	return newGateway(t, sources, func(o *Options) { o.Spool = kept }), kept
}

func verdicts(a answered) (out []string) {
	for _, r := range a.Results {
		out = append(out, r.Verdict)
	}
	return out
}

func TestTheStoreIsAway(t *testing.T) {
	many := make([]string, BatchSize+500)
	for i := range many {
		many[i] = good(fmt.Sprintf("A%d", i))
	}
	away := func(g *gateway, _ *fakeSpool) {
		g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errAway }
		g.sink.letter = func() error { return errAway }
	}
	tests := []struct {
		name     string
		source   string // kept if empty
		body     string
		prepare  func(*gateway, *fakeSpool)
		code     int
		verdicts []string // the first and the last one too, if there are many
		spooled  int
		sunk     int // calls of the sink
	}{
		{name: "spooled", body: webhook(good("A"), good("B")), prepare: away, code: 202, verdicts: []string{"spooled", "spooled"}, spooled: 1, sunk: 1},
		{name: "a source that refuses", source: "alertmanager", body: webhook(good("A")), prepare: away, code: 503, sunk: 1},
		{name: "what cannot be understood in it is rejected at once", body: webhook(`{}`, good("A")), prepare: away, code: 202, verdicts: []string{"rejected", "spooled"}, spooled: 1, sunk: 1},
		{name: "nothing of it can be understood, so its letter has to be stored", body: `{}`, prepare: away, code: 503},
		{name: "no alerts", body: webhook(), prepare: away, code: 200},
		{name: "wrong in another way than away", body: webhook(good("A")), code: 503, sunk: 1, prepare: func(g *gateway, _ *fakeSpool) {
			g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errors.New("a mistake") }
		}},
		{name: "only the letters cannot be stored", body: webhook(`{}`, good("A")), code: 202, verdicts: []string{"rejected", "spooled"}, spooled: 1, sunk: 1,
			prepare: func(g *gateway, _ *fakeSpool) { g.sink.letter = func() error { return errAway } }},
		{name: "only the last letter cannot be stored", body: webhook(good("A") + strings.Repeat(",{}", ownLetters+1)), code: 202, spooled: 1, sunk: 1,
			verdicts: append([]string{"opened"}, slices.Repeat([]string{"rejected"}, ownLetters+1)...), prepare: func(g *gateway, _ *fakeSpool) {
				left := ownLetters
				g.sink.letter = func() error {
					if left--; left < 0 {
						return errAway
					}
					return nil
				}
			}},
		{name: "away in the middle of a body", body: webhook(many...), code: 202, spooled: 1, sunk: 2,
			verdicts: append(slices.Repeat([]string{"opened"}, BatchSize), slices.Repeat([]string{"spooled"}, 500)...), prepare: func(g *gateway, _ *fakeSpool) {
				g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
					if len(alerts) < BatchSize {
						return nil, errAway
					}
					return opened(alerts), nil
				}
			}},
		{name: "the spool is full", body: webhook(good("A")), code: 503, sunk: 1, prepare: func(g *gateway, s *fakeSpool) {
			away(g, s)
			s.fail = func() error { return errors.New("full") }
		}},
		{name: "another request waits, though the store is back", body: webhook(good("A")), code: 202, verdicts: []string{"spooled"}, spooled: 1, prepare: func(_ *gateway, s *fakeSpool) {
			s.waiting = []Request{{Source: "kept"}}
		}},
		{name: "one of another source waits", body: webhook(good("A")), code: 200, verdicts: []string{"opened"}, sunk: 1, prepare: func(_ *gateway, s *fakeSpool) {
			s.waiting = []Request{{Source: "other"}}
		}},
		{name: "one waits, but the source refuses now", source: "alertmanager", body: webhook(good("A")), code: 503, prepare: func(_ *gateway, s *fakeSpool) {
			s.waiting = []Request{{Source: "alertmanager"}}
		}},
		{name: "shutting down", body: webhook(good("A")), code: 503, prepare: func(g *gateway, s *fakeSpool) {
			away(g, s)
			g.Drain()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, kept := newSpooling(t)
			if test.prepare != nil {
				test.prepare(g, kept)
			}
			before := len(kept.waiting)
			source := "kept"
			if test.source != "" {
				source = test.source
			}
			w := g.post("/ingest/"+source, test.body, "Content-Type", "application/json")
			if w.Code != test.code {
				t.Fatalf("got %d %.300s, want %d", w.Code, w.Body, test.code)
			}
			if got := verdicts(read(t, w)); !slices.Equal(got, test.verdicts) {
				t.Errorf("verdicts: got %.300s, want %.300s", fmt.Sprint(got), fmt.Sprint(test.verdicts))
			}
			spooled := kept.waiting[before:]
			if len(spooled) != test.spooled || len(g.sink.batches) != test.sunk {
				t.Fatalf("%d requests were spooled, the sink was asked %d times; want %d, %d", len(spooled), len(g.sink.batches), test.spooled, test.sunk)
			}
			for _, r := range spooled {
				if r.Source != "kept" || r.Format != "alertmanager" || string(r.Body) != test.body || !r.ReceivedAt.Equal(received) ||
					r.Method != http.MethodPost || r.Path != "/ingest/kept" || r.ContentType != "application/json" {
					t.Errorf("spooled: got %+v, want the request as it came", r)
				}
			}
			if got := g.metric(t, "tocsin_ingest_request_duration_seconds", "source", source, "code", fmt.Sprint(test.code)); got != 1 {
				t.Errorf("requests with this answer in the histogram: got %v, want 1", got)
			}
			g.checkConservation(t, "kept", "alertmanager", SpoolSource)
			if got := g.metric(t, "tocsin_alerts_received_total", "source", SpoolSource); got != 0 {
				t.Errorf("received from the spool: got %v, want 0", got)
			}
		})
	}
}

func TestWithoutASpoolEverybodyIsRefused(t *testing.T) {
	g := newGateway(t, map[string]SourceConfig{"kept": {Format: "alertmanager", OnStoreFailure: ToSpool}}, nil)
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errAway }
	if w := g.post("/ingest/kept", webhook(good("A"))); w.Code != 503 {
		t.Errorf("got %d, want 503", w.Code)
	}
}

func TestWhoeverMayNotSendIsNotSpooled(t *testing.T) {
	kept := &fakeSpool{}
	g := newGateway(t, map[string]SourceConfig{"kept": {Format: "alertmanager", OnStoreFailure: ToSpool}}, func(o *Options) {
		o.Spool, o.Open = kept, nil
	})
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) { return nil, errAway }
	if w := g.post("/ingest/kept", webhook(good("A"))); w.Code != 401 || len(kept.waiting) > 0 {
		t.Errorf("got %d and %d spooled, want 401 and none", w.Code, len(kept.waiting))
	}
}

// TestTheFormatDecides: a source that says nothing spools if its senders do not repeat.
func TestTheFormatDecides(t *testing.T) {
	formats := maps.Clone(testFormats)
	formats["test-shout"] = Format{Name: "test-shout", BodyLimit: MiB, Batches: Alertmanager.Batches, Wrap: Alertmanager.Wrap, Place: Alertmanager.Place}
	sources, err := NewSources(map[string]SourceConfig{"alertmanager": {}, "prometheus": {}, "test-shout": {},
		"a": {Format: "alertmanager", OnStoreFailure: ToSpool}, "b": {Format: "test-shout", OnStoreFailure: Refuse}}, formats)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if want := s.Name == "test-shout" || s.Name == "a"; s.Spools != want {
			t.Errorf("source %s spools: got %t, want %t", s.Name, s.Spools, want)
		}
	}
}

// waited is a request that came at the n-th second.
func waited(source, body string, n int) Request {
	return Request{Source: source, Format: "alertmanager", Body: []byte(body), ReceivedAt: received.Add(time.Duration(n-3600) * time.Second),
		Method: "POST", Path: "/ingest/" + source}
}

func TestReplay(t *testing.T) {
	g, _ := newSpooling(t)
	var at []time.Time
	g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
		for _, a := range alerts {
			at = append(at, a.ReceivedAt)
		}
		return opened(alerts), nil
	}
	var requests []Request
	for n := range 400 {
		requests = append(requests, waited("kept", webhook(good(fmt.Sprint("A", n)), good(fmt.Sprint("B", n)), good(fmt.Sprint("C", n))), n))
	}
	if err := g.Replay(t.Context(), requests, false); err != nil {
		t.Fatal(err)
	}
	if len(g.sink.names) != 1200 || !slices.Equal(g.sink.batches, []int{999, 201}) {
		t.Fatalf("%d alerts in batches of %v, want 1200 in two", len(g.sink.names), g.sink.batches)
	}
	for i, name := range g.sink.names {
		if want := fmt.Sprint(string("ABC"[i%3]), i/3); name != want || !at[i].Equal(requests[i/3].ReceivedAt) {
			t.Fatalf("alert %d: got %s of %v, want %s of %v", i, name, at[i], want, requests[i/3].ReceivedAt)
		}
	}
	g.checkConservation(t, "kept", SpoolSource)
	for labels, want := range map[[4]string]float64{{"source", SpoolSource, "verdict", "opened"}: 1200, {"source", "kept"}: 0} {
		if got := g.metric(t, "tocsin_alerts_total", labels[:]...); got != want {
			t.Errorf("%v: got %v, want %v", labels, got, want)
		}
	}
}

func TestReplayOfWhatIsRejected(t *testing.T) {
	g, kept := newSpooling(t)
	if err := g.Replay(t.Context(), []Request{waited("kept", webhook(good("A"), `{}`, good("B")), 1), waited("kept", webhook(good("C")), 2)}, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(g.sink.names, []string{"A", "B", "C"}) || len(kept.aside) > 0 {
		t.Errorf("taken %v, set aside %v", g.sink.names, sourcesOf(kept.aside))
	}
	if len(g.sink.letters) != 1 || g.sink.letters[0].Source != "kept" || !g.sink.letters[0].ReceivedAt.Equal(received.Add(-3599*time.Second)) {
		t.Errorf("dead letters: got %+v, want one of the source as of when it came", g.sink.letters)
	}
	g.checkConservation(t, SpoolSource)
	if got := g.metric(t, "tocsin_alerts_total", "source", SpoolSource, "verdict", "rejected"); got != 1 {
		t.Errorf("rejected: got %v, want 1", got)
	}
}

// TestReplayOfWhatNobodyTakes: such a request is set aside as a file and shown as a
// dead letter, and those beside it are taken.
func TestReplayOfWhatNobodyTakes(t *testing.T) {
	unknown := waited("kept", webhook(good("X")), 2)
	unknown.Format = "carrier-pigeon"
	for _, c := range []struct {
		name, reason string
		request      Request
		prepare      func(*gateway, *fakeSpool)
		certain      bool
		err          error // in place of being set aside
		letters      int
	}{
		{name: "the source is gone", request: waited("gone", webhook(good("X")), 2), reason: "the source gone is not configured", letters: 1},
		{name: "the format is gone", request: unknown, reason: "does not know the format carrier-pigeon", letters: 1},
		{name: "it is not understood any more", request: waited("kept", `{}`, 2), reason: "alerts: absent", letters: 1},
		{name: "the sink refuses it, for now", request: waited("kept", webhook(good("X")), 2), err: errPicky},
		{name: "the sink refuses it for good", request: waited("kept", webhook(good("X")), 2), certain: true, reason: "the store refuses it: picky", letters: 1},
		{name: "the sink panics", request: waited("kept", webhook(good("panic")), 2), certain: true, reason: "the store refuses it: ingest: replay: panic: at the disco", letters: 1},
		{name: "the sink is away", request: waited("kept", webhook(good("away")), 2), certain: true, err: ErrUnavailable},
		{name: "the letter has to wait", request: waited("gone", webhook(good("X")), 2), certain: true, err: ErrUnavailable, prepare: func(g *gateway, _ *fakeSpool) {
			g.sink.letter = func() error { return errAway }
		}},
		{name: "there can be no letter", request: waited("gone", webhook(good("X")), 2), reason: "", prepare: func(g *gateway, _ *fakeSpool) {
			g.sink.letter = func() error { return errors.New("a mistake") }
		}},
		{name: "it cannot be set aside", request: waited("gone", webhook(good("X")), 2), err: errPicky, prepare: func(_ *gateway, s *fakeSpool) {
			s.asideErr = errPicky
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, kept := newSpooling(t)
			g.sink.accept = func(alerts []alert.Alert) ([]alert.Outcome, error) {
				for _, a := range alerts {
					switch a.Name() {
					case "X":
						return nil, errPicky
					case "panic":
						panic("at the disco")
					case "away":
						return nil, errAway
					}
				}
				return opened(alerts), nil
			}
			if c.prepare != nil {
				c.prepare(g, kept)
			}
			err := g.Replay(t.Context(), []Request{waited("kept", webhook(good("A")), 1), c.request, waited("kept", webhook(good("B")), 3)}, c.certain)
			g.checkConservation(t, "kept", SpoolSource)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if c.err != nil {
				if c.prepare == nil && len(kept.aside) > 0 {
					t.Errorf("it was set aside")
				}
				return
			}
			if len(kept.aside) != 1 || string(kept.aside[0].Body) != string(c.request.Body) {
				t.Errorf("set aside: got %v, want the one", sourcesOf(kept.aside))
			}
			if n := len(g.sink.letters); n != c.letters {
				t.Fatalf("got %d letters, want %d", n, c.letters)
			}
			if c.letters > 0 {
				if l := g.sink.letters[0]; l.Source != c.request.Source || !strings.Contains(l.Reason, c.reason) || !strings.Contains(l.Reason, "set aside in aside/"+c.request.Source) {
					t.Errorf("letter: got %+v, want one of the source with the reason %q and the file", l, c.reason)
				}
			}
			for _, name := range []string{"A", "B"} {
				if !slices.Contains(g.sink.names, name) {
					t.Errorf("its neighbour %s was not taken", name)
				}
			}
		})
	}
}

var errPicky = errors.New("picky")

// TestReplayThatEndsEarly: who stops the gateway is told nothing of mistakes.
func TestReplayThatEndsEarly(t *testing.T) {
	g, kept := newSpooling(t)
	ctx, cancel := context.WithCancel(t.Context())
	g.sink.accept = func([]alert.Alert) ([]alert.Outcome, error) {
		cancel()
		return nil, ctx.Err()
	}
	if err := g.Replay(ctx, []Request{waited("kept", webhook(good("A")), 1)}, true); !errors.Is(err, context.Canceled) || len(kept.aside) > 0 {
		t.Errorf("got %v and %d set aside, want context.Canceled and none", err, len(kept.aside))
	}
	g.checkConservation(t, SpoolSource)
}
