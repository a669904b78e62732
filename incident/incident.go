// Package incident holds what we made of the alerts: the Incident, the unit
// that people work on, with its states, severity, priority, timeline and
// durations; and, because every change to them is decided here and nowhere
// else, the shapes in which decisions go to the store (Change, State, Next).
// It is pure: it reads no clock and does no I/O.
package incident

import (
	"errors"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// The states of an incident.
const (
	Open         = "open"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
	Closed       = "closed"
)

// States lists the states in the order of a life.
func States() []string { return []string{Open, Acknowledged, Resolved, Closed} }

// The phases, which people set.
const (
	Investigating = "investigating"
	Mitigating    = "mitigating"
	Observing     = "observing"
)

// Phases lists the phases.
func Phases() []string { return []string{Investigating, Mitigating, Observing} }

// Levels lists the levels, lowest first.
func Levels() []string { return []string{"trivial", "minor", "major", "continuity"} }

var (
	// ErrNotFound: there is no such incident (or alert, dead letter, document).
	ErrNotFound = errors.New("not found")
	// ErrConflict: somebody else was faster; look again.
	ErrConflict = errors.New("conflict")
)

// StateError says that an action does not fit the incident's state.
type StateError struct{ Action, State string }

func (e *StateError) Error() string { return "cannot " + e.Action + " an incident that is " + e.State }

// hostsKept bounds the hosts that an incident lists.
const hostsKept = 20

// cyclesKept bounds the past cycles that an incident lists.
const cyclesKept = 20

// observedKept bounds the observations that an incident lists: those of all the
// cycles that it lists, of which each has six at most, counters of objectives
// included, and those of the opening.
const observedKept = 7 * cyclesKept

// Incident is one problem that people handle. Its size does not depend on how
// many alerts it has.
type Incident struct {
	ID        ID     `json:"id"`
	Reference string `json:"reference"`
	Title     string `json:"title"`
	State     string `json:"state"`
	Phase     string `json:"phase"`
	// Severity is the highest that its alerts reached, or what a person said.
	Severity string `json:"severity"`
	// SeveritySet: a person chose the severity; alerts do not change it any more.
	SeveritySet bool   `json:"severity_set,omitzero"`
	Priority    string `json:"priority"`
	Impact      string `json:"impact"`
	Urgency     string `json:"urgency"`
	Category    string `json:"category"`
	Level       string `json:"level"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Runbook     string `json:"runbook,omitzero"`
	// Labels are those that all its alerts share; they only shrink.
	Labels map[string]string `json:"labels"`
	// Hosts are the first hosts that were seen.
	Hosts   []string `json:"hosts,omitempty"`
	Sources []string `json:"sources,omitempty"`

	OpenedAt time.Time `json:"opened_at"`
	// StartedAt is the earliest start that an alert stated.
	StartedAt time.Time `json:"started_at,omitzero"`
	// TimeClamped: StartedAt is so far off that durations use OpenedAt in its place.
	TimeClamped    bool      `json:"time_clamped,omitzero"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitzero"`
	// FirstAcknowledgedAt is when the cycle was first acknowledged, if that was
	// taken back: what it took is observed once.
	FirstAcknowledgedAt time.Time `json:"first_acknowledged_at,omitzero"`
	ResolvedAt          time.Time `json:"resolved_at,omitzero"`
	ResolvedBy          string    `json:"resolved_by,omitzero"`
	ClosedAt            time.Time `json:"closed_at,omitzero"`
	ClosedBy            string    `json:"closed_by,omitzero"`
	// RestoredAt is when the last alert ended, as its sender said.
	RestoredAt time.Time `json:"restored_at,omitzero"`

	// CycleOpenedAt is when the current cycle began: OpenedAt or the latest reopening.
	CycleOpenedAt time.Time `json:"cycle_opened_at"`
	// CycleSeverity is the highest severity of the current cycle; metrics carry it.
	CycleSeverity string `json:"cycle_severity"`
	// Cycles are the latest past cycles, oldest first.
	Cycles  []Cycle `json:"cycles,omitempty"`
	Reopens int     `json:"reopens,omitzero"`

	Alerts Counts `json:"alerts"`
	// Firing counts the firing alerts of each severity.
	Firing map[string]int `json:"firing,omitempty"`
	// Occurrences is how many messages came for it, repeats included.
	Occurrences uint64 `json:"occurrences"`
	// LeftOut is the largest number of alerts that a sender said it left out of one message.
	LeftOut int `json:"left_out,omitzero"`
	// FlappingUntil: until then changes are too many to be news.
	FlappingUntil time.Time `json:"flapping_until,omitzero"`
	// Downtimes are those that the tools its alerts come from have told of.
	Downtimes []Downtime `json:"downtimes,omitempty"`

	// SeverityWord is how the sender of its worst alert puts its severity, which
	// routes may ask for as well; empty if it states none.
	SeverityWord string `json:"severity_word,omitzero"`
	// Told are those who are told of it, such as dba/slack[0].
	Told []string `json:"told,omitempty"`

	Key      Key               `json:"key"`
	Rule     string            `json:"rule"`
	Roles    map[string]string `json:"roles"`
	Links    []Link            `json:"links"`
	Parent   ID                `json:"parent,omitzero"`
	Children []ID              `json:"children"`
	Drill    bool              `json:"drill"`
	// Description, Reporter and what was captured belong to an incident that a
	// person reported.
	Description string `json:"description,omitzero"`
	Reporter    string `json:"reporter,omitzero"`
	Captured
	// Process is what people make of it beside its state; nil if nobody has yet.
	Process *Process `json:"process,omitempty"`
	// Observed are the durations that were measured, each when its time came, oldest
	// first: what statistics over a time add up.
	Observed []Observed `json:"observed,omitempty"`

	// TimelineLength and TimelineHash are the timeline's number of entries and the
	// hash of the last.
	TimelineLength uint64 `json:"timeline_length"`
	TimelineHash   string `json:"timeline_hash"`
	// Version counts the changes.
	Version   uint64    `json:"version"`
	ChangedAt time.Time `json:"changed_at"`

	// Unknown holds stored fields that a newer version wrote.
	Unknown []byte `json:"-"`
}

// Captured is what a help desk writes down beside the description.
type Captured struct {
	// ReporterContact and ReporterRole are those of the person who noticed it.
	ReporterContact string `json:"reporter_contact,omitzero"`
	ReporterRole    string `json:"reporter_role,omitzero"`
	// Channel is how it was reported, such as phone.
	Channel string `json:"channel,omitzero"`
	// ReportedAt is when, if it was written down later.
	ReportedAt time.Time `json:"reported_at,omitzero"`
}

// Counts are numbers of alerts.
type Counts struct {
	// Total are the different alerts that ever belonged to it.
	Total int `json:"total"`
	// Firing are those that fire now.
	Firing int `json:"firing"`
}

// Cycle is one time from opening (or reopening) to resolution.
type Cycle struct {
	OpenedAt       time.Time `json:"opened_at"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitzero"`
	ResolvedAt     time.Time `json:"resolved_at,omitzero"`
	ResolvedBy     string    `json:"resolved_by,omitzero"`
	Severity       string    `json:"severity"`
}

// Observed is one observation of an incident, for statistics over a time.
type Observed struct {
	// Metric, Severity and Team are those of the stored statistics; see Observation.
	Metric   string    `json:"metric"`
	Severity string    `json:"severity"`
	Team     string    `json:"team,omitzero"`
	At       time.Time `json:"at"`
	// Seconds is the duration; it is 1 for a counter.
	Seconds float64 `json:"seconds"`
}

// Link points to something elsewhere.
type Link struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Kind is one of LinkKinds, empty for any other.
	Kind string `json:"kind,omitzero"`
}

