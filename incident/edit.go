package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// The kinds of jobs.
const (
	// JobExpiry ends alerts whose validity ran out; the subject is a key.
	JobExpiry = "expiry"
	// JobClose closes a resolved incident.
	JobClose = "close"
	// JobStillFiring reminds of alerts that fire in a resolved incident.
	JobStillFiring = "still_firing"
	// JobRetention removes a closed incident.
	JobRetention = "retention"
	// JobNotify tells one target how the incident is.
	JobNotify = "notify"
)

// System is who acts when no person does.
const System = "tocsin"

// Policy is what the configuration says about the life of incidents.
type Policy struct {
	Severities       Scale
	Matrix           Matrix
	CloseAfter       time.Duration
	StillFiringAfter time.Duration
	// Retention is how long a closed incident is kept; 0 is for ever.
	Retention time.Duration
	// Teams are those that statistics name; all others are "other".
	Teams []string
	// Targets says who is told of an incident as it is; nil tells nobody.
	Targets func(*Incident) []Target
	// Guide is the team's process; nil asks for nothing.
	Guide Guide
}

// Edit changes one incident and gathers all that the change causes.
type Edit struct {
	// Incident is the changed copy.
	Incident *Incident
	policy   Policy
	now      time.Time
	opens    bool
	// source is where what is being logged was said.
	source string
	// ownLabels and ownFiring: these maps are no longer those of the incident as it was.
	ownLabels, ownFiring bool
	timeline             []TimelineEntry
	jobs                 []Job
	observed             []Observation
	news                 news
	rerouted             bool
	// newsFor are the receivers that hear of it at once, whoever else does.
	newsFor []string
	// retargeted: routes may lead to others than before, though there is no news.
	retargeted bool
	// before is the incident as it was; reviewed: the process has seen the edit.
	before     *Incident
	reviewed   bool
	ownProcess bool
	outcomes   []DutyOutcome
	dutiesSet  bool
}

// Change starts to change i, which itself stays as it is. What the edit does
// not change of its labels, roles and lists, it shares with i.
func (p Policy) Change(i *Incident, now time.Time) *Edit {
	e := &Edit{Incident: i.share(), before: i, policy: p, now: now}
	e.Incident.ChangedAt = now
	return e
}

// Opening is what a new incident starts with.
type Opening struct {
	ID    ID
	Key   Key
	Rule  string
	Title string
	Class Classification
	// StartedAt is the start that the first alert states.
	StartedAt time.Time
	// By is who opened it: System, or the person who reports it.
	By          string
	Description string
	// Reporter is who noticed it, if that is a person.
	Reporter string
	Drill    bool
}

// Open makes a new incident.
func (p Policy) Open(o Opening, now time.Time) *Edit {
	c := o.Class
	// Alerts share memory with the request they came in; an incident outlives it.
	c.Service, c.Team, c.Runbook = strings.Clone(c.Service), strings.Clone(c.Team), strings.Clone(c.Runbook)
	i := &Incident{
		ID: o.ID, Title: strings.Clone(o.Title), State: Open, Phase: Investigating, Severity: c.Severity, Category: c.Category, Level: Levels()[0],
		Service: c.Service, Team: c.Team, Runbook: c.Runbook, OpenedAt: now, CycleOpenedAt: now, CycleSeverity: c.Severity, ChangedAt: now,
		Key: o.Key, Rule: o.Rule, Roles: map[string]string{}, Firing: map[string]int{}, Links: []Link{}, Children: []ID{},
		Description: o.Description, Drill: o.Drill,
	}
	if i.Reporter = o.Reporter; i.Reporter == "" && o.By != System {
		i.Reporter = o.By
	}
	e := &Edit{Incident: i, policy: p, now: now, opens: true, ownLabels: true, ownFiring: true, news: byWhom(o.By)}
	e.started(o.StartedAt)
	e.grade(c)
	e.Log(o.By, "opened", "opened: "+o.Title, 0)
	return e
}

