// Package match asks incidents and alerts with Alertmanager's matchers. It is
// pure.
//
// A name may have two values. A sender's severity, team or service need not be
// what the rules made of it, and a route that was written for the sender's word
// has to go on working. So a positive matcher (= or =~) holds if it holds for
// either value, and a negative one (!= or !~) if it holds for both.
package match

import (
	"maps"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Labels are what matchers are asked of.
type Labels struct {
	own   map[string]string
	other map[string]string
}

// New returns labels with one value for each name. The map is not to be changed.
func New(own map[string]string) Labels { return Labels{own: own} }

// Of returns the labels of an incident: those that all its alerts share, and
// severity, priority, impact, urgency, category, level, service, team, state,
// phase and drill.
func Of(i *incident.Incident) Labels {
	l := Labels{own: i.Labels, other: make(map[string]string, 12)}
	l.ours(i)
	if i.SeverityWord != "" && i.Labels["severity"] == "" {
		l.own = maps.Clone(i.Labels)
		if l.own == nil {
			l.own = map[string]string{}
		}
		l.own["severity"] = i.SeverityWord
	}
	return l
}

// OfAlert returns the labels of one alert of an incident.
func OfAlert(a *alert.Alert, severity string, i *incident.Incident) Labels {
	l := Labels{own: a.Labels.Map(), other: make(map[string]string, 12)}
	l.ours(i)
	if severity != "" {
		l.other["severity"] = severity
	}
	return l
}

func (l *Labels) ours(i *incident.Incident) {
	drill := ""
	if i.Drill {
		drill = "true"
	}
	for _, f := range [...][2]string{{"severity", i.Severity}, {"priority", i.Priority}, {"impact", i.Impact}, {"urgency", i.Urgency}, {"category", i.Category},
		{"level", i.Level}, {"service", i.Service}, {"team", i.Team}, {"state", i.State}, {"phase", i.Phase}, {"drill", drill}} {
		if f[1] != "" {
			l.other[f[0]] = f[1]
		}
	}
}

// Values returns the values of a name: none, one or two.
func (l Labels) Values(name string) (values [2]string, n int) {
	if v := l.own[name]; v != "" {
		values[n] = v
		n++
	}
	if v := l.other[name]; v != "" && (n == 0 || v != values[0]) {
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
