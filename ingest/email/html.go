package email

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// block are the elements that begin a line.
var block = map[atom.Atom]bool{atom.P: true, atom.Div: true, atom.Br: true, atom.Tr: true, atom.Table: true, atom.Li: true, atom.Ul: true, atom.Ol: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.H5: true, atom.H6: true, atom.Hr: true, atom.Pre: true, atom.Blockquote: true,
	atom.Section: true, atom.Header: true, atom.Footer: true, atom.Article: true, atom.Dt: true, atom.Dd: true}

// silent are the elements whose text nobody sees.
var silent = map[atom.Atom]bool{atom.Style: true, atom.Script: true, atom.Head: true, atom.Title: true, atom.Noscript: true, atom.Template: true}

// htmlText is the text of a page as people see it: a line for each block and row,
// a tab between cells, and the address of a link behind it.
func htmlText(page string) string {
	t := textWriter{}
	in := html.NewTokenizer(strings.NewReader(page))
	hidden, pre, href := atom.Atom(0), 0, ""
	for {
		switch in.Next() {
		case html.ErrorToken:
			return strings.Trim(t.String(), "\n\t ")
		case html.TextToken:
			switch {
			case hidden != 0:
			case pre > 0:
				t.verbatim(string(in.Text()))
			default:
				t.words(string(in.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, attributes := in.TagName()
			tag := atom.Lookup(name)
			switch {
			case hidden == 0 && silent[tag]:
				hidden = tag
			case tag == atom.Body: // a head that was never closed
				hidden = 0
			case hidden != 0:
			case block[tag]:
				t.line()
				if tag == atom.Pre {
					pre++
				}
			case tag == atom.Td || tag == atom.Th:
				t.cell()
			case tag == atom.A:
				href = linkOf(in, attributes)
			}
		case html.EndTagToken:
			name, _ := in.TagName()
			tag := atom.Lookup(name)
			switch {
			case tag == hidden:
				hidden = 0
			case hidden != 0:
			case tag == atom.A && href != "":
				t.words(" <" + href + "> ")
				href = ""
			case block[tag]:
				t.line()
				if tag == atom.Pre && pre > 0 {
					pre--
				}
			}
		}
	}
}

// linkOf returns the address of the link that a tag begins, if it is one of the web.
func linkOf(in *html.Tokenizer, more bool) string {
	for n := 0; more && n < 50; n++ {
		var name, value []byte
		name, value, more = in.TagAttr()
		if string(name) == "href" {
			return webLink(string(value))
		}
	}
	return ""
}

// webLink returns link if it is one that a browser may follow.
func webLink(link string) string {
	if len(link) > 4<<10 || strings.ContainsAny(link, " \t\r\n<>\"") ||
		!strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "http://") {
		return ""
	}
	return link
}

// textWriter writes words with one blank between them.
type textWriter struct {
	strings.Builder
	// gap is what stands between what was written and the next word.
	gap byte
}

func (t *textWriter) words(s string) {
	for len(s) > 0 {
		i := strings.IndexFunc(s, isSpace)
		switch {
		case i < 0:
			i = len(s)
			fallthrough
		case i > 0:
			t.write(s[:i])
			s = s[i:]
		default:
			s = strings.TrimLeftFunc(s, isSpace)
			if t.gap == 0 {
				t.gap = ' '
			}
		}
	}
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\u00a0' }

func (t *textWriter) write(s string) {
	if t.gap != 0 && t.Len() > 0 {
		t.WriteByte(t.gap)
	}
	t.gap = 0
	t.WriteString(s)
}

func (t *textWriter) verbatim(s string) {
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			t.line()
		}
		if line = strings.TrimRight(line, "\r"); line != "" {
			t.write(line)
		}
	}
}

func (t *textWriter) line() { t.gap = '\n' }

func (t *textWriter) cell() {
	if t.gap != '\n' {
		t.gap = '\t'
	}
}