// The kinds of links that a process may ask for.
const (
	LinkChange     = "change"
	LinkProblem    = "problem"
	LinkPostMortem = "post_mortem"
)

// LinkKinds lists them.
func LinkKinds() []string { return []string{LinkChange, LinkProblem, LinkPostMortem} }

// IsOpen reports whether people still have to handle i.
func (i *Incident) IsOpen() bool { return i.State == Open || i.State == Acknowledged }

// Clone returns a copy that can be changed.
func (i *Incident) Clone() *Incident {
	c := i.share()
	c.Labels, c.Firing, c.Roles = cloneMap(i.Labels), cloneMap(i.Firing), cloneMap(i.Roles)
	return c
}

// share returns a copy whose lists can be appended to, and whose maps, none of
// which is nil, are those of i.
func (i *Incident) share() *Incident {
	c := *i
	c.Labels, c.Firing, c.Roles = notNil(i.Labels), notNil(i.Firing), notNil(i.Roles)
	c.Hosts = slices.Clip(i.Hosts)
	c.Sources = slices.Clip(i.Sources)
	c.Cycles = slices.Clip(i.Cycles)
	c.Links = slices.Clip(i.Links)
	c.Children = slices.Clip(i.Children)
	c.Told = slices.Clip(i.Told)
	c.Downtimes = slices.Clip(i.Downtimes)
	c.Observed = slices.Clip(i.Observed)
	return &c
}

func notNil[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func cloneMap[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// WithTold returns a copy that remembers targets which are told of it, so that
// they hear how it ends.
func (i *Incident) WithTold(targets []string) *Incident {
	c := i.share()
	for _, name := range targets {
		c.addTold(name)
	}
	return c
}

func (i *Incident) addTold(name string) {
	if !slices.Contains(i.Told, name) && len(i.Told) < targetsKept {
		i.Told = append(i.Told, name)
	}
}

// Classification is what the rules say about one alert.
type Classification struct {
	Severity, Impact, Urgency, Priority, Category, Service, Team, Runbook string
	// Labels are set by rules, beside the alert's own.
	Labels alert.Labels
	// SuppressedBy names the rule that says the alert opens nothing; empty if none does.
	SuppressedBy string
}
