package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// SourceHeartbeat is the source of the alerts that say that somebody is silent.
const SourceHeartbeat = "heartbeat"

// Heartbeat is a message that is expected again and again, such as Prometheus'
// Watchdog: when it does not come an incident opens, and when it is back that
// resolves.
type Heartbeat struct {
	Name string `yaml:"name"`
	// Source is where the messages come from; empty means any source.
	Source string `yaml:"source"`
	// Matchers are in Alertmanager's syntax; all must match. A message that they
	// match is nothing but a heartbeat: it opens no incident of its own. Without any
	// every message of the source counts, and is taken as what it is.
	Matchers []string `yaml:"matchers"`
	// Every is how long there may be silence.
	Every model.Duration `yaml:"every"`
	// Severity, Service and Team are those of the incident.
	Severity string `yaml:"severity"`
	Service  string `yaml:"service"`
	Team     string `yaml:"team"`
}

// jobHeartbeat looks whether a heartbeat is overdue; its target is the name.
const jobHeartbeat = "heartbeat"

// typeHeartbeat is the document that says when a heartbeat was last heard.
const typeHeartbeat = "heartbeat"

// beatState is what is stored of a heartbeat.
type beatState struct {
	// LastAt is when it was last heard, to within a quarter of its period.
	LastAt time.Time `json:"last_at"`
	// Missing: it is overdue, and somebody was told, in the words of Told: those of
	// the configuration may be others by now, and then the end would not find the
	// incident.
	Missing bool   `json:"missing"`
	Told    beatTo `json:"told,omitzero"`
}

// beatTo says whose a heartbeat is, and how bad it is if it is missing.
type beatTo struct {
	Severity string `json:"severity"`
	Service  string `json:"service"`
	Team     string `json:"team"`
}

// heartbeat is a Heartbeat at work.
type heartbeat struct {
	Heartbeat
	matchers labels.Matchers
	key      incident.Key
	// all: it would take every alert of every source for a sign of life.
	all bool

	mu sync.Mutex
	// noted is when this process last stored that it was heard.
	noted time.Time
}

func newHeartbeats(list []Heartbeat) ([]*heartbeat, error) {
	var out []*heartbeat
	for _, h := range list {
		made := &heartbeat{Heartbeat: h}
		for _, text := range h.Matchers {
			ms, err := parse.Matchers(text)
			if err != nil {
				return nil, fmt.Errorf("router: heartbeat %q: matcher %q: %w", h.Name, text, err)
			}
			made.matchers = append(made.matchers, ms...)
		}
		made.all = h.Source == "" && MatchesAll(made.matchers)
		sum := sha256.Sum256([]byte("heartbeat\x00" + h.Name))
		made.key = incident.Key(sum[:16])
		out = append(out, made)
	}
	return out, nil
}

// MatchesAll reports whether matchers fit an alert that has none of the labels.
func MatchesAll(ms labels.Matchers) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") })
}

// hears reports whether a is a sign of life.
func (h *heartbeat) hears(a *alert.Alert) bool {
	if h.all || a.Source == SourceHeartbeat || h.Source != "" && h.Source != a.Source || a.Status == alert.Resolved && len(h.matchers) > 0 {
		return false
	}
	for _, m := range h.matchers {
		if !m.Matches(a.Labels.Get(m.Name)) {
			return false
		}
	}
	return true
}

// beat answers an alert that is nothing but a heartbeat.
func (q *request) beat(n int) bool {
	a := &q.alerts[n]
	for _, h := range q.rules.heartbeats {
		if len(h.matchers) > 0 && h.hears(a) {
			q.outcomes[n] = alert.Outcome{Verdict: alert.Suppressed, Reason: "heartbeat: " + h.Name}
			if q.trace != nil {
				q.trace(n, Decision{Stage: "heartbeat", Rule: h.Name, Text: "a sign of life, and nothing else"})
			}
			return true
		}
	}
	return false
}

// listen notes which heartbeats were heard in a request that is durable otherwise.
func (p *Pipeline) listen(ctx context.Context, list []*heartbeat, alerts []alert.Alert) error {
	for _, h := range list {
		var at time.Time
		for i := range alerts {
			if received := alerts[i].ReceivedAt; received.After(at) && h.hears(&alerts[i]) {
				at = received
			}
		}
		if at.IsZero() {
			continue
		}
		if err := p.heard(ctx, h, at); err != nil {
			return err
		}
	}
	return nil
}

// heard notes that a heartbeat was heard. That is stored four times in a period
// at most.
func (p *Pipeline) heard(ctx context.Context, h *heartbeat, at time.Time) error {
	if !h.mu.TryLock() {
		return nil // another one is noting it, and it is the same sign
	}
	defer h.mu.Unlock()
	if at.Sub(h.noted) < time.Duration(h.Every)/4 {
		return nil
	}
	if now := p.store.Now(); at.After(now) {
		at = now
	}
	var was beatState
	err := p.editBeat(ctx, h.Name, func(s *beatState) bool {
		was = *s
		if !at.After(s.LastAt) && !s.Missing {
			return false
		}
		s.LastAt = latest(at, s.LastAt)
		// What was overdue stays so until the incident has heard of the end.
		return true
	})
	if err == nil && was.Missing {
		err = p.beatIs(ctx, h, was.Told, alert.Resolved, at, at)
		if err == nil {
			err = p.editBeat(ctx, h.Name, func(s *beatState) bool { s.Missing = false; return true })
		}
	}
	if err == nil {
		h.noted = at
	}
	return err
}