// grade sets impact, urgency and priority: what the rules say, else what the
// severity implies.
func (e *Edit) grade(c Classification) {
	i := e.Incident
	impact, urgency := e.policy.Severities.Grades(i.Severity)
	i.Impact, i.Urgency = firstOf(c.Impact, impact), firstOf(c.Urgency, urgency)
	i.Priority = firstOf(c.Priority, e.policy.Matrix.Priority(i.Impact, i.Urgency))
	if a := i.Proceedings().Assessment; a != nil { // what follows from a severity makes it more urgent, not less
		if assessed := e.policy.Matrix.Priority(a.Impact, a.Urgency); !Scale(Priorities()).Worse(i.Priority, assessed) {
			i.Impact, i.Urgency, i.Priority = a.Impact, a.Urgency, assessed
		}
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
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

// From notes that what is logged from now on was said at a source; "" is here.
func (e *Edit) From(source string) { e.source = source }

// Arm arms a job of the incident for now.
func (e *Edit) Arm(kind string) { e.arm(kind, e.now) }

// Log appends to the timeline what happens now.
func (e *Edit) Log(who, action, text string, count int) {
	e.logAt(TimelineEntry{At: e.now, Who: who, Action: action, Text: text, Count: count})
}

func (e *Edit) logAt(t TimelineEntry) {
	i := e.Incident
	t.Incident, t.Seq, t.RecordedAt, t.Source = i.ID, i.TimelineLength+1, e.now, e.source
	t.Hash = t.Sum(i.TimelineHash)
	i.TimelineLength, i.TimelineHash = t.Seq, t.Hash
	e.timeline = append(e.timeline, t)
}

func (e *Edit) observe(metric string, value float64) {
	team := e.Incident.Team
	if team != "" && !slices.Contains(e.policy.Teams, team) {
		team = "other"
	}
	i := e.Incident
	e.observed = append(e.observed, Observation{metric, i.CycleSeverity, team, value})
	i.Observed = keepLast(i.Observed, Observed{Metric: metric, Severity: i.CycleSeverity, Team: i.Team, At: e.now, Seconds: value}, observedKept)
}

func (e *Edit) arm(kind string, due time.Time) {
	e.jobs = append(e.jobs, Job{Subject: e.Incident.ID.String(), Kind: kind, Due: due})
}

// IntoJobs adds only the jobs of the edit, for one that leaves the incident as it is.
func (e *Edit) IntoJobs(next *Next) { next.Jobs = append(next.Jobs, e.jobs...) }

// Into adds the edit to next. It is the last that is done with the edit.
func (e *Edit) Into(next *Next) {
	if i := e.Incident; e.opens && i.Measured() {
		// Only now all alerts of the batch have said when they started and how bad they are.
		e.observe("opened_total", 1)
		e.observe("time_to_detect_seconds", i.TimeToDetect().Seconds())
	}
	e.Review()
	if into := e.Incident.Proceedings().MergedInto; !into.IsZero() {
		e.family(into)
	}
	e.notify()
	next.Duties = join(next.Duties, e.outcomes)
	next.Incidents = append(next.Incidents, e.Incident)
	next.Timeline = join(next.Timeline, e.timeline)
	next.Jobs = join(next.Jobs, e.jobs)
	next.Observations = join(next.Observations, e.observed)
}

// join appends b to a, or takes it as it is if there is no a.
func join[T any](a, b []T) []T {
	if len(a) == 0 {
		return b
	}
	return append(a, b...)
}

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
	e.started(m.Alert.StartsAt)
	i.LeftOut = max(i.LeftOut, m.Alert.LeftOut)
	if host := m.Alert.Host(); host != "" && len(i.Hosts) < hostsKept && !slices.Contains(i.Hosts, host) {
		i.Hosts = append(i.Hosts, strings.Clone(host))
	}
	if !slices.Contains(i.Sources, m.Alert.Source) {
		i.Sources = append(i.Sources, m.Alert.Source)
	}
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

// Acknowledge says that a person works on it. Doing it again changes nothing.
func (e *Edit) Acknowledge(by, comment string) error {
	i := e.Incident
	switch i.State {
	case Acknowledged:
		return nil
	case Open:
	default:
		return &StateError{"acknowledge", i.State}
	}
	i.State, i.AcknowledgedAt, i.AcknowledgedBy = Acknowledged, e.now, by
	e.tell(urgentNews)
	e.Log(by, "acknowledged", withComment("acknowledged", comment), 0)
	if i.Roles[RoleManager] == "" { // who takes it manages it, until somebody else does
		i.Roles = cloneMap(i.Roles)
		i.Roles[RoleManager] = by
	}
	if d, _ := i.TimeToAcknowledge(); i.Measured() && i.FirstAcknowledgedAt.IsZero() {
		e.observe("time_to_acknowledge_seconds", d.Seconds())
	}
	return nil
}

// Unacknowledge says that nobody works on it any more.
func (e *Edit) Unacknowledge(by, comment string) error {
	i := e.Incident
	switch i.State {
	case Open:
		return nil
	case Acknowledged:
	default:
		return &StateError{"take back the acknowledgement of", i.State}
	}
	if i.FirstAcknowledgedAt.IsZero() {
		i.FirstAcknowledgedAt = i.AcknowledgedAt
	}
	i.State, i.AcknowledgedAt, i.AcknowledgedBy = Open, time.Time{}, ""
	e.Process().Unacknowledged = e.now
	e.tell(urgentNews)
	e.Log(by, "acknowledgement_removed", withComment("acknowledgement taken back", comment), 0)
	return nil
}

// Resolve ends the cycle. By is System when the last alert resolved.
func (e *Edit) Resolve(by, comment string) error {
	i := e.Incident
	if i.State == Resolved {
		return nil
	}
	if !i.IsOpen() {
		return &StateError{"resolve", i.State}
	}
	if err := e.children(); err != nil {
		if by != System {
			return err
		}
		e.wait()
		return nil
	}
	if err := e.gate(ActionResolve); err != nil {
		if by != System {
			return err
		}
		e.recovered(err)
		return nil
	}
	unacknowledged := i.State == Open && i.FirstAcknowledgedAt.IsZero()
	i.State, i.ResolvedAt, i.ResolvedBy = Resolved, e.now, by
	if i.Proceedings().Waits {
		e.Process().Waits = false
	}
	e.tell(byWhom(by))
	text := "resolved"
	if n := i.Alerts.Firing; n > 0 {
		i.RestoredAt = time.Time{} // those that have ended were not the last
		text = fmt.Sprintf("resolved while %d alerts still fire", n)
		if n == 1 {
			text = "resolved while 1 alert still fires"
		}
		e.armReminder()
	}
	e.Log(by, "resolved", withComment(text, comment), 0)
	e.arm(JobClose, e.now.Add(e.policy.CloseAfter))
	if i.Measured() {
		d, _ := i.TimeToResolve()
		e.observe("time_to_resolve_seconds", d.Seconds())
		if unacknowledged {
			e.observe("resolved_unacknowledged_total", 1)
		}
	}
	return nil
}

// recovered notes that nothing fires any more, but that people have something to
// do before it is over.
func (e *Edit) recovered(missing error) {
	if i := e.Incident; i.Phase != Observing {
		i.Phase = Observing
		e.Log(System, "recovered", "nothing fires any more; "+missing.Error(), 0)
		e.tell(soonNews)
	}
}

// Close ends the incident's life; its retention begins.
func (e *Edit) Close(by, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return nil
	}
	if i.State != Resolved {
		return &StateError{"close", i.State}
	}
	action := ActionClose
	if by == System {
		action = ActionAutoClose
	}
	if err := e.gate(action); err != nil {
		if by != System {
			return err
		}
		e.Defer() // until a person has done what is missing
		return nil
	}
	i.State, i.ClosedAt, i.ClosedBy = Closed, e.now, by
	if i.Process != nil {
		p := e.Process()
		p.Working, p.NextContact = nil, time.Time{}
	}
	e.Log(by, "closed", withComment("closed", comment), 0)
	e.arm(JobClose, time.Time{})
	e.arm(JobStillFiring, time.Time{})
	if e.policy.Retention > 0 {
		e.arm(JobRetention, e.now.Add(e.policy.Retention))
	}
	if d, ok := i.Outage(); ok && i.Measured() {
		e.observe("outage_seconds", d.Seconds())
	}
	return nil
}

// Reopen begins a new cycle, which needs a new acknowledgement.
func (e *Edit) Reopen(by, comment string) error {
	i := e.Incident
	if i.IsOpen() {
		return nil
	}
	i.Cycles = append(i.Cycles, i.Cycle())
	if len(i.Cycles) > cyclesKept {
		i.Cycles = i.Cycles[len(i.Cycles)-cyclesKept:]
	}
	i.Reopens++
	i.State, i.CycleOpenedAt, i.CycleSeverity = Open, e.now, i.Severity
	i.AcknowledgedAt, i.ResolvedAt, i.ClosedAt, i.RestoredAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	i.FirstAcknowledgedAt = time.Time{}
	i.AcknowledgedBy, i.ResolvedBy, i.ClosedBy = "", "", ""
	if i.Process != nil { // a new cycle has to be confirmed, and its duties done, again; who worked on it then may sleep by now
		p := e.Process()
		p.Confirmed, p.Duties, p.Working, p.Corrected.Restored, p.Waits = nil, nil, nil, time.Time{}, false
		for n := range p.Contacts { // who heard that it is over has to hear it again
			p.Contacts[n].ToldRestored = time.Time{}
		}
	}
	e.tell(byWhom(by))
	e.Log(by, "reopened", withComment("reopened", comment), 0)
	for _, kind := range [...]string{JobClose, JobStillFiring, JobRetention} {
		e.arm(kind, time.Time{})
	}
	if i.Measured() {
		e.observe("reopened_total", 1)
	}
	return nil
}

// Note writes into the timeline. At is when it happened; an earlier time than
// now makes it a late entry, the zero time means now.
func (e *Edit) Note(by, text string, at time.Time) error {
	t := TimelineEntry{At: at, Who: by, Action: "note", Text: text}
	if at.IsZero() || !at.Before(e.now) {
		t.At = e.now
	} else {
		t.Late = true
	}
	e.logAt(t)
	return nil
}

// SetPhase says how far people are.
func (e *Edit) SetPhase(by, phase, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"change the phase of", i.State}
	}
	if i.Phase == phase {
		return nil
	}
	e.Log(by, "phase", withComment("phase "+i.Phase+" → "+phase, comment), 0)
	i.Phase = phase
	if i.Process != nil {
		for p, n := e.Process(), 0; n < len(p.Updates); n++ {
			p.Updates[n].SetsPhase = false
		}
	}
	return nil
}

