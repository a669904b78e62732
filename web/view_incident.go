package web

import (
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// IncidentJSON is an incident as the API shows it. Every field is always there:
// times and durations that do not exist yet are null, texts are empty, lists and
// maps are empty. Durations are in seconds.
type IncidentJSON struct {
	ID          string `json:"id"`
	Reference   string `json:"reference"`
	Title       string `json:"title"`
	State       string `json:"state"`
	Phase       string `json:"phase"`
	Severity    string `json:"severity"`
	SeveritySet bool   `json:"severity_set"`
	Priority    string `json:"priority"`
	Impact      string `json:"impact"`
	Urgency     string `json:"urgency"`
	Category    string `json:"category"`
	Level       string `json:"level"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Runbook     string `json:"runbook"`
	// Labels are those that all its alerts share.
	Labels  map[string]string `json:"labels"`
	Hosts   []string          `json:"hosts"`
	Sources []string          `json:"sources"`

	OpenedAt       *time.Time `json:"opened_at"`
	StartedAt      *time.Time `json:"started_at"`
	TimeClamped    bool       `json:"time_clamped"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	ResolvedAt     *time.Time `json:"resolved_at"`
	ResolvedBy     string     `json:"resolved_by"`
	ClosedAt       *time.Time `json:"closed_at"`
	ClosedBy       string     `json:"closed_by"`
	RestoredAt     *time.Time `json:"restored_at"`

	TimeToDetect      float64  `json:"time_to_detect_seconds"`
	TimeToAcknowledge *float64 `json:"time_to_acknowledge_seconds"`
	TimeToResolve     *float64 `json:"time_to_resolve_seconds"`
	Outage            *float64 `json:"outage_seconds"`

	CycleOpenedAt *time.Time  `json:"cycle_opened_at"`
	CycleSeverity string      `json:"cycle_severity"`
	Cycles        []CycleJSON `json:"cycles"`
	Reopens       int         `json:"reopens"`

	Roles  map[string]string `json:"roles"`
	Alerts CountsJSON        `json:"alerts"`
	// FiringBySeverity counts the firing alerts of each severity.
	FiringBySeverity map[string]int `json:"firing_by_severity"`
	Occurrences      uint64         `json:"occurrences"`
	LeftOut          int            `json:"left_out"`
	FlappingUntil    *time.Time     `json:"flapping_until"`
	// Downtimes are those that the tools its alerts come from have told of.
	Downtimes []DowntimeJSON `json:"downtimes"`

	Key         string     `json:"key"`
	Rule        string     `json:"rule"`
	Links       []LinkJSON `json:"links"`
	Parent      *string    `json:"parent"`
	Children    []string   `json:"children"`
	Drill       bool       `json:"drill"`
	Description string     `json:"description"`
	Reporter    string     `json:"reporter"`
	// What a help desk wrote down beside the description.
	ReporterContact string     `json:"reporter_contact"`
	ReporterRole    string     `json:"reporter_role"`
	Channel         string     `json:"channel"`
	ReportedAt      *time.Time `json:"reported_at"`
	ProcessJSON

	TimelineLength uint64     `json:"timeline_length"`
	TimelineHash   string     `json:"timeline_hash"`
	ChangedAt      *time.Time `json:"changed_at"`
	Version        uint64     `json:"version"`
}

// CountsJSON are the different alerts that ever belonged to an incident, and
// those of them that fire now.
type CountsJSON struct {
	Total  int `json:"total"`
	Firing int `json:"firing"`
}

// CycleJSON is a past time from opening to resolution.
type CycleJSON struct {
	OpenedAt       *time.Time `json:"opened_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	ResolvedAt     *time.Time `json:"resolved_at"`
	ResolvedBy     string     `json:"resolved_by"`
	Severity       string     `json:"severity"`
}

// DowntimeJSON is a time in which a host, or one service of it, is expected to fail.
type DowntimeJSON struct {
	Host string `json:"host"`
	// Service is empty for the host and all that is on it.
	Service string     `json:"service"`
	Until   *time.Time `json:"until"`
}

// LinkJSON points to something elsewhere.
type LinkJSON struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Kind string `json:"kind,omitzero"`
}

// ViewIncident returns i as the API shows it.
func ViewIncident(i *incident.Incident) IncidentJSON {
	v := IncidentJSON{
		ID: i.ID.String(), Reference: i.Reference, Title: i.Title, State: i.State, Phase: i.Phase, Severity: i.Severity,
		SeveritySet: i.SeveritySet, Priority: i.Priority, Impact: i.Impact, Urgency: i.Urgency, Category: i.Category, Level: i.Level,
		Service: i.Service, Team: i.Team, Runbook: i.Runbook,
		Labels: orEmpty(i.Labels), Hosts: list(i.Hosts), Sources: list(i.Sources),
		OpenedAt: stamp(i.OpenedAt), StartedAt: stamp(i.StartedAt), TimeClamped: i.TimeClamped,
		AcknowledgedAt: stamp(i.AcknowledgedAt), AcknowledgedBy: i.AcknowledgedBy, ResolvedAt: stamp(i.ResolvedAt), ResolvedBy: i.ResolvedBy,
		ClosedAt: stamp(i.ClosedAt), ClosedBy: i.ClosedBy, RestoredAt: stamp(i.RestoredAt),
		TimeToDetect: i.TimeToDetect().Seconds(), TimeToAcknowledge: seconds(i.TimeToAcknowledge()), TimeToResolve: seconds(i.TimeToResolve()),
		Outage: seconds(i.Outage()), CycleOpenedAt: stamp(i.CycleOpenedAt), CycleSeverity: i.CycleSeverity, Cycles: []CycleJSON{}, Reopens: i.Reopens,
		Roles: orEmpty(i.Roles), Alerts: CountsJSON(i.Alerts), FiringBySeverity: orEmpty(i.Firing), Occurrences: i.Occurrences,
		LeftOut: i.LeftOut, FlappingUntil: stamp(i.FlappingUntil), Downtimes: []DowntimeJSON{},
		Key: i.Key.String(), Rule: i.Rule, Links: []LinkJSON{}, Children: []string{}, Drill: i.Drill, Description: i.Description, Reporter: i.Reporter,
		ReporterContact: i.ReporterContact, ReporterRole: i.ReporterRole, Channel: i.Channel, ReportedAt: stamp(i.ReportedAt),
		ProcessJSON:    viewProcess(i.Proceedings()),
		TimelineLength: i.TimelineLength, TimelineHash: i.TimelineHash, ChangedAt: stamp(i.ChangedAt), Version: i.Version,
	}
	for _, c := range i.Cycles {
		v.Cycles = append(v.Cycles, CycleJSON{stamp(c.OpenedAt), stamp(c.AcknowledgedAt), c.AcknowledgedBy, stamp(c.ResolvedAt), c.ResolvedBy, c.Severity})
	}
	for _, d := range i.Downtimes {
		v.Downtimes = append(v.Downtimes, DowntimeJSON{d.Host, d.Service, stamp(d.Until)})
	}
	for _, l := range i.Links {
		v.Links = append(v.Links, LinkJSON(l))
	}
	for _, id := range i.Children {
		v.Children = append(v.Children, id.String())
	}
	if !i.Parent.IsZero() {
		parent := i.Parent.String()
		v.Parent = &parent
	}
	return v
}

// TimelineJSON is one entry of a timeline as the API shows it.
type TimelineJSON struct {
	Seq        uint64     `json:"seq"`
	At         *time.Time `json:"at"`
	RecordedAt *time.Time `json:"recorded_at"`
	Late       bool       `json:"late"`
	Who        string     `json:"who"`
	// Source is where a person said it, empty if here.
	Source string `json:"source"`
	Action string `json:"action"`
	Text   string `json:"text"`
	// Count is how many alerts it is about, 0 if that does not apply.
	Count int `json:"count"`
	// For are the receivers that it is meant for; empty if for everybody who is told.
	For  []string `json:"for"`
	Hash string   `json:"hash"`
}

// ViewTimeline returns e as the API shows it.
func ViewTimeline(e incident.TimelineEntry) TimelineJSON {
	return TimelineJSON{e.Seq, stamp(e.At), stamp(e.RecordedAt), e.Late, e.Who, e.Source, e.Action, e.Text, e.Count, list(e.For), e.Hash}
}

// stamp returns t in UTC, nil if there is none. Senders say what they like: a
// time that RFC 3339 cannot write is shown as the nearest one that it can.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	switch {
	case t.Year() > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	case t.Year() < 0:
		t = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return &t
}

func seconds(d time.Duration, ok bool) *float64 {
	if !ok {
		return nil
	}
	s := d.Seconds()
	return &s
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
