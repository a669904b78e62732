package status

import (
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// noon is when the tests begin.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// shelf is a store that has incidents to read, until it fails.
type shelf struct {
	now  time.Time
	err  error
	all  map[incident.ID]*incident.Incident
	read int
}

func (s *shelf) Now() time.Time { return s.now }

func (s *shelf) Incident(_ context.Context, name string) (*incident.Incident, error) {
	id, err := incident.ParseID(name)
	if err != nil || s.err != nil {
		return nil, cmp.Or(s.err, err)
	}
	if i := s.all[id]; i != nil {
		return i, nil
	}
	return nil, incident.ErrNotFound
}

// Incidents gives one incident on each page.
func (s *shelf) Incidents(_ context.Context, q store.Query) (list []*incident.Incident, next string, err error) {
	if s.read++; s.err != nil {
		return nil, "", s.err
	}
	var ids []string
	for id, i := range s.all {
		if q.Matches(i) && id.String() > q.Cursor {
			ids = append(ids, id.String())
		}
	}
	if len(ids) == 0 {
		return nil, "", nil
	}
	first := slices.Min(ids)
	i, err := s.Incident(context.Background(), first)
	return []*incident.Incident{i}, first, err
}

// put adds an incident, or replaces it.
func (s *shelf) put(i *incident.Incident) { s.all[i.ID] = i }

// desk is a page over a shelf.
type desk struct {
	t     testing.TB
	shelf *shelf
	page  *Page
}

// shop is a configuration with two components, one of them public under another name.
func shop() Config {
	c := DefaultConfig()
	c.Enabled, c.ExternalURL, c.Contact, c.ContactURL = true, "https://status.example.com/", "help desk", "mailto:help@example.com"
	c.Components = []Component{{Name: "Web shop", Description: "shop.example.com", Group: "Shopping", Services: []string{"shop-internal", "db-internal"}},
		{Name: "Mail", Services: []string{"mail-internal", "db-internal"}}}
	return c
}

func newDesk(t testing.TB, c Config, planned ...Planned) *desk {
	t.Helper()
	d := &desk{t: t, shelf: &shelf{now: noon, all: map[incident.ID]*incident.Incident{}}}
	var err error
	d.page, err = New(Options{Store: d.shelf, Planned: func(time.Time) []Planned { return planned }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	d.page.Set(c)
	return d
}

// after moves the clock and brings the page up to date.
func (d *desk) after(wait time.Duration) *desk {
	d.shelf.now = d.shelf.now.Add(wait)
	d.page.refresh(d.t.Context(), d.page.config.Load())
	return d
}

// get asks for a path with headers: name, value, name, value.
func (d *desk) get(path string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.send(http.MethodGet, path, headers...)
}

func (d *desk) send(method, path string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for n := 0; n < len(headers); n += 2 {
		r.Header.Add(headers[n], headers[n+1])
	}
	w := httptest.NewRecorder()
	d.page.ServeHTTP(w, r)
	return w
}

// text is what is at a path, which has to be there.
func (d *desk) text(path string) string {
	d.t.Helper()
	w := d.get(path)
	if w.Code != http.StatusOK {
		d.t.Fatalf("GET %s: got %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// everything is all that anybody can read, by path, compressed or not.
func (d *desk) everything() map[string]string {
	d.t.Helper()
	out := map[string]string{"nothing": d.get("/status/nothing").Body.String()}
	for path := range d.page.shown.Load().documents {
		w := d.get(path)
		out[path] = d.text(path) + fmt.Sprint(w.Header())
		zipped := d.get(path, "Accept-Encoding", "gzip")
		if zipped.Header().Get("Content-Encoding") != "gzip" {
			continue
		}
		r, err := gzip.NewReader(zipped.Body)
		if err != nil {
			d.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || string(text) != w.Body.String() {
			d.t.Errorf("%s: compressed it is something else (%v)", path, err)
		}
	}
	return out
}

// opened is an open incident of a service, an hour old.
func opened(n int, service string, updates ...incident.Update) *incident.Incident {
	at := noon.Add(-time.Hour)
	return &incident.Incident{ID: incident.NewID(at, [16]byte{byte(n), 7}, 0, 1), State: incident.Open, Phase: incident.Investigating, Service: service, Impact: "high",
		OpenedAt: at, CycleOpenedAt: at, Process: &incident.Process{Updates: updates}}
}

// said is a public update, minutes after the opening.
func said(minutes int, phase, what string) incident.Update {
	return incident.Update{ID: uint64(minutes), At: noon.Add(time.Duration(minutes-60) * time.Minute), Phase: phase, What: what, Public: true}
}

// has fails unless a text has all of these, and lacks fails if it has any.
func (d *desk) has(text string, parts ...string) {
	d.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			d.t.Errorf("%q is not in it:\n%s", part, text)
		}
	}
}

func (d *desk) lacks(text string, parts ...string) {
	d.t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			d.t.Errorf("%q is in it:\n%s", part, text)
		}
	}
}
