package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report/similar"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// similarScan bounds the earlier incidents that are looked at: so many of the same
	// service, and so many of all, the latest of each.
	similarScan = 500
	// similarCompared bounds those whose alerts are looked at, similarAlerts how many of each.
	similarCompared, similarAlerts = 20, 100
	// similarShown is how many are listed, unless the request wants fewer.
	similarShown = 10
)

// SimilarJSON are the earlier incidents that are like one, and how often it came.
type SimilarJSON struct {
	Similar []SimilarIncidentJSON `json:"similar"`
	// Recurrence counts openings of the same key.
	Recurrence RecurrenceJSON `json:"recurrence"`
	// Suggestion is recurring for the third time within 48 hours, empty otherwise.
	Suggestion string `json:"suggestion"`
	// Scanned earlier incidents were looked at. Complete is false if there are older ones.
	Scanned  int  `json:"scanned"`
	Complete bool `json:"complete"`
}

// RecurrenceJSON counts openings up to the latest one, which is included.
type RecurrenceJSON struct {
	Day        int `json:"last_24h"`
	TwoDays    int `json:"last_48h"`
	Week       int `json:"last_7d"`
	ThirtyDays int `json:"last_30d"`
}

// SimilarIncidentJSON is an earlier incident with how it ended.
type SimilarIncidentJSON struct {
	ID        string     `json:"id"`
	Reference string     `json:"reference"`
	Title     string     `json:"title"`
	State     string     `json:"state"`
	Severity  string     `json:"severity"`
	Service   string     `json:"service"`
	OpenedAt  *time.Time `json:"opened_at"`
	// Score is from 0 to 1, and Reasons say why.
	Score   float64             `json:"score"`
	Reasons []SimilarReasonJSON `json:"reasons"`
	// How it ended, as far as it has.
	ResolvedAt    *time.Time `json:"resolved_at"`
	ResolvedBy    string     `json:"resolved_by"`
	Manager       string     `json:"incident_manager"`
	TimeToResolve *float64   `json:"time_to_resolve_seconds"`
	Outage        *float64   `json:"outage_seconds"`
	Cause         string     `json:"cause"`
	Solution      string     `json:"solution"`
	Workaround    string     `json:"workaround"`
	Fix           string     `json:"fix"`
	FollowUp      string     `json:"follow_up"`
	Drill         bool       `json:"drill"`
}

// Ended says in a line how it ended: when, by whom, why and what helped, as far as
// that is known.
func (s SimilarIncidentJSON) Ended() string {
	if s.ResolvedAt == nil {
		return "it is " + s.State
	}
	text := "resolved by " + s.ResolvedBy
	if s.Outage != nil {
		text += ", down for " + time.Duration(*s.Outage*float64(time.Second)).Round(time.Second).String()
	}
	for _, f := range [...]struct{ name, value string }{{"cause", s.Cause}, {"solution", cmp.Or(s.Solution, s.Fix)}, {"workaround", s.Workaround}} {
		if f.value != "" {
			text += "; " + f.name + ": " + f.value
		}
	}
	return text
}

// SimilarReasonJSON is one thing that two incidents have in common.
type SimilarReasonJSON struct {
	// Reason is key, alerts, alert_name, service, hosts or text.
	Reason string  `json:"reason"`
	Text   string  `json:"text"`
	Score  float64 `json:"score"`
}

// similar answers GET /api/v1/incidents/{id}/similar.
func (a *API) similar(c *gin.Context) {
	q := newQuery(c)
	limit := similarShown
	if len(q.values["limit"]) > 0 {
		limit = min(q.limit(), similarCompared)
	} else {
		q.known["limit"] = true
	}
	i, err := a.find(c, q)
	if err != nil {
		a.fail(c, err)
		return
	}
	found, err := a.likeThis(c.Request.Context(), i, limit)
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, found)
}

