package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// visible returns s with everything escaped that a terminal would not simply
// print: control characters, escape sequences, marks that turn the direction of
// writing. Alerts say what they like.
func visible(s string) string {
	if !strings.ContainsFunc(s, odd) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case odd(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case odd(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// odd reports whether r is not simply printed.
func odd(r rune) bool { return !unicode.IsPrint(r) }

// columns is how many columns a terminal needs for s, which is visible.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

func wide(r rune) bool {
	k := width.LookupRune(r).Kind()
	return k == width.EastAsianWide || k == width.EastAsianFullwidth
}

// cut shortens s to at most n columns.
func cut(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		w := 1
		if wide(r) {
			w = 2
		}
		if used+w > n-1 {
			return s[:i] + "…"
		}
		used += w
	}
	return s
}

// table is rows of texts in columns. The last column gives way where the whole
// is too wide, the others where they are wider than maxColumn.
type table struct {
	rows [][]string
}

// maxColumn is how wide a column other than the last may be.
const maxColumn = 24

func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for n, c := range cells {
		row[n] = visible(c)
		if row[n] == "" {
			row[n] = "-"
		}
		if n < len(cells)-1 {
			row[n] = cut(row[n], maxColumn)
		}
	}
	t.rows = append(t.rows, row)
}

// write writes the table with the given indentation, at most total columns wide.
func (t *table) write(w io.Writer, indent string, total int) {
	var widths []int
	for _, row := range t.rows {
		for n, c := range row {
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], columns(c))
		}
	}
	for _, row := range t.rows {
		line := indent
		for n, c := range row {
			if n == len(row)-1 {
				line += cut(c, max(total-columns(line), 10))
				break
			}
			line += c + strings.Repeat(" ", widths[n]-columns(c)+2)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// age writes how long ago t was, as in 40s, 3m, 2h, 5d.
func age(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	return short(now.Sub(*t))
}

// short writes a duration in its largest unit.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// moment writes a time and how long ago it was.
func moment(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z") + " (" + age(now, t) + " ago)"
}

// escapeOdd writes the characters of a JSON text that a terminal may obey, such
// as U+009B, as \uXXXX. It is the same JSON.
func escapeOdd(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r >= utf8.RuneSelf && r <= 0xffff && odd(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}
