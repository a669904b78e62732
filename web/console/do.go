package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// incidentPath is the address of an incident in the API.
func incidentPath(id string) string { return "/api/v1/incidents/" + url.PathEscape(id) }

// doData is what the page of a command shows.
type doData struct {
	Incident web.IncidentJSON
	Command  *command
	Form     *form
	// Missing is what the process wants before the command.
	Missing []missing
	// Faster are what happened since the person looked, if somebody was faster.
	Faster []web.TimelineJSON
	Raced  bool
}

// missing is what the process wants to be done before, and the address of the form for it.
type missing struct{ Name, Text, URL string }

// fulfils names the commands after which the usual requirements are met, with what then
// stands in their fields.
var fulfils = map[string]string{
	"assessed": "assess", "confirmed": "confirm", "settled": "workaround-removed", "cause": "findings", "solution": "findings", "fix": "findings",
	"follow_up": "findings", "lessons": "findings", "followed_up": "followed-up", "acknowledged": "acknowledge", "updated": "update", "incident_manager": "assign?role=incident_manager",
	"communications_manager": "assign?role=communications_manager", "technical_lead": "assign?role=technical_lead", "technical_help": "assign?role=technical_help",
	"change_ticket": "link?kind=change", "problem_ticket": "link?kind=problem", "post_mortem": "link?kind=post_mortem",
	"reviewed": "findings", "customer_told": "next-contact", "published": "update?public=yes", "contacted": "contacted", "worked_on": "work", "accepted": "accept",
}

// commandForm answers GET /incidents/{id}/do/{command}; fields may have values in the query.
func (k *Console) commandForm(c *gin.Context) {
	cmd, about, err := k.commandOf(c)
	if err != nil {
		k.fail(c, err)
		return
	}
	if !k.responder(c, "") {
		return
	}
	d := k.commandPage(c, cmd, about, c.Request.URL.Query())
	k.renderCommand(c, d)
}

// commandOf is the command and the incident that the address names.
func (k *Console) commandOf(c *gin.Context) (*command, *facts, error) {
	cmd := commandNamed(c.Param("command"))
	if cmd == nil {
		return nil, nil, &problem{web.Problem{Status: http.StatusNotFound, Title: "Not found", Detail: "There is no such command."}}
	}
	about := &facts{Zone: zoneOf(c)}
	var err error
	if about.Incident, err = get[web.IncidentJSON](k, c, incidentPath(c.Param("id"))); err != nil {
		return nil, nil, err
	}
	if about.Duties, err = get[web.DutiesJSON](k, c, incidentPath(about.Incident.ID)+"/duties"); err != nil {
		return nil, nil, err
	}
	about.Choices, err = get[web.ChoicesJSON](k, c, "/api/v1/choices")
	return cmd, about, err
}

// commandPage is the page of a command, with what was said in values.
func (k *Console) commandPage(c *gin.Context, cmd *command, about *facts, values url.Values) *doData {
	fields := slices.Clip(cmd.Fields)
	if !cmd.Silent {
		fields = append(fields, commentField)
	}
	i := &about.Incident
	d := &doData{Incident: *i, Command: cmd, Form: newForm("/incidents/"+url.PathEscape(i.Reference)+"/do/"+cmd.Name, cmd.Title, who(c, fields), about, values)}
	sightOf(i).hide(d.Form)
	if next := commandNamed(values.Get(nextField)); next != nil {
		d.Form.hide(nextField, next.Name)
	}
	for _, r := range about.Duties.Missing[cmd.Gate] {
		d.miss(about, r.Name, r.Text)
	}
	return d
}

// miss adds what the process wants before the command.
func (d *doData) miss(about *facts, name, text string) {
	to, has, _ := strings.Cut(fulfils[name], "?")
	query, _ := url.ParseQuery(has) // of ours
	query.Set(nextField, d.Command.Name)
	switch {
	case to == "workaround-removed" && about.Incident.Findings.Workaround == "":
		to = "findings"
	case slices.ContainsFunc(about.Duties.Duties, func(j web.DutyJSON) bool { return j.Name == name }):
		to = "duty-done"
		query.Set(duty.Name, name)
	}
	m := missing{Name: name, Text: text}
	if to != "" {
		m.URL = "/incidents/" + url.PathEscape(d.Incident.Reference) + "/do/" + to + "?" + query.Encode()
	}
	d.Missing = append(d.Missing, m)
}

