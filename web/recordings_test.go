package web_test

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

// recordings stand for the recorder; they break with the store of the server. The
// cursor is the id of the last row.
type recordings struct {
	s     *server
	all   []web.Recording
	asked web.RecordingQuery
}

func recording(id, body string) web.Recording {
	return web.Recording{ID: id, Source: "alertmanager", Format: "alertmanager", Method: "POST", Path: "/ingest/alertmanager", ContentType: "text/html",
		ReceivedAt: morning, Code: 200, Size: len(body), Body: []byte(body)}
}

func (r *recordings) List(_ context.Context, q web.RecordingQuery) (page []web.Recording, next string, err error) {
	if err := r.s.store.broken(); err != nil {
		return nil, "", err
	}
	r.asked = q
	rest := r.all
	for q.Cursor != "" && len(rest) > 0 && rest[0].ID != q.Cursor {
		rest = rest[1:]
	}
	if q.Cursor != "" && len(rest) == 0 {
		return nil, "", store.ErrCursor
	}
	if q.Cursor != "" {
		rest = rest[1:]
	}
	if len(rest) > q.Limit {
		rest, next = rest[:q.Limit], rest[q.Limit-1].ID
	}
	for _, found := range rest {
		found.Body = nil
		page = append(page, found)
	}
	return page, next, nil
}

func (r *recordings) Get(_ context.Context, id string) (web.Recording, error) {
	if err := r.s.store.broken(); err != nil {
		return web.Recording{}, err
	}
	for _, found := range r.all {
		if found.ID == id {
			return found, nil
		}
	}
	return web.Recording{}, incident.ErrNotFound
}

func TestRecordings(t *testing.T) {
	fake := &recordings{all: []web.Recording{recording("third", "\x00\xff"), recording("second", ""), recording("first", `{"n":"<ä>"}`)}}
	s := newServer(t, func(o *web.Options) { o.Recordings = fake })
	fake.s = s
	page := decode[web.RecordingsJSON](s.send("GET", "/api/v1/recordings?limit=2&source=alertmanager&from=2026-11-21T03:00:00%2B01:00&to=2026-11-21T04:00:00Z", "").want(200))
	if len(page.Recordings) != 2 || page.Recordings[0].ID != "third" || page.Recordings[0].Size != 2 || page.NextCursor != "second" {
		t.Errorf("got %+v", page)
	}
	want := web.RecordingQuery{Source: "alertmanager", From: morning.Add(-time.Hour), To: morning.Add(time.Hour), Limit: 2}
	if got := fake.asked; !got.From.Equal(want.From) || !got.To.Equal(want.To) || got.Source != want.Source || got.Limit != want.Limit {
		t.Errorf("asked for %+v, want %+v", got, want)
	}
	page = decode[web.RecordingsJSON](s.send("GET", "/api/v1/recordings?cursor=second", "").want(200))
	if len(page.Recordings) != 1 || page.Recordings[0].ID != "first" || page.NextCursor != "" || fake.asked.Limit != 50 {
		t.Errorf("got %+v, of a page of %d", page, fake.asked.Limit)
	}
	for _, bad := range []string{"?cursor=nobody", "?limit=0", "?from=yesterday", "?raw=true", "?source=a&source=b", "/first?raw=1", "/first?limit=2"} {
		s.send("GET", "/api/v1/recordings"+bad, "").problem(400)
	}
	for id, want := range map[string][2]string{"first": {"utf-8", `{"n":"<ä>"}`}, "second": {"utf-8", ""}, "third": {"base64", base64.StdEncoding.EncodeToString([]byte("\x00\xff"))}} {
		got := decode[web.RecordingBodyJSON](s.send("GET", "/api/v1/recordings/"+id, "").want(200))
		if got.Encoding != want[0] || got.Body != want[1] || got.ID != id || got.ReceivedAt == nil || !got.ReceivedAt.Equal(morning) {
			t.Errorf("%s: got %+v, want %q", id, got, want)
		}
	}
	// The bare body is never something that a browser shows.
	for id, body := range map[string]string{"first": `{"n":"<ä>"}`, "second": "", "third": "\x00\xff"} {
		a := s.send("GET", "/api/v1/recordings/"+id+"?raw=true", "").want(200)
		if string(a.body) != body || a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("X-Content-Type-Options") != "nosniff" ||
			a.header.Get("Content-Disposition") != `attachment; filename="recording-`+id+`"` || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: got %q with %v", id, a.body, a.header)
		}
	}
	if a := s.send("GET", "/api/v1/recordings/nobody?raw=true", "").problem(404, "nobody"); a.header.Get("Content-Disposition") != "" {
		t.Errorf("a problem has the headers of a file: %v", a.header)
	}
}
