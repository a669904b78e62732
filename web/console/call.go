package console

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/web"
)

// answer is what the API says to a request of the console.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// Header, Write and WriteHeader implement http.ResponseWriter.
func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answer) WriteHeader(status int)      { a.status = status }

// problem is an answer of the API that is none of the good ones.
type problem struct{ web.Problem }

func (p *problem) Error() string { return p.Detail }

// payload is a body that is sent as it is.
type payload []byte

// call asks the API for something in the name of the person whose request c is. A
// body is sent as JSON, unless it is a payload; version is what If-Match asks for, 0 for nothing.
// An answer of 400 and above is a *problem.
func (k *Console) call(c *gin.Context, method, path string, body any, version uint64) (*answer, error) {
	return k.callOnce(c, method, path, body, version, "")
}

// callOnce is call for what a form says: if it came before, to whichever gateway, it is
// not done again. The id is the form's; without one it is as call.
func (k *Console) callOnce(c *gin.Context, method, path string, body any, version uint64, id string) (*answer, error) {
	var text io.Reader = http.NoBody
	if body != nil {
		data, plain := body.(payload)
		if !plain {
			var err error
			if data, err = json.Marshal(body, json.Deterministic(true)); err != nil {
				return nil, fmt.Errorf("console: %w", err)
			}
		}
		text = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(c.Request.Context(), method, path, text)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	// It is the same person at the same place, and was let in.
	r.Host, r.RemoteAddr, r.TLS = c.Request.Host, c.Request.RemoteAddr, c.Request.TLS
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "User-Agent"} {
		if values := c.Request.Header.Values(name); len(values) > 0 {
			r.Header[name] = values
		}
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if version > 0 {
		r.Header.Set("If-Match", fmt.Sprintf("%q", fmt.Sprint(version)))
	}
	if onceID(id) {
		r.Header.Set("Idempotency-Key", id)
	}
	a := &answer{status: http.StatusOK, header: http.Header{}}
	k.api.ServeHTTP(a, r)
	if a.status < http.StatusBadRequest {
		return a, nil
	}
	p := &problem{}
	if json.Unmarshal(a.body.Bytes(), &p.Problem) != nil {
		_ = json.Unmarshal(a.body.Bytes(), &p.Detail) // Alertmanager's API says it in a text
	}
	if p.Detail == "" {
		p.Detail = http.StatusText(a.status)
	}
	p.Status, p.Title = a.status, cmp.Or(p.Title, http.StatusText(a.status))
	return a, p
}

// get asks the API for what is at path.
func get[T any](k *Console, c *gin.Context, path string) (T, error) {
	var v T
	a, err := k.call(c, http.MethodGet, path, nil, 0)
	if err == nil {
		err = json.Unmarshal(a.body.Bytes(), &v)
	}
	return v, err
}

// optional is v, or nothing where the API has none of it: it answered 404.
func optional[T any](v T, err error) (T, error) {
	if p := (*problem)(nil); errors.As(err, &p) && p.Status == http.StatusNotFound {
		var none T
		return none, nil
	}
	return v, err
}

// post sends a body to the API and reads its answer into v, unless that is nil.
func post(k *Console, c *gin.Context, path string, body, v any) error {
	a, err := k.call(c, http.MethodPost, path, body, 0)
	if err == nil && v != nil {
		err = json.Unmarshal(a.body.Bytes(), v)
	}
	return err
}
