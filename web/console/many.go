package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// selectedField names the incidents of a selection, sureField says that the form for
	// them was seen.
	selectedField, sureField = "incident", "sure"
	// selectedAtMost is how many incidents a selection may have.
	selectedAtMost = 500
)

// manyCommands are those that can be done to a selection.
var manyCommands = []string{"acknowledge", "assign", "merge", "resolve"}

// manyData is what the page of a command for a selection shows.
type manyData struct {
	Command *command
	Rows    []*manyRow
	// Form asks for what is to be known first; nil if it is done.
	Form *form
	Done int
}

// manyRow is an incident of a selection and what became of it.
type manyRow struct {
	Name     string
	Incident web.IncidentJSON
	Done     bool
	Text     string
}

// commandForMany answers POST /do/{command}: the command for each incident that is
// selected. What has to be known first, or thought about, is asked for.
func (k *Console) commandForMany(c *gin.Context) {
	values, err := readForm(c)
	if err == nil && !k.responder(c, attemptOf(c, values.Get(selectedField))) {
		return
	}
	var d *manyData
	if err == nil {
		d, err = k.selected(c, values[selectedField])
	}
	about := &facts{Zone: formZone(c, values)}
	if err == nil {
		about.Choices, err = get[web.ChoicesJSON](k, c, "/api/v1/choices")
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	person := web.IdentityOf(c).Name
	if person == "" && !values.Has(byField.Name) && knownName(c) != "" {
		values.Set(byField.Name, knownName(c))
	}
	d.Form = d.form(c, about, values)
	sure := values.Has(sureField) || d.Command.AtOnce() && (person != "" || values.Has(byField.Name))
	if body, _, ok := d.Form.encode(values, about.Zone); sure && ok {
		k.doMany(c, d, body, values)
		return
	}
	if !sure { // what is missing has not been asked for yet
		d.Form = d.form(c, about, values)
	}
	k.render(c, d.Form.Status, "many", &view{Title: d.Command.Title, Section: "board", Data: d})
}

// form asks for what the command has to know.
func (d *manyData) form(c *gin.Context, about *facts, values url.Values) *form {
	fields := slices.Clip(d.Command.Fields)
	if d.Command.Name == "merge" && len(d.Rows) > 1 {
		into := fields[0]
		into.Help, into.Options = "The others become a part of it.", func(*facts) (out []option) {
			for _, r := range d.Rows {
				if r.Text == "" {
					out = append(out, option{r.Incident.Reference, r.Incident.Reference + ": " + cut(r.Incident.Title, 80)})
				}
			}
			return out
		}
		fields = []field{into}
	}
	f := newForm("/do/"+d.Command.Name, fmt.Sprintf("%s: %d incidents", d.Command.Title, len(d.Rows)), who(c, append(fields, commentField)), about, values)
	for _, r := range d.Rows {
		f.hide(selectedField, r.Name)
	}
	f.hide(sureField, "yes")
	return f
}

// selected reads the incidents of a selection. Those that cannot be read say why.
func (k *Console) selected(c *gin.Context, names []string) (*manyData, error) {
	d := &manyData{Command: commandNamed(c.Param("command"))}
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case d.Command == nil || !slices.Contains(manyCommands, d.Command.Name):
		return nil, &problem{web.Problem{Status: http.StatusNotFound, Title: "Not found", Detail: "There is no such command for a selection."}}
	case len(names) == 0:
		return nil, &problem{web.Problem{Status: http.StatusBadRequest, Title: "Nothing is selected", Detail: "Select at least one incident first."}}
	case len(names) > selectedAtMost:
		return nil, &problem{web.Problem{Status: http.StatusBadRequest, Title: "Too many are selected", Detail: fmt.Sprintf("At most %d incidents at a time.", selectedAtMost)}}
	}
	for _, name := range names {
		r := &manyRow{Name: name}
		i, err := get[web.IncidentJSON](k, c, incidentPath(name))
		if p := (*problem)(nil); errors.As(err, &p) {
			r.Text = p.Detail
		} else if err != nil {
			return nil, err
		}
		r.Incident = i
		d.Rows = append(d.Rows, r)
	}
	return d, nil
}

// doMany does the command to each incident and says what became of it.
func (k *Console) doMany(c *gin.Context, d *manyData, body map[string]any, values url.Values) {
	done, end := k.sent.begin(c.Request.Context(), values.Get(onceField))
	if done {
		c.Redirect(http.StatusSeeOther, "/")
		return
	}
	for _, r := range d.Rows {
		switch {
		case r.Text != "":
		case d.Command.Name == "merge" && body["into"] == r.Incident.Reference:
			r.Text = "The others are parts of it now."
			r.Done = true
		default:
			r.Done, r.Text = k.doOne(c, d.Command, &r.Incident, body, values.Get(onceField))
		}
		if r.Done {
			d.Done++
		}
	}
	end(d.Done > 0)
	keepName(c, body)
	d.Form = nil
	k.render(c, http.StatusOK, "many", &view{Title: d.Command.Title, Section: "board", Data: d})
}

// doOne does the command to one incident of a selection.
func (k *Console) doOne(c *gin.Context, cmd *command, i *web.IncidentJSON, body map[string]any, id string) (done bool, text string) {
	a, err := k.callOnce(c, http.MethodPost, incidentPath(i.ID)+"/"+cmd.Path, body, 0, id)
	if err != nil {
		return false, reason(err)
	}
	was := i.Version
	if err := json.Unmarshal(a.body.Bytes(), i); err != nil {
		return false, "The answer is not understood."
	}
	switch {
	case i.Version != was:
		return true, cmd.Done
	case cmd.Name == "acknowledge":
		return true, i.AcknowledgedBy + " works on it already."
	}
	return true, "It was so already."
}

// reason is why something was not done, with all that is missing.
func reason(err error) string {
	p := (*problem)(nil)
	if !errors.As(err, &p) {
		return "Something went wrong."
	}
	texts := []string{p.Detail}
	for _, e := range p.Errors {
		if e := e.Field + ": " + e.Detail; !strings.Contains(p.Detail, e) {
			texts = append(texts, e)
		}
	}
	return strings.Join(texts, "; ")
}
