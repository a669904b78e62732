package report

import (
	"crypto/sha256"
	_ "embed" // the page and its style
	"encoding/base64"
	"html/template"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed style.css
var style string

//go:embed page.html
var pageText string

// Policy is the Content-Security-Policy of a page: it may use its own style, by
// its hash, and nothing else. It is in the page too, so that a file that was saved
// or sent is as inert as what the gateway serves.
var Policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}()

// longRow is how long the texts of a row may be, in bytes, that is kept on one page.
const longRow = 1500

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"policy": func() string { return Policy },
	"class":  classOf,
	"label":  labelOf,
	"pieces": pieces,
	"long": func(r Row) bool {
		n := 0
		for _, c := range r.Cells {
			n += len(c.Text)
		}
		return n > longRow
	},
}).Parse(strings.Replace(pageText, "STYLE", style, 1)))

// HTML writes d as a page that needs nothing else: for a screen, light or dark, and
// for A4 paper. There is no script in it.
func HTML(w io.Writer, d *Document) error { return page.Execute(w, d) }

// Words of more than longWord characters may be broken into lines, after each wordPiece:
// on paper they would push the columns beside them off the page.
const longWord, wordPiece = 24, 12

// pieces are a text in parts between which a line may be broken.
func pieces(text string) (out []string) {
	begin, word := 0, 0 // of the part, and of the word
	over := func(end int) {
		if utf8.RuneCountInString(text[word:end]) <= longWord {
			return
		}
		n := 0
		for at := range text[word:end] {
			if n > 0 && n%wordPiece == 0 {
				out, begin = append(out, text[begin:word+at]), word+at
			}
			n++
		}
	}
	for at, r := range text {
		if unicode.IsSpace(r) {
			over(at)
			word = at + utf8.RuneLen(r)
		}
	}
	over(len(text))
	return append(out, text[begin:])
}

// labelOf is what stands before a cell where a row is no row: on a telephone. A list that
// ends in words, such as a timeline, is understood without.
func labelOf(columns []Column, n int) string {
	if last := columns[len(columns)-1].Name; n >= len(columns) || last == "text" || last == "event" {
		return ""
	}
	return columns[n].Label
}

// classOf is the class of a cell: n is set to the right, id is not broken into lines.
func classOf(columns []Column, n int) string {
	switch {
	case n >= len(columns):
		return ""
	case columns[n].Number:
		return "n"
	case columns[n].Name == "reference":
		return "id"
	}
	return ""
}
