package web

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

// ReportFacts is what reports have to know beside the store. What is nil is said to
// be unknown.
type ReportFacts struct {
	// Duties says what the team's process wants next of an incident.
	Duties func(i *incident.Incident, now time.Time) []report.Duty
	// Objectives are the promises for an incident.
	Objectives func(i *incident.Incident) report.Objectives
	// Communication names the duties that are about telling people, and Uncounted those
	// that are not counted: nobody can keep them, or they are the objectives.
	Communication, Uncounted func() []string
	// Retention is how long incidents are kept after they were closed, 0 for ever.
	Retention func() time.Duration
	// Owner is whose a service is, "" if nobody says.
	Owner func(service string) string
	// Populations are those who use a service, "" if nobody says.
	Populations func(service string) string
}

// reportFormat is a way to write a document.
type reportFormat struct {
	name, media string
	write       func(io.Writer, *report.Document) error
	// attached: browsers are told to save it.
	attached bool
}

var reportFormats = []reportFormat{
	{"html", "text/html; charset=utf-8", report.HTML, false}, {"md", "text/markdown; charset=utf-8", report.Markdown, true},
	{"json", "application/json", report.JSON, false}, {"csv", "text/csv; charset=utf-8", report.CSV, true},
}

// word is a parameter that is one of several words; the first one if it is not there.
func (q *query) word(name string, words ...string) string {
	v := cmp.Or(q.text(name), words[0])
	if !slices.Contains(words, v) {
		q.bad(name, "%q is none of %s", v, strings.Join(words, ", "))
		return words[0]
	}
	return v
}

// format is the parameter format. CSV is for documents that are tables.
func (q *query) format(table bool) reportFormat {
	words := []string{"html", "md", "json"}
	if table {
		words = append(words, "csv")
	}
	v := q.word("format", words...)
	return reportFormats[slices.IndexFunc(reportFormats, func(f reportFormat) bool { return f.name == v })]
}

// zone is the parameter tz, a name of the IANA database; UTC if it is not there.
func (q *query) zone() *time.Location { return q.zoneOr("UTC") }

func (q *query) zoneOr(otherwise string) *time.Location {
	v := cmp.Or(q.text("tz"), otherwise)
	z, err := time.LoadLocation(v)
	if err != nil || v == "Local" {
		q.bad("tz", "%q is not a time zone, such as Europe/Zurich", v)
		return time.UTC
	}
	return z
}

// incidentReport answers GET /api/v1/incidents/{id}/report.
func (a *API) incidentReport(c *gin.Context) {
	q := newQuery(c)
	kind := q.word("kind", report.Kinds()...)
	f := q.format(kind == report.KindDisruption)
	v := report.View{Now: a.store.Now(), Zone: q.zone(), By: q.text("by")}
	if who := identityOf(c); who != "" {
		v.By = who
	}
	i, err := a.find(c, q)
	var facts report.Case
	if err == nil {
		facts, err = a.caseOf(c.Request.Context(), i, kind, v.Now)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	of := map[string]func(report.Case, report.View) *report.Document{
		report.KindDisruption: report.Disruption, report.KindClosure: report.Closure, report.KindHandover: report.Handover}[kind]
	a.document(c, of(facts, v), f, i.Reference+"-"+kind)
}

// shiftDefault is how long a shift is taken to be if nobody says when it began.
const shiftDefault = 8 * time.Hour

// shiftReport answers GET /api/v1/reports/shift.
func (a *API) shiftReport(c *gin.Context) {
	q := newQuery(c)
	f := q.format(false)
	v := report.View{Now: a.store.Now(), Zone: q.zone()}
	since := q.time("since")
	switch {
	case since.IsZero():
		since = v.Now.Add(-shiftDefault)
	case since.After(v.Now):
		q.bad("since", "lies in the future")
	}
	err := q.done()
	var w report.Watch
	if err == nil {
		w, err = a.watch(c.Request.Context(), since, v.Now)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.document(c, report.Shift(w, v), f, "shift-"+v.Now.In(v.Zone).Format("20060102-1504"))
}

// monthlyReport answers GET /api/v1/reports/monthly.
func (a *API) monthlyReport(c *gin.Context) {
	q := newQuery(c)
	f := q.format(true)
	v := report.View{Now: a.store.Now(), Zone: q.zone()}
	from, to := q.month("month", v.Now, v.Zone)
	err := q.done()
	var m report.Month
	if err == nil {
		m, err = a.month(c.Request.Context(), from, to, v.Now)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.document(c, report.Monthly(m, v), f, "monthly-"+from.Format("2006-01"))
}

// month is a parameter such as 2026-11; the month before now if it is not there.
func (q *query) month(name string, now time.Time, zone *time.Location) (from, to time.Time) {
	v := q.text(name)
	if v == "" {
		v = now.In(zone).AddDate(0, 0, -now.In(zone).Day()).Format("2006-01")
	}
	first, err := time.Parse("2006-01", v)
	if err != nil || first.Year() < 1970 {
		q.bad(name, "%q is not a month, such as 2026-11", v)
	}
	return StartOfDay(first, zone), StartOfDay(first.AddDate(0, 1, 0), zone)
}

// document answers 200 with d. Name is what a file of it is called.
func (a *API) document(c *gin.Context, d *report.Document, f reportFormat, name string) {
	var b bytes.Buffer
	if err := f.write(&b, d); err != nil {
		a.fail(c, fmt.Errorf("web: report: %w", err))
		return
	}
	a.PageHeaders(c) // in a browser it is a page
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", report.Policy+"; frame-ancestors 'none'")
	disposition := "inline"
	if f.attached {
		disposition = "attachment"
	}
	h.Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", disposition, fileName(name)+"."+f.name))
	c.Data(http.StatusOK, f.media, b.Bytes())
}

// fileName is a name that every system takes for one of a file.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
			return r
		}
		return '_'
	}, name)
}