// likeThis looks for earlier incidents that are like i.
func (a *API) likeThis(ctx context.Context, i *incident.Incident, limit int) (SimilarJSON, error) {
	v := SimilarJSON{Similar: []SimilarIncidentJSON{}, Complete: true}
	matches, found, err := a.matches(ctx, i)
	if err != nil {
		return v, err
	}
	earlier := found.list
	v.Scanned, v.Complete = len(earlier), found.complete
	for _, m := range matches[:min(len(matches), limit)] {
		v.Similar = append(v.Similar, viewSimilar(m))
	}
	r := similar.Recur(i, earlier)
	v.Recurrence = RecurrenceJSON{r.Counts[0], r.Counts[1], r.Counts[2], r.Counts[3]}
	if r.Recurring {
		v.Suggestion = incident.ReasonRecurring
	}
	return v, nil
}

// looked are the earlier incidents that were looked at; complete if they are all.
type looked struct {
	list     []*incident.Incident
	complete bool
}

// matches are the earlier incidents that are like i, the most similar first.
func (a *API) matches(ctx context.Context, i *incident.Incident) ([]similar.Match, looked, error) {
	earlier, complete, err := a.earlier(ctx, i)
	if err != nil {
		return nil, looked{}, err
	}
	matches := similar.Find(i, earlier, similarCompared)
	return matches, looked{earlier, complete}, a.compareAlerts(ctx, i, matches)
}

// earlier reads the latest incidents that were opened before i: of its service, and
// of all.
func (a *API) earlier(ctx context.Context, i *incident.Incident) (out []*incident.Incident, complete bool, err error) {
	searches := []store.Query{{To: i.OpenedAt, Limit: similarScan}}
	if i.Service != "" {
		searches = append(searches, store.Query{To: i.OpenedAt, Limit: similarScan, Services: []string{i.Service}})
	}
	known := map[incident.ID]bool{}
	for n, q := range searches {
		list, next, err := a.store.Incidents(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, e := range list {
			if !known[e.ID] {
				known[e.ID] = true
				out = append(out, e)
			}
		}
		if n == 0 {
			complete = next == ""
		}
	}
	return out, complete, nil
}

// compareAlerts reads alerts of i and of each match, if there is any.
func (a *API) compareAlerts(ctx context.Context, i *incident.Incident, matches []similar.Match) error {
	if len(matches) == 0 || i.Alerts.Total == 0 {
		return nil
	}
	mine, err := a.fingerprints(ctx, i.ID)
	if err != nil {
		return err
	}
	theirs := make([][]alert.Fingerprint, len(matches))
	for n, m := range matches {
		if theirs[n], err = a.fingerprints(ctx, m.Incident.ID); err != nil {
			return err
		}
	}
	similar.Alerts(matches, mine, theirs)
	return nil
}

// fingerprints reads those of an incident's first alerts; an incident that was
// removed meanwhile has none.
func (a *API) fingerprints(ctx context.Context, id incident.ID) ([]alert.Fingerprint, error) {
	records, _, err := a.store.Alerts(ctx, id, "", similarAlerts)
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return nil, err
	}
	out := make([]alert.Fingerprint, len(records))
	for n := range records {
		out[n] = records[n].Entry.Fingerprint
	}
	return out, nil
}

func viewSimilar(m similar.Match) SimilarIncidentJSON {
	i := m.Incident
	f := i.Proceedings().Findings
	v := SimilarIncidentJSON{ID: i.ID.String(), Reference: i.Reference, Title: i.Title, State: i.State, Severity: i.Severity, Service: i.Service,
		OpenedAt: stamp(i.OpenedAt), Score: m.Score, Reasons: []SimilarReasonJSON{}, ResolvedAt: stamp(i.ResolvedAt), ResolvedBy: i.ResolvedBy,
		Manager: i.Roles[incident.RoleManager], TimeToResolve: seconds(i.TimeToResolve()), Outage: seconds(i.Outage()),
		Cause: f.Cause, Solution: f.Solution, Workaround: f.Workaround, Fix: f.Fix, FollowUp: f.FollowUp, Drill: i.Drill}
	for _, r := range m.Reasons {
		v.Reasons = append(v.Reasons, SimilarReasonJSON{r.What, r.Text, r.Score})
	}
	return v
}
