package web

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// amAlertsShown bounds the alerts of one answer.
	amAlertsShown = 100_000
	// TruncatedHeader is there, as a header or a trailer, if an answer has fewer
	// alerts than there are.
	TruncatedHeader = "Tocsin-Truncated"

	amIncidentsAtOnce = 100
	amAlertsAtOnce    = 500
	// amBuffer is how much of an answer is gathered before it is sent, in bytes.
	amBuffer = 64 << 10
	// amValidity is how long an alert is said to be valid whose sender says nothing:
	// Alertmanager's resolve_timeout.
	amValidity = 5 * time.Minute
)

// amAlert is an alert as Alertmanager shows it.
type amAlert struct {
	Annotations  map[string]string `json:"annotations"`
	EndsAt       amTime            `json:"endsAt"`
	Fingerprint  string            `json:"fingerprint"`
	Receivers    []amName          `json:"receivers"`
	StartsAt     amTime            `json:"startsAt"`
	Status       amAlertStatus     `json:"status"`
	UpdatedAt    amTime            `json:"updatedAt"`
	GeneratorURL string            `json:"generatorURL,omitzero"`
	Labels       map[string]string `json:"labels"`
}

type amAlertStatus struct {
	InhibitedBy []string `json:"inhibitedBy"`
	MutedBy     []string `json:"mutedBy"`
	SilencedBy  []string `json:"silencedBy"`
	State       string   `json:"state"`
}

// amWalk is one walk over all alerts that fire, as one request wants them.
type amWalk struct {
	api                                *API
	filter                             labels.Matchers
	active, silenced, inhibited, muted bool
	receiver                           *regexp.Regexp
	view                               *silences.View
	now                                time.Time
	out                                *amStream
}

func (a *API) newWalk(c *gin.Context) (*amWalk, error) {
	q := newAMQuery(c)
	w := &amWalk{api: a, filter: q.filter(), active: q.flag("active"), silenced: q.flag("silenced"), inhibited: q.flag("inhibited"), muted: q.flag("muted"),
		receiver: q.receiver(), now: a.store.Now(), out: &amStream{c: c}}
	if q.err != nil {
		return nil, q.err
	}
	var err error
	w.view, err = a.silences.View(c.Request.Context())
	return w, err
}

// amAlerts answers GET /api/v2/alerts.
func (a *API) amAlerts(c *gin.Context) {
	w, err := a.newWalk(c)
	if err != nil {
		a.amFail(c, err)
		return
	}
	ctx := c.Request.Context()
	err = w.incidents(ctx, func(i *incident.Incident, receivers []string, hidden amAlertStatus) error {
		if !w.wants(receivers) {
			return nil
		}
		return w.alerts(ctx, i, receivers, hidden, w.out.element)
	})
	a.endStream(c, w.out, err)
}

// amGroups answers GET /api/v2/alerts/groups. A group is an incident, once for
// each receiver that is told of it.
func (a *API) amGroups(c *gin.Context) {
	w, err := a.newWalk(c)
	if err != nil {
		a.amFail(c, err)
		return
	}
	ctx := c.Request.Context()
	err = w.incidents(ctx, func(i *incident.Incident, receivers []string, hidden amAlertStatus) error {
		if !w.muted && len(hidden.MutedBy) > 0 {
			return nil
		}
		if w.receiver != nil { // here Alertmanager leaves the others out of the alerts too
			receivers = slices.DeleteFunc(slices.Clone(receivers), func(name string) bool { return !w.receiver.MatchString(name) })
		}
		groups := receivers
		if len(groups) == 0 && w.receiver == nil {
			groups = []string{""} // nobody is told of it; it is there all the same
		}
		for _, name := range groups {
			if err := w.group(ctx, i, name, receivers, hidden); err != nil {
				return err
			}
		}
		return nil
	})
	a.endStream(c, w.out, err)
}

