package incident

import (
	"slices"
	"strings"
	"time"
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

// Changed reports whether the edit has anything to store: something to say in the
// timeline, to somebody else than before, or of a duty.
func (e *Edit) Changed() bool { return len(e.timeline) > 0 || e.rerouted || e.dutiesSet }

func withComment(text, comment string) string {
	if comment == "" {
		return text
	}
	return text + ": " + comment
}