// SetSeverity is a person's word on the severity; alerts do not change it any more.
func (e *Edit) SetSeverity(by, severity, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the severity of", i.State}
	}
	switch {
	case i.Severity != severity:
		e.Log(by, "severity", withComment("severity "+i.Severity+" → "+severity, comment), 0)
	case !i.SeveritySet:
		e.Log(by, "severity", withComment("severity stays "+severity, comment), 0)
		i.SeveritySet = true
		return nil
	default:
		return nil
	}
	i.Severity, i.SeveritySet = severity, true
	e.tell(urgentNews)
	if e.policy.Severities.Worse(severity, i.CycleSeverity) {
		i.CycleSeverity = severity
	}
	e.grade(Classification{})
	return nil
}

// Remind notes that alerts still fire in an incident that a person resolved,
// and asks to be called again while that is so.
func (e *Edit) Remind() {
	i := e.Incident
	if i.State != Resolved || i.Alerts.Firing == 0 {
		return
	}
	e.tell(urgentNews)
	e.Log(System, "still_firing", fmt.Sprintf("resolved, but %d still fire", i.Alerts.Firing), i.Alerts.Firing)
	e.armReminder()
}

// armReminder arms the reminder of alerts that still fire, if one is wanted.
func (e *Edit) armReminder() {
	if e.policy.StillFiringAfter > 0 {
		e.arm(JobStillFiring, e.now.Add(e.policy.StillFiringAfter))
	}
}

// deferAtLeast is the shortest time after which a deferred closing is tried
// again. It only matters where incidents close as soon as they are resolved.
const deferAtLeast = time.Minute

// Defer arms the closing of a resolved incident again, because alerts still fire.
func (e *Edit) Defer() { e.arm(JobClose, e.now.Add(max(e.policy.CloseAfter, deferAtLeast))) }

// Changed reports whether the edit has anything to store: something to say in the
// timeline, to somebody else than before, or of a duty.
func (e *Edit) Changed() bool { return len(e.timeline) > 0 || e.rerouted || e.dutiesSet }

func withComment(text, comment string) string {
	if comment == "" {
		return text
	}
	return text + ": " + comment
}
