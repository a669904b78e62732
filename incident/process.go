package incident

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Process is what people make of an incident beside its state, and what the
// duties of the team's process have done about it. It is as large as what people
// write, and bounded.
type Process struct {
	// Assessment is the first look at it: how bad, how urgent, what is seen.
	Assessment *Assessment `json:"assessment,omitempty"`
	// Tier is the support level that has it, such as L2; empty until it is known.
	Tier string `json:"tier,omitzero"`
	// Handovers are the escalations to other tiers, oldest first.
	Handovers []Handover `json:"handovers,omitempty"`
	// Participants are those who take part; who escalated stays one.
	Participants []string `json:"participants,omitempty"`
	// Working are those who work on it now.
	Working []Worker `json:"working,omitempty"`
	// Customers are those that it affects, by name.
	Customers []string `json:"customers,omitempty"`
	// Customer is the one whose child incident this is; texts of it may know no other.
	Customer string `json:"customer,omitzero"`
	// Unacknowledged is when an acknowledgement was last taken back.
	Unacknowledged time.Time `json:"unacknowledged,omitzero"`
	// Rested is when the last of those who worked on it said that they do not any more.
	Rested time.Time `json:"rested,omitzero"`
	// NextContact is when the customers hear from us again.
	NextContact time.Time `json:"next_contact,omitzero"`
	// Updates are the latest status updates, oldest first; those that wait for a
	// signature are among them. Public ones are kept longest.
	Updates []Update `json:"updates,omitempty"`
	// Contacts are those who were contacted, oldest first.
	Contacts []Contact `json:"contacts,omitempty"`
	// Confirmed is who confirmed that the service is back.
	Confirmed *Confirmation `json:"confirmed,omitempty"`
	Findings  Findings      `json:"findings,omitzero"`
	// Actions are what is to be done so that it does not come again, and the tasks of those
	// who work on it now.
	Actions []Action `json:"actions,omitempty"`
	// Corrected are times of the outage that a person corrected.
	Corrected Corrected `json:"corrected,omitzero"`

	// Duties are those that have fired, or are over, in the current cycle.
	Duties []Duty `json:"duties,omitempty"`
	// Called are the receivers that duties and people called in, beside those of the routes.
	Called []Called `json:"called,omitempty"`
	// Calls are the calling chains that were started.
	Calls []Call `json:"calls,omitempty"`
	// Openings are the latest earlier openings of the same key, oldest first.
	Openings []time.Time `json:"openings,omitempty"`

	// Snooze hides what there is to tell of it until a time; nil hides nothing.
	Snooze *Snooze `json:"snooze,omitempty"`
	// Merged are the incidents that were merged into this one, oldest first, and
	// MergedInto is the one that this one was merged into.
	Merged     []Merged `json:"merged,omitempty"`
	MergedInto ID       `json:"merged_into,omitzero"`
	// Waits: its own alerts have ended, and it is over when those merged into it are.
	Waits bool `json:"waits,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// What a process holds at most of each.
const (
	handoversKept    = 20
	participantsKept = 50
	workingKept      = 20
	customersKept    = 100
	updatesKept      = 20
	contactsKept     = 100
	causesKept       = 30
	whysKept         = 5
	actionsKept      = 50
	dutiesKept       = 100
	calledKept       = targetsKept
	callsKept        = 10
	openingsKept     = 10
	mergedKept       = 100
)

// sentTwice is how soon after the same was said before it counts as sent twice, by
// a client that did not get its answer, rather than as said again.
const sentTwice = time.Minute

// Assessment is the initial assessment of an incident.
type Assessment struct {
	By           string    `json:"by"`
	At           time.Time `json:"at"`
	Impact       string    `json:"impact"`
	Urgency      string    `json:"urgency"`
	Observations string    `json:"observations"`
}

// The reasons for an escalation.
const (
	ReasonComplexity    = "complexity"
	ReasonTimeSensitive = "time_sensitive"
	ReasonRecurring     = "recurring"
)

// Reasons lists the reasons for an escalation.
func Reasons() []string { return []string{ReasonComplexity, ReasonTimeSensitive, ReasonRecurring} }

// Handover is an escalation to another tier.
type Handover struct {
	From   string    `json:"from,omitzero"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// AcceptedBy and AcceptedAt are who took it, at the hand-over meeting.
	AcceptedBy string    `json:"accepted_by,omitzero"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
}

// Worker is somebody who works on an incident now.
type Worker struct {
	Who   string    `json:"who"`
	Since time.Time `json:"since"`
	// On is what they do.
	On string `json:"on,omitzero"`
}

// Update is a status update for those who are not working on it.
type Update struct {
	ID uint64    `json:"id"`
	By string    `json:"by"`
	At time.Time `json:"at"`
	// Phase is that of the incident when it was said.
	Phase string `json:"phase"`
	// What happened, what the analysis says, what was done, and how long it will take.
	What     string `json:"what"`
	Analysis string `json:"analysis,omitzero"`
	Progress string `json:"progress,omitzero"`
	Forecast string `json:"forecast,omitzero"`
	Contact  string `json:"contact,omitzero"`
	// Restoration is when the service is expected back.
	Restoration time.Time `json:"restoration,omitzero"`
	// Public: what it says in What, Forecast and Restoration may stand on the status
	// page.
	Public bool `json:"public,omitzero"`
	// For are the receivers that it goes to beside those who are told anyway.
	For []string `json:"for,omitempty"`
	// NeedsSignature: it goes nowhere before somebody signed it.
	NeedsSignature bool `json:"needs_signature,omitzero"`
	// SetsPhase: the incident is in its phase when it is signed, unless somebody sets
	// another one meanwhile.
	SetsPhase bool      `json:"sets_phase,omitzero"`
	SignedBy  string    `json:"signed_by,omitzero"`
	SignedAt  time.Time `json:"signed_at,omitzero"`
}

// Waits reports whether u waits for a signature.
func (u *Update) Waits() bool { return u.NeedsSignature && u.SignedBy == "" }

// OutAt is when u went out: when it was written, or signed if it had to be.
func (u *Update) OutAt() time.Time { return latest(u.At, u.SignedAt) }

// Contact is somebody who was contacted. Only a named person who answered was reached.
type Contact struct {
	Who     string    `json:"who"`
	Channel string    `json:"channel"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	// Reached: they answered themselves.
	Reached bool   `json:"reached"`
	Note    string `json:"note,omitzero"`
	// ToldRestored is when they were told that it is over.
	ToldRestored time.Time `json:"told_restored,omitzero"`
}

