package report

import (
	"bufio"
	"io"
	"strings"
	"unicode"
)

// CSV writes the table of d, as RFC 4180 has it: what is in a disruption report's
// notes, or the incidents of a month. Other documents are ErrNotTabular.
func CSV(w io.Writer, d *Document) error {
	if d.sheet == nil {
		return ErrNotTabular
	}
	out := bufio.NewWriter(w)
	header := make([]string, len(d.sheet.Columns))
	for n, c := range d.sheet.Columns {
		header[n] = c.Label
		if c.Label == "#" {
			header[n] = c.Name
		}
	}
	line(out, header)
	for _, r := range d.sheet.Rows {
		cells := make([]string, len(r.Cells))
		for n := range r.Cells {
			cells[n] = r.Cells[n].whole()
		}
		line(out, cells)
	}
	return out.Flush()
}

// line writes one line. All cells are in quotes: a spreadsheet may cut at
// semicolons, which would begin a cell of the text's own.
func line(out *bufio.Writer, cells []string) {
	for n, c := range cells {
		if n > 0 {
			_ = out.WriteByte(',') // Flush says what went wrong
		}
		_, _ = out.WriteString(`"` + strings.ReplaceAll(Inert(c), `"`, `""`) + `"`)
	}
	_, _ = out.WriteString("\r\n")
}

// Inert puts an apostrophe before what a spreadsheet would take for a formula, at
// the beginning of the text and after all that may begin a cell within it.
func Inert(s string) string {
	var out strings.Builder
	begins := true
	for _, r := range s {
		switch {
		case begins && strings.ContainsRune("=+-@\t＝＋－＠|%", r):
			out.WriteByte('\'')
			begins = false
		case strings.ContainsRune(";\n\t", r):
			begins = true
		case unicode.IsSpace(r) || r == '"' || r == '\'' && begins:
		default:
			begins = false
		}
		out.WriteRune(r)
		if r == '\t' {
			begins = true
		}
	}
	return out.String()
}
