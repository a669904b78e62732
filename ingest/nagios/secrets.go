package nagios

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// withoutSecrets takes out of a body what checks log in with, and of a whole
// environment all that is not Nagios': a body that is not understood is shown to
// people, and kept. None of it is a credential of the source's.
func withoutSecrets(r ingest.Request) (tokens []string, body []byte) {
	body = bytes.TrimSpace(bytes.TrimPrefix(r.Body, []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return nil, r.Body
	case body[0] == '{' || body[0] == '[':
		_, body = fields.WithoutMembers(body, func(name string, _ int) bool { return hides(name) })
		return nil, body
	case isEnvironment(body):
		return nil, ownEnvironment(body)
	case bytes.HasPrefix(body, []byte("--")):
		return nil, formOfParts(r)
	}
	return nil, formWithoutSecrets(body)
}

// hides reports whether nobody should see the value of a macro.
func hides(name string) bool {
	name = strings.TrimPrefix(strings.ToUpper(strings.Trim(name, "$ \r\n")), prefix)
	if strings.HasPrefix(name, "_") {
		return IsSecret(name)
	}
	name = withoutGaps.Replace(name)
	if strings.HasSuffix(name, "CHECKCOMMAND") || isNumbered(name, "USER") || isNumbered(name, "ARG") {
		return true // commands are given what they log in with
	}
	// Shorter words are in the names of other macros.
	return slices.ContainsFunc([]string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "COMMUNITY", "CREDENTIAL", "APIKEY"},
		func(word string) bool { return strings.Contains(name, word) })
}

// isNumbered reports whether a macro is one of a row, such as USER1.
func isNumbered(name, of string) bool {
	number, ok := strings.CutPrefix(name, of)
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// ownEnvironment empties all variables that are not Nagios', or that hide.
func ownEnvironment(body []byte) []byte {
	separator := byte('\n')
	if bytes.IndexByte(body, 0) >= 0 {
		separator = 0
	}
	var out []byte
	for hidden, rest := false, body; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, separator); end >= 0 {
			line = rest[:end+1]
		}
		rest = rest[len(line):]
		// With NUL between them a variable's value can have lines that look like others.
		name, _, ok := bytes.Cut(line, []byte("="))
		if ok && isVariable(string(name)) {
			if hidden = !bytes.HasPrefix(name, []byte(prefix)) || hides(string(name)); hidden {
				out = append(append(append(out, name...), '='), separator)
			}
		}
		if !hidden {
			out = append(out, line...)
		}
	}
	return out
}

// formWithoutSecrets empties fields of a form. A text is none, whatever is in it.
func formWithoutSecrets(body []byte) []byte {
	first, _, ok := bytes.Cut(body, []byte("="))
	if !ok || !isVariable(strings.Trim(string(first), "$")) {
		return body
	}
	pairs := bytes.Split(body, []byte("&"))
	for i, pair := range pairs {
		name, _, _ := bytes.Cut(pair, []byte("="))
		text, err := url.QueryUnescape(string(name))
		if err != nil {
			text = string(name)
		}
		if hides(text) {
			pairs[i] = append(bytes.Clone(name), '=')
		}
	}
	return bytes.Join(pairs, []byte("&"))
}

// formOfParts makes another form of one in parts, if it has something to hide.
func formOfParts(r ingest.Request) []byte {
	form, _, err := fields.Form(r.ContentType, r.Body)
	if err != nil {
		return r.Body
	}
	kept, hidden := url.Values{}, false
	for name, value := range form {
		if hides(name) {
			hidden = true
		} else {
			kept.Set(name, value)
		}
	}
	if !hidden {
		return r.Body
	}
	return []byte(kept.Encode())
}
