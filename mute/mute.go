// Package mute decides what hides messages about an incident, and never anything
// else of it: maintenance windows, time intervals of routes, Alertmanager's
// inhibition rules, downtimes that the senders tell of, dependencies between
// services, and silences, which are kept elsewhere.
//
// The decisions are pure. All is what asks them, with what it has to know of the
// other incidents that are open.
package mute

import (
	"strconv"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
)

// parseAll parses matchers; problem says what is wrong with the n-th of them.
func parseAll(texts []string) (ms labels.Matchers, n int, problem string) {
	for n, text := range texts {
		parsed, err := parse.Matchers(text)
		switch {
		case err != nil:
			return nil, n, "not a matcher: " + err.Error()
		case len(parsed) == 0:
			return nil, n, `the matcher is empty; write name="value", name!="value", name=~"regex" or name!~"regex"`
		}
		ms = append(ms, parsed...)
	}
	return ms, 0, ""
}

func at(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// within puts problems of a part under its path.
func within(path string, part, into map[string]string) {
	for at, problem := range part {
		if at != "" && !strings.HasPrefix(at, "[") {
			at = "." + at
		}
		into[path+at] = problem
	}
}

// mayMatch reports whether matchers may hold for an alert of which only some
// labels are known.
func mayMatch(ms labels.Matchers, known map[string]string) bool {
	for _, m := range ms {
		if v, ok := known[m.Name]; ok && !m.Matches(v) {
			return false
		}
	}
	return true
}
