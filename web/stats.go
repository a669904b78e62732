package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/report"
	"github.com/tocsin-gateway/tocsin/report/stats"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// statsScan bounds the incidents that one answer looks at, the newest first.
	statsScan = 200_000
	// statsPage is how many are read at a time.
	statsPage = 1000
	// statsDefault is how far back an answer goes if nobody says it.
	statsDefault = 30 * 24 * time.Hour
)

// StatsJSON is what incidents observed of themselves over a time.
type StatsJSON struct {
	From     *time.Time `json:"from"`
	To       *time.Time `json:"to"`
	By       []string   `json:"by"`
	Timezone string     `json:"timezone"`
	// Scanned incidents were looked at, at most ScanLimit. If that was not enough,
	// Complete is false and ScannedSince is when the oldest of them was opened.
	Scanned      int        `json:"scanned"`
	ScanLimit    int        `json:"scan_limit"`
	Complete     bool       `json:"complete"`
	ScannedSince *time.Time `json:"scanned_since"`
	// RemovedBefore is set if the time begins before it: incidents that were closed before
	// that are removed, and what they observed is not here.
	RemovedBefore *time.Time `json:"removed_before"`
	// Clipped incidents were reopened so often that they list no longer all that was observed.
	Clipped       int              `json:"clipped"`
	Total         StatsGroupJSON   `json:"total"`
	Groups        []StatsGroupJSON `json:"groups"`
	GroupsLeftOut int              `json:"groups_left_out"`
	// Interval is day, week or month if there is a Series.
	Interval string            `json:"interval"`
	Series   []StatsBucketJSON `json:"series"`
}

// StatsGroupJSON is one row of the answer.
type StatsGroupJSON struct {
	// By are the values of what the answer is split by.
	By                        map[string]string `json:"by"`
	Opened                    int               `json:"opened"`
	Reopened                  int               `json:"reopened"`
	ResolvedUnacknowledged    int               `json:"resolved_unacknowledged"`
	OpenNow                   int               `json:"open_now"`
	ResponseObjectiveMet      int               `json:"response_objective_met"`
	ResponseObjectiveMissed   int               `json:"response_objective_missed"`
	ResolutionObjectiveMet    int               `json:"resolution_objective_met"`
	ResolutionObjectiveMissed int               `json:"resolution_objective_missed"`
	TimeToDetect              TimesJSON         `json:"time_to_detect"`
	TimeToAcknowledge         TimesJSON         `json:"time_to_acknowledge"`
	TimeToResolve             TimesJSON         `json:"time_to_resolve"`
	Outage                    TimesJSON         `json:"outage"`
}

// TimesJSON sums up durations. Without any, mean and quantiles are null.
type TimesJSON struct {
	Count int      `json:"count"`
	Sum   float64  `json:"sum_seconds"`
	Mean  *float64 `json:"mean_seconds"`
	P50   *float64 `json:"p50_seconds"`
	P90   *float64 `json:"p90_seconds"`
	P99   *float64 `json:"p99_seconds"`
	Max   *float64 `json:"max_seconds"`
}

// StartOfDay is when the day that t names begins in a zone, as series have it.
func StartOfDay(t time.Time, zone *time.Location) time.Time { return stats.StartOfDay(t, zone) }

// stats answers GET /api/v1/stats. It reads every incident that was opened before
// the end, since one that is older than the beginning may have been resolved in it.
func (a *API) stats(c *gin.Context) {
	q := newQuery(c)
	format := q.text("format")
	if format != "" && format != "json" && format != "csv" {
		q.bad("format", "%q is none of json, csv", format)
	}
	want, zone := a.statsQuery(q)
	buckets := q.buckets(want, format)
	if err := q.done(); err != nil {
		a.fail(c, err)
		return
	}
	found, err := a.sumUp(c.Request.Context(), want, buckets)
	if err != nil {
		a.fail(c, err)
		return
	}
	found.Timezone = zone
	if format == "csv" {
		a.answerCSV(c, found)
		return
	}
	a.answer(c, http.StatusOK, found)
}

// statsQuery reads what is asked for. Mistakes are gathered in q.
func (a *API) statsQuery(q *query) (want stats.Query, zone string) {
	want = stats.Query{From: q.time("from"), To: q.time("to"), By: q.list("by", stats.Splits()), Zone: time.UTC}
	if want.To.IsZero() {
		want.To = a.store.Now()
	}
	if want.From.IsZero() {
		want.From = want.To.Add(-statsDefault)
	}
	if zone = q.text("timezone"); zone == "" {
		zone = "UTC"
	}
	var err error
	if want.Zone, err = time.LoadLocation(zone); err != nil || zone == "Local" { // what this machine takes for local is nobody's business
		q.bad("timezone", "%q is not the name of a time zone, such as Europe/Zurich", zone)
		want.Zone = time.UTC
	}
	if len(q.errs) == 0 {
		if err := want.Validate(); err != nil {
			name, reason, _ := strings.Cut(err.Error(), " ")
			q.errs = append(q.errs, &router.InputError{Field: name, Reason: reason})
		}
	}
	return want, zone
}

