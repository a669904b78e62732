package fields

import (
	"strings"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Clean returns s as valid UTF-8 without NUL; U+FFFD stands for what was not,
// and the flag says so.
func Clean(s string) (string, alert.Flag) {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s, 0
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD"), alert.FlagInvalidUTF8
}

// Labels makes labels of names and values in turn, without the empty ones. The
// first of two equal names stays.
func Labels(pairs ...string) alert.Labels {
	var ls alert.Labels
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, value := pairs[i], pairs[i+1]; name != "" && value != "" && ls.Get(name) == "" {
			ls = append(ls, alert.Label{Name: name, Value: value})
		}
	}
	ls.Sort()
	return ls
}