func (k *Console) renderCommand(c *gin.Context, d *doData) {
	v := &view{Title: d.Command.Title + ": " + d.Incident.Reference, Section: "board", Data: d}
	if d.Form.Status == http.StatusOK {
		v.Said = said(c)
	}
	k.render(c, d.Form.Status, "do", v)
}

// said is the word on what was just done, which the address names.
func said(c *gin.Context) string {
	if cmd := commandNamed(c.Query("done")); cmd != nil {
		return cmd.Done
	}
	return reported[c.Query("reported")]
}

// command answers POST /incidents/{id}/do/{command}.
func (k *Console) command(c *gin.Context) {
	values, err := readForm(c)
	if err == nil && !k.responder(c, attemptOf(c, c.Param("id"))) {
		return
	}
	var cmd *command
	var about *facts
	if err == nil {
		cmd, about, err = k.commandOf(c)
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	about.Zone = formZone(c, values)
	d := k.commandPage(c, cmd, about, values)
	body, path, ok := d.Form.encode(values, about.Zone)
	if !ok {
		k.renderCommand(c, d)
		return
	}
	done, end := k.sent.begin(c.Request.Context(), values.Get(onceField))
	if !done {
		err = k.perform(c, incidentPath(about.Incident.ID)+"/"+cmd.apiPath(path), body, readSight(c))
		end(err == nil)
	}
	if err != nil {
		k.notDone(c, d, about, values, err)
		return
	}
	keepName(c, body)
	c.Redirect(http.StatusSeeOther, afterwards(&about.Incident, cmd, values))
}

// attemptOf is the address of the API for the command that the console's address names;
// empty if there is none.
func attemptOf(c *gin.Context, incident string) string {
	cmd := commandNamed(c.Param("command"))
	if cmd == nil {
		return ""
	}
	path := map[string]string{}
	for _, f := range cmd.Fields {
		if f.InPath {
			path[f.Name] = "-"
		}
	}
	return incidentPath(cmp.Or(incident, "-")) + "/" + cmd.apiPath(path)
}

// apiPath is what stands after the incident in the address of the API.
func (c *command) apiPath(path map[string]string) string {
	at := c.Path
	for name, value := range path {
		at = strings.ReplaceAll(at, "{"+name+"}", url.PathEscape(value))
	}
	return at
}

// afterwards is where a person goes from a command that was done.
func afterwards(i *web.IncidentJSON, cmd *command, values url.Values) string {
	to := "/incidents/" + url.PathEscape(i.Reference)
	if next := commandNamed(values.Get(nextField)); next != nil {
		to += "/do/" + next.Name
	}
	return to + "?" + url.Values{"done": {cmd.Name}}.Encode()
}

// notDone shows the form again, with what was said in it and why it was not done.
func (k *Console) notDone(c *gin.Context, d *doData, about *facts, values url.Values, err error) {
	p := (*problem)(nil)
	if !errors.As(err, &p) || p.Status == http.StatusNotFound && len(p.Errors) == 0 && d.Command.Name != "retry" {
		k.fail(c, err)
		return
	}
	saw := readSight(c)
	if current := overtaken(err, saw); current != nil {
		about.Incident = *current
		d = k.commandPage(c, d.Command, about, values)
		d.Form.Status, d.Form.Button, d.Raced = http.StatusConflict, "Do it anyway: "+strings.ToLower(d.Command.Title[:1])+d.Command.Title[1:], true
		if d.Faster, err = k.since(c, current, saw); err != nil {
			k.fail(c, err)
			return
		}
	} else if d.Command.Gate != "" && p.Status == http.StatusConflict && len(p.Errors) > 0 {
		d.Form.Status, d.Form.Problem, d.Missing = p.Status, "It cannot be done yet.", nil
		for _, e := range p.Errors {
			d.miss(about, e.Field, e.Detail)
		}
	} else {
		d.Form.refused(p)
	}
	k.renderCommand(c, d)
}