// sumUp reads incidents and adds up. One answer at a time: it costs a core for as
// long as it takes.
func (a *API) sumUp(ctx context.Context, want stats.Query, buckets stats.Buckets) (StatsJSON, error) {
	select {
	case a.summing <- struct{}{}:
		defer func() { <-a.summing }()
	case <-ctx.Done():
		return StatsJSON{}, ctx.Err()
	}
	sum, series := stats.New(want), newSeries(want, buckets)
	search, complete, oldest := store.Query{To: want.To, Limit: statsPage, Lean: true}, true, time.Time{}
	for scanned := 0; ; {
		page, next, err := a.store.Incidents(ctx, search)
		if err == nil {
			err = ctx.Err() // a store on this machine does not look
		}
		if err != nil {
			return StatsJSON{}, err
		}
		for _, i := range page {
			if scanned == statsScan {
				complete, next = false, ""
				break
			}
			sum.Add(i)
			series.add(i)
			scanned, oldest = scanned+1, i.OpenedAt
		}
		if next == "" {
			break
		}
		search.Cursor = next
	}
	r := sum.Result()
	v := StatsJSON{From: stamp(r.From), To: stamp(r.To), By: list(r.By), Scanned: r.Scanned, ScanLimit: statsScan, Complete: complete,
		RemovedBefore: a.removedBefore(want.From), Clipped: r.Clipped, Total: viewGroup(nil, r.Total), Groups: []StatsGroupJSON{}, GroupsLeftOut: r.GroupsLeftOut}
	if !complete {
		v.ScannedSince = stamp(oldest)
	}
	for _, g := range r.Groups {
		v.Groups = append(v.Groups, viewGroup(r.By, g))
	}
	v.Interval, v.Series = buckets.Interval, series.view(r)
	return v, nil
}

// removedBefore is since when all that was closed is still there; nil if that is since before
// a time that begins at from.
func (a *API) removedBefore(from time.Time) *time.Time {
	of := a.options.Reports.Retention
	if of == nil || of() <= 0 {
		return nil
	}
	if at := a.store.Now().Add(-of()); from.Before(at) {
		return stamp(at)
	}
	return nil
}

func viewGroup(by []string, g stats.Group) StatsGroupJSON {
	v := StatsGroupJSON{By: map[string]string{}, Opened: g.Opened, Reopened: g.Reopened, ResolvedUnacknowledged: g.ResolvedUnacknowledged, OpenNow: g.OpenNow,
		ResponseObjectiveMet: g.ResponseMet, ResponseObjectiveMissed: g.ResponseMissed, ResolutionObjectiveMet: g.ResolutionMet, ResolutionObjectiveMissed: g.ResolutionMissed,
		TimeToDetect: viewTimes(g.TimeToDetect), TimeToAcknowledge: viewTimes(g.TimeToAcknowledge), TimeToResolve: viewTimes(g.TimeToResolve), Outage: viewTimes(g.Outage)}
	for n, name := range by {
		v.By[name] = g.Values[n]
	}
	return v
}

func viewTimes(t stats.Times) TimesJSON {
	if t.Count == 0 {
		return TimesJSON{}
	}
	return TimesJSON{t.Count, t.Sum, &t.Mean, &t.P50, &t.P90, &t.P99, &t.Most}
}

// answerCSV answers with a row for each group and one for the whole.
func (a *API) answerCSV(c *gin.Context, v StatsJSON) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	head := append([]string{"row"}, v.By...)
	head = append(head, "opened", "reopened", "resolved_unacknowledged", "open_now",
		"response_objective_met", "response_objective_missed", "resolution_objective_met", "resolution_objective_missed")
	for _, name := range [...]string{"time_to_detect", "time_to_acknowledge", "time_to_resolve", "outage"} {
		for _, of := range [...]string{"count", "sum_seconds", "mean_seconds", "p50_seconds", "p90_seconds", "p99_seconds", "max_seconds"} {
			head = append(head, name+"_"+of)
		}
	}
	err := w.Write(head)
	for _, g := range v.Groups {
		err = errors.Join(err, w.Write(csvRow("group", v.By, g)))
	}
	err = errors.Join(err, w.Write(csvRow("total", v.By, v.Total)))
	w.Flush()
	if err = errors.Join(err, w.Error()); err != nil {
		a.fail(c, err) // unreachable: memory takes everything
		return
	}
	if !v.Complete || v.RemovedBefore != nil || v.Clipped > 0 || v.GroupsLeftOut > 0 {
		c.Header("Tocsin-Truncated", "true")
	}
	c.Header("Content-Disposition", `attachment; filename="tocsin-stats.csv"`)
	c.Data(http.StatusOK, "text/csv; charset=utf-8", b.Bytes())
}

func csvRow(kind string, by []string, g StatsGroupJSON) []string {
	row := []string{kind}
	for _, name := range by {
		row = append(row, report.Inert(g.By[name]))
	}
	for _, n := range [...]int{g.Opened, g.Reopened, g.ResolvedUnacknowledged, g.OpenNow,
		g.ResponseObjectiveMet, g.ResponseObjectiveMissed, g.ResolutionObjectiveMet, g.ResolutionObjectiveMissed} {
		row = append(row, strconv.Itoa(n))
	}
	for _, t := range [...]TimesJSON{g.TimeToDetect, g.TimeToAcknowledge, g.TimeToResolve, g.Outage} {
		row = append(row, strconv.Itoa(t.Count), csvNumber(&t.Sum), csvNumber(t.Mean), csvNumber(t.P50), csvNumber(t.P90), csvNumber(t.P99), csvNumber(t.Max))
	}
	return row
}

func csvNumber(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
