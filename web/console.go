package web

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// consoleRows is how many incidents the front page shows.
const consoleRows = 50

// frontPage is what a person sees who opens the gateway in a browser. What
// comes from alerts is escaped by html/template; there is no script.
var frontPage = template.Must(template.New("front").Funcs(template.FuncMap{"ago": ago}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Tocsin</title>
<meta http-equiv="refresh" content="30">
<style>
:root{color-scheme:light dark}
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .8rem .35rem 0;border-bottom:1px solid #8884;vertical-align:top}
td.n,th.n{text-align:right}
caption{text-align:left;padding-bottom:.5rem}
.critical{font-weight:700}
.muted{opacity:.7}
code{font-size:.95em}
</style></head><body>
<h1>Tocsin</h1>
{{if .Rows}}<table><caption class="muted">Incidents, the newest first</caption>
<thead><tr><th>Reference</th><th>State</th><th>Severity</th><th>Priority</th><th>Title</th><th class="n">Alerts firing</th><th>Opened</th></tr></thead><tbody>
{{range .Rows}}<tr><td><a href="/api/v1/incidents/{{.Reference}}">{{.Reference}}</a></td><td>{{.State}}</td><td{{if eq .Severity "critical"}} class="critical"{{end}}>{{.Severity}}</td><td>{{.Priority}}</td><td>{{.Title}}</td><td class="n">{{.Alerts.Firing}} of {{.Alerts.Total}}</td><td>{{ago $.Now .OpenedAt}} ago</td></tr>
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
	h := c.Writer.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	c.Status(http.StatusOK)
	err = frontPage.Execute(c.Writer, struct {
		Rows []*incident.Incident
		Host string
		Now  time.Time
	}{list, c.Request.Host, a.store.Now()})
	if err != nil {
		a.log.DebugContext(c.Request.Context(), "front page", "err", err)
	}
}

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
