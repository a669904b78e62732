package web

import (
	"errors"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
	"github.com/tocsin-gateway/tocsin/router"
)

// command is the body of what a person does to an incident.
type command struct {
	By      string `json:"by"`
	Comment string `json:"comment"`
}

// maxBy is how long a person's name may be in bytes.
const maxBy = 200

// read reads a command from the request into body, of which it is a part, and
// finds out who it is that acts.
func (a *API) read(c *gin.Context, body any, cmd *command) error {
	if err := newQuery(c).done(); err != nil {
		return err
	}
	if err := readJSON(c, body); err != nil {
		return err
	}
	if who := identityOf(c); who != "" {
		cmd.By = who
	}
	c.Set(claimedKey, cut(cmd.By, maxBy))
	return errors.Join(checkBy("by", cmd.By), checkText("comment", cmd.Comment, commentLimit))
}

// checkBy checks the name of a person. It stands in timelines, beside the name
// that Tocsin itself goes by.
func checkBy(field, name string) error {
	reason := ""
	switch {
	case strings.TrimSpace(name) == "":
		reason = "say who does this"
	case len(name) > maxBy:
		reason = fmt.Sprintf("longer than %d bytes", maxBy)
	case strings.ContainsFunc(name, unicode.IsControl):
		reason = "holds a control character"
	case strings.EqualFold(name, incident.System):
		reason = fmt.Sprintf("%q is what Tocsin itself is called", name)
	default:
		return nil
	}
	return &router.InputError{Field: field, Reason: reason}
}

func checkText(field, text string, limit int) error {
	if len(text) > limit {
		return &router.InputError{Field: field, Reason: fmt.Sprintf("longer than %d bytes", limit)}
	}
	return nil
}

// ifMatch is the version that the request says the incident must have, 0 if it
// says none. It is a number, bare or as an entity tag.
func ifMatch(c *gin.Context) (uint64, error) {
	tag := strings.TrimSpace(strings.Join(c.Request.Header.Values("If-Match"), ","))
	if tag == "" || tag == "*" {
		return 0, nil
	}
	if inner, ok := strings.CutPrefix(tag, `"`); ok {
		if tag, ok = strings.CutSuffix(inner, `"`); !ok {
			tag = ""
		}
	}
	v, err := strconv.ParseUint(tag, 10, 64)
	if err != nil || v == 0 {
		return 0, &router.InputError{Field: "If-Match", Reason: `not a version of an incident, such as "3"`}
	}
	return v, nil
}

// keyLimit is how long an Idempotency-Key may be, in bytes.
const keyLimit = 100

// idempotencyKey identifies what the request says, so that it is done once although it
// comes twice; "" if the request does not ask for that. It is one for each person and
// address, so that nobody has what somebody else says left out.
func idempotencyKey(c *gin.Context) (string, error) {
	values := c.Request.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(values[0])
	if inner, ok := strings.CutPrefix(key, `"`); ok && strings.HasSuffix(inner, `"`) {
		key = strings.TrimSuffix(inner, `"`)
	}
	if len(values) > 1 || key == "" || len(key) > keyLimit || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return "", &router.InputError{Field: "Idempotency-Key", Reason: fmt.Sprintf("not one word of at most %d bytes, such as a UUID", keyLimit)}
	}
	return strings.Join([]string{"command", identityOf(c), c.Request.Method, c.Request.URL.Path, key}, "\x00"), nil
}

// readTerms are what the request asks for beside the command.
func readTerms(c *gin.Context) (terms router.Terms, err error) {
	if terms.Version, err = ifMatch(c); err != nil {
		return terms, err
	}
	terms.Message, err = idempotencyKey(c)
	return terms, err
}

