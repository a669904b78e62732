package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// ConflictError says that the incident is not as the caller thought.
type ConflictError struct {
	// Current is the incident as it is.
	Current *incident.Incident
	Reason  string
}

func (e *ConflictError) Error() string { return e.Reason }

// Is makes it an incident.ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == incident.ErrConflict }

// InputError says which field of a request is wrong.
type InputError struct{ Field, Reason string }

func (e *InputError) Error() string { return e.Field + ": " + e.Reason }

// Act changes the incident with the given id or reference as edit says, and
// returns it. Version, if not 0, must be the incident's. What does not change
// anything leaves no trace.
func (p *Pipeline) Act(ctx context.Context, name string, version uint64, edit func(*incident.Edit) error) (*incident.Incident, error) {
	known, err := p.store.Incident(ctx, name)
	if err != nil {
		return nil, err
	}
	rules := p.rules.Load()
	result := known
	change := incident.Change{ID: uuid.New(), Incident: known.ID, Key: known.Key, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if st.Incident == nil {
			return next, incident.ErrNotFound
		}
		result = st.Incident
		if version != 0 && st.Incident.Version != version {
			return next, &ConflictError{st.Incident, fmt.Sprintf("the incident has version %d, not %d", st.Incident.Version, version)}
		}
		e := rules.policy.Change(st.Incident, st.Now)
		if err := edit(e); err != nil {
			return next, asConflict(err, st.Incident)
		}
		if reopened := !st.Incident.IsOpen() && e.Incident.IsOpen(); reopened {
			if err := takeKey(&st, &next); err != nil || !next.Want.IsZero() {
				return next, err
			}
		}
		if e.Changed() {
			result = e.Incident
			e.Into(&next)
		}
		return next, nil
	}}
	if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
		return nil, err
	}
	return result.Clone(), nil
}

// takeKey makes the incident that is to be reopened the one that its key names,
// or refuses because the key has a newer one: the alerts are there.
func takeKey(st *incident.State, next *incident.Next) error {
	i := st.Incident
	key := incident.KeyState{Key: i.Key, Rule: i.Rule, By: []alert.Label{}}
	if st.Key != nil {
		key = *st.Key
	}
	newer, asked := st.Others[key.Incident]
	switch {
	case key.Incident == i.ID:
		return nil
	case !key.Incident.IsZero() && !asked:
		next.Want.Incidents = []incident.ID{key.Incident}
		return nil
	case newer != nil:
		return &ConflictError{i, "a newer incident of the same key exists: " + newer.Reference}
	}
	// Retention has removed the newer one, or the key with it.
	key.Incident = i.ID
	next.Key = &key
	return nil
}

func asConflict(err error, current *incident.Incident) error {
	var state *incident.StateError
	if errors.As(err, &state) {
		return &ConflictError{current, err.Error()}
	}
	return err
}

// CheckSeverity reports an InputError if s is not a configured severity.
func (p *Pipeline) CheckSeverity(s string) error {
	return oneOf("severity", s, p.rules.Load().Classify.Severities)
}

// Severities are the configured ones, worst first.
func (p *Pipeline) Severities() []string { return p.rules.Load().Classify.Severities }

// Teams are those that metrics name.
func (p *Pipeline) Teams() []string { return p.rules.Load().policy.Teams }

// Report is an incident that a person reports.
type Report struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Reporter    string `json:"reporter"`
	Severity    string `json:"severity"`
	Impact      string `json:"impact"`
	Urgency     string `json:"urgency"`
	Category    string `json:"category"`
	Service     string `json:"service"`
	Team        string `json:"team"`
	Drill       bool   `json:"drill"`
	// StartedAt is when it began, if that is known.
	StartedAt time.Time `json:"started_at,omitzero"`
}

// Limits of what a person writes, in bytes.
const (
	maxTitle       = 200
	maxDescription = 16 << 10
	maxName        = 200
)

// Report opens an incident without an alert.
func (p *Pipeline) Report(ctx context.Context, r Report) (*incident.Incident, error) {
	rules := p.rules.Load()
	if err := r.complete(rules); err != nil {
		return nil, err
	}
	id := uuid.New()
	sum := sha256.Sum256(append([]byte("manual\x00"), id[:]...))
	key := incident.Key(sum[:16])
	var opened *incident.Incident
	change := incident.Change{ID: id, Key: key, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		e := rules.policy.Open(incident.Opening{ID: st.NewID(0), Key: key, Rule: "manual", Title: r.Title, StartedAt: r.StartedAt, By: r.Reporter,
			Description: r.Description, Drill: r.Drill,
			Class: incident.Classification{Severity: r.Severity, Impact: r.Impact, Urgency: r.Urgency, Category: r.Category, Service: r.Service, Team: r.Team}}, st.Now)
		opened = e.Incident
		opened.Labels = map[string]string{}
		e.Into(&next)
		next.Key = &incident.KeyState{Key: key, Rule: "manual", Incident: opened.ID, By: []alert.Label{}}
		return next, nil
	}}
	if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
		return nil, err
	}
	return opened.Clone(), nil
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
		{"service", r.Service, maxName}, {"team", r.Team, maxName}} {
		if len(f.value) > f.limit {
			errs = append(errs, &InputError{f.name, fmt.Sprintf("longer than %d bytes", f.limit)})
		}
	}
	if r.Reporter == "" {
		errs = append(errs, &InputError{"reporter", "say who reports it"})
	}
	if r.Severity == "" {
		r.Severity = rules.Classify.DefaultSeverity
	}
	for _, f := range [...]struct {
		name, value string
		list        []string
	}{{"severity", r.Severity, rules.Classify.Severities}, {"impact", r.Impact, incident.Grades()}, {"urgency", r.Urgency, incident.Grades()},
		{"category", r.Category, rules.Classify.Categories}} {
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
