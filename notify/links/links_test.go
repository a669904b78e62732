package links

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// documents is a store of documents that several gateways share.
type documents struct {
	mu   sync.Mutex
	now  time.Time
	docs map[string]incident.Document
	// reads counts them; err fails them.
	reads int
	err   error
}

func newDocuments() *documents {
	return &documents{now: time.Date(2026, 11, 21, 3, 20, 0, 0, time.UTC), docs: map[string]incident.Document{}}
}

func (d *documents) Now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *documents) add(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func (d *documents) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *documents) Document(_ context.Context, typ, id string) (incident.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	doc, ok := d.docs[typ+"/"+id]
	switch {
	case d.err != nil:
		return doc, d.err
	case !ok:
		return doc, incident.ErrNotFound
	}
	return doc, nil
}

func (d *documents) PutDocument(_ context.Context, doc incident.Document) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.docs[doc.Type+"/"+doc.ID]
	if known.Version != doc.Version {
		return 0, incident.ErrConflict
	}
	doc.Version++
	d.docs[doc.Type+"/"+doc.ID] = doc
	return doc.Version, nil
}

func newLinks(t *testing.T, d *documents) *Links {
	t.Helper()
	l := New(d, &url.URL{Scheme: "https", Host: "tocsin.example.com", Path: "/ops/"})
	if err := l.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// token is that of a link.
func token(t *testing.T, link string) string {
	t.Helper()
	out, ok := strings.CutPrefix(link, "https://tocsin.example.com/ops/a/")
	if !ok {
		t.Fatalf("got link %q, want one below /ops/a/", link)
	}
	return out
}

func TestLinks(t *testing.T) {
	l := newLinks(t, newDocuments())
	i := targettest.Message(notify.Opened).Incident
	i.Reopens = 300
	got := l.For(i, "dba/slack[0]")
	if want := "https://tocsin.example.com/ops/incidents/" + i.Reference; got.Incident != want {
		t.Errorf("got incident %q, want %q", got.Incident, want)
	}
	for action, link := range map[Action]string{Acknowledge: got.Acknowledge, Resolve: got.Resolve} {
		tok, err := l.Read(t.Context(), token(t, link))
		want := Token{Action: action, Incident: i.ID, Cycle: 300, Target: "dba/slack[0]", Expires: time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)}
		if err != nil || tok != want {
			t.Errorf("%v: got %+v, %v; want %+v", action, tok, err, want)
		}
		if len(link) > 160 {
			t.Errorf("the link has %d characters, want at most 160: it goes into SMS", len(link))
		}
	}
	if again := l.For(i, "dba/slack[0]"); again != got {
		t.Error("the same message has another link")
	}
	i.State = incident.Acknowledged
	if got := l.For(i, "x"); got.Acknowledge != "" || got.Resolve == "" || got.Incident == "" {
		t.Errorf("acknowledged: got %+v, want links to resolve and to the incident", got)
	}
	i.State = incident.Resolved
	if got := l.For(i, "x"); got.Acknowledge != "" || got.Resolve != "" || got.Incident == "" {
		t.Errorf("resolved: got %+v, want a link to the incident only", got)
	}
}

func TestWithoutURLOrKeysNothingActs(t *testing.T) {
	i := targettest.Message(notify.Opened).Incident
	if got := New(newDocuments(), nil).For(i, "x"); got != (notify.Links{}) {
		t.Errorf("without a URL: got %+v, want none", got)
	}
	got := New(newDocuments(), &url.URL{Scheme: "http", Host: "h"}).For(i, "x")
	if want := (notify.Links{Incident: "http://h/incidents/" + i.Reference}); got != want {
		t.Errorf("without keys: got %+v, want %+v", got, want)
	}
}

func TestExpiry(t *testing.T) {
	d := newDocuments()
	l := newLinks(t, d)
	l.SetExpiry(2 * time.Hour)
	tok := token(t, l.For(targettest.Message(notify.Opened).Incident, "x").Acknowledge)
	d.add(2 * time.Hour)
	if _, err := l.Read(t.Context(), tok); err != nil {
		t.Errorf("after two hours: got %v, want good", err)
	}
	d.add(time.Hour)
	got, err := l.Read(t.Context(), tok)
	if !errors.Is(err, ErrExpired) || got.Target != "x" {
		t.Errorf("after three hours: got %+v, %v; want the token and ErrExpired", got, err)
	}
}

