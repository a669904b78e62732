package mapping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// maxSteps is how long a path may be.
const maxSteps = 16

// path leads to a value within JSON.
type path struct {
	// text is how it is written.
	text string
	// body: it begins in the body, not in the alert.
	body  bool
	steps []step
}

// step is the name of a member, or an index if name is empty.
type step struct {
	name  string
	index int
}

var errPath = errors.New("not a path")

// parsePath reads a path: names with dots between them, [0] for an element and
// ["a.b"] for a name that is not plain. $ is the body, and . the alert itself.
func parsePath(text string) (path, error) {
	p := path{text: text}
	rest := text
	if after, ok := strings.CutPrefix(rest, "$"); ok {
		p.body, rest = true, after
		if rest != "" && rest[0] != '.' && rest[0] != '[' {
			return p, errPath
		}
		rest = strings.TrimPrefix(rest, ".")
		if rest == "" && strings.HasSuffix(text, ".") {
			return p, errPath
		}
	} else if rest == "." {
		return p, nil
	} else if rest == "" {
		return p, errPath
	}
	for rest != "" {
		if len(p.steps) == maxSteps {
			return p, fmt.Errorf("more than %d steps", maxSteps)
		}
		s, after, err := parseStep(rest)
		if err != nil {
			return p, err
		}
		p.steps = append(p.steps, s)
		switch {
		case after == "", after[0] == '[':
			rest = after
		case after[0] == '.' && len(after) > 1 && after[1] != '[':
			rest = after[1:]
		default:
			return p, errPath
		}
	}
	return p, nil
}

func parseStep(text string) (step, string, error) {
	if text[0] != '[' {
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			end = len(text)
		}
		name := strings.TrimSpace(text[:end])
		if name == "" || strings.ContainsAny(name, "]{}\"$*") {
			return step{}, "", errPath
		}
		return step{name: name}, text[end:], nil
	}
	if strings.HasPrefix(text, `["`) {
		quoted, err := strconv.QuotedPrefix(text[1:])
		if err != nil {
			return step{}, "", errPath
		}
		name, err := strconv.Unquote(quoted)
		after, closed := strings.CutPrefix(text[1+len(quoted):], "]")
		if err != nil || !closed || name == "" {
			return step{}, "", errPath
		}
		return step{name: name}, after, nil
	}
	digits, after, closed := strings.Cut(text[1:], "]")
	index, err := strconv.ParseUint(digits, 10, 16)
	if !closed || err != nil {
		return step{}, "", errPath
	}
	return step{index: int(index)}, after, nil
}

// find returns what is at the path, nil if there is nothing.
func (p path) find(body, element any) any {
	v := element
	if p.body {
		v = body
	}
	for _, s := range p.steps {
		if s.name != "" {
			v = fields.At(v, s.name)
			continue
		}
		list, ok := v.([]any)
		if !ok || s.index >= len(list) {
			return nil
		}
		v = list[s.index]
	}
	return v
}

// maxList is how many elements of a list become a text.
const maxList = 256

// textOf is a value as a text; of a list, the texts of its elements.
func textOf(v any) string {
	list, ok := v.([]any)
	if !ok {
		return strings.TrimSpace(fields.Text(v))
	}
	var out []string
	for _, element := range list[:min(len(list), maxList)] {
		if text := fields.Text(element); text != "" {
			out = append(out, alert.CutText(text, alert.MaxText/maxList))
		}
	}
	return strings.Join(out, ", ")
}
