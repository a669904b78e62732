package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/router"
)

// why ends every message about an unstable key.
const why = "the key of an alert must not change during its life, or its resolve would not find its incident"

// stability makes sure that the key of an alert depends only on what stays the
// same while the alert lives: the labels that count for its fingerprint.
// Annotations change, ignored labels differ from one replica to the next, and
// an alert may come through any of the sources that share a namespace.
func (c *checker) stability() {
	keys := c.keyInputs()
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		c.ignoredInput(name, keys[name])
	}
	c.ignoredDistinct()
	stopped := ""
	for i, r := range c.c.Classify.Rules {
		path := indexPath("classify.rules", i)
		unstable := c.unstableCondition(path, r)
		for _, v := range setValues(path+".set", r.Set) {
			name := setName(v)
			use, isInput := keys[name]
			if !isInput {
				continue
			}
			c.unstableValue(path, r, v, name, use, unstable, stopped)
		}
		if r.Stop && unstable.reason != "" && stopped == "" {
			stopped = path + " stops before it and " + unstable.reason
		}
	}
}

// keyUse says what needs a label for the key.
type keyUse struct {
	// path is the place in the file; for the built-in rule it is empty.
	path string
	// by is what the place says of the label, for messages.
	by string
}

// keyInputs returns the labels that keys depend on, with the first use of each.
func (c *checker) keyInputs() map[string]keyUse {
	inputs := map[string]keyUse{}
	add := func(name string, use keyUse) {
		if _, known := inputs[name]; !known {
			inputs[name] = use
		}
	}
	catchAll := false
	for i, r := range c.c.Correlate.Rules {
		path := indexPath("correlate.rules", i)
		for j, text := range r.Matchers {
			at := indexPath(path+".matchers", j)
			for _, m := range parseQuietly(text) {
				add(m.Name, keyUse{at, at + " matches it"})
			}
		}
		for j, name := range r.By {
			at := indexPath(path+".by", j)
			add(name, keyUse{at, at + " makes the key of it"})
		}
		catchAll = catchAll || len(r.Matchers) == 0
	}
	if !catchAll {
		for _, name := range dedupe.DefaultBy() {
			add(name, keyUse{"", "the built-in correlate rule makes the key of it"})
		}
	}
	return inputs
}

// ignoredInput records a label that keys depend on and that a source ignores.
func (c *checker) ignoredInput(name string, use keyUse) {
	// host is the label instance where a sender has no label host.
	labels := []string{name}
	if name == "host" {
		labels = append(labels, "instance")
	}
	for _, label := range labels {
		ignored := c.ignoredBy(label, nil)
		switch {
		case ignored == "":
		case use.path == "":
			c.mistake(ignored, "the label "+quote(label)+" cannot be ignored, "+use.by+": "+why,
				"do not ignore it, or add a last correlate rule without matchers that does not need it")
		default:
			c.mistake(use.path, "the label "+quote(label)+" is ignored by "+ignored+": "+why, "remove it here or there")
		}
	}
}

// ignoredDistinct records thresholds that count the values of an ignored label.
func (c *checker) ignoredDistinct() {
	for i, r := range c.c.Correlate.Rules {
		if r.Threshold.Distinct == "" {
			continue
		}
		if ignored := c.ignoredBy(r.Threshold.Distinct, nil); ignored != "" {
			c.mistake(indexPath("correlate.rules", i)+".threshold.distinct", "the label "+quote(r.Threshold.Distinct)+
				" is ignored by "+ignored+", and its values are not known", "count another label")
		}
	}
}

// ignoredBy returns the path where one of the sources ignores the label; no
// sources stand for all.
func (c *checker) ignoredBy(label string, sources []string) string {
	for _, i := range c.ignored[label] {
		if len(sources) == 0 || slices.Contains(sources, i.source) {
			return i.path
		}
	}
	return ""
}

// instability is why something is not the same for an alert all its life.
type instability struct {
	path, reason string
}

// unstableCondition says why a rule may match an alert now and not later.
func (c *checker) unstableCondition(path string, r router.Rule) instability {
	if len(r.Annotations) > 0 {
		return instability{path + ".annotations", "looks at annotations, which change"}
	}
	for i, text := range r.Matchers {
		for _, m := range parseQuietly(text) {
			if by := c.ignoredBy(m.Name, r.Sources); by != "" {
				return instability{indexPath(path+".matchers", i), "matches the label " + quote(m.Name) + ", which " + by + " ignores"}
			}
		}
	}
	for _, from := range slices.Sorted(maps.Keys(r.Capture)) {
		at := keyPath(path+".capture", from)
		if strings.HasPrefix(from, annotationPrefix) {
			return instability{at, "captures from an annotation, which changes"}
		}
		if by := c.ignoredBy(from, r.Sources); by != "" {
			return instability{at, "captures from the label " + quote(from) + ", which " + by + " ignores"}
		}
	}
	if a, b := c.splitNamespace(r.Sources); a != "" {
		return instability{path + ".sources", fmt.Sprintf("is for the source %s but not for %s, which share a namespace", quote(a), quote(b))}
	}
	return instability{}
}

// splitNamespace returns two sources of one namespace of which only the first
// is among the given ones. No sources stand for all.
func (c *checker) splitNamespace(sources []string) (in, out string) {
	for _, a := range sources {
		for _, b := range c.namespaces[c.namespace(a)] {
			if !slices.Contains(sources, b) {
				return a, b
			}
		}
	}
	return "", ""
}

func (c *checker) namespace(source string) string {
	return completeSource(source, c.c.Sources[source]).Namespace
}

// unstableValue records a rule that sets a label which keys depend on from
// something that may change.
func (c *checker) unstableValue(path string, r router.Rule, v setValue, name string, use keyUse, unstable instability, stopped string) {
	problem := unstable
	if problem.reason == "" {
		problem = c.unstableReference(v, r.Sources)
	}
	if problem.reason == "" && stopped != "" {
		problem = instability{path, "does not always run: " + stopped}
	}
	if problem.reason == "" {
		return
	}
	c.mistake(problem.path, "the rule sets "+quote(name)+" ("+use.by+") but "+problem.reason+": "+why,
		"set it from labels that identify the alert, or make no key of "+quote(name))
}

// unstableReference says why a value may not be the same later.
func (c *checker) unstableReference(v setValue, sources []string) instability {
	names, _ := references(v.value)
	for _, name := range names {
		kind, label, _ := strings.Cut(name, ":")
		switch by := c.ignoredBy(label, sources); {
		case kind == "annotation":
			return instability{v.path, "takes it from an annotation, which changes"}
		case kind == "label" && by != "":
			return instability{v.path, "takes it from the label " + quote(label) + ", which " + by + " ignores"}
		case name == "source":
			if a, b := c.sharedNamespace(sources); a != "" {
				return instability{v.path, fmt.Sprintf("takes it from the source, and %s and %s share a namespace", quote(a), quote(b))}
			}
		}
	}
	return instability{}
}

// sharedNamespace returns two of the sources that share a namespace. No sources
// stand for all.
func (c *checker) sharedNamespace(sources []string) (string, string) {
	if len(sources) == 0 {
		sources = c.enabled
	}
	for _, a := range sources {
		for _, b := range c.namespaces[c.namespace(a)] {
			if a < b && slices.Contains(sources, b) {
				return a, b
			}
		}
	}
	return "", ""
}

// setName is the label under which correlation sees a value that a rule sets;
// empty if it does not.
func setName(v setValue) string {
	switch v.field {
	case "service":
		return "service"
	case "labels":
		return v.label
	}
	return ""
}
