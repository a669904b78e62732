package email

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// The limits of expressions that users write. They are applied to text from anybody.
const (
	maxPattern     = 1 << 10  // bytes of an expression
	maxInstruction = 200      // steps of a compiled one
	maxInput       = 16 << 10 // bytes of a text it is applied to
)

// groups are the names that groups of an expression may have.
var groups = []string{"host", "key", "name", "service", "severity", "status", "summary"}

// rule is a parser of the configuration at work.
type rule struct {
	name                string
	from, subject, body *regexp.Regexp
	fields              []*regexp.Regexp
	status, severity    map[string]string
	usual               string
}

// configure checks a source's section email.
func configure(c ingest.EmailConfig) (*decoder, ingest.ConfigMistakes) {
	var mistakes ingest.ConfigMistakes
	wrong := func(path, message, suggestion string) {
		mistakes = append(mistakes, ingest.ConfigMistake{Path: "email" + path, Message: message, Suggestion: suggestion})
	}
	d := &decoder{authserv: c.AuthservID, require: c.Require}
	for _, l := range []struct {
		name string
		from []string
		to   *[]string
	}{{"senders", c.Senders, &d.senders}, {"recipients", c.Recipients, &d.recipients}} {
		for i, addr := range l.from {
			if addr = strings.ToLower(strings.TrimSpace(addr)); addr == "" || strings.ContainsAny(addr, " ,<>") {
				wrong(fmt.Sprintf(".%s[%d]", l.name, i), fmt.Sprintf("%q is neither an address nor a domain", addr), "write such as nagios@example.com or example.com")
			}
			*l.to = append(*l.to, addr)
		}
	}
	for i, method := range c.Require {
		if !slices.Contains(methods, method) {
			wrong(fmt.Sprintf(".require[%d]", i), fmt.Sprintf("unknown check %q", method), "write "+strings.Join(methods, ", "))
		}
	}
	if len(c.Require) > 0 && c.AuthservID == "" {
		wrong(".require", "nobody checks it", "add authserv_id: the name of the server whose Authentication-Results count, such as hostname of the section smtp")
	}
	for i, p := range c.Parsers {
		d.rules = append(d.rules, newRule(p, func(path, message, suggestion string) {
			wrong(fmt.Sprintf(".parsers[%d]%s", i, path), message, suggestion)
		}))
	}
	return d, mistakes
}

func newRule(p ingest.EmailParser, wrong func(path, message, suggestion string)) rule {
	compile := func(path, pattern string) *regexp.Regexp {
		if pattern == "" {
			return nil
		}
		re, err := compileBounded(pattern)
		if err != nil {
			wrong(path, err.Error(), "")
		}
		return re
	}
	r := rule{name: p.Name, from: compile(".match.from", p.Match.From), subject: compile(".match.subject", p.Match.Subject),
		body: compile(".match.body", p.Match.Body), status: lowerKeys(p.StatusMap), severity: lowerKeys(p.SeverityMap), usual: p.DefaultStatus}
	if p.Match == (ingest.EmailMatch{}) {
		wrong("", "the parser would take every mail", "add match with from, subject or body")
	}
	for i, pattern := range p.Fields {
		path := fmt.Sprintf(".fields[%d]", i)
		re := compile(path, pattern)
		if re == nil {
			continue
		}
		named := false
		for _, g := range re.SubexpNames() {
			if named = named || g != ""; g != "" && !slices.Contains(groups, g) {
				wrong(path, fmt.Sprintf("unknown group %q", g), "the groups are "+strings.Join(groups, ", "))
			}
		}
		if !named {
			wrong(path, "the expression has no named group", `write such as Host: (?P<host>\S+)`)
		}
		r.fields = append(r.fields, re)
	}
	for _, from := range slices.Sorted(maps.Keys(p.StatusMap)) {
		if to := p.StatusMap[from]; !isStatus(to) {
			wrong(".status_map", fmt.Sprintf("%q is mapped to the unknown status %q", from, to), "write "+strings.Join(statuses, ", "))
		}
	}
	if r.usual != "" && !isStatus(r.usual) {
		wrong(".default_status", fmt.Sprintf("unknown status %q", r.usual), "write "+strings.Join(statuses, ", "))
	}
	return r
}

func lowerKeys(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.ToLower(k)] = v
	}
	return out
}

// statuses are those of a mail; ignore makes it information.
var statuses = []string{"firing", "resolved", "acknowledged", "ignore"}

func isStatus(s string) bool { return slices.Contains(statuses, s) }

func compileBounded(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the expression is longer than %d bytes", maxPattern)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("not a regular expression: %w", err)
	}
	if prog, err := syntax.Compile(tree.Simplify()); err != nil || len(prog.Inst) > maxInstruction {
		return nil, fmt.Errorf("the expression is too large: it has more than %d steps", maxInstruction)
	}
	return regexp.Compile(pattern)
}

// parse makes an alert of a mail that the rule is for.
func (r *rule) parse(m *mail) (alert.Alert, bool) {
	body := alert.CutText(m.text, maxInput)
	for _, c := range []struct {
		re   *regexp.Regexp
		text string
	}{{r.from, m.from.addr}, {r.subject, m.subject}, {r.body, body}} {
		if c.re != nil && !c.re.MatchString(c.text) {
			return alert.Alert{}, false
		}
	}
	found := map[string]string{}
	for _, re := range r.fields {
		for _, text := range []string{m.subject, body} {
			if r.take(found, re, text) {
				break
			}
		}
	}
	subject, key, over := subjectName(m.subject)
	name := found["name"]
	if name == "" {
		if name = found["service"]; name == "" {
			name = subject
		}
	}
	summary := found["summary"]
	if summary == "" {
		summary = m.subject
	}
	severity := strings.ToLower(found["severity"])
	if to, ok := r.severity[severity]; ok {
		severity = to
	}
	a := m.alert(summary, "alertname", name, "host", found["host"], "service", found["service"], "severity", severity)
	a.PerHost = found["host"] != ""
	switch {
	case found["key"] != "":
		a.Key = found["key"]
	case found["host"] != "" || found["service"] != "" || found["name"] != "":
		a.Key = hostKey(found["host"], name)
	default:
		a.Key = m.unknownKey(key)
	}
	a.Annotations = m.annotations(summary, "parser", r.name)
	r.setStatus(&a, strings.ToLower(found["status"]), over)
	return a, true
}

// take keeps the named groups of an expression, if it matches.
func (r *rule) take(found map[string]string, re *regexp.Regexp, text string) bool {
	s := re.FindStringSubmatch(text)
	if s == nil {
		return false
	}
	for i, g := range re.SubexpNames() {
		if v := strings.TrimSpace(s[i]); g != "" && v != "" && found[g] == "" {
			found[g] = v
		}
	}
	return true
}

// setStatus sets the status: as the map of the rule says, else as the word itself
// does, else the rule's usual one.
func (r *rule) setStatus(a *alert.Alert, word string, over bool) {
	status, ok := r.status[word]
	switch {
	case ok:
	case word == "" && r.usual != "":
		status = r.usual
	case word == "" && over, goodWords[word]:
		status = "resolved"
	default:
		status = "firing"
	}
	switch status {
	case "resolved":
		a.Status = alert.Resolved
	case "acknowledged":
		a.Kind = alert.KindAcknowledgement
	case "ignore":
		a.Kind, a.Status = alert.KindInformation, alert.Unknown
	}
}
