package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// formLimit is how large a form may be in bytes: that of a command of the API, each
// byte written as three.
const formLimit = 3 << 20

// The fields that most forms have.
var (
	commentField = field{Name: "comment", Label: "Comment", Kind: area}
	byField      = field{Name: "by", Label: "Your name", Kind: line, Required: true, Auto: "name", Help: "Your browser keeps it for the next time."}
)

// The hidden fields of forms.
const (
	onceField    = "once"    // an id that is used once
	versionField = "version" // the version of the incident that the person looked at
	digestField  = "digest"  // what people had made of it then
	seenField    = "seen"    // how many entries its timeline had then
	zoneField    = "zone"    // the zone of times in the form
	nextField    = "next"    // a command whose form comes after this one
)

// nameCookie holds the name of who uses this browser, where nobody signs in.
const nameCookie = "tocsin_name"

// form is a form as it is shown: empty, or as it came, with what is wrong with it.
type form struct {
	Action, Button string
	Hidden         []option
	Fields         []*fieldView
	// Problem is what went wrong in a sentence, Errors what is wrong with each field.
	Problem string
	Errors  []formError
	Status  int
}

// formError is what is wrong; Field is the control, nil if it is about none.
type formError struct {
	Field        *fieldView
	Name, Detail string
}

// newForm makes a form of fields with what was said in values, or else what they have
// at first.
func newForm(action, button string, fields []field, about *facts, values url.Values) *form {
	f := &form{Action: action, Button: button, Status: http.StatusOK}
	for n := range fields {
		f.Fields = append(f.Fields, fields[n].view(about, values))
	}
	f.hide(onceField, newOnce())
	f.hide(zoneField, about.Zone.String())
	return f
}

func (f *form) hide(name, value string) { f.Hidden = append(f.Hidden, option{name, value}) }

// wrong says what is wrong with the field of a name, which may be one that the form
// does not have, such as whys.2 for one of the whys.
func (f *form) wrong(name, detail string) {
	e := formError{Name: name, Detail: detail}
	top, _, _ := strings.Cut(name, ".")
	if n := slices.IndexFunc(f.Fields, func(v *fieldView) bool { return v.Name == top }); n >= 0 {
		e.Field = f.Fields[n]
		e.Field.Error = detail
	}
	f.Errors = append(f.Errors, e)
}

// refused shows what the API said.
func (f *form) refused(p *problem) {
	f.Status, f.Problem = p.Status, p.Detail
	if len(p.Errors) > 0 {
		f.Problem = "Please look at this again:"
	}
	for _, e := range p.Errors {
		f.wrong(e.Field, e.Detail)
	}
	for n := range f.Errors {
		if e := &f.Errors[n]; e.Field == nil && e.Name == byField.Name {
			e.Name = "you" // who signed in has no field for a name
		}
	}
}

// encode makes the body of a request from what was said in the fields, and what
// stands in the address. It notes what is wrong with it; ok is false if anything is.
func (f *form) encode(values url.Values, zone *time.Location) (body map[string]any, path map[string]string, ok bool) {
	body, path = map[string]any{}, map[string]string{}
	for _, v := range f.Fields {
		m, said, mistake := v.member(values, zone)
		switch {
		case mistake != "":
			f.wrong(v.Name, mistake)
			f.Problem, f.Status = "Please look at this again:", http.StatusBadRequest
		case v.InPath:
			path[v.Name], _ = m.(string)
		case said:
			body[v.Name] = m
		}
	}
	return body, path, len(f.Errors) == 0
}

// who appends the field for a name, where nobody signed in.
func who(c *gin.Context, fields []field) []field {
	if web.IdentityOf(c).Name != "" {
		return fields
	}
	by := byField
	by.Value = func(*facts) string { return knownName(c) }
	return append(slices.Clip(fields), by)
}

// knownName is who used this browser last.
func knownName(c *gin.Context) string {
	name, err := c.Cookie(nameCookie)
	if err != nil || len(name) > 200 {
		return ""
	}
	return name
}

// keepName has the browser keep the name that was given in a form.
func keepName(c *gin.Context, body map[string]any) {
	if name, _ := body[byField.Name].(string); name != "" {
		c.SetSameSite(http.SameSiteLaxMode)
		c.SetCookie(nameCookie, name, 365*24*60*60, "/", "", c.Request.TLS != nil, true)
	}
}

// readForm reads the form in a request, of at most formLimit bytes.
func readForm(c *gin.Context) (url.Values, error) { return readLargeForm(c, formLimit) }

func readLargeForm(c *gin.Context, limit int64) (url.Values, error) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	if err := c.Request.ParseForm(); err != nil {
		p := &problem{web.Problem{Status: http.StatusBadRequest, Title: "The form cannot be read", Detail: "This form cannot be read; go back and send it again."}}
		if errors.As(err, new(*http.MaxBytesError)) {
			p.Status, p.Title, p.Detail = http.StatusRequestEntityTooLarge, "The form is too large", "Nobody reads that much; write less, and link the rest."
		}
		return nil, p
	}
	return c.Request.PostForm, nil
}

// formZone is the zone that times in a form are written in.
func formZone(c *gin.Context, values url.Values) *time.Location {
	if z, err := time.LoadLocation(values.Get(zoneField)); err == nil && values.Get(zoneField) != "" && z != time.Local {
		return z
	}
	return zoneOf(c)
}

// responder reports whether who asks may change something; if not, it answers so. The
// attempt is the address of the API that the form would have become a request to, empty
// for what only shows a form: the API refuses it too, and writes down who tried what.
func (k *Console) responder(c *gin.Context, attempt string) bool {
	if web.IdentityOf(c).Role.Covers(web.RoleResponder) {
		return true
	}
	if attempt != "" {
		_, _ = k.call(c, http.MethodPost, attempt, nil, 0) // whatever it says, this is refused
	}
	k.fail(c, &problem{web.Problem{Status: http.StatusForbidden, Title: "You may look only", Detail: "To do this you need the role responder; you have the role viewer."}})
	return false
}
