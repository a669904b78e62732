package web

import (
	"errors"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
)

// escalate answers POST /api/v1/incidents/{id}/escalate.
func (a *API) escalate(c *gin.Context) {
	var body struct {
		command
		To     string `json:"to"`
		Reason string `json:"reason"`
	}
	check := func() error {
		return errors.Join(checkName("to", body.To), oneOf("reason", body.Reason, incident.Reasons()))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.Escalate(body.By, body.To, body.Reason, body.Comment) })
}

func (a *API) accept(c *gin.Context)     { a.simple(c, (*incident.Edit).Accept) }
func (a *API) answerCall(c *gin.Context) { a.simple(c, (*incident.Edit).Answer) }
