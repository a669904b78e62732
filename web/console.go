package web

import (
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
)

// consoleRows is how many incidents the front page shows.
const consoleRows = 50

// consoleStyle is what the pages look like.
const consoleStyle = `<style>
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right}
caption{text-align:left;padding-bottom:.5rem}
.critical{font-weight:700}
.muted{opacity:.7}
code{font-size:.95em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem}
dt{opacity:.7}dd{margin:0}
h1,dd{overflow-wrap:anywhere}
td{overflow-wrap:break-word}
.wide{overflow-x:auto}
</style>`

// consolePolicy lets nothing in but the style.
const consolePolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// frontPage is what a person sees who opens the gateway in a browser. What
// comes from alerts is escaped by html/template; there is no script.
var frontPage = template.Must(template.New("front").Funcs(template.FuncMap{"ago": ago}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Tocsin</title>
<meta http-equiv="refresh" content="30">
` + consoleStyle + `</head><body>
<h1>Tocsin</h1>
{{if .Rows}}<table><caption class="muted">Incidents, the newest first</caption>
<thead><tr><th>Reference</th><th>State</th><th>Severity</th><th>Priority</th><th>Title</th><th class="n">Alerts firing</th><th>Opened</th></tr></thead><tbody>
{{range .Rows}}<tr><td><a href="/incidents/{{.Reference}}">{{.Reference}}</a></td><td>{{.State}}</td><td{{if eq .Severity "critical"}} class="critical"{{end}}>{{.Severity}}</td><td>{{.Priority}}</td><td>{{.Title}}</td><td class="n">{{.Alerts.Firing}} of {{.Alerts.Total}}</td><td>{{ago $.Now .OpenedAt}} ago</td></tr>
{{end}}</tbody></table>
{{else}}<p>No incident yet. Send an alert:</p>
<pre><code>curl --json '{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"DiskFull","severity":"critical","host":"db-1"}}]}' \
  http://{{.Host}}/ingest/alertmanager</code></pre>
{{end}}<p class="muted">API: <a href="/api/v1/incidents">incidents</a>, <a href="/api/v1/deadletters">dead letters</a>, <a href="/api/v1/openapi.yaml">OpenAPI</a>,
<a href="/metrics">metrics</a>. Command line: <code>tocsin incident list</code></p>
</body></html>
`))

// front answers GET /.
func (a *API) front(c *gin.Context) {
	list, _, err := a.store.Incidents(c.Request.Context(), store.Query{Limit: consoleRows})
	if err != nil {
		a.fail(c, err)
		return
	}
	a.page(c, frontPage, struct {
		Rows []*incident.Incident
		Host string
		Now  time.Time
	}{list, c.Request.Host, a.store.Now()})
}

// page answers 200 with a page.
func (a *API) page(c *gin.Context, t *template.Template, v any) {
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", consolePolicy)
	c.Status(http.StatusOK)
	if err := t.Execute(c.Writer, v); err != nil {
		a.log.DebugContext(c.Request.Context(), "page", "err", err)
	}
}

const (
	// pageAlerts and pageEntries bound what the page of an incident shows.
	pageAlerts  = 50
	pageEntries = 200
)

// incidentPage is where the links in messages lead.
var incidentPage = template.Must(template.New("incident").Funcs(template.FuncMap{"ago": ago, "utc": utc, "web": notify.WebURL, "word": word, "left": left, "past": past}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Incident.Reference}} · Tocsin</title>
` + consoleStyle + `</head><body><main>
<p><a href="/">All incidents</a></p>
{{with .Incident}}<h1>{{.Title}}</h1>
<dl><dt>Reference</dt><dd>{{.Reference}}</dd><dt>State</dt><dd>{{.State}}, {{.Phase}}</dd>
<dt>Severity</dt><dd{{if eq .Severity "critical"}} class="critical"{{end}}>{{.Severity}}, {{.Priority}}</dd>
{{if .Service}}<dt>Service</dt><dd>{{.Service}}</dd>{{end}}{{if .Team}}<dt>Team</dt><dd>{{.Team}}</dd>{{end}}
<dt>Opened</dt><dd>{{utc .OpenedAt}}, {{ago $.Now .OpenedAt}} ago</dd>
{{if .AcknowledgedBy}}<dt>Works on it</dt><dd>{{.AcknowledgedBy}}, since {{utc .AcknowledgedAt}}</dd>{{end}}
{{range $role, $who := .Roles}}<dt>{{word $role}}</dt><dd>{{$who}}</dd>
{{end}}{{with .Proceedings}}{{if .Tier}}<dt>Support level</dt><dd>{{.Tier}}</dd>{{end}}
{{with .Working}}<dt>Working now</dt><dd>{{range $n, $w := .}}{{if $n}}, {{end}}{{$w.Who}}{{with $w.On}} ({{.}}){{end}}{{end}}</dd>{{end}}
{{if not .NextContact.IsZero}}<dt>Next contact</dt><dd>{{utc .NextContact}}</dd>{{end}}
{{with .LastUpdate}}<dt>Last update</dt><dd>{{.Phase}}: {{.What}}, {{utc .At}}</dd>{{end}}{{end}}
{{if .ResolvedBy}}<dt>Resolved</dt><dd>by {{.ResolvedBy}}, {{utc .ResolvedAt}}</dd>{{end}}
<dt>Alerts</dt><dd>{{.Alerts.Firing}} of {{.Alerts.Total}} firing</dd>
{{if .Description}}<dt>Description</dt><dd>{{.Description}}</dd>{{end}}
{{with web .Runbook}}<dt>Runbook</dt><dd><a href="{{.}}" rel="noopener noreferrer">{{.}}</a></dd>{{end}}</dl>
{{end}}{{with .Duties.Duties}}<h2>Duties</h2><div class="wide"><table><thead><tr><th>Duty</th><th>What</th><th>Due</th></tr></thead><tbody>
{{range .}}<tr><td>{{.Name}}</td><td>{{.Text}}</td><td>{{if .Due}}{{utc .Due}}, {{left .Left}}{{else if .Outcome}}{{.Outcome}}{{with .By}} by {{.}}{{end}}{{else}}past{{end}}</td></tr>
{{end}}</tbody></table></div>{{end}}
{{range $action, $missing := .Duties.Missing}}<p>Before it can be {{past $action}}: {{range $n, $m := $missing}}{{if $n}}; {{end}}{{$m.Text}}{{end}}.</p>
{{end}}{{if .Told}}<h2>Who was told</h2><div class="wide"><table><thead><tr><th>Target</th><th>Knows</th><th>Told</th><th>Now</th></tr></thead><tbody>
{{range .Told}}<tr><td>{{.Target}}</td><td>{{.State}}</td><td>{{if not .ToldAt.IsZero}}{{utc .ToldAt}}{{end}}</td><td>{{if .GivenUp}}given up{{else if .Failures}}failed {{.Failures}} times{{else if .Hidden}}hidden by {{.Hidden.By}}: {{.Hidden.Text}}{{else}}told{{end}}</td></tr>
{{end}}</tbody></table></div>{{end}}
{{with .Similar}}{{if .Similar}}<h2>Earlier incidents like it</h2>
{{if .Suggestion}}<p><strong>Recurring:</strong> {{.Recurrence.TwoDays}} times within 48 hours.</p>{{end}}
<div class="wide"><table><thead><tr><th>Reference</th><th>Opened</th><th>Title</th><th>Why</th><th>How it ended</th></tr></thead><tbody>
{{range .Similar}}<tr><td><a href="/incidents/{{.Reference}}">{{.Reference}}</a></td><td>{{with .OpenedAt}}{{utc .}}{{end}}</td><td>{{.Title}}</td><td>{{range $n, $r := .Reasons}}{{if $n}}, {{end}}{{$r.Text}}{{end}}</td><td>{{.Ended}}</td></tr>
{{end}}</tbody></table></div>{{end}}{{end}}
{{if .Alerts}}<h2>Alerts</h2><div class="wide"><table><thead><tr><th>Alert</th><th>Host</th><th>State</th><th>Since</th><th>Says</th></tr></thead><tbody>
{{range .Alerts}}<tr><td>{{with web .Content.GeneratorURL}}<a href="{{.}}" rel="noopener noreferrer">{{end}}{{.Content.Name}}{{if web .Content.GeneratorURL}}</a>{{end}}</td><td>{{.Content.Host}}</td><td>{{if .Entry.Firing}}firing{{else}}ended{{end}}</td><td>{{utc .Entry.Start}}</td><td>{{.Content.Annotations.Get "summary"}}</td></tr>
{{end}}</tbody></table></div>{{end}}
<h2>Timeline</h2><div class="wide"><table><thead><tr><th>When</th><th>Who</th><th>What</th></tr></thead><tbody>
{{range .Timeline}}<tr><td>{{utc .At}}</td><td>{{.Who}}</td><td>{{.Text}}</td></tr>
{{end}}</tbody></table></div>
<p class="muted">All of it: <a href="/api/v1/incidents/{{.Incident.Reference}}">incident</a>, <a href="/api/v1/incidents/{{.Incident.Reference}}/alerts">alerts</a>,
<a href="/api/v1/incidents/{{.Incident.Reference}}/timeline">timeline</a>,
<a href="/api/v1/incidents/{{.Incident.Reference}}/similar">similar</a>, <a href="/api/v1/incidents/{{.Incident.Reference}}/notifications">notifications</a>.
Reports: <a href="/api/v1/incidents/{{.Incident.Reference}}/report?kind=disruption">disruption</a>, <a href="/api/v1/incidents/{{.Incident.Reference}}/report?kind=closure">closure</a>,
<a href="/api/v1/incidents/{{.Incident.Reference}}/report?kind=handover">hand-over</a>.
Command line: <code>tocsin incident show {{.Incident.Reference}}</code></p>
</main></body></html>
`))

