package report

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// plain is a value that is a text, from a field of the record.
func plain(text, field string) Value { return Value{Text: strings.TrimSpace(text), Field: field} }

// number is a value that is a number.
func number(n int) Value { return Value{Text: strconv.Itoa(n)} }

// noted adds how the value is to be understood.
func (v Value) noted(note string) Value {
	v.Note = note
	return v
}

// said adds the number of the entry that says it, if there is one.
func (v Value) said(entry uint64) Value {
	v.Entry = entry
	return v
}

// time is a value that is a time; it has no text if there is none.
func (b *builder) time(t time.Time, field string) Value {
	if t.IsZero() {
		return Value{Field: field}
	}
	at := stamp(t)
	return Value{Text: moment(*at, b.view.Zone), At: at, Field: field}
}

// lasting is a value that is a duration.
func lasting(d time.Duration, field string) Value {
	seconds := d.Seconds()
	return Value{Text: spell(d), Seconds: &seconds, Field: field}
}

// maybe is lasting, without a text unless ok.
func maybe(d time.Duration, ok bool, field string) Value {
	if !ok {
		return Value{Field: field}
	}
	return lasting(d, field)
}

// moment writes a time in a zone, with that in UTC behind it.
func moment(t time.Time, zone *time.Location) string {
	utc, local := t.UTC(), t.In(zone)
	if _, offset := local.Zone(); offset == 0 {
		return utc.Format("2006-01-02 15:04:05 UTC")
	}
	if utc.YearDay() == local.YearDay() {
		return local.Format("2006-01-02 15:04:05 MST") + utc.Format(" (15:04:05 UTC)")
	}
	return local.Format("2006-01-02 15:04:05 MST") + utc.Format(" (2006-01-02 15:04:05 UTC)")
}

// stamp returns t in UTC, nil if there is none. A time that RFC 3339 cannot write
// is shown as the nearest one that it can: senders say what they like.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	switch {
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	case t.Year() < 1:
		t = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &t
}

// spell writes a duration in its two largest units, and in seconds below a minute.
func spell(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	d = d.Round(time.Second)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60
	two := func(a int, x string, b int, y string) string {
		if b == 0 {
			return fmt.Sprintf("%s%d %s", sign, a, x)
		}
		return fmt.Sprintf("%s%d %s %d %s", sign, a, x, b, y)
	}
	switch {
	case days > 0:
		return two(days, "d", hours, "h")
	case hours > 0:
		return two(hours, "h", minutes, "min")
	case minutes > 0:
		return two(minutes, "min", seconds, "s")
	}
	return fmt.Sprintf("%s%d s", sign, seconds)
}

// words is a name of the program as people say it.
func words(name string) string { return strings.ReplaceAll(name, "_", " ") }

// count writes a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// clean mends what is no UTF-8 and writes out characters that steer a terminal or
// turn the direction of writing; line ends stay.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, steers) {
		return s
	}
	var out strings.Builder
	s = strings.ReplaceAll(s, "\r\n", "\n")
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\r' || r == '\u2028' || r == '\u2029':
			out.WriteByte('\n')
		case !steers(r):
			out.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// steers reports whether r is not simply shown. A tab is; the joiners of scripts
// and emoji are parts of words.
func steers(r rune) bool {
	if r == '\n' || r == '\t' || r == '\u200c' || r == '\u200d' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
}

// oneLine puts a text on one line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' }), " ")
}

// webURL returns s if people can follow it without harm, else nothing.
func webURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsFunc(s, unsafeInURL) {
		return ""
	}
	return s
}

func unsafeInURL(r rune) bool {
	return r <= ' ' || strings.ContainsRune("<>\"|`\\", r) || steers(r) || r == utf8.RuneError
}

// hidden stands where the name of another customer stood.
const hidden = "[another customer]"

// longName is from how many letters on a name is taken out of longer words as well,
// such as that of an alert. A short one would be in many words by chance.
const longName = 5

// mask takes names of other customers out of texts. The zero mask takes out nothing.
type mask struct {
	// names are the longest first; keeps are those of them that stay.
	names []string
	keeps map[string]bool
}

// newMask returns a mask that hides others, but not own, nor what is a part of own.
func newMask(own string, others []string) mask {
	m := mask{keeps: map[string]bool{own: true}}
	seen := map[string]bool{"": true}
	for _, name := range append([]string{own}, others...) {
		if name = clean(strings.TrimSpace(name)); !seen[name] {
			seen[name] = true
			m.names = append(m.names, name)
		}
	}
	slices.SortStableFunc(m.names, func(a, b string) int { return len(b) - len(a) })
	return m
}

// hide replaces the names: long ones wherever they stand, short ones where they are
// words of their own.
func (m *mask) hide(s string) string {
	if len(m.names) == 0 || s == "" {
		return s
	}
	var out strings.Builder
	before := ' '
	for i := 0; i < len(s); {
		if name, n := m.at(s[i:], before); n > 0 {
			if m.keeps[name] {
				out.WriteString(s[i : i+n])
			} else {
				out.WriteString(hidden)
			}
			before, _ = utf8.DecodeLastRuneInString(s[i : i+n])
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		out.WriteString(s[i : i+size])
		before = r
		i += size
	}
	return out.String()
}

// at returns the name that s begins with, and how many bytes of s it is. Before is
// what stands before s.
func (m *mask) at(s string, before rune) (string, int) {
	for _, name := range m.names {
		n := prefix(s, name)
		if n == 0 {
			continue
		}
		first, _ := utf8.DecodeRuneInString(name)
		last, _ := utf8.DecodeLastRuneInString(name)
		after, _ := utf8.DecodeRuneInString(s[n:])
		inWord := isWord(before) && isWord(first) || isWord(last) && isWord(after) && n < len(s)
		if !inWord || !m.keeps[name] && utf8.RuneCountInString(name) >= longName {
			return name, n
		}
	}
	return "", 0
}

// prefix returns how many bytes at the beginning of s are name, whatever the case
// and whatever stands between its words; 0 if none.
func prefix(s, name string) int {
	n := 0
	for _, want := range name {
		got, size := utf8.DecodeRuneInString(s[n:])
		between := unicode.IsSpace(want) && (unicode.IsSpace(got) || strings.ContainsRune("-_.+/", got))
		if size == 0 || got != want && !between && !strings.EqualFold(string(got), string(want)) {
			return 0
		}
		n += size
	}
	return n
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
