package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/router"
)

// The limits of requests.
const (
	// bodyLimit is the largest body of a command in bytes.
	bodyLimit = 1 << 20
	// depthLimit is how deep JSON may be nested.
	depthLimit = 32
	// defaultPage and maxPage are how many rows a list answers.
	defaultPage = 50
	maxPage     = 1000
	// listValues is how many values a filter may have, textLimit how long each
	// may be in bytes.
	listValues = 50
	textLimit  = 200
	// commentLimit is how long what a person writes may be in bytes.
	commentLimit = 16 << 10
)

// readJSON decodes the body into v. A body is JSON whatever its Content-Type
// says; a field that v does not have is an InputError.
func readJSON(c *gin.Context, v any) error { return readLargeJSON(c, v, bodyLimit) }

func readLargeJSON(c *gin.Context, v any, limit int64) error {
	body, err := readAll(c, limit)
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return nil
	}
	if err := shallow(body); err != nil {
		return err
	}
	return inputError(json.Unmarshal(body, v, json.RejectUnknownMembers(true)))
}

// shallow refuses what is nested too deeply before anything is made of it.
func shallow(body []byte) error {
	depth, text := 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case text && b == '\\':
			i++
		case b == '"':
			text = !text
		case text:
		case b == '{' || b == '[':
			if depth++; depth > depthLimit {
				return &router.InputError{Field: "body", Reason: fmt.Sprintf("nested more than %d deep", depthLimit)}
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return nil
}

// inputError says which field an error of the decoder is about.
func inputError(err error) error {
	var (
		semantic  *json.SemanticError
		syntactic *jsontext.SyntacticError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &semantic):
		reason := "has the wrong type"
		switch {
		case errors.Is(err, json.ErrUnknownName):
			reason = "is not a field of this request"
		case semantic.Err != nil:
			reason = semantic.Err.Error()
		}
		return &router.InputError{Field: fieldOf(semantic.JSONPointer), Reason: reason}
	case errors.As(err, &syntactic):
		return &router.InputError{Field: fieldOf(syntactic.JSONPointer), Reason: "not JSON: " + syntactic.Err.Error()}
	}
	return &router.InputError{Field: "body", Reason: "not JSON"}
}

// fieldOf writes a pointer as a path such as a.b, or body for the whole.
func fieldOf(p jsontext.Pointer) string {
	path := strings.Join(slices.Collect(p.Tokens()), ".")
	if path == "" {
		return "body"
	}
	return path
}

// query reads the parameters of a request and gathers the mistakes in them.
type query struct {
	values map[string][]string
	known  map[string]bool
	errs   []error
}

func newQuery(c *gin.Context) *query {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	q := &query{values: values, known: map[string]bool{}}
	if err != nil {
		q.bad("query", "%v", err)
	}
	return q
}

func (q *query) bad(name, format string, args ...any) {
	q.errs = append(q.errs, &router.InputError{Field: name, Reason: fmt.Sprintf(format, args...)})
}

// text is the value of a parameter that may be there once, "" if it is not.
func (q *query) text(name string) string {
	q.known[name] = true
	values := q.values[name]
	if len(values) == 0 {
		return ""
	}
	v := values[0]
	switch {
	case len(values) > 1:
		q.bad(name, "is there %d times", len(values))
	case len(v) > textLimit:
		q.bad(name, "longer than %d bytes", textLimit)
	case strings.ContainsFunc(v, unicode.IsControl):
		q.bad(name, "holds a control character")
	}
	return v
}

// list is a parameter of values with commas between them; allowed, if it is not
// nil, are the only ones.
func (q *query) list(name string, allowed []string) []string {
	q.known[name] = true
	var out []string
	for _, v := range strings.Split(strings.Join(q.values[name], ","), ",") {
		v = strings.TrimSpace(v)
		switch {
		case v == "" || slices.Contains(out, v):
		case len(v) > textLimit:
			q.bad(name, "a value is longer than %d bytes", textLimit)
		case allowed != nil && !slices.Contains(allowed, v):
			q.bad(name, "%q is none of %s", v, strings.Join(allowed, ", "))
		default:
			out = append(out, v)
		}
	}
	if len(out) > listValues {
		q.bad(name, "more than %d values", listValues)
	}
	return out
}

// time is a parameter in RFC 3339, zero if it is not there.
func (q *query) time(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	// A + that was not written %2B arrives as a blank.
	t, err := time.Parse(time.RFC3339, strings.Replace(v, " ", "+", 1))
	if err != nil {
		q.bad(name, "%q is not RFC 3339, such as 2026-11-21T04:00:00Z", v)
	}
	return t
}

// limit is how many rows are asked for.
func (q *query) limit() int {
	v := q.text("limit")
	if v == "" {
		return defaultPage
	}
	digits := strings.TrimLeft(v, "0123456789") == ""
	n, err := strconv.Atoi(v)
	switch {
	case digits && (err != nil || n > maxPage):
		return maxPage
	case err != nil || n < 1:
		q.bad("limit", "%q is not a number from 1 on", v)
		return defaultPage
	}
	return n
}

// done returns all mistakes, including parameters that nobody asked for.
func (q *query) done() error {
	var unknown []string
	for name := range q.values {
		if !q.known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		q.bad(name, "is not a parameter of this request")
	}
	return errors.Join(q.errs...)
}
