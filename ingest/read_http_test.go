package ingest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestReadHTTP(t *testing.T) {
	const head = "POST /p?token=x HTTP/1.1\r\nHost: h\r\n"
	tests := []struct {
		name, request, body string
		error               string // part of it; empty: understood
	}{
		{"with a length", head + "Content-Length: 2\r\n\r\n[]", "[]", ""},
		{"line feeds only", "POST / HTTP/1.1\nHost: h\nContent-Length: 2\n\n[]", "[]", ""},
		{"a line break after it", head + "Content-Length: 2\r\n\r\n[]\r\n", "[]", ""},
		{"no body", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", ""},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;x=y\r\n]\r\n0\r\nTrailer: x\r\n\r\n", "[]", ""},
		{"at the limit", head + "Content-Length: 16\r\n\r\n0123456789abcdef", "0123456789abcdef", ""},
		{"over the limit", head + "Content-Length: 17\r\n\r\n0123456789abcdef0", "", "larger than 16"},
		{"too short", head + "Content-Length: 3\r\n\r\n[]", "", "breaks off after 2 bytes (Content-Length: 3)"},
		{"too long", head + "Content-Length: 1\r\n\r\n[]", "", `more after the body of 1 bytes (Content-Length: 1): "]"`},
		{"chunk broken off", head + "Transfer-Encoding: chunked\r\n\r\n5\r\n[]", "", "breaks off after 2 bytes"},
		{"no request", "[]", "", "not an HTTP request"},
		{"nothing", "", "", "not an HTTP request"},
		{"endless header", "POST / HTTP/1.1\r\nX: " + strings.Repeat("x", 2<<20), "", "not an HTTP request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, body, err := ReadHTTP(strings.NewReader(test.request), 16)
			if test.error != "" {
				if err == nil || !strings.Contains(err.Error(), test.error) {
					t.Errorf("got %q and error %v, want one with %q", body, err, test.error)
				}
				return
			}
			if err != nil || string(body) != test.body || r.Body != http.NoBody {
				t.Errorf("got %q (%v), want %q", body, err, test.body)
			}
		})
	}
}

func TestReadHTTPEndsAtItsLimit(t *testing.T) {
	in := &endless{left: 1 << 40}
	request := io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n"), in)
	if _, _, err := ReadHTTP(request, MiB); err == nil || in.read > 1<<20+64<<10 {
		t.Errorf("error %v after %d bytes, want one after 1 MiB", err, in.read)
	}
}

func FuzzReadHTTP(f *testing.F) {
	for i, c := range listCaptures(f) {
		if text, err := os.ReadFile(c.file); err == nil && i%10 == 0 && len(text) < 8<<10 {
			f.Add(text)
		}
	}
	f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, request []byte) {
		const limit = 4 * KiB
		_, body, err := ReadHTTP(bytes.NewReader(request), limit)
		_, again, errAgain := ReadHTTP(bytes.NewReader(request), limit)
		if !bytes.Equal(body, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Errorf("twice the same request, but %q (%v) and %q (%v)", body, err, again, errAgain)
		}
		if len(body) > int(limit) || len(body) > len(request) {
			t.Errorf("a body of %d bytes out of a request of %d", len(body), len(request))
		}
	})
}
