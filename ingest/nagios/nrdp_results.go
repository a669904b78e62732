package nagios

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// named is a result as texts, by the names of NRDP's elements.
type named struct {
	place  string
	values map[string]string
}

// result makes a Result of it, or says what is wrong, and where in it.
func (n *named) result() (r Result, suffix, reason string) {
	kind := strings.ToLower(n.values["type"])
	r = Result{Host: strings.TrimSpace(n.values["hostname"]), Service: strings.TrimSpace(n.values["servicename"]), Output: n.values["output"]}
	switch {
	case kind == "host":
		r.Service = ""
	case kind == "service" && r.Service == "":
		return r, ".servicename", "absent, though the type is service"
	}
	state := strings.TrimSpace(n.values["state"])
	var err error
	if r.State, err = strconv.Atoi(state); err != nil {
		states := statesOf(r.Service)
		if r.State = slices.Index(states, strings.ToUpper(state)); r.State < 0 {
			return r, ".state", fmt.Sprintf("%q is no state; a number is expected, 0 to %d for %s", alert.CutText(state, 100), len(states)-1, strings.Join(states, ", "))
		}
	}
	if seconds, err := strconv.ParseInt(strings.TrimSpace(n.values["time"]), 10, 64); err == nil {
		r.At = unix(seconds)
	}
	if field, reason := r.Fault(); field != "" {
		return r, "." + field, reason
	}
	return r, "", ""
}

const (
	// maxElements is how many elements XML may have.
	maxElements = 100_000
	// maxDepth is how deep they may be nested.
	maxDepth = 32
	// maxTag is how long a tag may be in bytes: read, its attributes are many times
	// as large.
	maxTag = 64 << 10
)

func hasLongTag(text string) bool {
	begin := -1
	for i := range len(text) {
		switch text[i] {
		case '<':
			begin = i
		case '>', '!', '?':
			if text[i] == '>' || begin == i-1 { // no attributes in these
				begin = -1
			}
		}
		if begin >= 0 && i-begin > maxTag {
			return true
		}
	}
	return false
}

// readXML reads <checkresults><checkresult type="service">, in which each result
// has hostname, servicename, state, output and perhaps time.
func readXML(text string) ([]named, error) {
	if hasLongTag(text) {
		return nil, ingest.Errorf("XMLDATA", "not what NRDP sends: a tag of more than %d bytes", maxTag)
	}
	x := xmlReader{in: xml.NewDecoder(strings.NewReader(text))}
	// Plugins write & and some clients let it be. Nothing else is forgiven that
	// matters: what is open is counted here.
	x.in.Strict = false
	// What was not UTF-8 was cleaned before, whatever the text says it is.
	x.in.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		token, err := x.in.RawToken()
		switch {
		case errors.Is(err, io.EOF) && x.ended:
			return x.results, nil
		case errors.Is(err, io.EOF):
			err = errors.New("it ends in the middle")
			if x.elements == 0 {
				err = errors.New("there is nothing in it")
			}
		case err == nil:
			err = x.token(token)
		}
		if err != nil {
			return nil, ingest.Errorf("XMLDATA", "not what NRDP sends: %v", explainXML(err))
		}
	}
}

// explainXML leaves away what stands in the message twice.
func explainXML(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %s", syntax.Line, syntax.Msg)
	}
	return err
}

// xmlReader reads results. It keeps the names of the open elements itself, so that
// text after the last one is seen, and how deep it is.
type xmlReader struct {
	in       *xml.Decoder
	open     []string
	elements int
	ended    bool
	results  []named
	text     []byte
}

func (x *xmlReader) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		return errors.New("it has a document type, and declarations are not read")
	case xml.StartElement:
		return x.start(t)
	case xml.EndElement:
		return x.end(t.Name.Local)
	case xml.CharData:
		switch {
		case len(x.open) == 3:
			x.text = append(x.text, t...)
		case len(x.open) == 0 && len(strings.TrimSpace(string(t))) > 0:
			return errors.New("there is text outside of <checkresults>")
		}
	}
	return nil
}

func (x *xmlReader) start(t xml.StartElement) error {
	name := t.Name.Local
	if x.elements++; x.elements > maxElements {
		return fmt.Errorf("more than %d elements", maxElements)
	}
	switch depth := len(x.open); {
	case depth == maxDepth:
		return fmt.Errorf("nested deeper than %d", maxDepth)
	case x.ended:
		return fmt.Errorf("<%s> after </checkresults>; all results belong into one <checkresults>", name)
	case depth == 0 && name != "checkresults":
		return fmt.Errorf("it begins with <%s>, not with <checkresults>", alert.CutText(name, 100))
	case depth == 1 && name == "checkresult":
		n := named{fmt.Sprintf("checkresults[%d]", len(x.results)), map[string]string{}}
		for _, a := range t.Attr {
			if a.Name.Local == "type" {
				n.values["type"] = a.Value
			}
		}
		x.results = append(x.results, n)
	}
	x.text = x.text[:0]
	x.open = append(x.open, name)
	return nil
}

func (x *xmlReader) end(name string) error {
	depth := len(x.open)
	if depth == 0 || x.open[depth-1] != name {
		return fmt.Errorf("</%s> closes what is not open", alert.CutText(name, 100))
	}
	x.open = x.open[:depth-1]
	if x.ended = depth == 1; depth != 3 || x.open[1] != "checkresult" {
		return nil
	}
	values := x.results[len(x.results)-1].values
	if _, twice := values[name]; !twice && name != "type" {
		values[name] = string(x.text)
	}
	return nil
}

// readJSON reads the same in JSON.
func readJSON(text string) ([]named, alert.Flag, error) {
	v, flags, err := fields.JSON([]byte(text))
	if err != nil {
		return nil, 0, ingest.Errorf("JSONDATA", "%v", err)
	}
	list, ok := fields.At(v, "checkresults").([]any)
	if !ok {
		return nil, 0, ingest.Errorf("JSONDATA", "an object with a list checkresults is expected")
	}
	results := make([]named, len(list))
	for i, v := range list {
		results[i] = named{fmt.Sprintf("checkresults[%d]", i), map[string]string{"type": fields.Text(fields.At(v, "checkresult", "type"))}}
		for _, name := range []string{"hostname", "servicename", "state", "output", "time"} {
			results[i].values[name] = fields.Text(fields.At(v, name))
		}
	}
	return results, flags, nil
}
