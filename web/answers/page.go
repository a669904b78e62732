package answers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/links"
	"github.com/tocsin-gateway/tocsin/web"
)

// style is all that the page looks like: large enough for a telephone in the
// dark. The policy of the page lets nothing else in.
const style = `:root{color-scheme:light dark;--line:#8886;--edge:#767676;--go:#0b57d0;--on:#fff}
@media (prefers-color-scheme:dark){:root{--go:#a8c7fa;--on:#062e6f}}
*{box-sizing:border-box}
body{font:1.0625rem/1.5 system-ui,sans-serif;margin:0 auto;max-width:36rem;padding:1.25rem}
h1{font-size:1.375rem;line-height:1.25;margin:.25rem 0 1rem;overflow-wrap:anywhere}
p{margin:.75rem 0;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:1rem 0}
dt{opacity:.75}dd{margin:0;overflow-wrap:anywhere}
label{display:block;margin-top:1.25rem}
input,button{font:inherit;width:100%;min-height:3rem;border-radius:.5rem;padding:.5rem .75rem}
input{border:1px solid var(--edge);background:transparent;color:inherit;margin-top:.25rem}
button{border:0;background:var(--go);color:var(--on);font-weight:600;margin-top:1rem}
:focus-visible{outline:3px solid var(--go);outline-offset:2px}
.say{border:1px solid var(--line);border-left:.375rem solid var(--go);border-radius:.25rem;padding:.75rem}
.small{font-size:.9375rem;opacity:.75}
`

