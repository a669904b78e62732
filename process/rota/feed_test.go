package rota

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

var (
	annas = file(vevent("SUMMARY:anna", "DTSTART:20261101T000000Z", "DTEND:20261201T000000Z"))
	bens  = file(vevent("SUMMARY:ben", "DTSTART:20261101T000000Z", "DTEND:20261201T000000Z"))
	now   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// served is a server that answers as it is told, and a Feed of it.
type served struct {
	handler http.HandlerFunc
	host    string
	feed    *Feed
	log     bytes.Buffer
	clock   time.Time
}

func newServed(t *testing.T, dial DialFunc) *served {
	t.Helper()
	s := &served{clock: now}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler(w, r) }))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.host = strings.TrimPrefix(server.URL, "https://")
	f, err := NewFeed(ICalConfig{URL: secret.New(server.URL + "/s3cret.ics?key=s3cret"), CAFile: ca, Username: "tocsin", Password: secret.New("s3cret")},
		FeedOptions{Dial: dial, Now: func() time.Time { return s.clock }, Log: slog.New(slog.NewTextHandler(&s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.CloseIdleConnections)
	s.feed = f
	return s
}

func (s *served) who() string { return strings.Join(s.feed.Calendar().At(now), " ") }

// TestFeedKeepsTheLastGoodFile and says when reading begins to fail and when it
// ends, once each.
func TestFeedKeepsTheLastGoodFile(t *testing.T) {
	s := newServed(t, nil)
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "tocsin" || password != "s3cret" {
			t.Errorf("got the user %q", user)
		}
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 11:00:00 GMT")
		_, _ = w.Write(annas)
	}
	if err := s.feed.Read(t.Context()); err != nil || s.who() != "anna" || s.feed.State().Good != now {
		t.Fatalf("got %v, %q on call, %+v", err, s.who(), s.feed.State())
	}
	for n, bad := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Log in</html>")) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(annas[:len(annas)-10]) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, fileLimit+10)) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusNoContent) },
	} {
		s.handler = bad
		s.clock = now.Add(time.Duration(n+1) * time.Hour)
		err := s.feed.Read(t.Context())
		if state := s.feed.State(); err == nil || s.who() != "anna" || state.StaleSince != now.Add(time.Hour) || state.Good != now || !errors.Is(state.Err, err) {
			t.Errorf("%d: got %v, %q on call, %+v", n, err, s.who(), state)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%d: the error shows the URL: %v", n, err)
		}
	}
	if got := s.log.String(); strings.Count(got, "cannot be read") != 1 || strings.Contains(got, "s3cret") {
		t.Errorf("got the log %s", got)
	}
	// It asks whether the last good one has changed.
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != `"one"` || r.Header.Get("If-Modified-Since") != "Mon, 23 Nov 2026 11:00:00 GMT" {
			t.Errorf("got %v", r.Header)
		}
		w.WriteHeader(http.StatusNotModified)
	}
	s.clock = now.Add(9 * time.Hour)
	if err := s.feed.Read(t.Context()); err != nil || s.who() != "anna" || !s.feed.State().StaleSince.IsZero() || s.feed.State().Good != s.clock {
		t.Errorf("got %v, %q on call, %+v", err, s.who(), s.feed.State())
	}
	s.handler = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bens) }
	if err := s.feed.Read(t.Context()); err != nil || s.who() != "ben" {
		t.Errorf("got %v, %q on call, want ben", err, s.who())
	}
	if got := s.log.String(); strings.Count(got, "can be read again") != 1 {
		t.Errorf("got the log %s", got)
	}
}

func TestFeedFollowsRedirectsOnOneHostOnly(t *testing.T) {
	s := newServed(t, nil)
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it went to another host") }))
	defer other.Close()
	to := "/elsewhere"
	s.handler = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			_, _ = w.Write(annas)
			return
		}
		http.Redirect(w, r, to, http.StatusFound)
	}
	if err := s.feed.Read(t.Context()); err != nil || s.who() != "anna" {
		t.Errorf("the same host: got %v", err)
	}
	for _, to = range []string{other.URL, "http://" + s.host + "/elsewhere", "/s3cret.ics", "file:///etc/passwd"} {
		if err := s.feed.Read(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v", to, err)
		}
	}
}

func TestFeedDialsAsItIsTold(t *testing.T) {
	denied := errors.New("denied")
	s := newServed(t, func(context.Context, string, string) (net.Conn, error) { return nil, denied })
	if err := s.feed.Read(t.Context()); !errors.Is(err, denied) {
		t.Errorf("got %v", err)
	}
	if s.feed.Calendar() != nil || s.who() != "" {
		t.Error("there is a file")
	}
}

func TestNewFeed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, c := range []ICalConfig{{}, {URL: secret.New("http://example.org")}, {URL: secret.New("https://example.org"), CAFile: none}, {File: "x", Every: 1}} {
		if _, err := NewFeed(c, FeedOptions{}); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

// TestRunReadsAgain: a file that is replaced is seen after at most one period and
// a tenth, and without any good one after a minute.
func TestRunReadsAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "oncall.ics")
	testbubble.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f, err := NewFeed(ICalConfig{File: name, Every: model.Duration(time.Hour)}, FeedOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		began := time.Now()
		synctest.Wait()
		if state := f.State(); f.Calendar() != nil || state.StaleSince != began || state.Err == nil {
			t.Errorf("no file yet: got %+v", state)
		}
		for _, step := range []struct {
			data []byte
			wait time.Duration
			want string
		}{{annas, time.Minute, "anna"}, {bens, 30 * time.Minute, "anna"}, {bens, 40 * time.Minute, "ben"}, {[]byte("oops"), 70 * time.Minute, "ben"}} {
			if err := os.WriteFile(name, step.data, 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(step.wait)
			synctest.Wait()
			if got := fmt.Sprint(f.Calendar().At(now)); got != "["+step.want+"]" {
				t.Errorf("got %s, want %s", got, step.want)
			}
		}
		if f.State().Err == nil {
			t.Error("a file that is none is no error")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestSkippedEventsAreSaid when the file comes, not each time it is read.
func TestSkippedEventsAreSaid(t *testing.T) {
	name := filepath.Join(t.TempDir(), "oncall.ics")
	if err := os.WriteFile(name, file(vevent("SUMMARY:anna", "DTSTART:soon")), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f, err := NewFeed(ICalConfig{File: name}, FeedOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := log.String(); strings.Count(got, "left out") != 1 || !strings.Contains(got, "soon") || f.State().Skipped != 1 {
		t.Errorf("got %s", got)
	}
}
