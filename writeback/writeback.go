// Package writeback tells a monitoring tool what people did here: that somebody
// has acknowledged a problem, has taken that back, or has noted something. So
// nobody works on it a second time because the tool still shows it as new.
//
// It decides nothing: who calls it, when, and how often it is tried again is
// decided elsewhere.
package writeback

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrPermanent says that trying again is of no use: the tool has understood and
// will not do it. All other errors may be gone the next time.
var ErrPermanent = errors.New("it is of no use to try again")

// Target is what is written about, and what is written.
type Target struct {
	// Host and Service are the tool's own names; without a service it is the host.
	Host, Service string
	// Author is the person who did it here, and Comment what the person said.
	Author, Comment string
}

// marker ends each comment that we write. Brackets and letters come through all
// tools as they are.
const marker = "[tocsin]"

// IsEcho reports whether an acknowledgement or a comment that a tool reports is
// one that we wrote. The author does not tell: some tools put the name of our
// account there.
func IsEcho(_, comment string) bool {
	return strings.HasSuffix(strings.TrimSpace(comment), marker)
}

// maxComment is the longest comment that is written, in bytes. Nagios' cmd.cgi
// cuts at 1024, which must not take the marker away.
const maxComment = 900

// checked returns t as it can be written: on one line, with an author, and with
// the marker at its end.
func (t Target) checked() (Target, error) {
	if t.Host == "" {
		return t, permanent("no host")
	}
	for _, name := range []string{t.Host, t.Service} {
		if strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
			return t, permanent("the name %q cannot be one of the tool's", name)
		}
	}
	if t.Author = cut(oneLine(t.Author), 100); t.Author == "" {
		t.Author = "tocsin"
	}
	t.Comment = strings.TrimSpace(strings.TrimSuffix(oneLine(t.Comment), marker))
	t.Comment = strings.TrimSpace(cut(t.Comment, maxComment) + " " + marker)
	return t, nil
}

// oneLine writes a space for what would begin another line or is no text.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
}

// cut returns at most n bytes of s, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func permanent(format string, args ...any) error {
	return fmt.Errorf("writeback: %s: %w", fmt.Sprintf(format, args...), ErrPermanent)
}
