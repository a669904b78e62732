package web

import (
	"errors"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// snooze answers POST /api/v1/incidents/{id}/snooze.
func (a *API) snooze(c *gin.Context) {
	var body struct {
		command
		Until      time.Time `json:"until,omitzero"`
		ForSeconds int64     `json:"for_seconds"`
	}
	const longest = int64(incident.SnoozeAtMost / time.Second)
	check := func() error {
		switch {
		case body.Until.IsZero() == (body.ForSeconds == 0):
			return wrong("until", "say either until when, or for_seconds: for how long")
		case body.ForSeconds < 0, body.ForSeconds > longest:
			return wrong("for_seconds", "is not from 1 to %d", longest)
		}
		return checkTimeIfAny("until", body.Until)
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		if body.ForSeconds != 0 {
			return e.SnoozeFor(body.By, time.Duration(body.ForSeconds)*time.Second, body.Comment)
		}
		return e.Snooze(body.By, body.Until, body.Comment)
	})
}

func (a *API) unsnooze(c *gin.Context) { a.simple(c, (*incident.Edit).Unsnooze) }

// merge answers POST /api/v1/incidents/{id}/merge.
func (a *API) merge(c *gin.Context) {
	var body struct {
		command
		Into string `json:"into"`
	}
	a.together(c, &body, &body.command, func() error { return checkName("into", body.Into) }, func(terms router.Terms) (*incident.Incident, error) {
		return a.pipeline.Merge(c.Request.Context(), c.Param("id"), body.Into, terms, body.By, body.Comment)
	})
}

// unmerge answers POST /api/v1/incidents/{id}/unmerge.
func (a *API) unmerge(c *gin.Context) {
	var cmd command
	a.together(c, &cmd, &cmd, nil, func(terms router.Terms) (*incident.Incident, error) {
		return a.pipeline.Unmerge(c.Request.Context(), c.Param("id"), terms, cmd.By, cmd.Comment)
	})
}

// openChild answers POST /api/v1/incidents/{id}/children: one customer's part of the
// incident, with the customer's incident.
func (a *API) openChild(c *gin.Context) {
	var body struct {
		command
		Customer    string `json:"customer"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}
	check := func() error {
		return errors.Join(checkName("customer", body.Customer), checkText("title", body.Title, textLimit), checkText("description", body.Description, commentLimit))
	}
	a.together(c, &body, &body.command, check, func(terms router.Terms) (*incident.Incident, error) {
		child, opened, err := a.pipeline.OpenChild(c.Request.Context(), c.Param("id"), terms,
			router.CustomerPart{Customer: body.Customer, Title: body.Title, Description: body.Description, By: body.By, Comment: body.Comment})
		if err == nil {
			verdict := alert.Duplicate
			if opened {
				verdict = alert.Opened
			}
			c.Header("Location", "/api/v1/incidents/"+child.ID.String())
			c.Header(VerdictHeader, verdict.String())
		}
		return child, err
	})
}

// together is run for what changes two incidents.
func (a *API) together(c *gin.Context, body any, cmd *command, check func() error, do func(terms router.Terms) (*incident.Incident, error)) {
	err := a.read(c, body, cmd)
	if err == nil && check != nil {
		err = check()
	}
	var terms router.Terms
	if err == nil {
		terms, err = readTerms(c)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	i, err := do(terms)
	a.acted(c, i, err)
}