// group writes one group, unless it has no alerts.
func (w *amWalk) group(ctx context.Context, i *incident.Incident, name string, receivers []string, hidden amAlertStatus) error {
	before := w.out.alerts
	err := w.alerts(ctx, i, receivers, hidden, func(v *amAlert) error {
		if w.out.alerts == before {
			if err := w.out.open(); err != nil {
				return err
			}
		}
		return w.out.inner(v, w.out.alerts == before)
	})
	if w.out.alerts == before {
		return err
	}
	return errors.Join(w.out.close(struct {
		Labels      map[string]string `json:"labels"`
		RouteLabels map[string]string `json:"routeLabels"`
		Receiver    amName            `json:"receiver"`
	}{groupLabels(i), map[string]string{}, amName{name}}), err)
}

// groupedBy are the labels that stand for what Alertmanager groups by.
var groupedBy = []string{"alertname", "cluster", "environment", "service", "host"}

// groupLabels are those that all alerts of an incident share and that people
// group by, or else all that they share.
func groupLabels(i *incident.Incident) map[string]string {
	out := map[string]string{}
	for _, name := range groupedBy {
		if v := i.Labels[name]; v != "" {
			out[name] = v
		}
	}
	if len(out) == 0 {
		return orEmpty(i.Labels)
	}
	return out
}

// incidents calls do for each incident with alerts that fire, with its receivers
// and with what hides it.
func (w *amWalk) incidents(ctx context.Context, do func(i *incident.Incident, receivers []string, hidden amAlertStatus) error) error {
	q := store.Query{States: []string{incident.Open, incident.Acknowledged, incident.Resolved}, Limit: amIncidentsAtOnce}
	for {
		list, next, err := w.api.store.Incidents(ctx, q)
		if err != nil {
			return err
		}
		for _, i := range list {
			if i.Alerts.Firing == 0 {
				continue
			}
			var receivers []string
			if w.api.options.Receivers != nil {
				receivers = w.api.options.Receivers(i)
			}
			hidden, err := w.hidden(ctx, i)
			if err == nil {
				err = do(i, receivers, hidden)
			}
			if err != nil {
				return err
			}
		}
		if q.Cursor = next; next == "" {
			return ctx.Err()
		}
	}
}

// wants reports whether the filter of receivers lets one of them through.
func (w *amWalk) wants(receivers []string) bool {
	return w.receiver == nil || slices.ContainsFunc(receivers, w.receiver.MatchString)
}

// hidden says what hides an incident, other than silences: those are of alerts.
func (w *amWalk) hidden(ctx context.Context, i *incident.Incident) (amAlertStatus, error) {
	status := amAlertStatus{InhibitedBy: []string{}, MutedBy: []string{}}
	if w.api.options.Mute == nil {
		return status, nil
	}
	h, yes, err := w.api.options.Mute.Muted(ctx, i, w.now)
	switch {
	case err != nil || !yes || h.By == notify.BySilence:
	case h.By == notify.ByInhibition:
		status.InhibitedBy = append(status.InhibitedBy, h.Text)
	default:
		status.MutedBy = append(status.MutedBy, h.Text)
	}
	return status, err
}

// alerts calls do for each alert of an incident that fires and that the request
// wants.
func (w *amWalk) alerts(ctx context.Context, i *incident.Incident, receivers []string, hidden amAlertStatus, do func(*amAlert) error) error {
	for cursor := ""; ; {
		records, next, err := w.api.store.Alerts(ctx, i.ID, cursor, amAlertsAtOnce)
		if errors.Is(err, incident.ErrNotFound) {
			return nil // it was removed meanwhile
		}
		if err != nil {
			return err
		}
		for n := range records {
			r := &records[n]
			if r.Content == nil || !r.Entry.Firing {
				continue
			}
			if v := w.shown(i, r, receivers, hidden); v != nil {
				if err := do(v); err != nil {
					return err
				}
			}
		}
		if cursor = next; next == "" {
			return ctx.Err()
		}
	}
}

