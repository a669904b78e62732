package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
)

// incidents answers GET /api/v1/incidents.
func (a *API) incidents(c *gin.Context) {
	q := newQuery(c)
	search := store.Query{
		States:     q.list("state", incident.States()),
		Severities: q.list("severity", a.pipeline.Severities()),
		Services:   q.list("service", nil),
		Teams:      q.list("team", nil),
		Text:       q.text("q"),
		From:       q.time("from"),
		To:         q.time("to"),
		Limit:      q.limit(),
		Cursor:     q.text("cursor"),
	}
	if err := q.done(); err != nil {
		a.fail(c, err)
		return
	}
	found, next, err := a.store.Incidents(c.Request.Context(), search)
	if err != nil {
		a.fail(c, err)
		return
	}
	page := IncidentsJSON{Incidents: make([]IncidentJSON, len(found)), NextCursor: next}
	for n, i := range found {
		page.Incidents[n] = ViewIncident(i)
	}
	a.answer(c, http.StatusOK, page)
}

// IncidentsJSON is a page of incidents, newest first. NextCursor is empty on
// the last one; a page may be shorter than asked for and still not be the last.
type IncidentsJSON struct {
	Incidents  []IncidentJSON `json:"incidents"`
	NextCursor string         `json:"next_cursor"`
}

// incident answers GET /api/v1/incidents/{id}.
func (a *API) incident(c *gin.Context) {
	i, err := a.find(c, newQuery(c))
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answerIncident(c, i)
}

// find reads the incident that the path names, if the query has no mistakes.
func (a *API) find(c *gin.Context, q *query) (*incident.Incident, error) {
	if err := q.done(); err != nil {
		return nil, err
	}
	return a.named(c)
}

// named reads the incident that the path names.
func (a *API) named(c *gin.Context) (*incident.Incident, error) {
	i, err := a.store.Incident(c.Request.Context(), c.Param("id"))
	if errors.Is(err, incident.ErrNotFound) {
		return nil, notFound("incident", c.Param("id"))
	}
	return i, err
}

func notFound(what, name string) error {
	if len(name) > textLimit {
		name = "of this name"
	}
	return refuse(http.StatusNotFound, "there is no %s %s", what, name)
}

// answerIncident answers 200 with i. The entity tag is what If-Match takes.
func (a *API) answerIncident(c *gin.Context, i *incident.Incident) {
	c.Set(subjectKey, i.Reference)
	c.Header("ETag", fmt.Sprintf("%q", strconv.FormatUint(i.Version, 10)))
	a.answer(c, http.StatusOK, ViewIncident(i))
}

// AlertsJSON is a page of an incident's alerts, in an order in which none moves.
type AlertsJSON struct {
	Alerts     []AlertJSON `json:"alerts"`
	NextCursor string      `json:"next_cursor"`
}

// alerts answers GET /api/v1/incidents/{id}/alerts.
func (a *API) alerts(c *gin.Context) {
	q := newQuery(c)
	limit, cursor, status := q.limit(), q.text("cursor"), q.word("status", "", alert.Firing.String(), alert.Resolved.String())
	i, err := a.find(c, q)
	if err != nil {
		a.fail(c, err)
		return
	}
	page := AlertsJSON{Alerts: []AlertJSON{}, NextCursor: cursor}
	// Of few among many a page is at least half full; to fill the last places one by one takes long.
	for more := true; more && len(page.Alerts) <= limit/2; more = page.NextCursor != "" {
		var records []store.Record
		if records, page.NextCursor, err = a.store.Alerts(c.Request.Context(), i.ID, page.NextCursor, limit-len(page.Alerts)); err != nil {
			a.fail(c, err)
			return
		}
		for _, r := range records {
			if status == "" || r.Entry.Firing == (status == alert.Firing.String()) {
				page.Alerts = append(page.Alerts, ViewRecord(r))
			}
		}
	}
	a.answer(c, http.StatusOK, page)
}

// TimelinePageJSON is a page of an incident's timeline, oldest first. The
// cursor is the number (seq) of the entry before the page.
type TimelinePageJSON struct {
	Timeline   []TimelineJSON `json:"timeline"`
	NextCursor string         `json:"next_cursor"`
}

// timeline answers GET /api/v1/incidents/{id}/timeline.
func (a *API) timeline(c *gin.Context) {
	q := newQuery(c)
	limit, cursor := q.limit(), q.text("cursor")
	var after uint64
	if cursor != "" {
		var err error
		if after, err = strconv.ParseUint(cursor, 10, 63); err != nil {
			q.errs = append(q.errs, &router.InputError{Field: "cursor", Reason: "not a cursor of this list"})
		}
	}
	i, err := a.find(c, q)
	if err != nil {
		a.fail(c, err)
		return
	}
	entries, err := a.store.Timeline(c.Request.Context(), i.ID, after, limit+1)
	if err != nil {
		a.fail(c, err)
		return
	}
	page := TimelinePageJSON{Timeline: []TimelineJSON{}}
	if len(entries) > limit {
		entries = entries[:limit]
		page.NextCursor = strconv.FormatUint(entries[limit-1].Seq, 10)
	}
	for _, e := range entries {
		page.Timeline = append(page.Timeline, ViewTimeline(e))
	}
	a.answer(c, http.StatusOK, page)
}