// incidentPage answers GET /incidents/{id}.
func (a *API) incidentPage(c *gin.Context) {
	ctx := c.Request.Context()
	i, err := a.find(c, newQuery(c))
	if err != nil {
		a.fail(c, err)
		return
	}
	v := struct {
		Incident *incident.Incident
		Alerts   []store.Record
		Timeline []incident.TimelineEntry
		Told     []notify.Notification
		Duties   DutiesJSON
		Similar  SimilarJSON
		Now      time.Time
	}{Incident: i, Now: a.store.Now()}
	v.Alerts, _, err = a.store.Alerts(ctx, i.ID, "", pageAlerts)
	if err == nil {
		v.Timeline, err = a.store.Timeline(ctx, i.ID, i.TimelineLength-min(i.TimelineLength, pageEntries), pageEntries)
	}
	if err == nil && a.options.Notifications != nil {
		v.Told, err = a.options.Notifications.Notifications(ctx, i.ID)
	}
	if err == nil {
		v.Similar, err = a.likeThis(ctx, i, similarOnPage)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	v.Duties = a.viewDuties(i, v.Now)
	v.Alerts = slices.DeleteFunc(v.Alerts, func(r store.Record) bool { return r.Content == nil })
	slices.Reverse(v.Timeline) // the latest first
	a.page(c, incidentPage, v)
}

// utc writes a time for people.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// ago is the time from then to now in its largest two units.
func ago(now, then time.Time) string {
	d := max(now.Sub(then), 0)
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// word writes a name such as technical_lead for people.
func word(name string) string {
	name = strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(name[:min(1, len(name))]) + name[min(1, len(name)):]
}

// left says how much time there is, in seconds, until something is due.
func left(seconds *float64) string {
	switch d := time.Duration(*seconds * float64(time.Second)).Truncate(time.Second); {
	case d < 0:
		return "overdue"
	case d < time.Minute:
		return "now"
	default:
		return "in " + ago(time.Time{}.Add(d), time.Time{})
	}
}

// past is an action when it is done.
func past(action string) string {
	if action == incident.ActionClose || action == incident.ActionResolve || action == incident.ActionEscalate {
		return action + "d"
	}
	return action
}
