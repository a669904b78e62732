package fields

import (
	"slices"
	"strconv"
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
func Labels(pairs ...string) alert.Labels { return With(nil, pairs...) }

// With returns ls with names and values in turn, without the empty ones and
// without those that ls has already. ls itself is not changed.
func With(ls alert.Labels, pairs ...string) alert.Labels {
	ls = slices.Clip(ls)
	for i := 0; i+1 < len(pairs); i += 2 {
		has := func(l alert.Label) bool { return l.Name == pairs[i] }
		if pairs[i] != "" && pairs[i+1] != "" && !slices.ContainsFunc(ls, has) {
			ls = append(ls, alert.Label{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	ls.Sort()
	return ls
}

// Key writes labels as one text that is the same for the same ones, for formats
// whose senders change some of them, those in except, while a problem lasts.
func Key(ls alert.Labels, except ...string) string {
	var out []byte
	for _, l := range ls {
		if !slices.Contains(except, l.Name) {
			out = append(strconv.AppendQuote(out, l.Name), '=')
			out = append(strconv.AppendQuote(out, l.Value), ' ')
		}
	}
	return string(out)
}
