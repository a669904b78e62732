package web

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// ChoicesJSON is what the fields of commands may be: words that are always the same,
// and those that the configuration has.
type ChoicesJSON struct {
	// Severities are the worst first.
	Severities []string `json:"severities"`
	Categories []string `json:"categories"`
	Teams      []string `json:"teams"`
	Receivers  []string `json:"receivers"`
	// Tiers are the support levels of the process, the first one first; empty if any name
	// will do. Services and Customers are those that the configuration knows of; others
	// will do too.
	Tiers     []string `json:"tiers"`
	Services  []string `json:"services"`
	Customers []string `json:"customers"`

	Phases          []string `json:"phases"`
	Levels          []string `json:"levels"`
	Grades          []string `json:"grades"`
	Roles           []string `json:"roles"`
	Reasons         []string `json:"reasons"`
	ContactChannels []string `json:"contact_channels"`
	ReportChannels  []string `json:"report_channels"`
	CauseStates     []string `json:"cause_states"`
	ActionKinds     []string `json:"action_kinds"`
	LinkKinds       []string `json:"link_kinds"`
}

// choices answers GET /api/v1/choices.
func (a *API) choices(c *gin.Context) {
	if err := newQuery(c).done(); err != nil {
		a.fail(c, err)
		return
	}
	v := ChoicesJSON{Severities: list(a.pipeline.Severities()), Categories: list(a.pipeline.Categories()), Teams: list(a.pipeline.Teams()),
		Receivers: []string{}, Tiers: []string{}, Services: []string{}, Customers: []string{},
		Phases: incident.Phases(), Levels: incident.Levels(), Grades: incident.Grades(), Roles: incident.Roles(), Reasons: incident.Reasons(),
		ContactChannels: incident.ContactChannels(), ReportChannels: router.Channels(), CauseStates: incident.CauseStates(), ActionKinds: incident.ActionKinds(),
		LinkKinds: incident.LinkKinds()}
	if a.options.ReceiverNames != nil {
		v.Receivers = list(a.options.ReceiverNames())
	}
	if g := a.guide(); g != nil {
		v.Tiers, v.Services, v.Customers = list(g.Tiers()), list(g.Services()), list(g.Customers())
	}
	a.answer(c, http.StatusOK, v)
}
