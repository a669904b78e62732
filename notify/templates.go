package notify

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/tocsin-gateway/tocsin/alert"
)

const (
	// textLimit bounds what one template may write, in bytes.
	textLimit = 256 << 10
	// textTime bounds how long it may take, unless the set says otherwise.
	textTime = time.Second
)

// ours are the templates of Alertmanager that name it or link to it.
const ours = `{{ define "__alertmanager" }}Tocsin{{ end }}
{{ define "__alertmanagerURL" }}{{ with .RouteLabels.incident_url }}{{ . }}{{ else }}{{ .ExternalURL }}{{ end }}{{ end }}`

// Templates are Alertmanager's own and those of the configuration. They render
// the same files in the same way, see
// https://prometheus.io/docs/alerting/latest/notifications/.
type Templates struct {
	// TextTime bounds how long one of them may take.
	TextTime time.Duration

	all *template.Template
}

// NewTemplates reads the files that the patterns match. External is where people
// reach Tocsin.
func NewTemplates(patterns []string, external *url.URL) (*Templates, error) {
	all, err := template.FromGlobs(nil)
	if err == nil {
		err = all.Parse(strings.NewReader(ours))
	}
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err) // unreachable: the module's own
	}
	for _, pattern := range patterns {
		if err := all.FromGlob(pattern); err != nil {
			return nil, fmt.Errorf("notify: template %s: %w", pattern, err)
		}
	}
	if all.ExternalURL = external; external == nil {
		all.ExternalURL = &url.URL{}
	}
	return &Templates{textTime, all}, nil
}

// Module is the set as the Alertmanager module has it, for its own notifiers.
func (t *Templates) Module() *template.Template { return t.all }

// TemplateError says which template of a message failed.
type TemplateError struct {
	// Field is the setting it is of, such as title.
	Field string
	Err   error
}

// TemplateFailed records that a template failed in a way that only its target
// noticed.
func (m *Message) TemplateFailed(field string, err error) {
	m.failed = append(m.failed, TemplateError{field, err})
}

// Failed are the templates that failed while the message was written.
func (m *Message) Failed() []TemplateError { return m.failed }

// Texts renders the texts of one message.
type Texts struct {
	templates *Templates
	message   *Message
	// Data is what the templates see.
	Data *template.Data
}

// Texts begins the texts of a message. Escape, which may be nil, is applied to
// everything that the sender of an alert chose, before a template sees it, so
// that it cannot become markup at the target.
func (t *Templates) Texts(m *Message, escape func(string) string) *Texts {
	return &Texts{templates: t, message: m, Data: t.data(m, escape)}
}

// Text renders a template, and returns the fallback if it fails: people are told
// all the same.
func (x *Texts) Text(field, text, fallback string) string {
	return x.run(field, fallback, func() (string, error) { return x.templates.all.ExecuteTextString(text, x.Data) })
}

// HTML renders a template as HTML, in which what came with an alert is escaped.
func (x *Texts) HTML(field, text, fallback string) string {
	return x.run(field, fallback, func() (string, error) { return x.templates.all.ExecuteHTMLString(text, x.Data) })
}

func (x *Texts) run(field, fallback string, execute func() (string, error)) string {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("panic: %v", p)}
			}
			done <- r
		}()
		r.text, r.err = execute()
	}()
	timer := time.NewTimer(x.templates.TextTime)
	defer timer.Stop()
	var r result
	select {
	case r = <-done:
	case <-timer.C:
		r.err = fmt.Errorf("takes more than %s", x.templates.TextTime) // the module's templates cannot be stopped, but they end
	}
	if r.err == nil && len(r.text) > textLimit {
		r.err = fmt.Errorf("writes more than %d bytes", textLimit)
	}
	if r.err != nil {
		x.message.failed = append(x.message.failed, TemplateError{field, r.err})
		return fallback
	}
	return r.text
}

// ErrTemplates joins what failed, nil if nothing did.
func (m *Message) ErrTemplates() error {
	var all error
	for _, f := range m.failed {
		all = errors.Join(all, fmt.Errorf("%s: %w", f.Field, f.Err))
	}
	return all
}

