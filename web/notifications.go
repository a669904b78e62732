package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/router"
)

// Notifications is who tells people, and knows what they have been told.
type Notifications interface {
	// Notifications lists what each target knows of an incident, or of a notice.
	Notifications(ctx context.Context, subject string) ([]notify.Notification, error)
	// Undelivered lists messages that were given up; Again tries one once more, and
	// returns an incident.ErrNotFound if there is none.
	Undelivered(ctx context.Context, after string, limit int) (list []notify.Undelivered, next string, err error)
	Again(ctx context.Context, id incident.ID, target string) error
	// Preview says what a receiver would be told of an incident, Test tells it of a
	// drill; an incident.ErrNotFound if there is no such receiver.
	Preview(ctx context.Context, name, receiver string) ([]notify.Preview, error)
	Test(ctx context.Context, receiver, by string) ([]notify.Tested, error)
}

// NotificationsJSON is what the targets know of an incident.
type NotificationsJSON struct {
	Notifications []notify.Notification `json:"notifications"`
}

// UndeliveredJSON is a page of messages that were given up.
type UndeliveredJSON struct {
	Undelivered []notify.Undelivered `json:"undelivered"`
	NextCursor  string               `json:"next_cursor"`
}

// PreviewsJSON is what the integrations of a receiver would be told.
type PreviewsJSON struct {
	Previews []notify.Preview `json:"previews"`
}

// TestedJSON is how a test message to each integration of a receiver went.
type TestedJSON struct {
	Results []notify.Tested `json:"results"`
}

var errTellsNobody = refuse(http.StatusNotFound, "nobody is told of anything here: the configuration has no receivers")

// notifications answers GET /api/v1/incidents/{id}/notifications.
func (a *API) notifications(c *gin.Context) {
	i, err := a.find(c, newQuery(c))
	v := NotificationsJSON{Notifications: []notify.Notification{}}
	if err == nil && a.options.Notifications != nil {
		v.Notifications, err = a.options.Notifications.Notifications(c.Request.Context(), i.ID.String())
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

// preview answers GET /api/v1/incidents/{id}/notifications/preview.
func (a *API) preview(c *gin.Context) {
	q := newQuery(c)
	receiver := q.text("receiver")
	if receiver == "" {
		q.bad("receiver", "say which receiver")
	}
	err := q.done()
	if err == nil && a.options.Notifications == nil {
		err = errTellsNobody
	}
	var v PreviewsJSON
	if err == nil {
		if _, err = a.named(c); err == nil {
			v.Previews, err = a.options.Notifications.Preview(c.Request.Context(), c.Param("id"), receiver)
			err = orNotFound(err, "receiver", receiver)
		}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

// again answers POST /api/v1/incidents/{id}/notifications/retry.
func (a *API) again(c *gin.Context) {
	var body struct {
		command
		Target string `json:"target"`
	}
	err := a.read(c, &body, &body.command)
	if err == nil && body.Target == "" {
		err = &router.InputError{Field: "target", Reason: "say which target, as notifications list it"}
	}
	if err == nil && a.options.Notifications == nil {
		err = errTellsNobody
	}
	var i *incident.Incident
	if err == nil {
		i, err = a.named(c)
	}
	if err == nil {
		err = orNotFound(a.options.Notifications.Again(c.Request.Context(), i.ID, body.Target), "undelivered message for", body.Target)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, ViewIncident(i))
}

// undelivered answers GET /api/v1/undelivered.
func (a *API) undelivered(c *gin.Context) {
	q := newQuery(c)
	limit, cursor := q.limit(), q.text("cursor")
	err := q.done()
	v := UndeliveredJSON{Undelivered: []notify.Undelivered{}}
	if err == nil && a.options.Notifications != nil {
		var list []notify.Undelivered
		list, v.NextCursor, err = a.options.Notifications.Undelivered(c.Request.Context(), cursor, limit)
		v.Undelivered = append(v.Undelivered, list...)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

// testReceiver answers POST /api/v1/receivers/{name}/test.
func (a *API) testReceiver(c *gin.Context) {
	var cmd command
	err := a.read(c, &cmd, &cmd)
	if err == nil && a.options.Notifications == nil {
		err = errTellsNobody
	}
	var v TestedJSON
	if err == nil {
		v.Results, err = a.options.Notifications.Test(c.Request.Context(), c.Param("id"), cmd.By)
		err = orNotFound(err, "receiver", c.Param("id"))
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

// orNotFound says what was not found, if that is the error.
func orNotFound(err error, what, name string) error {
	if errors.Is(err, incident.ErrNotFound) {
		return notFound(what, name)
	}
	return err
}
