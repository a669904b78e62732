package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web/audit"
)

// Problem is an error as RFC 9457 writes it. Type is always about:blank: the
// status says what kind of problem it is, Errors which fields are meant.
type Problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance"`
	Errors   []FieldProblem `json:"errors,omitempty"`
	// Incident is the current one, in an answer 409 to a command.
	Incident *IncidentJSON `json:"incident,omitempty"`
	// RequestID finds the log line of an answer 500.
	RequestID string `json:"request_id,omitzero"`
}

// FieldProblem says what is wrong with one field or parameter.
type FieldProblem struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// problemType is the content type of problems.
const problemType = "application/problem+json"

// retryAfter is what clients are told to wait, in seconds, when the store is
// away or they tried too many tokens.
const retryAfter = "5"

// statusError is an error of the HTTP side with the status it is answered with.
type statusError struct {
	status int
	detail string
}

func (e *statusError) Error() string { return e.detail }

func refuse(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// Refuse is an error that Fail answers with the status and a text for people.
func Refuse(status int, text string) error { return refuse(status, "%s", text) }

// fail is the one place that turns errors into answers. What it does not know
// is logged and answered 500 without a word about what it was.
func (a *API) fail(c *gin.Context, err error) { Fail(c, a.log, err) }

// Fail is fail for what is served beside the API.
func Fail(c *gin.Context, log *slog.Logger, err error) {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		if p.RequestID = c.GetString(requestKey); p.RequestID == "" {
			p.RequestID = audit.NewRequest()
		}
		log.ErrorContext(c.Request.Context(), "request failed", "request", p.RequestID, "method", c.Request.Method, "path", c.FullPath(), "err", err)
	}
	_ = c.Error(err) // for the access log
	writeProblem(c, p)
}

func problemOf(err error) Problem {
	var (
		p        = Problem{Status: http.StatusInternalServerError, Detail: "something went wrong here; the log has more under the request id"}
		status   *statusError
		conflict *router.ConflictError
		large    *http.MaxBytesError
	)
	fields := fieldProblems(err)
	switch {
	case errors.As(err, &status):
		p.Status, p.Detail = status.status, status.detail
	case errors.As(err, &conflict):
		p.Status, p.Detail = http.StatusConflict, conflict.Reason
		if conflict.Current != nil {
			current := ViewIncident(conflict.Current)
			p.Incident = &current
		}
		for _, r := range conflict.Missing {
			p.Errors = append(p.Errors, FieldProblem{r.Name, r.Text})
		}
	case errors.As(err, &large):
		p.Status, p.Detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", large.Limit)
	case len(fields) > 0:
		p.Status, p.Errors, p.Detail = http.StatusBadRequest, fields, fields[0].Field+": "+fields[0].Detail
		if more := len(fields) - 1; more > 0 {
			p.Detail += fmt.Sprintf(" (and %d more)", more)
		}
	case errors.Is(err, store.ErrCursor):
		p.Status, p.Detail = http.StatusBadRequest, "cursor: not a cursor of this list"
		p.Errors = []FieldProblem{{"cursor", "not a cursor of this list"}}
	case errors.Is(err, incident.ErrNotFound):
		p.Status, p.Detail = http.StatusNotFound, "there is no such thing here"
	case errors.Is(err, incident.ErrConflict):
		p.Status, p.Detail = http.StatusConflict, "somebody else was faster; look again"
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrEpoch),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p.Status, p.Detail = http.StatusServiceUnavailable, "the store cannot be reached; try again"
	}
	return p
}

// fieldProblems gathers the InputErrors in err, in their order.
func fieldProblems(err error) []FieldProblem {
	var out []FieldProblem
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil:
	case *router.InputError:
		out = append(out, FieldProblem{e.Field, e.Reason})
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			out = append(out, fieldProblems(inner)...)
		}
	default:
		out = fieldProblems(errors.Unwrap(err))
	}
	return out
}

// writeProblem answers with p; title, type and instance are filled in.
func writeProblem(c *gin.Context, p Problem) {
	p.Type, p.Title, p.Instance = "about:blank", http.StatusText(p.Status), c.Request.URL.Path
	h := c.Writer.Header()
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", retryAfter)
	case http.StatusUnauthorized:
		h.Add("WWW-Authenticate", `Bearer realm="tocsin"`)
		if mode := c.Request.Header.Get("Sec-Fetch-Mode"); mode == "" || mode == "navigate" {
			// A browser would ask for a password in the middle of a page that signs in itself.
			h.Add("WWW-Authenticate", `Basic realm="tocsin", charset="UTF-8"`)
		}
	case http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // there is a rest of the body in it
	}
	secure(h)
	h.Set("Content-Type", problemType) // Gin would keep that of an answer that was begun
	body, err := encode(p)
	if err != nil {
		// unreachable: a problem always encodes
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.Abort()
	c.Data(p.Status, problemType, body)
}

// secure sets the headers of every answer of the API: it is data, and nobody
// else's business.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// encode writes v as JSON with a line's end. Maps are in order, so that equal
// answers are equal bytes; a text that is not UTF-8 is mended, not refused.
func encode(v any) ([]byte, error) {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	return append(body, '\n'), err
}

// answer writes v with the given status.
func (a *API) answer(c *gin.Context, status int, v any) {
	body, err := encode(v)
	if err != nil {
		a.fail(c, fmt.Errorf("web: encode answer: %w", err))
		return
	}
	c.Data(status, "application/json", body)
}
