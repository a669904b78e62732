package web

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
)

// DutyJSON is a duty of an incident: what is to be done by when, or what became
// of it.
type DutyJSON struct {
	Name string `json:"name"`
	Text string `json:"text"`
	// Due is when, null if it is not due any more; Left is how long that is, below
	// zero if it has passed.
	Due  *time.Time `json:"due"`
	Left *float64   `json:"left_seconds"`
	// Deadline: people have to do it by then; otherwise something happens by itself.
	Deadline bool `json:"deadline"`
	// Objective: it is measured, so that nobody can say that it is done or not needed.
	Objective bool `json:"objective"`
	// MissedAt is when a deadline was due the last time that still has to be met, null if
	// it is due again, or nobody has to any more.
	MissedAt *time.Time `json:"missed_at"`
	// Fired is how often it was due and not done.
	Fired int `json:"fired"`
	// Outcome is kept, missed or waived, empty while it is to be done.
	Outcome string     `json:"outcome"`
	By      string     `json:"by"`
	At      *time.Time `json:"at"`
}

// DutiesJSON is what the process asks for in an incident.
type DutiesJSON struct {
	Duties []DutyJSON `json:"duties"`
	// Missing is what has to be done before each action; an action without an entry is free.
	Missing map[string][]incident.Requirement `json:"missing"`
}

// viewDuties returns what the process asks for, nothing without a process.
func (a *API) viewDuties(i *incident.Incident, now time.Time) DutiesJSON {
	v := DutiesJSON{Duties: []DutyJSON{}, Missing: map[string][]incident.Requirement{}}
	g := a.guide()
	if g == nil {
		return v
	}
	for _, d := range g.Duties(i, now) {
		j := DutyJSON{Name: d.Name, Text: d.Text, Due: stamp(d.Due), Deadline: d.Deadline, Objective: d.Objective, MissedAt: stamp(d.Missed), Fired: d.Fired, Outcome: d.Outcome, By: d.By, At: stamp(d.At)}
		if !d.Due.IsZero() {
			left := d.Due.Sub(now).Seconds()
			j.Left = &left
		}
		v.Duties = append(v.Duties, j)
	}
	for _, action := range []string{incident.ActionEscalate, incident.ActionResolve, incident.ActionClose} {
		if missing := g.Missing(i, action, now); len(missing) > 0 {
			v.Missing[action] = missing
		}
	}
	return v
}

func (a *API) guide() *process.Guide {
	if a.options.Process == nil {
		return nil
	}
	return a.options.Process()
}

// duties answers GET /api/v1/incidents/{id}/duties.
func (a *API) duties(c *gin.Context) {
	err := newQuery(c).done()
	var i *incident.Incident
	if err == nil {
		i, err = a.named(c)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, a.viewDuties(i, a.store.Now()))
}

// dutyDone answers POST /api/v1/incidents/{id}/duties/{duty}/done, and dutyWaived
// …/waive, which has to say why.
func (a *API) dutyDone(c *gin.Context)   { a.fulfil(c, false) }
func (a *API) dutyWaived(c *gin.Context) { a.fulfil(c, true) }

func (a *API) fulfil(c *gin.Context, waive bool) {
	a.simple(c, func(e *incident.Edit, by, comment string) error {
		return a.pipeline.Fulfil(e, c.Param("duty"), by, comment, waive)
	})
}
