package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
)

// SourcePeople is the source of what people report; rules can name it.
const SourcePeople = "people"

// Report is an incident that a person reports.
type Report struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	// Reporter is who noticed it, with the contact and the role.
	Reporter        string `json:"reporter"`
	ReporterContact string `json:"reporter_contact"`
	ReporterRole    string `json:"reporter_role"`
	// Channel is how it was reported: one of Channels.
	Channel string `json:"channel"`
	// RecordedBy is who writes it down, if that is somebody else.
	RecordedBy string `json:"-"`
	Severity   string `json:"severity"`
	Impact     string `json:"impact"`
	Urgency    string `json:"urgency"`
	Category   string `json:"category"`
	Service    string `json:"service"`
	Host       string `json:"host"`
	Team       string `json:"team"`
	Drill      bool   `json:"drill"`
	// StartedAt is when it began, and ReportedAt when it was reported, if that is known.
	StartedAt  time.Time `json:"started_at,omitzero"`
	ReportedAt time.Time `json:"reported_at,omitzero"`
}

// Channels are the ways in which people report.
func Channels() []string { return []string{"phone", "chat", "person", "email", "form"} }

// Limits of what a person writes, in bytes.
const (
	maxTitle       = 200
	maxDescription = 16 << 10
	maxName        = 200
)

// Report takes what a person reports to where alerts that say the same go: rules
// classify it, and it joins the open incident of its key or opens one. The
// verdict is Opened, Joined, Reopened or Duplicate.
func (p *Pipeline) Report(ctx context.Context, r Report) (*incident.Incident, alert.Verdict, error) {
	rules := p.rules.Load()
	if err := r.complete(rules); err != nil {
		return nil, 0, err
	}
	now := p.store.Now()
	a := r.alert(now, r.Severity)
	class, _ := rules.classify(r.alert(now, cmp.Or(r.Severity, r.meant(rules.policy))), nil)
	r.overrule(&class)
	var h dedupe.Hasher
	fp := h.Fingerprint(&dedupe.Identity{Namespace: SourcePeople}, a)
	place := rules.current.correlator.Key(&h, a, &class, fp)
	if r.Drill {
		place = place.Drill() // an exercise stays apart from what is real
	}
	report := dedupe.Report{Place: place, Policy: rules.policyOf(place.Rule()), Alert: a, Text: r.text(),
		Opening: incident.Opening{Title: r.Title, StartedAt: r.StartedAt, By: cmp.Or(r.RecordedBy, r.Reporter), Reporter: r.Reporter,
			Description: r.Description, Drill: r.Drill, Class: class},
		Captured: incident.Captured{ReporterContact: r.ReporterContact, ReporterRole: r.ReporterRole, Channel: r.Channel, ReportedAt: r.ReportedAt}}
	change := incident.Change{ID: uuid.New(), Key: place.Key, Step: report.Step}
	if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
		return nil, 0, err
	}
	p.countDuties(report.Duties)
	return report.Incident.Clone(), report.Verdict, nil
}

// meant is the worst severity if the priority is that of it: what is reported as so bad
// must not wait because nobody said a severity. Otherwise it is empty.
func (r *Report) meant(policy incident.Policy) string {
	worst := policy.Severities[0]
	if r.Impact == "" || r.Urgency == "" || policy.Matrix.Priority(r.Impact, r.Urgency) != policy.Matrix.Priority(policy.Severities.Grades(worst)) {
		return ""
	}
	return worst
}

// alert is the report as rules see it.
func (r *Report) alert(now time.Time, severity string) *alert.Alert {
	labels := map[string]string{"alertname": r.Title}
	for name, value := range map[string]string{"service": r.Service, "host": r.Host, "category": r.Category, "team": r.Team, "severity": severity} {
		if value != "" {
			labels[name] = value
		}
	}
	return &alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Source: SourcePeople, Labels: alert.FromMap(labels),
		Annotations: alert.FromMap(map[string]string{"description": r.Description}), StartsAt: r.StartedAt, ReceivedAt: now}
}

// overrule lets what the person said come before what rules say.
func (r *Report) overrule(c *incident.Classification) {
	for _, f := range [...]struct {
		said string
		to   *string
	}{{r.Severity, &c.Severity}, {r.Impact, &c.Impact}, {r.Urgency, &c.Urgency}, {r.Category, &c.Category}, {r.Service, &c.Service}, {r.Team, &c.Team}} {
		if f.said != "" {
			*f.to = f.said
		}
	}
}

// text says the report in the timeline.
func (r *Report) text() string {
	text := r.Reporter
	if r.ReporterRole != "" {
		text += " (" + r.ReporterRole + ")"
	}
	if r.Channel != "" {
		text += " by " + r.Channel
	}
	text += ": " + r.Title
	if r.Description != r.Title {
		text += "\n" + r.Description
	}
	return text
}

// complete checks r and fills in what may be left out. All mistakes are said at once.
func (r *Report) complete(rules *rules) error {
	var errs []error
	if r.Title == "" {
		r.Title = alert.CutText(firstLine(strings.TrimSpace(r.Description)), maxTitle)
	}
	if r.Title == "" {
		errs = append(errs, &InputError{"description", "say what happened"})
	}
	for _, f := range [...]struct {
		name, value string
		limit       int
	}{{"title", r.Title, maxTitle}, {"description", r.Description, maxDescription}, {"reporter", r.Reporter, maxName},
		{"reporter_contact", r.ReporterContact, maxName}, {"reporter_role", r.ReporterRole, maxName}, {"host", r.Host, maxName},
		{"service", r.Service, maxName}, {"team", r.Team, maxName}} {
		if len(f.value) > f.limit {
			errs = append(errs, &InputError{f.name, fmt.Sprintf("longer than %d bytes", f.limit)})
		}
	}
	if r.Reporter == "" {
		errs = append(errs, &InputError{"reporter", "say who reports it"})
	}
	for _, f := range [...]struct {
		name, value string
		list        []string
	}{{"severity", r.Severity, rules.Classify.Severities}, {"impact", r.Impact, incident.Grades()}, {"urgency", r.Urgency, incident.Grades()},
		{"category", r.Category, rules.Classify.Categories}, {"channel", r.Channel, Channels()}} {
		if f.value != "" {
			errs = append(errs, oneOf(f.name, f.value, f.list))
		}
	}
	return errors.Join(errs...)
}

func oneOf(field, value string, list []string) error {
	if slices.Contains(list, value) {
		return nil
	}
	return &InputError{field, fmt.Sprintf("%q is none of %q", value, list)}
}

func firstLine(s string) string {
	for i := range s {
		if s[i] == '\n' || s[i] == '\r' {
			return s[:i]
		}
	}
	return s
}
