package web

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/router"
)

// Explanation says what a payload means and what would become of it.
type Explanation struct {
	Alerts   []ExplainedJSON `json:"alerts"`
	Rejected []Rejection     `json:"rejected"`
	// LeftOut is how many alerts and rejected elements are in neither list: there are too many.
	LeftOut int `json:"left_out"`
}

// ExplainedJSON is one alert of a payload, with every decision about it.
type ExplainedJSON struct {
	AlertJSON
	Verdict string `json:"verdict"`
	// Reason explains the verdict suppressed.
	Reason string `json:"reason"`
	// Classification is what the rules say about it.
	Classification ClassificationJSON `json:"classification"`
	// Key and Rule say where it belongs; both are empty if a rule suppresses it.
	Key  string `json:"key"`
	Rule string `json:"rule"`
	// Incident is as it would be after all alerts of the payload; null if there is none.
	Incident  *IncidentJSON     `json:"incident"`
	Decisions []router.Decision `json:"decisions"`
	// Routes say who would be told of the incident.
	Routes []ExplainedRouteJSON `json:"routes"`
	// Hidden is what would hide the alert from everybody; null if nothing would.
	Hidden *notify.Hidden `json:"hidden"`
}

// ExplainedRouteJSON is a route that an incident takes. Path are its matchers from the
// root on; Hidden is the time interval that hides what takes it, null if none does.
type ExplainedRouteJSON struct {
	Receiver string         `json:"receiver"`
	Path     []string       `json:"path"`
	Hidden   *notify.Hidden `json:"hidden"`
}

// ClassificationJSON is what the rules say about an alert; empty texts are left
// to what the severity implies.
type ClassificationJSON struct {
	Severity string            `json:"severity"`
	Impact   string            `json:"impact"`
	Urgency  string            `json:"urgency"`
	Priority string            `json:"priority"`
	Category string            `json:"category"`
	Service  string            `json:"service"`
	Team     string            `json:"team"`
	Runbook  string            `json:"runbook"`
	Labels   map[string]string `json:"labels"`
}

// Rejection is an element of a payload that cannot be understood.
type Rejection struct {
	Reason string `json:"reason"`
	Field  string `json:"field"`
}

// NewExplanation returns the explanation of a payload that was taken apart into
// explained alerts and rejected elements.
func NewExplanation(explained []router.Explained, rejected []Rejection) Explanation {
	out := Explanation{Alerts: make([]ExplainedJSON, len(explained)), Rejected: list(rejected)}
	for n := range explained {
		out.Alerts[n] = viewExplained(&explained[n])
	}
	return out
}

func viewExplained(e *router.Explained) ExplainedJSON {
	c := e.Class
	v := ExplainedJSON{AlertJSON: ViewAlert(e.Alert), Verdict: e.Outcome.Verdict.String(), Reason: e.Outcome.Reason, Rule: e.Rule,
		Classification: ClassificationJSON{c.Severity, c.Impact, c.Urgency, c.Priority, c.Category, c.Service, c.Team, c.Runbook, c.Labels.Map()},
		Decisions:      list(e.Decisions)}
	v.ClassifiedSeverity, v.Count = c.Severity, 1
	v.FirstSeen, v.LastSeen = v.ReceivedAt, v.ReceivedAt
	if !e.Outcome.Fingerprint.IsZero() {
		v.Fingerprint = e.Outcome.Fingerprint.String()
	}
	if !e.Key.IsZero() {
		v.Key = e.Key.String()
	}
	if e.Incident != nil {
		i := ViewIncident(e.Incident)
		v.Incident = &i
	}
	return v
}

// ExplainLimit is the largest payload that can be explained, in bytes.
const ExplainLimit = 8 << 20

// explain answers POST /api/v1/explain?source=NAME.
func (a *API) explain(c *gin.Context) {
	source, err := sourceOf(c, a.options.Explain != nil)
	var payload []byte
	if err == nil {
		payload, err = readAll(c, ExplainLimit)
	}
	var out Explanation
	if err == nil {
		out, err = inTurn(c.Request.Context(), a.explaining, func(ctx context.Context) (Explanation, error) { return a.options.Explain(ctx, source, payload) })
	}
	a.explained(c, out, err)
}

// inTurn explains something when it is its turn: a large payload takes hundreds of megabytes
// while it is taken apart, and a mapping may have expressions that keep a core busy.
func inTurn(ctx context.Context, turn chan struct{}, explain func(context.Context) (Explanation, error)) (Explanation, error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return Explanation{}, ctx.Err()
	}
	return explain(ctx)
}

// sourceOf is the source that the address names; can says whether this server explains.
func sourceOf(c *gin.Context, can bool) (string, error) {
	q := newQuery(c)
	source := q.text("source")
	if source == "" {
		q.bad("source", "say which source it would come from")
	}
	err := q.done()
	if err == nil && !can {
		err = refuse(http.StatusNotImplemented, "this server cannot explain")
	}
	return source, err
}

func (a *API) explained(c *gin.Context, answer any, err error) {
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, answer)
}

// MappingJSON is the mapping of a source, in YAML.
type MappingJSON struct {
	Source  string `json:"source"`
	Mapping string `json:"mapping"`
}

// mapping answers GET /api/v1/explain/mapping?source=NAME.
func (a *API) mapping(c *gin.Context) {
	source, err := sourceOf(c, a.options.Mapping != nil)
	out := MappingJSON{Source: source}
	if err == nil {
		out.Mapping, err = a.options.Mapping(source)
	}
	a.explained(c, out, err)
}

// TryMappingJSON is a mapping to try, in YAML, with a payload.
type TryMappingJSON struct {
	Mapping string `json:"mapping"`
	Payload string `json:"payload"`
}

// explainMapping answers POST /api/v1/explain/mapping?source=NAME.
func (a *API) explainMapping(c *gin.Context) {
	source, err := sourceOf(c, a.options.ExplainMapping != nil)
	var try TryMappingJSON
	if err == nil {
		err = readLargeJSON(c, &try, ExplainLimit)
	}
	if err == nil && try.Mapping == "" {
		err = wrong("mapping", "is missing")
	}
	var out Explanation
	if err == nil {
		out, err = inTurn(c.Request.Context(), a.trying, func(ctx context.Context) (Explanation, error) {
			return a.options.ExplainMapping(ctx, source, try.Mapping, []byte(try.Payload))
		})
	}
	a.explained(c, out, err)
}

// readAll reads a body of at most limit bytes.
func readAll(c *gin.Context, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
		return nil, refuse(http.StatusBadRequest, "the body ended before its end")
	}
	return body, err
}
