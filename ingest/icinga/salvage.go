package icinga

import (
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// salvage reads what can be read of JSON that was put together from macros by
// hand: a quote or a line break in what a plugin wrote has broken it. A value
// ends at the quote after which the next member begins, or the object ends.
func salvage(body []byte) (map[string]string, alert.Flag) {
	text, flags := fields.Clean(string(body))
	all := map[string]string{}
	for at := 0; at < len(text) && len(all) < maxVariables; {
		name, begins, ok := member(text[at:])
		if !ok {
			at++
			continue
		}
		at += begins
		end := at
		for end < len(text) && !ends(text[end:]) {
			end++
		}
		if _, twice := all[name]; !twice {
			all[name] = unescaper.Replace(text[at:end])
		}
		at = end + 1
	}
	return all, flags
}

var unescaper = strings.NewReplacer(`\"`, `"`, `\n`, "\n", `\\`, `\`)

// member reads `"name": "` at the beginning of s, and returns where its value begins.
func member(s string) (name string, begins int, ok bool) {
	if s == "" || s[0] != '"' {
		return "", 0, false
	}
	name, _, ok = strings.Cut(s[1:min(len(s), 66)], `"`)
	if !ok || strings.ContainsAny(name, ": ,") || name == "" {
		return "", 0, false
	}
	at := skipSpace(s, len(name)+2)
	if at == len(s) || s[at] != ':' {
		return "", 0, false
	}
	if at = skipSpace(s, at+1); at == len(s) || s[at] != '"' {
		return "", 0, false
	}
	return name, at + 1, true
}

// ends reports whether s begins with the quote at the end of a value.
func ends(s string) bool {
	if s[0] != '"' {
		return false
	}
	at := skipSpace(s, 1)
	switch {
	case at == len(s):
		return true
	case s[at] == '}':
		return skipSpace(s, at+1) == len(s)
	case s[at] != ',':
		return false
	}
	at = skipSpace(s, at+1)
	if at == len(s) || s[at] != '"' {
		return false
	}
	name, rest, ok := strings.Cut(s[at+1:min(len(s), at+70)], `"`)
	return ok && name != "" && !strings.ContainsAny(name, ": ,") && strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), ":")
}

// maxSpace bounds the space between the parts of broken JSON, so that it is not
// read over and over.
const maxSpace = 16

func skipSpace(s string, at int) int {
	for n := 0; n < maxSpace && at < len(s) && strings.IndexByte(" \t\r\n", s[at]) >= 0; n++ {
		at++
	}
	return at
}
