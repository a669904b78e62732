package outgoing

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 1.5 ": 1500 * time.Millisecond, "-3": 0, "soon": 0, "1e300": time.Hour, "86400": time.Hour, "NaN": 0,
		"Sat, 21 Nov 2026 03:00:30 GMT": 30 * time.Second, "Sat, 21 Nov 2026 02:00:00 GMT": 0, "Sat, 21 Nov 2099 02:00:00 GMT": time.Hour,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

// TestAnswers: what each kind of answer means for the next attempt, and that no
// secret and not too much of it is in the error.
func TestAnswers(t *testing.T) {
	status, header, body := 200, http.Header{}, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client reads a part
	}))
	defer server.Close()
	c, err := New(nil, nil, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		status    int
		header    http.Header
		reason    string
		permanent bool
		after     time.Duration
	}{
		{429, http.Header{"Retry-After": {"9"}}, notify.ReasonRateLimited, false, 9 * time.Second},
		{503, http.Header{"Retry-After": {"2"}}, notify.ReasonServer, false, 2 * time.Second},
		{500, nil, notify.ReasonServer, false, 0},
		{408, nil, notify.ReasonServer, false, 0},
		{401, nil, notify.ReasonAuth, false, 0},
		{403, nil, notify.ReasonAuth, false, 0},
		{400, nil, notify.ReasonClient, true, 0},
		{404, nil, notify.ReasonClient, true, 0},
		{302, http.Header{"Location": {server.URL}}, notify.ReasonClient, true, 0},
		{307, http.Header{"Location": {server.URL}}, notify.ReasonClient, true, 0},
	} {
		status, header, body = test.status, test.header, "no: s3cret "+strings.Repeat("x", 1<<20)
		_, err := c.JSON(t.Context(), "POST", server.URL+"/path-s3cret?q=s3cret", map[string]string{"a": "b"})
		var e *notify.Error
		if !errors.As(err, &e) || e.Reason != test.reason || e.Permanent != test.permanent || e.RetryAfter != test.after {
			t.Errorf("%d: got %#v (%v)", test.status, e, err)
			continue
		}
		if text := e.Error(); strings.Contains(text, "s3cret") || len(text) > 1000 {
			t.Errorf("%d: the error has %d bytes: %.300s", test.status, len(text), text)
		}
	}
	status, header, body = 200, nil, "fine"
	if a, err := c.JSON(t.Context(), "POST", server.URL, nil); err != nil || string(a.Body) != "fine" {
		t.Errorf("got %q, %v", a.Body, err)
	}
	server.Close()
	if _, err := c.JSON(t.Context(), "POST", server.URL+"/path-s3cret", nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("nobody listens: got %v", err)
	}
}

// TestCapture: nothing is sent to somebody who only wants to look.
func TestCapture(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	defer server.Close()
	c, err := New(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var look notify.Capture
	_, err = c.JSON(notify.WithCapture(t.Context(), &look), "PUT", server.URL, map[string]string{"a": "b"})
	if !errors.Is(err, notify.ErrCaptured) || look.Method != "PUT" || look.ContentType != "application/json" || string(look.Body) != `{"a":"b"}` {
		t.Errorf("got %v, %+v", err, look)
	}
}

// TestGuard: no spelling of an address, and no name, leads to where no message goes.
func TestGuard(t *testing.T) {
	dial := Guard(DefaultDeny())
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "0.0.0.0", "[::]",
		"100.100.100.200", "[fd00:ec2::254]", "224.0.0.1", "[ff02::1]", "255.255.255.255"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		conn, err := dial(ctx, "tcp", host+":80")
		cancel()
		if err == nil {
			_ = conn.Close() // it should not be there
		}
		if !errors.Is(err, ErrDenied) {
			t.Errorf("%s: got %v, want it denied", host, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("this machine: %v", err)
	}
	_ = conn.Close() // nothing was said
	if _, err := Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, ErrDenied) {
		t.Errorf("a network of the configuration: got %v, want it denied", err)
	}
	// A name is looked up first: what counts is where it leads.
	if _, err := Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")})(t.Context(), "tcp", "localhost:1"); !errors.Is(err, ErrDenied) {
		t.Errorf("a name that leads there: got %v, want it denied", err)
	}
	c, err := New(nil, dial)
	if err != nil {
		t.Fatal(err)
	}
	var e *notify.Error
	if _, err := c.JSON(t.Context(), "POST", "http://169.254.169.254/latest/meta-data/", nil); !errors.As(err, &e) || !e.Permanent {
		t.Errorf("got %v, want it refused for good", err)
	}
}
