package web

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/version"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/mute/silences"
)

// Alertmanager's API v2, so that its clients work on the alerts of all senders:
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. What
// we do not have stands in docs/alertmanager-api.md. POST /api/v2/alerts is
// ingest's.

// registerAlertmanager adds the routes under /api/v2.
func (a *API) registerAlertmanager(engine *gin.Engine) {
	api := engine.Group("/api/v2", func(c *gin.Context) { secure(c.Writer.Header()) })
	viewer, responder := api.Group("", a.Require(RoleViewer)), api.Group("", a.Require(RoleResponder))
	viewer.GET("/status", a.amStatus)
	viewer.GET("/receivers", a.amReceivers)
	viewer.GET("/alerts", a.amAlerts)
	viewer.GET("/alerts/groups", a.amGroups)
	viewer.GET("/silences", a.amSilences)
	viewer.GET("/silence/:id", a.amSilence)
	responder.POST("/silences", a.amPutSilence)
	responder.DELETE("/silence/:id", a.amExpire)
}

// amFail is like fail, with the error as Alertmanager writes one: a text in JSON.
func (a *API) amFail(c *gin.Context, err error) {
	if bad := (*silences.InvalidError)(nil); errors.As(err, &bad) {
		err = refuse(http.StatusBadRequest, "%s", bad.Error())
	} else if errors.Is(err, incident.ErrNotFound) {
		err = refuse(http.StatusNotFound, "silence not found")
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		id := uuid.NewString()
		p.Detail += ": request_id " + id
		a.log.ErrorContext(c.Request.Context(), "request failed", "request", id, "method", c.Request.Method, "path", c.FullPath(), "err", err)
	}
	_ = c.Error(err) // for the access log
	if p.Status == http.StatusServiceUnavailable {
		c.Header("Retry-After", retryAfter)
	}
	c.Abort()
	a.answer(c, p.Status, p.Detail)
}

// amFilterLimit is how long one filter may be in bytes.
const amFilterLimit = 2 << 10

// amQuery reads the parameters of a request to Alertmanager's API. Those that
// nobody knows are ignored, as Alertmanager does.
type amQuery struct {
	values url.Values
	err    error
}

func newAMQuery(c *gin.Context) *amQuery {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	q := &amQuery{values: values}
	if err != nil {
		q.bad("query: %v", err)
	}
	if len(values["receiver_matchers"]) > 0 {
		q.bad("receiver_matchers: receivers have no labels here; use receiver")
	}
	return q
}

func (q *amQuery) bad(format string, args ...any) {
	if q.err == nil {
		q.err = refuse(http.StatusBadRequest, format, args...)
	}
}

// last is the value of a parameter, of which Alertmanager takes the last one.
func (q *amQuery) last(name string) string {
	if all := q.values[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// flag is a parameter that is true unless it says otherwise, in the words that
// Alertmanager takes.
func (q *amQuery) flag(name string) bool {
	v := q.last(name)
	return v == "" || slices.Contains([]string{"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}, strings.ToLower(v))
}

// filter are the matchers in the parameter filter.
func (q *amQuery) filter() labels.Matchers {
	texts := q.values["filter"]
	if len(texts) > silences.MaxMatchers {
		q.bad("filter: more than %d", silences.MaxMatchers)
		return nil
	}
	var out labels.Matchers
	for _, text := range texts {
		m, err := silences.ParseMatcher(text)
		if err == nil && len(text) > amFilterLimit {
			err = refuse(http.StatusBadRequest, "longer than %d bytes", amFilterLimit)
		}
		if err != nil {
			q.bad("bad matcher format: %v", err)
			return nil
		}
		out = append(out, m)
	}
	return out
}

// receiver is the expression that the name of a receiver must match as a whole;
// nil if any may.
func (q *amQuery) receiver() *regexp.Regexp {
	v := q.last("receiver")
	if v == "" {
		return nil
	}
	err := silences.CheckPattern(v)
	var re *regexp.Regexp
	if err == nil {
		re, err = regexp.Compile("^(?:" + v + ")$")
	}
	if err != nil {
		q.bad("failed to parse receiver param: %v", err)
	}
	return re
}

// amTime is a time as Alertmanager writes it.
type amTime time.Time

// MarshalText implements encoding.TextMarshaler.
func (t amTime) MarshalText() ([]byte, error) {
	at := time.Time{} // what Alertmanager writes if there is none
	if known := stamp(time.Time(t)); known != nil {
		at = *known
	}
	return at.AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

// amName names a receiver.
type amName struct {
	Name string `json:"name"`
}

func amNames(names []string) []amName {
	out := make([]amName, len(names))
	for n, name := range names {
		out[n].Name = name
	}
	return out
}

// amStatus answers GET /api/v2/status. Versions are Tocsin's own.
func (a *API) amStatus(c *gin.Context) {
	type cluster struct {
		Peers  []string `json:"peers"`
		Status string   `json:"status"`
	}
	type config struct {
		Original string `json:"original"`
	}
	var original string
	if a.options.AlertmanagerConfig != nil {
		original = a.options.AlertmanagerConfig()
	}
	a.answer(c, http.StatusOK, struct {
		Cluster     cluster           `json:"cluster"`
		Config      config            `json:"config"`
		Uptime      amTime            `json:"uptime"`
		VersionInfo map[string]string `json:"versionInfo"`
	}{cluster{[]string{}, "disabled"}, config{original}, amTime(a.began), map[string]string{
		"branch": version.Branch, "buildDate": version.BuildDate, "buildUser": version.BuildUser, "goVersion": version.GoVersion,
		"revision": version.Revision, "version": a.options.Version}})
}

// amReceivers answers GET /api/v2/receivers.
func (a *API) amReceivers(c *gin.Context) {
	q := newAMQuery(c)
	if q.err != nil {
		a.amFail(c, q.err)
		return
	}
	var names []string
	if a.options.ReceiverNames != nil {
		names = a.options.ReceiverNames()
	}
	a.answer(c, http.StatusOK, amNames(names))
}
