package web

import (
	"errors"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
)

// updateForAtMost bounds the receivers that one update is for.
const updateForAtMost = 20

// update answers POST /api/v1/incidents/{id}/update.
func (a *API) update(c *gin.Context) {
	var body struct {
		command
		Phase       string    `json:"phase"`
		What        string    `json:"what"`
		Analysis    string    `json:"analysis"`
		Progress    string    `json:"progress"`
		Forecast    string    `json:"forecast"`
		Contact     string    `json:"contact"`
		Restoration time.Time `json:"restoration,omitzero"`
		Public      bool      `json:"public"`
		For         []string  `json:"for"`
	}
	check := func() error {
		return errors.Join(checkOneOf("phase", body.Phase, incident.Phases()), checkSaid("what", body.What, paragraphLimit),
			checkText("analysis", body.Analysis, paragraphLimit), checkText("progress", body.Progress, paragraphLimit),
			checkText("forecast", body.Forecast, paragraphLimit), checkText("contact", body.Contact, maxBy),
			checkTimeIfAny("restoration", body.Restoration), a.checkReceivers("for", body.For, updateForAtMost))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		return e.Publish(incident.Update{By: body.By, Phase: body.Phase, What: body.What, Analysis: body.Analysis, Progress: body.Progress, Forecast: body.Forecast,
			Contact: body.Contact, Restoration: body.Restoration, Public: body.Public, For: slices.Clone(body.For)}, body.Comment)
	})
}

// sign answers POST /api/v1/incidents/{id}/updates/{n}/sign.
func (a *API) sign(c *gin.Context) {
	var cmd command
	var n uint64
	check := func() (err error) { n, err = number(c); return err }
	a.run(c, &cmd, &cmd, check, func(e *incident.Edit) error { return e.Sign(cmd.By, n, cmd.Comment) })
}