// shown returns an alert as Alertmanager shows it, nil if the request does not
// want it.
func (w *amWalk) shown(i *incident.Incident, r *store.Record, receivers []string, hidden amAlertStatus) *amAlert {
	labels := r.Content.Labels.Map()
	if !match.New(labels).All(w.filter) {
		return nil
	}
	status := hidden
	status.SilencedBy = w.view.Silencing(w.now, match.OfAlert(r.Content, r.Entry.Severity, i))
	status.State = "active"
	if len(status.SilencedBy)+len(status.InhibitedBy)+len(status.MutedBy) > 0 {
		status.State = "suppressed"
	}
	if !w.active && status.State == "active" || !w.silenced && len(status.SilencedBy) > 0 || !w.inhibited && len(status.InhibitedBy) > 0 {
		return nil
	}
	e := &r.Entry
	v := &amAlert{Annotations: r.Content.Annotations.Map(), Labels: labels, Receivers: amNames(receivers), Status: status, Fingerprint: hex.EncodeToString(e.Fingerprint[:8]),
		StartsAt: amTime(e.Start), UpdatedAt: amTime(e.LastSeen), EndsAt: amTime(e.ValidUntil), GeneratorURL: amURL(r.Content.GeneratorURL)}
	if e.Start.IsZero() {
		v.StartsAt = amTime(e.FirstSeen)
	}
	if !e.ValidUntil.After(w.now) {
		v.EndsAt = amTime(w.now.Add(amValidity))
	}
	return v
}

// amURL is a link that clients may show, empty if they had better not.
func amURL(link string) string {
	if u, err := url.Parse(link); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return link
}

// errTruncated ends a walk that has shown enough.
var errTruncated = errors.New("web: more alerts than one answer has")

// amStream writes an array a piece at a time, so that an answer needs no more
// memory however long it is.
type amStream struct {
	c   *gin.Context
	buf bytes.Buffer
	// begun: some of it is sent, so there is no other answer any more.
	begun            bool
	elements, alerts int
}

// element writes an alert as an element of the array.
func (s *amStream) element(v *amAlert) error {
	s.comma(s.elements == 0, '[')
	s.elements++
	return s.write(v)
}

// open begins a group, inner writes an alert of it, and close writes its other
// members.
func (s *amStream) open() error {
	s.comma(s.elements == 0, '[')
	s.elements++
	s.buf.WriteString(`{"alerts":`)
	return nil
}

func (s *amStream) inner(v *amAlert, first bool) error {
	s.comma(first, '[')
	return s.write(v)
}

func (s *amStream) close(others any) error {
	text, err := encode(others)
	if err != nil {
		return err
	}
	s.buf.WriteString("],")
	s.buf.Write(bytes.TrimSpace(text)[1:])
	return nil
}

func (s *amStream) comma(first bool, open byte) {
	if !first {
		open = ','
	}
	s.buf.WriteByte(open)
}

func (s *amStream) write(v *amAlert) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	s.buf.Write(bytes.TrimSpace(text))
	if s.alerts++; s.alerts >= amAlertsShown {
		return errTruncated
	}
	if s.buf.Len() < amBuffer {
		return nil
	}
	return s.flush()
}

func (s *amStream) flush() error {
	if !s.begun {
		s.begun = true
		s.c.Header("Content-Type", "application/json")
		s.c.Status(http.StatusOK)
	}
	_, err := s.buf.WriteTo(s.c.Writer)
	return err
}

// endStream ends an answer. If it cannot be ended well it is broken off, so that
// nobody takes a part for the whole.
func (a *API) endStream(c *gin.Context, s *amStream, err error) {
	if errors.Is(err, errTruncated) {
		a.log.WarnContext(c.Request.Context(), "an answer has fewer alerts than there are", "path", c.FullPath(), "alerts", s.alerts)
		name := TruncatedHeader
		if s.begun {
			name = http.TrailerPrefix + name
		}
		c.Writer.Header().Set(name, "true")
		err = nil
	}
	if err == nil {
		if s.elements == 0 {
			s.buf.WriteByte('[')
		}
		s.buf.WriteString("]\n")
		err = s.flush()
		if err == nil {
			return
		}
	}
	if !s.begun {
		a.amFail(c, err)
		return
	}
	_ = c.Error(err) // for the access log
	if c.Request.Context().Err() == nil {
		a.log.ErrorContext(c.Request.Context(), "an answer was broken off", "path", c.FullPath(), "err", err)
	}
	panic(http.ErrAbortHandler)
}