// act applies edit to the incident that the path names and answers with it. Edit
// may be called several times.
func (a *API) act(c *gin.Context, edit func(*incident.Edit) error) {
	terms, err := readTerms(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	i, _, err := a.pipeline.ActOn(c.Request.Context(), c.Param("id"), terms, edit)
	a.acted(c, i, err)
}

// acted answers with what a command made of the incident that the path names.
func (a *API) acted(c *gin.Context, i *incident.Incident, err error) {
	switch conflict := (*router.ConflictError)(nil); {
	case errors.Is(err, incident.ErrNotFound):
		a.fail(c, notFound("incident", c.Param("id")))
	case errors.Is(err, incident.ErrConflict) && !errors.As(err, &conflict):
		a.failWithCurrent(c, err)
	case err != nil:
		a.fail(c, err)
	default:
		a.answerIncident(c, i)
	}
}

// failWithCurrent answers a conflict that the store found: whoever lost the
// race is to see what won.
func (a *API) failWithCurrent(c *gin.Context, err error) {
	if current, readErr := a.named(c); readErr == nil {
		err = &router.ConflictError{Current: current, Reason: "somebody else was faster; look again"}
	}
	a.fail(c, err)
}

// simple answers a command that takes nothing but who and why.
func (a *API) simple(c *gin.Context, edit func(e *incident.Edit, by, comment string) error) {
	var cmd command
	if err := a.read(c, &cmd, &cmd); err != nil {
		a.fail(c, err)
		return
	}
	a.act(c, func(e *incident.Edit) error { return edit(e, cmd.By, cmd.Comment) })
}

func (a *API) acknowledge(c *gin.Context) { a.simple(c, (*incident.Edit).Take) }

func (a *API) unacknowledge(c *gin.Context) { a.simple(c, (*incident.Edit).Unacknowledge) }
func (a *API) resolve(c *gin.Context)       { a.simple(c, (*incident.Edit).Resolve) }
func (a *API) close(c *gin.Context)         { a.simple(c, (*incident.Edit).Close) }
func (a *API) reopen(c *gin.Context)        { a.simple(c, (*incident.Edit).Reopen) }

// note answers POST /api/v1/incidents/{id}/note.
func (a *API) note(c *gin.Context) {
	var body struct {
		command
		Text string `json:"text"`
		// At is when it happened; an earlier time than now makes a late entry.
		At time.Time `json:"at"`
	}
	err := a.read(c, &body, &body.command)
	text := body.Text
	if text == "" {
		text = body.Comment
	}
	if err == nil && strings.TrimSpace(text) == "" {
		err = &router.InputError{Field: "text", Reason: "say what there is to note"}
	}
	if err = errors.Join(err, checkText("text", body.Text, commentLimit)); err != nil {
		a.fail(c, err)
		return
	}
	if body.Text != "" && body.Comment != "" {
		text += "\n" + body.Comment
	}
	a.act(c, func(e *incident.Edit) error { return e.Note(body.By, text, body.At) })
}

// phase answers POST /api/v1/incidents/{id}/phase.
func (a *API) phase(c *gin.Context) {
	var body struct {
		command
		Phase string `json:"phase"`
	}
	err := a.read(c, &body, &body.command)
	if err == nil {
		err = oneOf("phase", body.Phase, incident.Phases())
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.act(c, func(e *incident.Edit) error { return e.SetPhase(body.By, body.Phase, body.Comment) })
}

// severity answers POST /api/v1/incidents/{id}/severity.
func (a *API) severity(c *gin.Context) {
	var body struct {
		command
		Severity string `json:"severity"`
	}
	err := a.read(c, &body, &body.command)
	if err == nil {
		err = oneOf("severity", body.Severity, a.pipeline.Severities())
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.act(c, func(e *incident.Edit) error { return e.SetSeverity(body.By, body.Severity, body.Comment) })
}

// report answers POST /api/v1/incidents.
// VerdictHeader says what became of a report: opened, joined, reopened or duplicate.
const VerdictHeader = "Tocsin-Verdict"

func (a *API) report(c *gin.Context) {
	var r router.Report
	err := newQuery(c).done()
	if err == nil {
		err = readReport(c, &r)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	if who := identityOf(c); who != "" {
		if r.RecordedBy = who; r.Reporter == "" {
			r.Reporter = who
		}
	}
	if r.Reporter != "" {
		err = checkBy("reporter", r.Reporter)
	}
	var i *incident.Incident
	var verdict alert.Verdict
	if err == nil {
		i, verdict, err = a.pipeline.Report(c.Request.Context(), r)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Location", "/api/v1/incidents/"+i.ID.String())
	c.Header(VerdictHeader, verdict.String())
	a.answerIncident(c, i)
}

// readReport reads a report as JSON, or as a form whose fields have the same
// names. Fields of a form that were left empty are absent.
func readReport(c *gin.Context, r *router.Report) error {
	media, _, _ := mime.ParseMediaType(c.ContentType())
	if media != "application/x-www-form-urlencoded" && media != "multipart/form-data" {
		return readJSON(c, r)
	}
	body, err := readAll(c, bodyLimit)
	if err != nil {
		return err
	}
	form, _, err := fields.Form(c.GetHeader("Content-Type"), body)
	if err != nil {
		return &router.InputError{Field: "body", Reason: err.Error()}
	}
	members := map[string]any{}
	for name, value := range form {
		switch value = strings.TrimSpace(value); {
		case value == "":
		case name == "drill": // as browsers send a ticked box, and as people write it
			members[name] = value == "on" || value == "true" || value == "1"
		default:
			members[name] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return err // unreachable: the texts are clean
	}
	return inputError(json.Unmarshal(text, r, json.RejectUnknownMembers(true)))
}
