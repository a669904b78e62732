package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// endless is a body that counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for n := range p {
		p[n] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

// TestEndlessForms: of no form more is read than a form may have, and none is taken for
// an empty one.
func TestEndlessForms(t *testing.T) {
	d := newDesk(t, operated)
	reference := d.fires("alertname", "Disk")
	const limit, explained = 3 << 20, 3 * 8 << 20
	for path, most := range map[string]int{"/incidents/" + reference + "/do/note": limit, "/do/acknowledge": limit, "/report": limit, "/views": limit, "/explain": explained,
		"/operations/receivers": limit, "/operations/undelivered": limit, "/operations/silences/new": limit, "/operations/silences/expire": limit} {
		for mediaType, begin := range map[string]string{"application/x-www-form-urlencoded": "text=",
			"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"payload\"; filename=\"f\"\r\n\r\n"} {
			body := &endless{}
			r := httptest.NewRequest("POST", "http://localhost"+path, io.MultiReader(strings.NewReader(begin), io.LimitReader(body, 64<<20)))
			r.Header.Set("Content-Type", mediaType)
			w := httptest.NewRecorder()
			d.gateway.Engine.ServeHTTP(w, r)
			if body.read > most+1<<20 || w.Code < 400 || w.Code >= 500 {
				t.Errorf("%s as %s: got %d after %d bytes", path, mediaType, w.Code, body.read)
			}
			if mediaType[0] == 'a' && w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: got %d, want %d\n%s", path, w.Code, http.StatusRequestEntityTooLarge, w.Body)
			}
		}
	}
}