// Confirmation says that a service is back.
type Confirmation struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
	// Customer is the one that confirmed it, empty if it was one of us.
	Customer string `json:"customer,omitzero"`
}

// Findings are what people found out and did about it. Each is empty until
// somebody says it.
type Findings struct {
	// Cause is the root cause, and Whys the way to it.
	Cause string   `json:"cause,omitzero"`
	Whys  []string `json:"whys,omitempty"`
	// Causes are likely causes, verified or ruled out.
	Causes []LikelyCause `json:"causes,omitempty"`
	// Solution is what ended it. Workaround is what helped meanwhile, which is to be
	// removed; Fix is what is permanent, and FollowUp is the link to what is left.
	Solution          string    `json:"solution,omitzero"`
	Workaround        string    `json:"workaround,omitzero"`
	WorkaroundRemoved time.Time `json:"workaround_removed,omitzero"`
	Fix               string    `json:"fix,omitzero"`
	FollowUp          string    `json:"follow_up,omitzero"`
	// The impact on the business.
	Financial    string `json:"financial,omitzero"`
	Reputational string `json:"reputational,omitzero"`
	Operational  string `json:"operational,omitzero"`
	// What a report wants to know.
	Symptoms        string `json:"symptoms,omitzero"`
	Systems         string `json:"systems,omitzero"`
	Populations     string `json:"populations,omitzero"`
	Recommendations string `json:"recommendations,omitzero"`
	Lessons         string `json:"lessons,omitzero"`
	// The lessons of each phase; see Review.
	LessonsDetection     string `json:"lessons_detection,omitzero"`
	LessonsResponse      string `json:"lessons_response,omitzero"`
	LessonsDiagnosis     string `json:"lessons_diagnosis,omitzero"`
	LessonsCommunication string `json:"lessons_communication,omitzero"`
	LessonsRestoration   string `json:"lessons_restoration,omitzero"`
	// Recurrence is whether it will come again, and Detection whether it was seen
	// soon enough.
	Recurrence    string `json:"recurrence,omitzero"`
	Detection     string `json:"detection,omitzero"`
	Communication string `json:"communication,omitzero"`
}

// PhaseLessons are what was learnt about one phase of an incident.
type PhaseLessons struct {
	// Phase is its name, and Field that of the lessons among the findings.
	Phase, Field string
	Text         string
}

// Review are the lessons of each phase, in order; the text is empty where nobody has
// said what was learnt.
func (f *Findings) Review() []PhaseLessons {
	return []PhaseLessons{{"detection", "lessons_detection", f.LessonsDetection}, {"response", "lessons_response", f.LessonsResponse},
		{"diagnosis", "lessons_diagnosis", f.LessonsDiagnosis}, {"communication", "lessons_communication", f.LessonsCommunication},
		{"restoration", "lessons_restoration", f.LessonsRestoration}}
}

// LikelyCause is what may have caused an incident.
type LikelyCause struct {
	Text string `json:"text"`
	// State is open, verified or ruled_out.
	State string    `json:"state"`
	By    string    `json:"by"`
	At    time.Time `json:"at"`
}

// The states of a likely cause.
const (
	CauseOpen     = "open"
	CauseVerified = "verified"
	CauseRuledOut = "ruled_out"
)

// CauseStates lists them.
func CauseStates() []string { return []string{CauseOpen, CauseVerified, CauseRuledOut} }

