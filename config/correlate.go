package config

import (
	"fmt"
	"slices"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/dedupe"
)

// countLimit is the largest threshold and number of changes. Held alerts and
// times of changes are kept one by one.
const countLimit = 1000

func (c *checker) correlate() {
	const path = "correlate"
	var names []string
	for i, r := range c.c.Correlate.Rules {
		names = append(names, r.Name)
		c.correlateRule(indexPath(path+".rules", i), r, i == len(c.c.Correlate.Rules)-1)
	}
	c.names(path+".rules", "rule", names)
	f := c.c.Correlate.Flapping
	if c.counts(path+".flapping.changes", f.Changes) && f.Changes > 0 && f.Window == 0 {
		c.mistake(path+".flapping.window", "changes are counted, but not over any time", "add window, such as 15m, or write changes: 0")
	}
}

func (c *checker) correlateRule(path string, r dedupe.Rule, last bool) {
	if r.Name == dedupe.DefaultRule || r.Name == dedupe.HostRule || r.Name == dedupe.GroupRule {
		c.mistake(path+".name", quote(r.Name)+" is the name of a built-in rule", "choose another name")
	}
	c.matchers(path+".matchers", r.Matchers)
	if len(r.Matchers) == 0 && !last && !c.bad[path+".matchers"] {
		c.warn(path, "the rule matches every alert, so the rules after it are never reached", "add matchers, or move it to the end")
	}
	if !c.given(path + ".by") {
		c.mistake(path, "the rule does not say by which labels", "add by:, or by: [] to put all that it matches into one incident")
	}
	c.distinct(path+".by", "label", r.By)
	c.severityInKey(path, r)
	c.threshold(path+".threshold", r.Threshold)
}

func (c *checker) threshold(path string, t dedupe.Threshold) {
	if !c.counts(path+".count", t.Count) {
		return
	}
	switch {
	case t.Count > 1 && t.Window == 0:
		c.mistake(path, fmt.Sprintf("%d alerts are waited for, but not over any time", t.Count), "add window, such as 5m")
	case t.Count <= 1 && t.Distinct != "":
		c.mistake(path+".distinct", "distinct has no effect without a count above 1", "add count")
	case t.Count <= 1 && t.Window > 0:
		c.mistake(path+".window", "window has no effect without a count above 1", "add count")
	}
}

// counts reports whether n can be a count, and records if it cannot.
func (c *checker) counts(path string, n int) bool {
	if c.bad[path] {
		return false
	}
	if n < 0 || n > countLimit {
		c.mistake(path, fmt.Sprintf("%d is not between 0 and %d", n, countLimit), "")
		return false
	}
	return true
}

// severityInKey says that a rule which looks at the severity is not for senders
// that say with the same problem how bad it has become.
func (c *checker) severityInKey(path string, r dedupe.Rule) {
	uses := slices.Contains(r.By, "severity")
	for _, text := range r.Matchers {
		uses = uses || slices.ContainsFunc(parseQuietly(text), func(m *labels.Matcher) bool { return m.Name == "severity" })
	}
	if !uses {
		return
	}
	for _, name := range c.enabled {
		if s := completeSource(name, c.c.Sources[name]); keyed[s.Format] && c.given(keyPath("sources", name)) {
			c.warn(path, "the rule looks at the severity, which changes while a problem of the source "+quote(name)+" lasts, so it is passed over for that source", "match on something that stays, such as the host")
			return
		}
	}
}
