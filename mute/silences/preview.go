package silences

import (
	"context"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// PreviewShown is how many incidents and alerts a preview lists.
	PreviewShown = 50
	// PreviewDays is how far back it looks.
	PreviewDays = 30
	// previewIncidents, previewAlerts and previewTime bound what it looks at.
	previewIncidents = 5000
	previewAlerts    = 50000
	previewTime      = 10 * time.Second
	previewPage      = 200
)

// Preview is what a silence would hide, or would have hidden.
type Preview struct {
	Now  Hits `json:"now"`
	Past Hits `json:"past"`
	// PastSince is when the incidents of Past were opened at the earliest.
	PastSince time.Time `json:"past_since"`
}

// Hits are incidents and alerts that matchers hit.
type Hits struct {
	// Incidents counts those that are hit at least in part, and Whole those of them
	// of which nobody would be told.
	Incidents int `json:"incidents"`
	Whole     int `json:"incidents_whole"`
	// Alerts counts those that fire; of the past, all.
	Alerts int `json:"alerts"`
	// FirstIncidents and FirstAlerts are the first of them, the newest incidents first.
	FirstIncidents []HitIncident `json:"first_incidents"`
	FirstAlerts    []HitAlert    `json:"first_alerts"`
	// Truncated: there was too much to look at, and the counts are too low.
	Truncated bool `json:"truncated"`
}

// HitIncident is an incident of a preview.
type HitIncident struct {
	ID        string    `json:"id"`
	Reference string    `json:"reference"`
	Title     string    `json:"title"`
	State     string    `json:"state"`
	Severity  string    `json:"severity"`
	OpenedAt  time.Time `json:"opened_at"`
	// Whole: nobody would be told of it.
	Whole bool `json:"whole"`
}

// HitAlert is an alert of a preview.
type HitAlert struct {
	// Incident is the reference of its incident.
	Incident string            `json:"incident"`
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"starts_at"`
}

// Preview says what matchers hit now, and which of the incidents of the last 30
// days they would have hit. The error is an *InvalidError or the store's.
func (s *Set) Preview(ctx context.Context, ms []Matcher) (*Preview, error) {
	compiled, err := Compile(ms)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	now := s.store.Now()
	p := &Preview{PastSince: now.Add(-PreviewDays * 24 * time.Hour).UTC()}
	look := func(h *Hits, q store.Query, firing bool) error {
		g := gathering{store: s.store, ms: compiled, hits: h, firing: firing}
		h.FirstIncidents, h.FirstAlerts = []HitIncident{}, []HitAlert{}
		err := g.all(limited, q)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			h.Truncated = true // our own time limit
			return nil
		}
		return err
	}
	if err := look(&p.Now, store.Query{States: []string{incident.Open, incident.Acknowledged}}, true); err != nil {
		return nil, err
	}
	return p, look(&p.Past, store.Query{From: p.PastSince}, false)
}

// gathering is one walk over incidents.
type gathering struct {
	store Store
	ms    labels.Matchers
	hits  *Hits
	// firing: only alerts that fire count.
	firing             bool
	incidents, records int
}

func (g *gathering) all(ctx context.Context, q store.Query) error {
	for q.Limit = previewPage; ; {
		list, next, err := g.store.Incidents(ctx, q)
		if err != nil {
			return err
		}
		for _, i := range list {
			if g.incidents == previewIncidents {
				g.hits.Truncated = true
				return nil
			}
			g.incidents++
			err := ctx.Err() // a store on this machine does not look
			if err == nil {
				err = g.one(ctx, i)
			}
			if err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}

// one looks at an incident: it is hit if its own labels are, which all its alerts
// share, or if one of its alerts is; as a whole if all of them are.
func (g *gathering) one(ctx context.Context, i *incident.Incident) error {
	whole := match.Of(i).All(g.ms)
	if !whole && g.cannot(i) {
		return nil
	}
	seen, hit := 0, 0
	for cursor := ""; ; {
		if g.records >= previewAlerts {
			g.hits.Truncated = true
			break
		}
		records, next, err := g.store.Alerts(ctx, i.ID, cursor, previewPage)
		if err != nil {
			return err
		}
		g.records += len(records)
		for n := range records {
			r := &records[n]
			if r.Content == nil || g.firing && !r.Entry.Firing {
				continue
			}
			seen++
			if match.OfAlert(r.Content, r.Entry.Severity, i).All(g.ms) {
				hit++
				g.alert(i, r)
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	whole = whole || seen > 0 && hit == seen
	if !whole && hit == 0 {
		return nil
	}
	h := g.hits
	h.Incidents++
	if whole {
		h.Whole++
	}
	if len(h.FirstIncidents) < PreviewShown {
		h.FirstIncidents = append(h.FirstIncidents, HitIncident{i.ID.String(), i.Reference, i.Title, i.State, i.Severity, i.OpenedAt.UTC(), whole})
	}
	return nil
}

func (g *gathering) alert(i *incident.Incident, r *store.Record) {
	if g.hits.Alerts++; len(g.hits.FirstAlerts) < PreviewShown {
		g.hits.FirstAlerts = append(g.hits.FirstAlerts, HitAlert{i.Reference, r.Content.Labels.Map(), r.Entry.Start.UTC()})
	}
}

// cannot reports whether no alert of an incident can be hit, because of a label
// that all of them share. Their severities differ.
func (g *gathering) cannot(i *incident.Incident) bool {
	l := match.Of(i)
	for _, m := range g.ms {
		if _, shared := i.Labels[m.Name]; shared && m.Name != "severity" && !l.Is(m) {
			return true
		}
	}
	return false
}
