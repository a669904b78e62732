package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Member is one alert of an incident in the moment that it joins or changes.
type Member struct {
	Alert *alert.Alert
	Class Classification
}

// labels are those that count for the incident: the alert's and what rules set.
func (m *Member) labels() alert.Labels {
	labels := m.Alert.Labels
	for _, l := range m.Class.Labels {
		labels = labels.Set(l.Name, l.Value)
	}
	return labels
}

// Join counts a firing alert in. Known says that it belonged to the incident before.
func (e *Edit) Join(m Member, known bool) {
	i := e.Incident
	i.Alerts.Firing++
	e.firing()[m.Class.Severity]++
	e.tell(soonNews)
	if !known {
		e.narrow(m.labels())
		i.Alerts.Total++
	}
	e.word(m)
	e.raise(m.Class)
	e.unconfirm(m.Alert)
	e.started(m.Alert.StartsAt)
	i.LeftOut = max(i.LeftOut, m.Alert.LeftOut)
	if host := m.Alert.Host(); host != "" && len(i.Hosts) < hostsKept && !slices.Contains(i.Hosts, host) {
		i.Hosts = append(i.Hosts, strings.Clone(host))
	}
	if !slices.Contains(i.Sources, m.Alert.Source) {
		i.Sources = append(i.Sources, m.Alert.Source)
	}
}

// unconfirm takes a confirmation back that was given before the alert fired: who
// gave it did not speak of this one.
func (e *Edit) unconfirm(a *alert.Alert) {
	if p := e.Incident.Process; p == nil || p.Confirmed == nil {
		return
	}
	e.Process().Confirmed = nil
	e.Log(System, "unconfirmed", "the confirmation counts no more: "+a.Name()+" fires", 0)
}

// Reported counts in what another person says of the same problem.
func (e *Edit) Reported(by, text string, c Classification) {
	e.Log(by, "reported", text, 0)
	e.tell(soonNews)
	e.Incident.Occurrences++
	e.raise(c)
}

// Adopt counts in an alert that a threshold had held. Labels are those that
// the rules set for it.
func (e *Edit) Adopt(k Known, labels alert.Labels) {
	e.Join(Member{Alert: k.Content, Class: Classification{Severity: k.Entry.Severity, Labels: labels}}, false)
	e.Incident.Occurrences += k.Entry.Count
	if !k.Entry.Firing {
		e.Leave(k.Entry.Severity, k.Entry.End)
	}
}

// narrow keeps the labels that the alert shares with those before it.
func (e *Edit) narrow(labels alert.Labels) {
	i := e.Incident
	if i.Labels == nil || i.Alerts.Total == 0 {
		i.Labels, e.ownLabels = labels.Clone().Map(), true
		return
	}
	for name, value := range i.Labels {
		if labels.Get(name) == value {
			continue
		}
		if !e.ownLabels { // the loop goes on over the old ones
			i.Labels, e.ownLabels = cloneMap(i.Labels), true
		}
		delete(i.Labels, name)
	}
}

// firing returns the counts by severity, to change them.
func (e *Edit) firing() map[string]int {
	if !e.ownFiring {
		e.Incident.Firing, e.ownFiring = cloneMap(e.Incident.Firing), true
	}
	return e.Incident.Firing
}

// word keeps how the sender of the worst alert puts its severity. It is called
// before the severity rises.
func (e *Edit) word(m Member) {
	i := e.Incident
	if i.SeverityWord != "" && !e.policy.Severities.Worse(m.Class.Severity, i.Severity) {
		return
	}
	if word := m.Alert.Labels.Get("severity"); word != "" {
		i.SeverityWord = strings.Clone(word)
	}
}

// raise lets a worse alert make the incident worse; severity never falls by itself.
func (e *Edit) raise(c Classification) {
	i := e.Incident
	if e.policy.Severities.Worse(c.Severity, i.CycleSeverity) {
		i.CycleSeverity = c.Severity
	}
	if i.SeveritySet || !e.policy.Severities.Worse(c.Severity, i.Severity) {
		return
	}
	e.Log(System, "severity", fmt.Sprintf("severity rose from %s to %s", i.Severity, c.Severity), 0)
	i.Severity = c.Severity
	if !e.opens {
		e.tell(urgentNews)
	}
	e.grade(c)
}

// Regrade counts a firing alert whose severity changed.
func (e *Edit) Regrade(was string, m Member) {
	if was != m.Class.Severity {
		e.uncount(was)
		e.firing()[m.Class.Severity]++
	}
	e.Incident.LeftOut = max(e.Incident.LeftOut, m.Alert.LeftOut)
	if e.Incident.Alerts.Total > 0 {
		e.narrow(m.labels()) // of an alert with a key of its own labels may change too
	}
	e.word(m)
	e.raise(m.Class)
}

// Leave counts out an alert that ended at the given time.
func (e *Edit) Leave(severity string, ended time.Time) {
	i := e.Incident
	i.Alerts.Firing--
	e.uncount(severity)
	e.tell(soonNews)
	if ended.After(i.RestoredAt) {
		i.RestoredAt = ended
	}
}

func (e *Edit) uncount(severity string) {
	firing := e.firing()
	if firing[severity]--; firing[severity] <= 0 {
		delete(firing, severity)
	}
}

// Flap notes that an alert changes so often that it is no news until the given time.
func (e *Edit) Flap(until time.Time, name string) {
	i := e.Incident
	if !i.FlappingUntil.After(e.now) {
		e.Log(System, "flapping", "flapping: "+name, 0)
	}
	if until.After(i.FlappingUntil) {
		i.FlappingUntil = until
	}
}

// started takes over the start that an alert states if it is earlier than what
// is known. A start that is too far off to be believed only counts while there
// is no other.
func (e *Edit) started(at time.Time) {
	i := e.Incident
	far := at.Before(i.OpenedAt.Add(-farOff)) || at.After(i.OpenedAt.Add(farOff))
	known := !i.StartedAt.IsZero()
	if at.IsZero() || known && far || known && !i.TimeClamped && !at.Before(i.StartedAt) {
		return
	}
	i.StartedAt, i.TimeClamped = at, far
}
