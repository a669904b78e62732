package incident

import (
	"strings"
	"time"
)

// Guide is the team's process as it is configured: what it wants to be done, and
// by when. Package process has the one; without any, nothing is asked for.
type Guide interface {
	// Review writes into an edit what the process makes of it: which duties fire,
	// are kept or missed, and what follows from that. It is pure.
	Review(e *Edit)
	// Missing is what has to be done before an action: one of Actions.
	Missing(i *Incident, action string, now time.Time) []Requirement
	// Tier names the receivers of a support level, or ok is false if there is none of
	// that name.
	Tier(name string, now time.Time) (receivers []string, ok bool)
	// Audience are those who get an update beside those who are told anyway, and sign
	// is whether somebody has to sign it first.
	Audience(i *Incident, u *Update) (called []Called, sign bool)
}

// The actions that a Guide may hold back.
const (
	ActionResolve  = "resolve"
	ActionClose    = "close"
	ActionEscalate = "escalate"
	// ActionAutoClose is to close because nothing has happened: also a duty that is
	// not due yet, and that closing has to wait for, holds it back.
	ActionAutoClose = "close_by_itself"
)

// Requirement is something that has to be done first.
type Requirement struct {
	// Name is what the configuration calls it.
	Name string `json:"name"`
	// Text says what to do.
	Text string `json:"text"`
}

// GateError says what is missing before an action.
type GateError struct {
	Action  string
	Missing []Requirement
}

func (e *GateError) Error() string {
	texts := make([]string, len(e.Missing))
	for n, r := range e.Missing {
		texts[n] = r.Text
	}
	return "cannot " + e.Action + " it yet: " + strings.Join(texts, "; ")
}

// RefusedError says why something cannot be done to an incident as it is.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// FieldError says what is wrong with what a person said.
type FieldError struct{ Field, Reason string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// DutyOutcome is what became of a duty, for counters.
type DutyOutcome struct{ Duty, Outcome string }

// JobDuty looks at what the process wants of an incident.
const JobDuty = "duty"

// Now is the moment of the edit.
func (e *Edit) Now() time.Time { return e.now }

// Before is the incident as it was, nil for one that is being opened. It is not
// to be changed.
func (e *Edit) Before() *Incident { return e.before }

// Process returns the process of the incident, to be changed.
func (e *Edit) Process() *Process {
	if !e.ownProcess {
		e.Incident.Process, e.ownProcess = e.Incident.Process.share(), true
	}
	return e.Incident.Process
}

// Review lets the process look at the edit; it does so once, at the latest when
// the edit is over.
func (e *Edit) Review() {
	if e.policy.Guide == nil || e.reviewed {
		return
	}
	e.reviewed = true
	e.policy.Guide.Review(e)
}

// SetDuty replaces what is known of a duty. That alone makes the edit one to store.
func (e *Edit) SetDuty(d Duty) {
	e.Process().SetDuty(d)
	e.dutiesSet = true
}

// ArmDuty has the process look again at the given time, or at an earlier one that it
// wanted before: looking too early does no harm, and another gateway's process may
// know more.
func (e *Edit) ArmDuty(at time.Time) {
	e.jobs = append(e.jobs, Job{Subject: e.Incident.ID.String(), Kind: JobDuty, Due: at, NoLater: true})
}

// Outcome counts what became of a duty.
func (e *Edit) Outcome(duty, outcome string) {
	if e.Incident.Measured() {
		e.outcomes = append(e.outcomes, DutyOutcome{duty, outcome})
	}
}

// Count adds one to a stored counter, if the incident counts.
func (e *Edit) Count(metric string) {
	if e.Incident.Measured() {
		e.observe(metric, 1)
	}
}

// CallIn has a receiver told of the incident beside those of the routes, and says
// why. Detail is how much it is told, empty for everything.
func (e *Edit) CallIn(receiver, why, detail string) {
	p := e.Process()
	for n := range p.Called {
		if p.Called[n].Receiver == receiver {
			if known := &p.Called[n]; detailRank(detail) >= detailRank(known.Detail) {
				// Who is to know more knows it from then on, and was called in for that.
				known.Why, known.At, known.Detail = why, e.now, detail
			}
			e.tellThese(receiver)
			return
		}
	}
	p.Called = keepLast(p.Called, Called{Receiver: receiver, Why: why, At: e.now, Detail: detail}, calledKept)
	e.tellThese(receiver)
}

// detailRank orders how much a receiver is told.
func detailRank(detail string) int {
	switch detail {
	case "":
		return 2
	case DetailSummary:
		return 1
	}
	return 0
}

// LogFor is Log for some receivers only, who hear of it at once.
func (e *Edit) LogFor(who, action, text string, receivers []string) {
	e.logAt(TimelineEntry{At: e.now, Who: who, Action: action, Text: text, For: receivers})
	e.tellThese(receivers...)
}

// RaiseSeverity makes the incident worse, if it is not as bad already. Why is said.
func (e *Edit) RaiseSeverity(severity, why string) {
	i := e.Incident
	if !e.policy.Severities.Worse(severity, i.Severity) {
		return
	}
	e.Log(System, "severity", withComment("severity rose from "+i.Severity+" to "+severity, why), 0)
	i.Severity = severity
	if e.policy.Severities.Worse(severity, i.CycleSeverity) {
		i.CycleSeverity = severity
	}
	e.grade(Classification{})
	e.tell(urgentNews)
}

// RaiseLevel raises the level, if it is lower.
func (e *Edit) RaiseLevel(level, why string) {
	i := e.Incident
	if LevelRank(level) <= LevelRank(i.Level) {
		return
	}
	e.Log(System, "level", withComment("level rose from "+i.Level+" to "+level, why), 0)
	i.Level = level
	e.retargeted = true
}

// LevelRank is the place of a level among Levels, -1 for an unknown one.
func LevelRank(level string) int {
	for n, l := range Levels() {
		if l == level {
			return n
		}
	}
	return -1
}

// gate reports what the process misses before an action.
func (e *Edit) gate(action string) error {
	if e.policy.Guide == nil {
		return nil
	}
	if missing := e.policy.Guide.Missing(e.Incident, action, e.now); len(missing) > 0 {
		return &GateError{action, missing}
	}
	return nil
}
