// Package match asks incidents and alerts with Alertmanager's matchers. It is
// pure.
//
// A name may have two values. A sender's severity, team or service need not be
// what the rules made of it, and a route that was written for the sender's word
// has to go on working. So a positive matcher (= or =~) holds if it holds for
// either value, and a negative one (!= or !~) if it holds for both.
package match

import (
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Labels are what matchers are asked of. They read the incident as it then is.
type Labels struct {
	own map[string]string
	// word stands in for the label severity of own, if there is none.
	word string
	// of is the incident whose fields are values too, nil for none, and severity, unless
	// it is empty, is that of one of its alerts.
	of       *incident.Incident
	severity string
}

// New returns labels with one value for each name. The map is not to be changed.
func New(own map[string]string) Labels { return Labels{own: own} }

// Of returns the labels of an incident: those that all its alerts share, and
// severity, priority, impact, urgency, category, level, service, team, state,
// phase and drill.
func Of(i *incident.Incident) Labels { return Labels{own: i.Labels, word: i.SeverityWord, of: i} }

// OfAlert returns the labels of one alert of an incident.
func OfAlert(a *alert.Alert, severity string, i *incident.Incident) Labels {
	return Labels{own: a.Labels.Map(), of: i, severity: severity}
}

// said is what was said under a name.
func (l Labels) said(name string) string {
	v := l.own[name]
	if v == "" && name == "severity" {
		return l.word
	}
	return v
}

// ours is what the rules made of an incident under a name.
func (l Labels) ours(name string) string {
	i := l.of
	if i == nil {
		return ""
	}
	switch name {
	case "severity":
		if l.severity != "" {
			return l.severity
		}
		return i.Severity
	case "priority":
		return i.Priority
	case "impact":
		return i.Impact
	case "urgency":
		return i.Urgency
	case "category":
		return i.Category
	case "level":
		return i.Level
	case "service":
		return i.Service
	case "team":
		return i.Team
	case "state":
		return i.State
	case "phase":
		return i.Phase
	case "drill":
		if i.Drill {
			return "true"
		}
	}
	return ""
}

// Values returns the values of a name: none, one or two.
func (l Labels) Values(name string) (values [2]string, n int) {
	if v := l.said(name); v != "" {
		values[n] = v
		n++
	}
	if v := l.ours(name); v != "" && (n == 0 || v != values[0]) {
		values[n] = v
		n++
	}
	return values, n
}

// Is reports whether one matcher holds. A name that is not there has the empty
// value, as in Alertmanager.
func (l Labels) Is(m *labels.Matcher) bool {
	values, n := l.Values(m.Name)
	switch {
	case n < 2:
		return m.Matches(values[0])
	case m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp:
		return m.Matches(values[0]) || m.Matches(values[1])
	}
	return m.Matches(values[0]) && m.Matches(values[1])
}

// All reports whether all matchers hold.
func (l Labels) All(ms labels.Matchers) bool {
	for _, m := range ms {
		if !l.Is(m) {
			return false
		}
	}
	return true
}
