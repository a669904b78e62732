package monit

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

const (
	// maxDepth is how deep elements may be nested; Monit's reach 7.
	maxDepth = 32
	// maxElements is how many elements a report may have, and maxEvents how many events.
	maxElements = 200_000
	maxEvents   = 10_000
)

// report is what is read of a body.
type report struct {
	id, version, host, platform string
	events                      []event
	flags                       alert.Flag
}

// parse reads a report. There is no document type in one, so that one with it,
// and with the entities that it could define, is refused.
func parse(body []byte) (*report, error) {
	if body = bytes.TrimLeft(body, " \t\r\n\ufeff"); len(body) == 0 || body[0] != '<' {
		return nil, ingest.Foreignf("not XML: it begins like something else, or is empty")
	}
	text, flags := decoded(body)
	in := xml.NewDecoder(strings.NewReader(text))
	// It is UTF-8 by now, whatever the declaration says.
	in.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	p := parser{report: &report{flags: flags}}
	for {
		token, err := in.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.token(token)
		}
		var bad *ingest.BodyError
		if errors.As(err, &bad) {
			return nil, bad
		} else if err != nil {
			return nil, ingest.Errorf(p.place(), "not XML: %v", err)
		}
	}
	if len(p.path) > 0 {
		return nil, ingest.Errorf(p.place(), "not XML: it ends in the middle")
	}
	if !p.found {
		return nil, ingest.Errorf("monit", "absent")
	}
	return p.report, nil
}

// decoded returns the body as UTF-8. Monit declares ISO-8859-1 and writes what it
// has, which is UTF-8 nearly everywhere. Only what is not is taken for ISO-8859-1.
// Control characters, as the output of programs has them, cannot be in XML.
func decoded(body []byte) (string, alert.Flag) {
	text := string(body)
	if !utf8.Valid(body) {
		var out strings.Builder
		out.Grow(2 * len(body))
		for _, c := range body {
			out.WriteRune(rune(c))
		}
		text = out.String()
	}
	flags := alert.Flag(0)
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\ufffe' || r == '\uffff' {
			flags = alert.FlagInvalidUTF8
			return '\ufffd'
		}
		return r
	}, text)
	return text, flags
}

// parser follows the elements of a report. RawToken does not compare names of
// ends with those of beginnings, so it does.
type parser struct {
	*report
	path     []string
	elements int
	found    bool
	text     strings.Builder
}

// place is where the parser is, for messages.
func (p *parser) place() string {
	return alert.CutText(strings.Join(p.path[:min(len(p.path), 6)], "."), 200)
}

func (p *parser) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		if len(p.path) == 0 || p.path[len(p.path)-1] != t.Name.Local {
			return ingest.Errorf(p.place(), "not XML: </%s> ends nothing", alert.CutText(t.Name.Local, 64))
		}
		p.end()
		p.path = p.path[:len(p.path)-1]
		p.text.Reset()
	case xml.CharData:
		p.text.Write(t)
	case xml.Directive:
		return ingest.Errorf(p.place(), "a document type, which a report of Monit does not have")
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	if p.elements++; p.elements > maxElements {
		return ingest.Errorf("", "more than %d elements", maxElements)
	}
	if len(p.path) == maxDepth {
		return ingest.Errorf(p.place(), "nested deeper than %d", maxDepth)
	}
	p.path = append(p.path, t.Name.Local)
	p.text.Reset()
	switch {
	case len(p.path) == 1 && (t.Name.Local != "monit" || p.found):
		return ingest.Errorf("monit", "expected one element <monit>, got <%s>", alert.CutText(t.Name.Local, 64))
	case len(p.path) == 1:
		p.found = true
		for _, attribute := range t.Attr {
			switch attribute.Name.Local {
			case "id":
				p.id = attribute.Value
			case "version":
				p.version = attribute.Value
			}
		}
	case len(p.path) == 2 && t.Name.Local == "event":
		if len(p.events) == maxEvents {
			return ingest.Errorf("event", "more than %d", maxEvents)
		}
		p.events = append(p.events, event{})
	}
	return nil
}

// end takes the text of an element that ends.
func (p *parser) end() {
	text := strings.TrimSpace(p.text.String())
	switch len(p.path) {
	case 2:
		// Before version 5 of Monit it is no attribute.
		if p.path[1] == "id" {
			p.id = cmp.Or(p.id, text)
		}
	case 3:
		switch {
		case p.path[1] == "event":
			e := p.events[len(p.events)-1]
			if name := p.path[2]; len(e) < 64 && e[name] == "" {
				e[name] = text
			}
		case p.path[1] == "server" && p.path[2] == "localhostname":
			p.host = text
		case p.path[1] == "server" && p.path[2] == "id":
			p.id = cmp.Or(p.id, text)
		case p.path[1] == "platform" && p.path[2] == "name":
			p.platform = text
		}
	}
}

// withoutCredentials empties the elements <credentials>.
func withoutCredentials(body []byte) []byte {
	begin, end := []byte("<credentials"), []byte("</credentials")
	if !bytes.Contains(body, begin) {
		return body
	}
	var out []byte
	for {
		before, after, found := bytes.Cut(body, begin)
		out = append(out, before...)
		if !found {
			return out
		}
		out = append(out, begin...)
		if len(after) > 0 && strings.IndexByte(" \t\r\n/>", after[0]) < 0 {
			body = after // a longer name
			continue
		}
		out = append(out, '>')
		// The start has attributes at most, and may be all of it.
		start, content, _ := bytes.Cut(after, []byte(">"))
		if bytes.HasSuffix(start, []byte("/")) {
			out, body = append(out, "</credentials>"...), content
			continue
		}
		_, after, found = bytes.Cut(after, end)
		if !found {
			return out // it breaks off in the middle of them
		}
		if _, after, found = bytes.Cut(after, []byte(">")); !found {
			return out
		}
		out, body = append(out, "</credentials>"...), after
	}
}