// TestEveryGatewayReadsIt: they share the keys, also one that starts at the same
// time, and one that starts again.
func TestEveryGatewayReadsIt(t *testing.T) {
	d := newDocuments()
	i := targettest.Message(notify.Opened).Incident
	one, two := newLinks(t, d), newLinks(t, d)
	tok := token(t, one.For(i, "x").Acknowledge)
	for name, l := range map[string]*Links{"the other": two, "a new one": newLinks(t, d)} {
		if _, err := l.Read(t.Context(), tok); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newLinks(t, newDocuments()).Read(t.Context(), tok); !errors.Is(err, ErrNotOurs) {
		t.Errorf("another Tocsin: got %v, want ErrNotOurs", err)
	}
}

func TestTwoMakeTheFirstKey(t *testing.T) {
	d := newDocuments()
	all := make([]*Links, 8)
	var wg sync.WaitGroup
	for n := range all {
		all[n] = New(d, &url.URL{Scheme: "https", Host: "tocsin.example.com", Path: "/ops"})
		wg.Go(func() {
			if err := all[n].Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tok := token(t, all[0].For(targettest.Message(notify.Opened).Incident, "x").Acknowledge)
	for n, l := range all {
		if _, err := l.Read(t.Context(), tok); err != nil {
			t.Errorf("gateway %d: %v", n, err)
		}
	}
}

func TestRotation(t *testing.T) {
	d := newDocuments()
	one, two := newLinks(t, d), newLinks(t, d)
	i := targettest.Message(notify.Opened).Incident
	old := token(t, one.For(i, "x").Acknowledge)
	d.add(time.Hour)
	if err := one.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh := token(t, one.For(i, "x").Acknowledge)
	late := token(t, two.For(i, "x").Acknowledge) // it does not know the new key yet
	for name, tok := range map[string]string{"old": old, "new": fresh, "late": late} {
		for _, l := range []*Links{one, two} {
			if _, err := l.Read(t.Context(), tok); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for range 3 {
		d.add(MaxExpiry + 2*time.Hour)
		if err := two.freshen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := two.Read(t.Context(), old); !errors.Is(err, ErrNotOurs) {
		t.Errorf("long after: got %v, want ErrNotOurs, its key is gone", err)
	}
	var r ring
	if err := json.Unmarshal(d.docs["key/links"].Data, &r); err != nil || len(r.Keys) != 2 {
		t.Errorf("got %d keys, %v; want the one that signs and the one before", len(r.Keys), err)
	}
}

func TestNothingThatWasChangedIsRead(t *testing.T) {
	d := newDocuments()
	l := newLinks(t, d)
	good := token(t, l.For(targettest.Message(notify.Opened).Incident, "dba/slack[0]").Acknowledge)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(raw) * 8 {
		bad := append([]byte(nil), raw...)
		bad[n/8] ^= 1 << (n % 8)
		if _, err := l.Read(t.Context(), base64.RawURLEncoding.EncodeToString(bad)); !errors.Is(err, ErrNotOurs) {
			t.Fatalf("bit %d changed: got %v, want ErrNotOurs", n, err)
		}
	}
	for _, bad := range []string{"", "a", good[:len(good)-1], good + "A", good + "=", " " + good, strings.ToLower(good), strings.Repeat("A", 10_000), "../" + good, "\x00"} {
		if _, err := l.Read(t.Context(), bad); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%.50q: got %v, want ErrNotOurs", bad, err)
		}
	}
	if d.reads > 10 {
		t.Errorf("guesses made %d reads of the store, want only a few", d.reads)
	}
}

// TestUnknownIfTheStoreIsAway: a token that a new key may have signed is not refused
// for good while that cannot be known.
func TestUnknownIfTheStoreIsAway(t *testing.T) {
	d := newDocuments()
	one, two := newLinks(t, d), newLinks(t, d)
	if err := one.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	tok := token(t, one.For(targettest.Message(notify.Opened).Incident, "x").Resolve)
	d.add(time.Minute)
	d.err = errors.New("away")
	if _, err := two.Read(t.Context(), tok); err == nil || errors.Is(err, ErrNotOurs) {
		t.Errorf("got %v, want the store's error", err)
	}
	d.err = nil
	if _, err := two.Read(t.Context(), tok); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

// TestRun takes keys of other gateways into use, and goes on while the store is away.
func TestRun(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		d := newDocuments()
		one, two := newLinks(t, d), newLinks(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- two.Run(ctx) }()
		if err := one.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		d.fail(errors.New("away"))
		time.Sleep(time.Hour)
		d.fail(nil)
		time.Sleep(refresh)
		synctest.Wait()
		i := targettest.Message(notify.Opened).Incident
		if one.For(i, "x") != two.For(i, "x") {
			t.Error("the other gateway still signs with the key before")
		}
		d.add(keyLife)
		time.Sleep(refresh)
		synctest.Wait()
		if one.For(i, "x") == two.For(i, "x") {
			t.Error("an old key was not replaced")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestErrorsHoldNoKeys(t *testing.T) {
	d := newDocuments()
	d.docs["key/links"] = incident.Document{Version: 1, Data: []byte(`{"keys":[{"secret":"c2VjcmV0LXNlY3JldA==","created_at":7}]}`)}
	err := New(d, nil).Load(t.Context())
	if err == nil || strings.Contains(err.Error(), "c2Vj") {
		t.Errorf("got %v, want an error without the document", err)
	}
}

func TestALongTargetIsCut(t *testing.T) {
	l := newLinks(t, newDocuments())
	tok := token(t, l.For(targettest.Message(notify.Opened).Incident, strings.Repeat("ü", 400)).Resolve)
	got, err := l.Read(t.Context(), tok)
	if err != nil || len(got.Target) > targetKept || !strings.HasPrefix(got.Target, "üüü") {
		t.Errorf("got %+v, %v; want a cut target", got, err)
	}
}

// FuzzRead: nothing is read but what was signed.
func FuzzRead(f *testing.F) {
	d := newDocuments()
	l := New(d, &url.URL{Scheme: "https", Host: "h"})
	if err := l.Load(f.Context()); err != nil {
		f.Fatal(err)
	}
	good := strings.TrimPrefix(l.For(targettest.Message(notify.Opened).Incident, "x").Resolve, "https://h/a/")
	f.Add(good)
	f.Add(good[1:])
	f.Add("AQE")
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := l.Read(t.Context(), token); err == nil && token != good {
			t.Errorf("%q was read as %+v", token, got)
		}
	})
}

// FuzzDecode: whatever is signed, reading it does not fail in another way than by
// saying so, and what is read is signed again as the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 1})
	f.Add(append([]byte{1, 2}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		if tok, ok := decode(body); ok && len(tok.Target) <= targetKept && body[0] == tokenVersion {
			again, _, err := parse(tok.sign([]byte("k")))
			if got, ok := decode(again); err != nil || !ok || got != tok {
				t.Errorf("%+v became %+v", tok, got)
			}
		}
	})
}
