package mapping

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

const (
	// maxRegex is how long a regular expression may be, in bytes.
	maxRegex = 1 << 10
	// maxInst is how large one may be when it is compiled, and maxAllInst all of a
	// mapping together: each byte of a text may take all steps of one.
	maxInst    = 2000
	maxAllInst = 100_000
	// maxParts is how many paths a template may have.
	maxParts = 32
)

// expression is an ingest.Expression that was understood.
type expression struct {
	// parts are texts and paths in turn: a text, a path, a text …
	texts []string
	paths []path
	regex *regexp.Regexp
	group int
	// steps is how large the regular expression is.
	steps int
	ingest.Expression
}

// compiler collects what is wrong in a mapping.
type compiler struct {
	mistakes ingest.ConfigMistakes
	// steps are those of all regular expressions, the refused ones too.
	steps int
}

func (c *compiler) wrong(at, suggestion, format string, args ...any) {
	c.mistakes = append(c.mistakes, ingest.ConfigMistake{Path: at, Message: fmt.Sprintf(format, args...), Suggestion: suggestion})
}

const pathForm = `write such as title, data.items[0].name or labels["a.b"]`

func (c *compiler) path(at, text string) path {
	p, err := parsePath(text)
	if err != nil {
		c.wrong(at, pathForm, "%q: %v", alert.CutText(text, 64), err)
	}
	return p
}

// expression understands an expression; nil if it is not there.
func (c *compiler) expression(at string, from ingest.Expression) *expression {
	e := &expression{Expression: from}
	given := 0
	for _, s := range []string{from.Path, from.Value, from.Template} {
		if s != "" {
			given++
		}
	}
	switch {
	case given == 0 && from.Regex == "" && from.Map == nil && from.Default == "":
		return nil
	case given == 0:
		c.wrong(at, "add path:, value: or template:", "the expression does not say what to take")
		return nil
	case given > 1:
		c.wrong(at, "keep one of them", "more than one of path, value and template")
		return nil
	case from.Value != "":
		e.texts = []string{from.Value}
	case from.Path != "":
		e.texts, e.paths = []string{"", ""}, []path{c.path(at+".path", from.Path)}
	default:
		c.template(at+".template", from.Template, e)
	}
	if from.Regex != "" {
		c.regex(at+".regex", from.Regex, e)
	}
	return e
}

// template takes a text with {{ path }} apart.
func (c *compiler) template(at, text string, e *expression) {
	for {
		before, rest, found := strings.Cut(text, "{{")
		e.texts = append(e.texts, before)
		if !found {
			break
		}
		inner, after, closed := strings.Cut(rest, "}}")
		if !closed {
			c.wrong(at, "write {{ path }}", "{{ without }}")
			return
		}
		e.paths = append(e.paths, c.path(at, strings.TrimSpace(inner)))
		text = after
	}
	if len(e.paths) > maxParts {
		c.wrong(at, "", "more than %d paths", maxParts)
	}
}

func (c *compiler) regex(at, text string, e *expression) {
	if len(text) > maxRegex {
		c.wrong(at, "", "the regular expression is longer than %d bytes", maxRegex)
		return
	}
	if c.steps > maxAllInst {
		c.wrong(at, "", "the regular expressions of the mapping have more than %d steps together", maxAllInst)
		return
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		c.wrong(at, "see https://golang.org/s/re2syntax", "not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return
	}
	program, err := syntax.Compile(tree.Simplify())
	if err == nil {
		e.steps = len(program.Inst)
		c.steps += e.steps
	}
	if err != nil || e.steps > maxInst {
		c.wrong(at, "repeat less in it", "the regular expression is too large: it has more than %d steps", maxInst)
		return
	}
	compiled := regexp.MustCompile(text) // it was parsed and compiled above
	named := slices.DeleteFunc(slices.Clone(compiled.SubexpNames()), func(name string) bool { return name == "" })
	if len(named) != 1 {
		c.wrong(at, "write one such as (?P<host>[a-z0-9-]+)", "%d named groups; the one is what is taken", len(named))
		return
	}
	e.regex, e.group = compiled, compiled.SubexpIndex(named[0])
}

// reading is a body while alerts are made of it.
type reading struct {
	body any
	// left is how many bytes of text may still be made of it. A path into the body
	// can repeat a long text in each of many alerts.
	left int
	// work is how many steps regular expressions may still take.
	work int64
}

// maxWork is how many steps those of a mapping may take for one body: some ten seconds.
const maxWork = 1 << 31

// text is what the expression gives for an alert.
func (e *expression) text(r *reading, element any) string {
	if e == nil || r.left < 0 || r.work < 0 {
		return ""
	}
	text := e.texts[0]
	if len(e.texts) == 2 && e.texts[0]+e.texts[1] == "" {
		text = textOf(e.paths[0].find(r.body, element))
	} else if len(e.paths) > 0 {
		var out strings.Builder
		out.WriteString(text)
		for i, p := range e.paths {
			out.WriteString(alert.CutText(textOf(p.find(r.body, element)), max(alert.MaxText-out.Len(), 0)))
			out.WriteString(e.texts[i+1])
		}
		text = out.String()
	}
	text = alert.CutText(text, alert.MaxText)
	r.left -= len(text)
	if e.regex != nil {
		if r.work -= int64(len(text)) * int64(e.steps); r.work < 0 {
			return ""
		}
		found := e.regex.FindStringSubmatch(text)
		if found == nil {
			return e.Default
		}
		text = found[e.group]
	}
	if e.Map != nil {
		mapped, ok := e.Map[text]
		if ok {
			return mapped
		} else if e.Default != "" {
			return e.Default
		}
	}
	if text == "" {
		return e.Default
	}
	return text
}