// overdue does the job of a heartbeat.
func (p *Pipeline) overdue(ctx context.Context, name string) (again time.Time, err error) {
	r := p.rules.Load()
	i := slices.IndexFunc(r.heartbeats, func(h *heartbeat) bool { return h.Name == name })
	if i < 0 {
		return time.Time{}, p.forgetBeat(ctx, name)
	}
	h, now := r.heartbeats[i], p.store.Now()
	if p.held != nil && p.held() {
		return now.Add(heldPause), nil // it may be in the spool
	}
	var last, due time.Time
	var told beatTo
	var missing bool
	err = p.editBeat(ctx, name, func(s *beatState) bool {
		last = s.LastAt
		// Silence counts only while we listened.
		due = latest(last, p.store.ListeningSince()).Add(time.Duration(h.Every))
		missing = !due.After(now)
		begins := missing && !s.Missing
		if begins {
			s.Missing, s.Told = true, beatTo{h.Severity, h.Service, h.Team}
		}
		told = s.Told
		return begins
	})
	switch {
	case err != nil:
		return time.Time{}, err
	case missing:
		// Said again each time: it is the same alert, and the first time may have failed.
		return now.Add(time.Duration(h.Every)), p.beatIs(ctx, h, told, alert.Firing, due, last)
	}
	return due, nil
}

// beatIs says whether a heartbeat is missing, as an alert like any other.
func (p *Pipeline) beatIs(ctx context.Context, h *heartbeat, to beatTo, s alert.Status, at, last time.Time) error {
	text := "nothing was heard for " + h.Every.String()
	if h.Source != "" {
		text += " from the source " + h.Source
	}
	set := map[string]string{"alertname": "Heartbeat " + h.Name, "heartbeat": h.Name, "severity": to.Severity, "service": to.Service, "team": to.Team}
	for name, value := range set {
		if value == "" {
			delete(set, name)
		}
	}
	a := alert.Alert{Kind: alert.KindAlert, Status: s, Source: SourceHeartbeat, Key: h.Name, Labels: alert.FromMap(set), ReceivedAt: p.store.Now(),
		Annotations: alert.FromMap(map[string]string{"summary": text, "last_heard_at": last.UTC().Format(time.RFC3339)})}
	if s == alert.Firing {
		a.StartsAt = at
	} else {
		a.EndsAt = at
	}
	_, err := p.Accept(ctx, SourceHeartbeat, []alert.Alert{a})
	return err
}

// editBeat changes what is stored of a heartbeat; change reports whether it did.
func (p *Pipeline) editBeat(ctx context.Context, name string, change func(*beatState) bool) error {
	for {
		d, err := p.store.Document(ctx, typeHeartbeat, name)
		if errors.Is(err, incident.ErrNotFound) {
			d = incident.Document{Type: typeHeartbeat, ID: name}
		} else if err != nil {
			return err
		}
		s := beatState{}
		if d.Version > 0 {
			if err := json.Unmarshal(d.Data, &s); err != nil {
				return fmt.Errorf("router: heartbeat %q: %w", name, err)
			}
		}
		if !change(&s) {
			return nil
		}
		if d.Data, err = json.Marshal(&s); err != nil {
			return err // unreachable: it always encodes
		}
		if _, err = p.store.PutDocument(ctx, d); !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// forgetBeat ends what is no longer configured.
func (p *Pipeline) forgetBeat(ctx context.Context, name string) error {
	d, err := p.store.Document(ctx, typeHeartbeat, name)
	if errors.Is(err, incident.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var s beatState
	if err := json.Unmarshal(d.Data, &s); err != nil {
		return fmt.Errorf("router: heartbeat %q: %w", name, err)
	}
	if now := p.store.Now(); s.Missing {
		if err := p.beatIs(ctx, &heartbeat{Heartbeat: Heartbeat{Name: name}}, s.Told, alert.Resolved, now, now); err != nil {
			return err
		}
	}
	d.Data = nil
	if _, err = p.store.PutDocument(ctx, d); errors.Is(err, incident.ErrConflict) {
		return nil // somebody has it again
	}
	return err
}

// armBeats makes the jobs of heartbeats that have none. The first period of a new
// one begins now.
func (p *Pipeline) armBeats(ctx context.Context, list []*heartbeat) error {
	now := p.store.Now()
	var changes []incident.Change
	for _, h := range list {
		err := p.editBeat(ctx, h.Name, func(s *beatState) bool {
			fresh := s.LastAt.IsZero()
			if fresh {
				s.LastAt = now
			}
			return fresh
		})
		if err != nil {
			return err
		}
		job := incident.Job{Subject: h.key.String(), Kind: jobHeartbeat, Target: h.Name, Due: now.Add(time.Duration(h.Every)), NoLater: true}
		changes = append(changes, incident.Change{ID: uuid.New(), Key: h.key, Step: func(incident.State) (incident.Next, error) {
			return incident.Next{Jobs: []incident.Job{job}}, nil
		}})
	}
	if len(changes) == 0 {
		return nil
	}
	return p.store.Update(ctx, changes)
}

// latest is the later of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
