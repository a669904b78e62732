package web

import (
	"errors"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
)

// assign answers POST /api/v1/incidents/{id}/assign: a role for a person, or the
// incident for a team.
func (a *API) assign(c *gin.Context) {
	var body struct {
		command
		Role string `json:"role"`
		// Who and Team may be "" for nobody.
		Who  *string `json:"who"`
		Team *string `json:"team"`
	}
	check := func() error {
		switch {
		case body.Team != nil && (body.Role != "" || body.Who != nil):
			return wrong("team", "say either a role and who takes it, or a team")
		case body.Team != nil && *body.Team == "":
			return nil
		case body.Team != nil:
			return checkName("team", *body.Team)
		case body.Role == "" && body.Who == nil:
			return wrong("role", "say a role and who takes it, or a team")
		case body.Who == nil:
			return wrong("who", `say who takes it; "" is nobody`)
		case *body.Who == "":
			return oneOf("role", body.Role, incident.Roles())
		}
		return errors.Join(oneOf("role", body.Role, incident.Roles()), checkWho("who", *body.Who))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		if body.Team != nil {
			return e.SetTeam(body.By, *body.Team, body.Comment)
		}
		return e.Assign(body.By, body.Role, *body.Who, body.Comment)
	})
}

// assess answers POST /api/v1/incidents/{id}/assess.
func (a *API) assess(c *gin.Context) {
	var body struct {
		command
		Impact       string `json:"impact"`
		Urgency      string `json:"urgency"`
		Observations string `json:"observations"`
		Category     string `json:"category"`
	}
	check := func() error {
		return errors.Join(oneOf("impact", body.Impact, incident.Grades()), oneOf("urgency", body.Urgency, incident.Grades()),
			checkSaid("observations", body.Observations, pageLimit), checkOneOf("category", body.Category, a.pipeline.Categories()))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		if err := e.Assess(incident.Assessment{By: body.By, Impact: body.Impact, Urgency: body.Urgency, Observations: body.Observations}, body.Comment); err != nil || body.Category == "" {
			return err
		}
		return e.SetCategory(body.By, body.Category, "")
	})
}

// category answers POST /api/v1/incidents/{id}/category.
func (a *API) category(c *gin.Context) {
	var body struct {
		command
		Category string `json:"category"`
	}
	check := func() error { return oneOf("category", body.Category, a.pipeline.Categories()) }
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.SetCategory(body.By, body.Category, body.Comment) })
}

// level answers POST /api/v1/incidents/{id}/level.
func (a *API) level(c *gin.Context) {
	var body struct {
		command
		Level string `json:"level"`
	}
	check := func() error { return oneOf("level", body.Level, incident.Levels()) }
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.SetLevel(body.By, body.Level, body.Comment) })
}

// work answers POST /api/v1/incidents/{id}/work.
func (a *API) work(c *gin.Context) {
	var body struct {
		command
		On string `json:"on"`
	}
	check := func() error { return checkText("on", body.On, lineLimit) }
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.Work(body.By, body.On, body.Comment) })
}

func (a *API) rest(c *gin.Context) { a.simple(c, (*incident.Edit).Rest) }

// customersAtMost bounds the customers of a request; an incident keeps no more.
const customersAtMost = 100

// customers answers POST /api/v1/incidents/{id}/customers.
func (a *API) customers(c *gin.Context) {
	var body struct {
		command
		Customers *[]string `json:"customers"`
	}
	check := func() error {
		if body.Customers == nil {
			return wrong("customers", "say which; [] is none")
		}
		return checkNames("customers", *body.Customers, customersAtMost)
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.SetCustomers(body.By, *body.Customers, body.Comment) })
}

// nextContact answers POST /api/v1/incidents/{id}/next-contact.
func (a *API) nextContact(c *gin.Context) {
	var body struct {
		command
		At when `json:"at"`
	}
	check := func() error {
		if !body.At.said {
			return wrong("at", "say when, as RFC 3339; null is never")
		}
		return checkTimeIfAny("at", body.At.at)
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.SetNextContact(body.By, body.At.at, body.Comment) })
}

// contacted answers POST /api/v1/incidents/{id}/contacts.
func (a *API) contacted(c *gin.Context) {
	var body struct {
		command
		Who     string `json:"who"`
		Channel string `json:"channel"`
		Reached *bool  `json:"reached"`
		Note    string `json:"note"`
	}
	check := func() error {
		var reached error
		if body.Reached == nil {
			reached = wrong("reached", "say whether they answered: true or false")
		}
		return errors.Join(checkWho("who", body.Who), oneOf("channel", body.Channel, incident.ContactChannels()), reached, checkText("note", body.Note, lineLimit),
			checkText("comment", body.Comment, lineLimit))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		note := strings.TrimSpace(body.Note + "\n" + body.Comment)
		return e.Contacted(incident.Contact{By: body.By, Who: body.Who, Channel: body.Channel, Reached: *body.Reached, Note: note})
	})
}

// followedUp answers POST /api/v1/incidents/{id}/contacts/followed-up.
func (a *API) followedUp(c *gin.Context) {
	var body struct {
		command
		Who string `json:"who"`
	}
	check := func() error { return checkWho("who", body.Who) }
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.ToldRestored(body.By, body.Who, body.Comment) })
}

// confirm answers POST /api/v1/incidents/{id}/confirm.
func (a *API) confirm(c *gin.Context) {
	var body struct {
		command
		Customer string `json:"customer"`
	}
	check := func() error {
		if body.Customer == "" {
			return nil // one of us
		}
		return checkName("customer", body.Customer)
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.Confirm(body.By, body.Customer, body.Comment) })
}

// link answers POST /api/v1/incidents/{id}/link.
func (a *API) link(c *gin.Context) {
	var body struct {
		command
		Name string `json:"name"`
		URL  string `json:"url"`
		Kind string `json:"kind"`
	}
	check := func() error {
		return errors.Join(checkName("name", body.Name), checkLink("url", body.URL), checkOneOf("kind", body.Kind, incident.LinkKinds()))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		return e.AddLink(body.By, incident.Link{Name: body.Name, URL: body.URL, Kind: body.Kind}, body.Comment)
	})
}