// Action is something that somebody is to do, by a time, which only a task may lack.
type Action struct {
	ID    uint64    `json:"id"`
	Text  string    `json:"text"`
	Owner string    `json:"owner"`
	Due   time.Time `json:"due"`
	// Kind is corrective, process, training or task.
	Kind   string    `json:"kind"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	DoneAt time.Time `json:"done_at,omitzero"`
	DoneBy string    `json:"done_by,omitzero"`
	// Reminded is when its owner was last reminded.
	Reminded time.Time `json:"reminded,omitzero"`
}

// ActionTask is the kind of what is to be done about an incident while it lasts.
const ActionTask = "task"

// ActionKinds lists the kinds of actions.
func ActionKinds() []string { return []string{"corrective", "process", "training", ActionTask} }

// IsTask reports whether a is part of the work on the incident. The others are to
// keep it from coming again.
func (a *Action) IsTask() bool { return a.Kind == ActionTask }

// word is what people call it.
func (a *Action) word() string {
	if a.IsTask() {
		return "task"
	}
	return "action"
}

// Tasks are the actions that are part of the work on the incident.
func (p *Process) Tasks() []Action { return p.actions(true) }

// Measures are the actions that are to keep it from coming again.
func (p *Process) Measures() []Action { return p.actions(false) }

func (p *Process) actions(tasks bool) []Action {
	var out []Action
	for _, a := range p.Actions {
		if a.IsTask() == tasks {
			out = append(out, a)
		}
	}
	return out
}

// Corrected are the times of an outage as a person knows them better.
type Corrected struct {
	WentDown time.Time `json:"went_down,omitzero"`
	Restored time.Time `json:"restored,omitzero"`
}

// The outcomes of a duty.
const (
	DutyKept   = "kept"
	DutyMissed = "missed"
	DutyWaived = "waived"
	// DutyFired is for a duty that nobody could keep: it does something by itself.
	DutyFired = "fired"
)

// Outcomes lists them.
func Outcomes() []string { return []string{DutyKept, DutyMissed, DutyWaived, DutyFired} }

// Duty is what became of one duty in the current cycle.
type Duty struct {
	Name string `json:"name"`
	// Base is the moment that it counts from; a later one makes it a new duty.
	Base time.Time `json:"base"`
	// Fired is how often it fired since, last at FiredAt.
	Fired   int       `json:"fired,omitzero"`
	FiredAt time.Time `json:"fired_at,omitzero"`
	// Outcome is empty while it is still to be done; then By did it, at At.
	Outcome string    `json:"outcome,omitzero"`
	By      string    `json:"by,omitzero"`
	At      time.Time `json:"at,omitzero"`
}

// Called is a receiver that was called in, and why.
type Called struct {
	Receiver string    `json:"receiver"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
	// Detail is how much it is told: empty for everything, summary, or public.
	Detail string `json:"detail,omitzero"`
}

// How much a receiver that was called in is told.
const (
	DetailSummary = "summary"
	DetailPublic  = "public"
)

// Call is a calling chain on its way: one person after the other is called until
// one of them confirms.
type Call struct {
	Chain string    `json:"chain"`
	At    time.Time `json:"at"`
	// Step is how many were called, and Last when the latest was.
	Step int       `json:"step"`
	Last time.Time `json:"last,omitzero"`
	// Called are they.
	Called      []string  `json:"called,omitempty"`
	ConfirmedBy string    `json:"confirmed_by,omitzero"`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero"`
	// Exhausted: nobody is left to be called.
	Exhausted bool `json:"exhausted,omitzero"`
}

// Over reports whether nobody is called any more.
func (c *Call) Over() bool { return c.ConfirmedBy != "" || c.Exhausted }

// share returns a copy whose lists can be appended to and whose parts can be
// changed by replacing them.
func (p *Process) share() *Process {
	if p == nil {
		return &Process{}
	}
	c := *p
	c.Handovers, c.Participants, c.Working = slices.Clone(p.Handovers), slices.Clip(p.Participants), slices.Clone(p.Working)
	c.Customers, c.Updates, c.Contacts = slices.Clip(p.Customers), slices.Clone(p.Updates), slices.Clone(p.Contacts)
	c.Findings.Whys, c.Findings.Causes = slices.Clip(p.Findings.Whys), slices.Clone(p.Findings.Causes)
	c.Actions, c.Duties, c.Called, c.Calls = slices.Clone(p.Actions), slices.Clone(p.Duties), slices.Clone(p.Called), slices.Clone(p.Calls)
	for n := range c.Calls {
		c.Calls[n].Called = slices.Clip(c.Calls[n].Called)
	}
	c.Openings, c.Merged = slices.Clip(p.Openings), slices.Clone(p.Merged)
	return &c
}

// Proceedings is the process of i; it is never nil and not to be changed.
func (i *Incident) Proceedings() *Process {
	if i.Process == nil {
		return &noProcess
	}
	return i.Process
}

// noProcess is that of an incident that nobody has made anything of yet.
var noProcess Process

// keepLast appends v and drops the oldest beyond the limit.
func keepLast[T any](list []T, v T, limit int) []T {
	if list = append(list, v); len(list) > limit {
		list = list[len(list)-limit:]
	}
	return list
}
