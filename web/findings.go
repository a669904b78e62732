package web

import (
	"errors"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
)

// findingsBody has the members of incident.Findings that are said at once. What is
// left out, or empty, stays as it is.
type findingsBody struct {
	command
	Whys            []string `json:"whys"`
	Cause           string   `json:"cause"`
	Solution        string   `json:"solution"`
	Workaround      string   `json:"workaround"`
	Fix             string   `json:"fix"`
	FollowUp        string   `json:"follow_up"`
	Financial       string   `json:"financial"`
	Reputational    string   `json:"reputational"`
	Operational     string   `json:"operational"`
	Symptoms        string   `json:"symptoms"`
	Systems         string   `json:"systems"`
	Populations     string   `json:"populations"`
	Recommendations string   `json:"recommendations"`
	Lessons         string   `json:"lessons"`

	LessonsDetection     string `json:"lessons_detection"`
	LessonsResponse      string `json:"lessons_response"`
	LessonsDiagnosis     string `json:"lessons_diagnosis"`
	LessonsCommunication string `json:"lessons_communication"`
	LessonsRestoration   string `json:"lessons_restoration"`

	Recurrence    string `json:"recurrence"`
	Detection     string `json:"detection"`
	Communication string `json:"communication"`
}

func (b *findingsBody) findings() incident.Findings {
	return incident.Findings{Whys: b.Whys, Cause: b.Cause, Solution: b.Solution, Workaround: b.Workaround, Fix: b.Fix, FollowUp: b.FollowUp, Financial: b.Financial,
		Reputational: b.Reputational, Operational: b.Operational, Symptoms: b.Symptoms, Systems: b.Systems, Populations: b.Populations,
		Recommendations: b.Recommendations, Lessons: b.Lessons, LessonsDetection: b.LessonsDetection, LessonsResponse: b.LessonsResponse, LessonsDiagnosis: b.LessonsDiagnosis,
		LessonsCommunication: b.LessonsCommunication, LessonsRestoration: b.LessonsRestoration, Recurrence: b.Recurrence, Detection: b.Detection, Communication: b.Communication}
}

func (b *findingsBody) check() error {
	var errs []error
	said := len(b.Whys) > 0
	for _, f := range [...]struct{ name, text string }{{"cause", b.Cause}, {"solution", b.Solution}, {"workaround", b.Workaround}, {"fix", b.Fix}, {"financial", b.Financial},
		{"reputational", b.Reputational}, {"operational", b.Operational}, {"symptoms", b.Symptoms}, {"systems", b.Systems}, {"populations", b.Populations},
		{"recommendations", b.Recommendations}, {"lessons", b.Lessons}, {"recurrence", b.Recurrence}, {"detection", b.Detection}, {"communication", b.Communication},
		{"lessons_detection", b.LessonsDetection}, {"lessons_response", b.LessonsResponse}, {"lessons_diagnosis", b.LessonsDiagnosis}, {"lessons_communication", b.LessonsCommunication},
		{"lessons_restoration", b.LessonsRestoration}} {
		said = said || f.text != ""
		errs = append(errs, checkText(f.name, f.text, pageLimit))
	}
	if b.FollowUp != "" {
		said = true
		errs = append(errs, checkLink("follow_up", b.FollowUp))
	}
	for n, why := range b.Whys {
		errs = append(errs, checkSaid("whys."+strconv.Itoa(n), why, lineLimit))
	}
	if !said {
		errs = append(errs, wrong("cause", "say what was found: cause, whys, solution, workaround, fix, and so on"))
	}
	return errors.Join(errs...)
}

// found answers POST /api/v1/incidents/{id}/findings.
func (a *API) found(c *gin.Context) {
	var body findingsBody
	a.run(c, &body, &body.command, body.check, func(e *incident.Edit) error { return e.Find(body.By, body.findings(), body.Comment) })
}

func (a *API) workaroundRemoved(c *gin.Context) { a.simple(c, (*incident.Edit).RemoveWorkaround) }

// cause answers POST /api/v1/incidents/{id}/causes.
func (a *API) cause(c *gin.Context) {
	var body struct {
		command
		Text  string `json:"text"`
		State string `json:"state"`
	}
	check := func() error {
		if body.State == "" {
			body.State = incident.CauseOpen
		}
		return errors.Join(checkSaid("text", body.Text, lineLimit), oneOf("state", body.State, incident.CauseStates()))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error { return e.Suspect(body.By, body.Text, body.State, body.Comment) })
}

// action answers POST /api/v1/incidents/{id}/actions.
func (a *API) action(c *gin.Context) {
	var body struct {
		command
		Text  string    `json:"text"`
		Owner string    `json:"owner"`
		Due   time.Time `json:"due,omitzero"`
		Kind  string    `json:"kind"`
	}
	check := func() error {
		if body.Kind == "" {
			body.Kind = incident.ActionKinds()[0]
		}
		due := checkTime
		if body.Kind == incident.ActionTask {
			due = checkTimeIfAny
		}
		return errors.Join(checkSaid("text", body.Text, lineLimit), checkWho("owner", body.Owner), due("due", body.Due),
			oneOf("kind", body.Kind, incident.ActionKinds()))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		return e.Plan(incident.Action{By: body.By, Text: body.Text, Owner: body.Owner, Due: body.Due, Kind: body.Kind}, body.Comment)
	})
}

// actionDone answers POST /api/v1/incidents/{id}/actions/{n}/done.
func (a *API) actionDone(c *gin.Context) {
	var cmd command
	var n uint64
	check := func() (err error) { n, err = number(c); return err }
	a.run(c, &cmd, &cmd, check, func(e *incident.Edit) error { return e.Complete(cmd.By, n, cmd.Comment) })
}

// correct answers POST /api/v1/incidents/{id}/correct.
func (a *API) correct(c *gin.Context) {
	var body struct {
		command
		WentDown time.Time `json:"went_down,omitzero"`
		Restored time.Time `json:"restored,omitzero"`
	}
	check := func() error {
		if body.WentDown.IsZero() && body.Restored.IsZero() {
			return wrong("went_down", "say when it went down, or when it was restored")
		}
		return errors.Join(checkTimeIfAny("went_down", body.WentDown), checkTimeIfAny("restored", body.Restored))
	}
	a.run(c, &body, &body.command, check, func(e *incident.Edit) error {
		return e.Correct(body.By, incident.Corrected{WentDown: body.WentDown, Restored: body.Restored}, body.Comment)
	})
}
