package report

import (
	"bufio"
	"io"
	"strings"
	"unicode"
)

// Markdown writes d as Markdown with tables, as GitHub, GitLab and most others read
// it. All that is not ours is escaped, so that it says what it says.
func Markdown(w io.Writer, d *Document) error {
	m := markdown{bufio.NewWriter(w)}
	m.lines("# "+escape(d.Title), "")
	if d.Drill {
		m.lines("**EXERCISE**", "")
	}
	if d.Subtitle != "" {
		m.lines(escape(d.Subtitle), "")
	}
	if d.Customer != "" {
		m.lines("For "+escape(d.Customer), "")
	}
	made := ""
	if d.GeneratedAt != nil {
		made = "Made at " + escape(d.GeneratedAt.Format("2006-01-02 15:04:05 UTC")) + ". "
	}
	m.lines(made+"Times are in "+escape(d.Zone)+". #n is entry n of the timeline; other names are fields of the record.", "")
	for _, n := range d.Notices {
		m.lines("- " + escape(n))
	}
	if len(d.Notices) > 0 {
		m.lines("")
	}
	for n := range d.Sections {
		m.section(&d.Sections[n])
	}
	return m.out.Flush()
}

type markdown struct{ out *bufio.Writer }

func (m *markdown) lines(lines ...string) {
	for _, l := range lines {
		_, _ = m.out.WriteString(l) // Flush says what went wrong
		_ = m.out.WriteByte('\n')
	}
}

func (m *markdown) section(s *Section) {
	m.lines(strings.Repeat("#", s.Level)+" "+escape(s.Title), "")
	if s.Intro != "" {
		m.lines(escape(s.Intro), "")
	}
	if len(s.Fields) > 0 {
		m.lines("| | | From |", "| --- | --- | --- |")
		for _, f := range s.Fields {
			texts, origins := make([]string, 0, len(f.Values)), make([]string, 0, len(f.Values))
			for _, v := range f.Values {
				texts, origins = append(texts, linked(&v)), append(origins, escape(v.Origin()))
			}
			if len(texts) == 0 {
				texts, origins = []string{"*" + NotStated + "*"}, []string{""}
			}
			m.lines("| **" + escape(f.Label) + "** | " + strings.Join(texts, "<br>") + " | " + strings.Join(origins, "<br>") + " |")
		}
		m.lines("")
	}
	if s.Table == nil {
		return
	}
	if len(s.Table.Rows) == 0 {
		if s.Table.Empty != "" {
			m.lines("*"+escape(s.Table.Empty)+"*", "")
		}
		return
	}
	head, rule := "|", "|"
	for _, c := range s.Table.Columns {
		head += " " + escape(c.Label) + " |"
		if c.Number {
			rule += " ---: |"
		} else {
			rule += " --- |"
		}
	}
	m.lines(head, rule)
	for _, r := range s.Table.Rows {
		row := "|"
		for n := range r.Cells {
			row += " " + linked(&r.Cells[n]) + " |"
		}
		m.lines(row)
	}
	m.lines("")
}

// linked is a value in a cell of a table, with its link.
func linked(v *Value) string {
	text := escape(v.Text)
	if v.URL != "" {
		text = "[" + text + "](<" + v.URL + ">)"
	}
	if v.Note != "" && v.Text != "" {
		text += " (" + escape(v.Note) + ")"
	}
	return text
}

// escape writes s so that Markdown shows it as it is, on one line.
func escape(s string) string {
	var out strings.Builder
	runes := []rune(strings.TrimSpace(s))
	for n, r := range runes {
		next := rune(' ')
		if n+1 < len(runes) {
			next = runes[n+1]
		}
		switch {
		case r == '\n':
			out.WriteString("<br>")
			continue
		case r == '\t':
			r = ' '
		case r == '<':
			out.WriteString("&lt;")
			continue
		case r == '>':
			out.WriteString("&gt;")
			continue
		case r == '&':
			out.WriteString("&amp;")
			continue
		case r == '|': // some parsers cut the row before they see a backslash
			out.WriteString("&#124;")
			continue
		case strings.ContainsRune("\\`*[]~!#$^@{}", r):
			out.WriteByte('\\')
		case r == '_' && !(n > 0 && isWord(runes[n-1]) && isWord(next)):
			out.WriteByte('\\')
		case r == ':' && !unicode.IsSpace(next) && !unicode.IsDigit(next): // no link that nobody has looked at
			out.WriteByte('\\')
		case r == '.' && n >= 3 && strings.EqualFold(string(runes[n-3:n]), "www"):
			out.WriteByte('\\')
		case (r == '-' || r == '+' || r == '=') && n == 0:
			out.WriteByte('\\')
		case (r == '.' || r == ')') && n > 0 && leadingDigits(runes[:n]):
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// leadingDigits reports whether the text so far is a number: with a dot it would
// begin a list.
func leadingDigits(runes []rune) bool {
	for _, r := range runes {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}
