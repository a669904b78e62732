package report

import (
	"slices"
	"strings"
	"testing"
)

// TestPieces breaks words that are too long for a column, and no others, and loses
// nothing.
func TestPieces(t *testing.T) {
	short := strings.Repeat("ä", longWord)
	for text, want := range map[string][]string{
		"":                         {""},
		"a b\u00a0c\n" + short:     {"a b\u00a0c\n" + short},
		"a " + short + "ä b":       {"a " + short[:2*12], short[:2*12], short[:2*1] + " b"},
		"\u2003" + short + "\xffb": {"\u2003" + short[:2*12], short[:2*12], "\xffb"},
	} {
		if got := pieces(text); !slices.Equal(got, want) || strings.Join(got, "") != text {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