// pagePolicy allows the style by its hash, the form to this place, and nothing else.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// pageTemplate escapes what comes from alerts; there is no script.
var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>{{.Heading}}</title><style>` + style + `</style></head><body><main>
<h1>{{.Heading}}</h1>
{{if .Say}}<p class="say" role="status">{{.Say}}</p>
{{end}}{{with .About}}<p><strong>{{.Title}}</strong></p>
<dl>{{range .Facts}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>{{end}}</dl>
{{end}}{{if .Button}}<form method="post"><label for="name">Your name, so that the others know who works on it</label>
<input id="name" name="name" autocomplete="name" maxlength="100"{{if .Wrong}} aria-invalid="true" aria-describedby="wrong"{{end}}>
{{if .Wrong}}<p id="wrong" role="alert">{{.Wrong}}</p>
{{end}}<button type="submit">{{.Button}}</button></form>
{{end}}{{if .Link}}<p><a href="{{.Link}}" rel="noreferrer">The incident in Tocsin</a></p>
{{end}}</main></body></html>
`))

// view is what a page shows.
type view struct {
	Heading string
	// Say is what happened, or what to know before it does.
	Say string
	// Button is what it does; empty is no form.
	Button string
	// Wrong is what is wrong with the name.
	Wrong string
	About *about
	Link  string
}

// about says which incident it is.
type about struct {
	Title string
	Facts []fact
}

type fact struct{ Name, Value string }

// facts are those that help to recognise an incident.
func facts(i *incident.Incident) *about {
	a := &about{Title: notify.Line(i.Title)}
	add := func(name, value string) {
		if value = notify.Line(value); value != "" {
			a.Facts = append(a.Facts, fact{name, value})
		}
	}
	add("Reference", i.Reference)
	add("State", i.State)
	add("Severity", i.Severity)
	add("Priority", i.Priority)
	add("Service", i.Service)
	add("Team", i.Team)
	add("Hosts", strings.Join(i.Hosts, ", "))
	add("Since", clock(i.CycleOpenedAt))
	add("Alerts", fmt.Sprintf("%d firing", i.Alerts.Firing))
	if i.State == incident.Acknowledged {
		add("Works on it", i.AcknowledgedBy)
	}
	return a
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

// what are the words for the two things that a link does.
func what(a links.Action) (heading, button string, do deed) {
	if a == links.Resolve {
		return "Resolve this incident?", "Resolve: it is over", resolve
	}
	return "Acknowledge this incident?", "Acknowledge: I work on it", acknowledge
}

// page answers GET and HEAD /a/{token}: it asks, and never acts. Mail scanners and
// chat previews follow every link.
func (h *Handler) page(c *gin.Context) {
	token, i, ok := h.follow(c, false)
	if !ok {
		return
	}
	heading, button, _ := what(token.Action)
	v := view{Heading: heading, Button: button, About: facts(i), Link: h.options.Links.Incident(i)}
	if over := settled(token.Action, i); over != "" {
		v.Heading, v.Say, v.Button = "Nothing to do", over, ""
	} else if n := i.Alerts.Firing; token.Action == links.Resolve && n > 0 {
		v.Say = fmt.Sprintf("%d alerts still fire. If you resolve it, you are reminded of them.", n)
		if n == 1 {
			v.Say = "One alert still fires. If you resolve it, you are reminded of it."
		}
	}
	h.show(c, http.StatusOK, v)
}

// settled says why there is nothing left to do, empty if there is.
func settled(action links.Action, i *incident.Incident) string {
	switch {
	case !i.IsOpen():
		return fmt.Sprintf("It is over already: resolved by %s at %s.", notify.Line(i.ResolvedBy), clock(i.ResolvedAt))
	case action == links.Acknowledge && i.State == incident.Acknowledged && !i.Calling():
		return fmt.Sprintf("%s was faster and works on it since %s.", notify.Line(i.AcknowledgedBy), clock(i.AcknowledgedAt))
	}
	return ""
}

// press answers POST /a/{token}: it acts. Pressing twice does nothing more.
func (h *Handler) press(c *gin.Context) {
	token, i, ok := h.follow(c, true)
	if !ok {
		return
	}
	heading, button, do := what(token.Action)
	given, err := readName(c)
	if err != nil {
		v := view{Heading: heading, Button: button, Wrong: err.Error(), About: facts(i), Link: h.options.Links.Incident(i)}
		h.failed(c, http.StatusBadRequest, resultInvalid, v)
		return
	}
	by := person("", given, "via link of "+token.Target)
	s := said{incident: token.Incident, cycle: token.Cycle, by: by, where: "signed link", text: "by the link sent to " + notify.Line(token.Target), do: do}
	changed, a, err := h.actOn(c.Request.Context(), s)
	switch {
	case err != nil:
		h.fail(c, err, true)
		return
	case changed == nil:
		h.failed(c, http.StatusNotFound, a.Result, gone())
		return
	}
	h.did(c.Request.Context(), "link", a, nil)
	v := view{Heading: "Nothing to do", About: facts(changed), Link: h.options.Links.Incident(changed)}
	switch over := settled(token.Action, changed); {
	case a.Result == resultAcknowledged && changed.State == incident.Acknowledged && changed.AcknowledgedBy != by:
		v.Heading, v.Say = "Answered", "Nobody else is called. "+notify.Line(changed.AcknowledgedBy)+" works on it since "+clock(changed.AcknowledgedAt)+"."
	case a.Result == resultAcknowledged:
		v.Heading, v.Say = "Acknowledged", by+" works on it now. Everybody who was told of it hears so."
	case a.Result == resultResolved:
		v.Heading, v.Say = "Resolved", "Everybody who was told of it hears so."
	case changed.IsOpen() && changed.State == incident.Acknowledged && changed.AcknowledgedBy == by && over != "":
		v.Heading, v.Say = "Acknowledged", by+" works on it since "+clock(changed.AcknowledgedAt)+"."
	case over != "":
		v.Say = over
	default:
		v.Say = a.Note
	}
	h.show(c, http.StatusOK, v)
}

// formLimit is the largest form in bytes: it has a name in it.
const formLimit = 8 << 10

// readName returns the name that a person gave, empty if they gave none.
func readName(c *gin.Context) (string, error) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, formLimit)
	body := new(bytes.Buffer)
	if _, err := body.ReadFrom(c.Request.Body); err != nil {
		return "", errors.New("name: too long")
	}
	form, err := url.ParseQuery(body.String())
	if err != nil {
		return "", errors.New("name: not a form")
	}
	name := notify.Line(form.Get("name"))
	switch {
	case len(name) > nameKept:
		return "", errors.New("name: too long")
	case strings.EqualFold(name, incident.System):
		return "", fmt.Errorf("name: %q is what Tocsin itself is called", name)
	}
	return name, nil
}

// follow reads the token of a link and finds its incident. Where that leads to
// nothing it answers by itself, in words and with the incident's page if there is one.
func (h *Handler) follow(c *gin.Context, acts bool) (t links.Token, i *incident.Incident, ok bool) {
	count := func(result string) string {
		if !acts {
			return ""
		}
		return result
	}
	ctx := c.Request.Context()
	t, err := h.options.Links.Read(ctx, c.Param("token"))
	expired := errors.Is(err, links.ErrExpired)
	switch {
	case errors.Is(err, links.ErrNotOurs):
		status, say := http.StatusNotFound, "This link is not one of this Tocsin, or it was damaged on its way. Copy all of it, or open the incident in Tocsin."
		if !h.throttle.Allow(c.ClientIP()) {
			status, say = http.StatusTooManyRequests, "Too many wrong links were tried from your address. Wait a minute."
			c.Header("Retry-After", "60")
		} else {
			h.throttle.Failed(ctx, c.ClientIP())
		}
		h.failed(c, status, count(resultRefused), view{Heading: "This link does not work", Say: say})
		return t, nil, false
	case err != nil && !expired:
		h.fail(c, err, acts)
		return t, nil, false
	}
	i, err = h.options.Store.Incident(ctx, t.Incident.String())
	switch {
	case errors.Is(err, incident.ErrNotFound):
		h.failed(c, http.StatusNotFound, count(resultUnknown), gone())
	case err != nil:
		h.fail(c, err, acts)
	case expired:
		// It shows no facts any more: what has expired is no permission to read either.
		h.failed(c, http.StatusGone, count(resultRefused), view{Heading: "This link has expired", Say: "It could be used until " + clock(t.Expires) + ". Nothing was done.",
			Link: h.options.Links.Incident(i)})
	case i.Reopens != t.Cycle:
		h.failed(c, http.StatusGone, count(resultUnchanged), view{Heading: "This link is of an earlier time",
			Say:   "The incident was resolved and has begun again since the message was sent, at " + clock(i.CycleOpenedAt) + ". Nothing was done. A newer message has a link that works.",
			About: facts(i), Link: h.options.Links.Incident(i)})
	default:
		return t, i, true
	}
	return t, nil, false
}

func gone() view {
	return view{Heading: "This incident does not exist any more", Say: "Nothing was done."}
}

// fail shows that something went wrong here, and that it can be tried again.
func (h *Handler) fail(c *gin.Context, err error, acts bool) {
	h.log.ErrorContext(c.Request.Context(), "link", "err", err)
	_ = c.Error(err) // for the access log
	result := ""
	if acts {
		result = resultFailed
	}
	c.Header("Retry-After", "5")
	h.failed(c, http.StatusServiceUnavailable, result, view{Heading: "Not now", Say: "Tocsin cannot reach its store. Nothing was done: load this page again in a moment."})
}

// failed shows a page that is no success; result is counted unless it is empty.
func (h *Handler) failed(c *gin.Context, status int, result string, v view) {
	if result != "" {
		h.did(c.Request.Context(), "link", Answer{Result: result}, web.Refuse(status, v.Heading))
	}
	h.show(c, status, v)
}

// show writes the page. The address is a permission, so it is kept nowhere and
// passed on to nobody.
func (h *Handler) show(c *gin.Context, status int, v view) {
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, v); err != nil {
		web.Fail(c, h.log, fmt.Errorf("answers: page: %w", err)) // unreachable: it fits
		return
	}
	c.Header("Content-Security-Policy", pagePolicy)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-store")
	c.Header("X-Robots-Tag", "noindex, nofollow")
	c.Data(status, "text/html; charset=utf-8", out.Bytes())
}
