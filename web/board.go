package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web/live"
)

// BoardJSON is a part of the open incidents, the most urgent first.
type BoardJSON struct {
	// Version rises with every change of any open incident.
	Version uint64 `json:"version"`
	// At is when the board changed or was last found to be right.
	At *time.Time `json:"at"`
	// Open is how many incidents are open, Total how many of them were asked for, and
	// ByState and BySeverity how many of each are among those.
	Open       int            `json:"open"`
	Total      int            `json:"total"`
	ByState    map[string]int `json:"by_state"`
	BySeverity map[string]int `json:"by_severity"`
	Incidents  []RowJSON      `json:"incidents"`
}

// board answers GET /api/v1/board.
func (a *API) board(c *gin.Context) {
	q := newQuery(c)
	search := live.Query{
		States:     q.list("state", []string{incident.Open, incident.Acknowledged}),
		Severities: q.list("severity", a.pipeline.Severities()),
		Priorities: q.list("priority", incident.Priorities()),
		Services:   q.list("service", nil),
		Teams:      q.list("team", nil),
		Who:        q.text("who"),
		Text:       q.text("q"),
		From:       q.time("from"),
		To:         q.time("to"),
		Limit:      q.limit(),
		Offset:     q.offset(),
	}
	err := q.done()
	if err == nil && a.options.Live == nil {
		err = errNothingLive
	}
	var p live.Page
	if err == nil {
		p, err = a.options.Live.Board(c.Request.Context(), search)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, BoardJSON{Version: p.Version, At: stamp(p.At), Open: p.Open, Total: p.Total, ByState: p.States, BySeverity: p.Severities, Incidents: each(p.Rows, ViewRow)})
}

// errNothingLive: this API was made without a Live.
var errNothingLive = refuse(http.StatusServiceUnavailable, "there is no board here, and nothing is told when it changes")

// offset is how many rows to pass over.
func (q *query) offset() int {
	v := q.text("offset")
	if v == "" {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		q.bad("offset", "%q is not a number from 0 on", v)
	}
	return max(n, 0)
}

// RowJSON is an incident as boards and streams show it: less than IncidentJSON.
type RowJSON struct {
	ID        string     `json:"id"`
	Reference string     `json:"reference"`
	Version   uint64     `json:"version"`
	Title     string     `json:"title"`
	State     string     `json:"state"`
	Phase     string     `json:"phase"`
	Severity  string     `json:"severity"`
	Priority  string     `json:"priority"`
	Level     string     `json:"level"`
	Service   string     `json:"service"`
	Team      string     `json:"team"`
	Customers []string   `json:"customers"`
	Customer  string     `json:"customer"`
	Alerts    CountsJSON `json:"alerts"`
	OpenedAt  *time.Time `json:"opened_at"`
	ChangedAt *time.Time `json:"changed_at"`
	// AcknowledgedBy is empty if nobody has.
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	AcknowledgedBy string     `json:"acknowledged_by"`
	Working        []string   `json:"working"`
	// Duty is what the process asks for next, by DutyDue.
	Duty         string     `json:"duty"`
	DutyDue      *time.Time `json:"duty_due"`
	SnoozedUntil *time.Time `json:"snoozed_until"`
	// Merged are how many are merged into it, MergedInto is the one that it is merged into.
	Merged     int     `json:"merged"`
	MergedInto *string `json:"merged_into"`
	Parent     *string `json:"parent"`
	Children   int     `json:"children"`
	Drill      bool    `json:"drill"`
}

// ViewRow returns r as the API shows it.
func ViewRow(r *live.Row) RowJSON {
	return RowJSON{ID: r.ID.String(), Reference: r.Reference, Version: r.Version, Title: r.Title, State: r.State, Phase: r.Phase, Severity: r.Severity,
		Priority: r.Priority, Level: r.Level, Service: r.Service, Team: r.Team, Customers: list(r.Customers), Customer: r.Customer, Alerts: CountsJSON(r.Alerts),
		OpenedAt: stamp(r.OpenedAt), ChangedAt: stamp(r.ChangedAt), AcknowledgedAt: stamp(r.AcknowledgedAt), AcknowledgedBy: r.AcknowledgedBy, Working: list(r.Working),
		Duty: r.Duty, DutyDue: stamp(r.DutyDue), SnoozedUntil: stamp(r.SnoozedUntil), Merged: r.Merged, MergedInto: idOrNil(r.MergedInto), Parent: idOrNil(r.Parent),
		Children: r.Children, Drill: r.Drill}
}

func idOrNil(id incident.ID) *string {
	if id.IsZero() {
		return nil
	}
	text := id.String()
	return &text
}
