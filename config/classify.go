package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"

	"github.com/tocsin-gateway/tocsin/config/nearest"
)

// metricWord is what a severity looks like: senders' words are compared in
// lower case, and severities are labels of metrics.
var metricWord = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c *checker) classify() {
	const path = "classify"
	c.categories(path + ".categories")
	r := c.c.Classify
	c.severities(path, r)
	c.distinct(path+".categories", "category", r.Categories)
	c.distinct(path+".teams", "team", r.Teams)
	var names []string
	for i, rule := range r.Rules {
		names = append(names, rule.Name)
		c.classifyRule(indexPath(path+".rules", i), rule)
	}
	c.names(path+".rules", "rule", names)
}

// categories sees that the incidents of the process' paths can have their categories.
func (c *checker) categories(path string) {
	r := &c.c.Classify
	for _, name := range c.c.Process.Categories() {
		switch {
		case slices.Contains(r.Categories, name):
		case !c.given(path):
			r.Categories = append(r.Categories, name)
		default:
			c.warn(path, "a path of the process is for the category "+quote(name)+", which is not among them", "add it, or nothing can take that path by its category")
		}
	}
}

func (c *checker) severities(path string, r router.Config) {
	c.distinct(path+".severities", "severity", r.Severities)
	for i, severity := range r.Severities {
		if severity != "" && !metricWord.MatchString(severity) {
			c.mistake(indexPath(path+".severities", i), quote(severity)+" cannot be a severity", "use lower-case letters, digits, - and _")
		}
	}
	switch {
	case len(r.Severities) == 0:
		c.mistake(path+".severities", "there is no severity", "list at least one")
	case !slices.Contains(r.Severities, r.DefaultSeverity) && !c.given(path+".default_severity"):
		c.mistake(path+".severities", "the default severity "+quote(r.DefaultSeverity)+" is not among them",
			"add default_severity: and one of them")
	default:
		c.oneOf(path+".default_severity", "severity", r.DefaultSeverity, r.Severities)
	}
	for _, word := range slices.Sorted(maps.Keys(r.SeverityWords)) {
		at := keyPath(path+".severity_words", word)
		if lower := strings.ToLower(word); lower != word {
			c.mistake(at, "the word "+quote(word)+" is not in lower case", "write "+lower)
		}
		if slices.Contains(r.Severities, word) && r.SeverityWords[word] != word {
			c.mistake(at, quote(word)+" is a severity itself and cannot mean another", "set it by a rule")
		}
		c.oneOf(at, "severity", r.SeverityWords[word], r.Severities)
	}
}

// classifyRule checks one rule by itself.
func (c *checker) classifyRule(path string, r router.Rule) {
	c.matchers(path+".matchers", r.Matchers)
	c.matchers(path+".annotations", r.Annotations)
	for i, name := range r.Sources {
		at := indexPath(path+".sources", i)
		if s, ok := c.c.Sources[name]; ok && s.Disabled {
			c.mistake(at, "the source "+quote(name)+" is disabled", "remove it here, or enable it")
			continue
		}
		c.oneOf(at, "source", name, c.enabled)
	}
	groups := c.captures(path+".capture", r.Capture)
	c.set(path+".set", r.Set, groups)
	if emptySet(r.Set) && !r.Suppress && !r.Stop && !c.bad[path+".set"] {
		c.warn(path, "the rule does nothing", "add set:, suppress: or stop:")
	}
}

func emptySet(s router.Set) bool { return len(setValues("", s)) == 0 }

// annotationPrefix marks the annotations among what a rule captures.
const annotationPrefix = "annotation:"

// captures compiles the regular expressions and returns the names of their groups.
func (c *checker) captures(path string, capture map[string]string) []string {
	var groups []string
	for _, from := range slices.Sorted(maps.Keys(capture)) {
		at := keyPath(path, from)
		if from == "" || from == annotationPrefix {
			c.mistake(at, "the capture does not say of what", "write the name of a label, or annotation:NAME")
		}
		re := c.regex(at, capture[from])
		if re == nil {
			continue
		}
		for _, group := range re.SubexpNames() {
			switch {
			case group == "":
			case group == "source":
				c.mistake(at, "a group cannot have the name source, ${source} is the alert's source", "choose another name")
			case slices.Contains(groups, group):
				c.mistake(at, "the group "+quote(group)+" is there twice", "give each group a name of its own")
			default:
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// setValue is a value that a rule sets.
type setValue struct {
	path string
	// field is the key in set:, label the key in set.labels.
	field, label string
	value        string
}

// setValues returns what a rule sets, in order.
func setValues(path string, s router.Set) []setValue {
	all := []setValue{
		{path + ".severity", "severity", "", s.Severity}, {path + ".impact", "impact", "", s.Impact},
		{path + ".urgency", "urgency", "", s.Urgency}, {path + ".priority", "priority", "", s.Priority},
		{path + ".category", "category", "", s.Category}, {path + ".service", "service", "", s.Service},
		{path + ".team", "team", "", s.Team}, {path + ".runbook", "runbook", "", s.Runbook},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		all = append(all, setValue{keyPath(path+".labels", name), "labels", name, s.Labels[name]})
	}
	return slices.DeleteFunc(all, func(v setValue) bool { return v.value == "" })
}

// set checks what a rule sets: that its references exist, and that words which
// are not put together from the alert are known.
func (c *checker) set(path string, s router.Set, groups []string) {
	known := map[string][]string{"severity": c.c.Classify.Severities, "impact": incident.Grades(), "urgency": incident.Grades(),
		"priority": incident.Priorities(), "category": c.c.Classify.Categories, "team": c.c.Classify.Teams}
	for _, v := range setValues(path, s) {
		names, ok := c.references(v.path, v.value, groups)
		words := known[v.field]
		switch {
		case !ok:
		case len(names) == 0 && len(words) > 0:
			c.oneOf(v.path, v.field, v.value, words)
		case len(names) > 0 && v.field == "team" && len(words) == 0:
			c.warn(v.path, "teams put together from alerts have no metrics of their own", "list them in classify.teams")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		if name == "" {
			c.mistake(keyPath(path+".labels", name), "the label has no name", "")
		}
	}
}

// references returns what the ${…} of a value name, and whether they are all good.
func (c *checker) references(path, value string, groups []string) ([]string, bool) {
	names, closed := references(value)
	good := closed
	if !closed {
		c.mistake(path, "${ is not closed by }", "close it")
	}
	for _, name := range names {
		kind, rest, colon := strings.Cut(name, ":")
		switch {
		case name == "source", slices.Contains(groups, name):
		case colon && (kind == "label" || kind == "annotation") && rest != "":
		case colon:
			c.mistake(path, "unknown reference ${"+name+"}", "write ${label:NAME} or ${annotation:NAME}")
			good = false
		default:
			c.mistake(path, "the reference ${"+name+"} is to nothing", c.suggestReference(name, groups))
			good = false
		}
	}
	return names, good
}

func (c *checker) suggestReference(name string, groups []string) string {
	if near := nearest.Suggest(name, append([]string{"source"}, groups...)); strings.HasPrefix(near, "did") {
		return near
	}
	return fmt.Sprintf("name a group of capture (?P<%s>…), or write ${label:%s}", name, name)
}

// references returns the names in the ${…} of a value, and whether each is closed.
func references(value string) (names []string, closed bool) {
	for {
		_, rest, found := strings.Cut(value, "${")
		if !found {
			return names, true
		}
		name, after, found := strings.Cut(rest, "}")
		if !found {
			return names, false
		}
		names, value = append(names, name), after
	}
}