// data is what Alertmanager would give to its templates for the incident as a
// group of alerts.
func (t *Templates) data(m *Message, escape func(string) string) *template.Data {
	if escape == nil {
		escape = func(s string) string { return s }
	}
	d := &template.Data{Receiver: m.Receiver, Status: "firing", ExternalURL: t.all.ExternalURL.String(), NotificationReason: reasons[m.Event],
		Alerts: make(template.Alerts, 0, len(m.Alerts)), GroupLabels: template.KV{}, CommonLabels: template.KV{}, CommonAnnotations: template.KV{}, RouteLabels: template.KV{}}
	switch m.Event {
	case Resolved:
		d.Status = "resolved"
	case Noticed:
		d.Status = string(Noticed) // nothing is wrong
	}
	for n := range m.Alerts {
		a := &m.Alerts[n]
		labels, annotations := pairs(a.Labels, escape), pairs(a.Annotations, escape)
		one := template.Alert{Status: "resolved", Labels: labels, Annotations: annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt,
			GeneratorURL: escape(WebURL(a.GeneratorURL)), Fingerprint: a.Fingerprint.String()}
		if a.Firing && !m.Resolved() {
			one.Status = "firing"
		}
		d.Alerts = append(d.Alerts, one)
		if n == 0 {
			d.CommonLabels, d.CommonAnnotations = maps.Clone(labels), maps.Clone(annotations)
			continue
		}
		common(d.CommonLabels, labels)
		common(d.CommonAnnotations, annotations)
	}
	i := m.Incident
	if m.More > 0 || len(m.Alerts) == 0 {
		d.CommonLabels = template.KV{}
		for name, value := range i.Labels {
			d.CommonLabels[escape(name)] = escape(value)
		}
	}
	for _, name := range groupedBy {
		if value := d.CommonLabels[name]; value != "" {
			d.GroupLabels[name] = value
		}
	}
	if len(d.GroupLabels) == 0 {
		d.GroupLabels["incident"] = escape(i.Title)
	}
	mark := ""
	if i.Drill { // templates that were written for Alertmanager know of no exercises, and all of them show these
		mark = "DRILL "
		first := d.GroupLabels.SortedPairs()[0]
		d.GroupLabels[first.Name] = mark + first.Value
	}
	for name, value := range m.RouteLabels {
		d.RouteLabels[name] = value
	}
	for name, value := range map[string]string{"incident_id": i.ID.String(), "incident_reference": i.Reference, "incident_url": m.Links.Incident,
		"acknowledge_url": m.Links.Acknowledge, "resolve_url": m.Links.Resolve, "event": string(m.Event), "state": i.State,
		"title": mark + escape(i.Title), "severity": i.Severity, "priority": i.Priority, "impact": i.Impact, "urgency": i.Urgency, "category": escape(i.Category),
		"level": i.Level, "phase": i.Phase, "service": escape(i.Service), "team": escape(i.Team), "runbook_url": escape(WebURL(i.Runbook)),
		"acknowledged_by": escape(i.AcknowledgedBy), "summary": escape(m.Headline()), "details": escape(m.Plain()), "remark": escape(m.Remark)} {
		d.RouteLabels[name] = value
	}
	template.MarkRouteLabelsRendered(d)
	return d
}

// groupedBy are the labels that stand for what Alertmanager groups by.
var groupedBy = []string{"alertname", "cluster", "environment", "service", "host"}

// reasons are Alertmanager's words for why it notifies.
var reasons = map[Event]string{Opened: "first notification", Updated: "new alerts in group", Acknowledged: "new alerts in group", Unacknowledged: "new alerts in group",
	Resolved: "all alerts resolved", Repeated: "repeat interval elapsed",
	Digested: "new alerts in group", Noticed: "first notification"}

func pairs(ls alert.Labels, escape func(string) string) template.KV {
	kv := make(template.KV, len(ls))
	for _, l := range ls {
		kv[escape(l.Name)] = escape(l.Value)
	}
	return kv
}

// common keeps what two sets share.
func common(kept, other template.KV) {
	for name, value := range kept {
		if other[name] != value {
			delete(kept, name)
		}
	}
}

// WebURL returns a link that came with an alert if it is one that people can
// follow without harm, else nothing.
func WebURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(s, " \t\r\n<>\"|`") {
		return ""
	}
	return s
}
