package targettest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// members checks those of an object. The first thing that is wrong is kept.
type members struct {
	doc   map[string]any
	wrong string
}

func (f *members) fail(format string, args ...any) {
	if f.wrong == "" {
		f.wrong = fmt.Sprintf(format, args...)
	}
}

func (f *members) add(other members) {
	if other.wrong != "" {
		f.fail("%s", other.wrong)
	}
}

// only: nothing else is known.
func (f *members) only(names ...string) {
	for _, name := range slices.Sorted(maps.Keys(f.doc)) {
		if !slices.Contains(names, name) {
			f.fail("there is no member %s", name)
		}
	}
}

// text is a string of at most limit characters; 0 is no limit.
func (f *members) text(name string, needed bool, limit int) string {
	v, there := f.doc[name]
	if !there || v == nil {
		if needed {
			f.fail("%s is missing", name)
		}
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.fail("%s is not a string", name)
	case needed && s == "":
		f.fail("%s is empty", name)
	case limit > 0 && utf8.RuneCountInString(s) > limit:
		f.fail("%s has %d characters, of which %d are allowed", name, utf8.RuneCountInString(s), limit)
	case strings.ContainsRune(s, 0):
		f.fail("%s has a NUL", name)
	}
	return s
}

func (f *members) oneOf(name string, needed bool, values ...string) string {
	s := f.text(name, needed, 0)
	if s != "" && !slices.Contains(values, s) {
		f.fail("%s is %q, not one of %v", name, s, values)
	}
	return s
}

// web is an absolute URL.
func (f *members) web(name string, needed bool) string {
	s := f.text(name, needed, 0)
	if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		f.fail("%s is not a URL: %q", name, s)
	}
	return s
}

func (f *members) object(name string, needed bool) members {
	v, there := f.doc[name]
	if !there || v == nil {
		if needed {
			f.fail("%s is missing", name)
		}
		return members{}
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.fail("%s is not an object", name)
	}
	return members{doc: m}
}

func (f *members) objects(name string, check func(*members)) (out []map[string]any) {
	v, there := f.doc[name]
	if !there || v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		f.fail("%s is not a list", name)
	}
	for _, one := range list {
		m, ok := one.(map[string]any)
		if !ok {
			f.fail("%s has something that is not an object", name)
			continue
		}
		inner := members{doc: m}
		check(&inner)
		f.add(inner)
		out = append(out, m)
	}
	return out
}

// texts is a list of at most limit strings of at most each characters.
func (f *members) texts(name string, limit, each int) (out []string) {
	v, there := f.doc[name]
	if !there || v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok || limit > 0 && len(list) > limit {
		f.fail("%s is not a list of at most %d", name, limit)
	}
	for _, one := range list {
		s, ok := one.(string)
		if !ok || s == "" || utf8.RuneCountInString(s) > each {
			f.fail("%s has %.80q, which is not a string of 1 to %d characters", name, one, each)
		}
		out = append(out, s)
	}
	return out
}

// wrongJSON says what is wrong with the outside of a request with a JSON body.
func wrongJSON(r *http.Request, method string, body []byte) string {
	switch {
	case r.Method != method:
		return "the method is " + r.Method + ", not " + method
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return "the content type is " + r.Header.Get("Content-Type")
	case !utf8.Valid(body):
		return "the body is not UTF-8"
	}
	return ""
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// textOf, listOf and objectOf are empty for what is something else.
func textOf(v any) string           { s, _ := v.(string); return s }
func listOf(v any) []any            { l, _ := v.([]any); return l }
func objectOf(v any) map[string]any { o, _ := v.(map[string]any); return o }
