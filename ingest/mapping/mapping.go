// Package mapping reads JSON and forms of any shape: the source says where in them
// the parts of an alert are. There is nothing to run in it: paths, texts with
// paths in them, regular expressions and tables of words.
package mapping

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is documented in docs/sources.md. Without a source's mapping it takes nothing.
var Format = ingest.Format{Name: "mapping", BodyLimit: 4 * ingest.MiB, NeedsConfig: true, Configure: configure,
	Batches: ingest.Whole(func(ingest.Request) (ingest.Batch, error) {
		return ingest.Batch{}, ingest.Errorf("", "there is no mapping; give the name of a source that has one")
	})}

// configure implements ingest.Format.Configure.
func configure(c ingest.SourceConfig) (ingest.Format, error) {
	var cc compiler
	m := cc.mapping(c.Mapping)
	m.ignore = c.IgnoreLabels
	switch {
	case len(cc.mistakes) > 0:
	case c.Mapping.Sample != "":
		cc.sample(m, c.Mapping)
	case c.Mapping.SampleExpect != nil:
		cc.wrong("mapping.sample_expect", "add sample:", "there is no sample")
	}
	f := ingest.Format{Name: "mapping", BodyLimit: 4 * ingest.MiB, NeedsConfig: true, Configure: configure, Batches: ingest.Whole(m.decode)}
	if len(cc.mistakes) > 0 {
		return f, cc.mistakes
	}
	return f, nil
}

// mapping is an ingest.MappingConfig that was understood.
type mapping struct {
	alerts *path
	// parts are the expressions of the parts by name, without those that are not there.
	parts               map[string]*expression
	labels, annotations []named
	layout              string
	ignore              []string
	// work is how many steps regular expressions may take for one body.
	work int64
}

// named is a label or annotation.
type named struct {
	name string
	*expression
}

// partsOf returns the expressions of an alert's parts, by their keys in the file.
func partsOf(c ingest.MappingConfig) map[string]ingest.Expression {
	return map[string]ingest.Expression{"name": c.Name, "host": c.Host, "service": c.Service, "severity": c.Severity, "status": c.Status,
		"summary": c.Summary, "description": c.Description, "identity": c.Identity, "key": c.Key,
		"starts_at": c.StartsAt, "ends_at": c.EndsAt, "event_at": c.EventAt, "url": c.URL}
}

func (c *compiler) mapping(from ingest.MappingConfig) *mapping {
	m := &mapping{parts: map[string]*expression{}, layout: from.TimeFormat, work: maxWork}
	if from.Alerts != "" {
		p := c.path("mapping.alerts", from.Alerts)
		m.alerts = &p
	}
	parts := partsOf(from)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if e := c.expression("mapping."+name, parts[name]); e != nil {
			m.parts[name] = e
		}
	}
	if parts["name"].Path+parts["name"].Value+parts["name"].Template == "" && len(c.mistakes) == 0 {
		c.wrong("mapping", "add name: {path: …}, name: {template: …} or name: {value: …}", "it does not say what the alert is called")
	}
	m.labels = c.named("mapping.labels", from.Labels)
	m.annotations = c.named("mapping.annotations", from.Annotations)
	if e := m.parts["status"]; e != nil {
		c.status(e)
	}
	c.timeFormat(from.TimeFormat)
	return m
}

func (c *compiler) named(at string, from map[string]ingest.Expression) (out []named) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		path := at + "." + name
		if name == "" {
			c.wrong(at, "write its name", "a name is empty")
		} else if e := c.expression(path, from[name]); e != nil {
			out = append(out, named{name, e})
		} else if len(c.mistakes) == 0 {
			c.wrong(path, "add path:, value: or template:", "the expression does not say what to take")
		}
	}
	return out
}

// statuses are what a status can be.
var statuses = map[string]alert.Status{"firing": alert.Firing, "resolved": alert.Resolved, "unknown": alert.Unknown}

// status checks that the words which a status can become are known.
func (c *compiler) status(e *expression) {
	const known = "write firing, resolved or unknown"
	for _, from := range slices.Sorted(maps.Keys(e.Map)) {
		if _, ok := statuses[e.Map[from]]; !ok {
			c.wrong("mapping.status.map."+from, known, "%q is no status", alert.CutText(e.Map[from], 64))
		}
	}
	for at, word := range map[string]string{"default": e.Default, "value": e.Value} {
		if _, ok := statuses[word]; word != "" && !ok && (at == "default" || e.Map == nil) {
			c.wrong("mapping.status."+at, known, "%q is no status", alert.CutText(word, 64))
		}
	}
}

// timeFormat checks that a layout can say when something was.
func (c *compiler) timeFormat(layout string) {
	switch layout {
	case "", "rfc3339", "unix", "unix_ms":
		return
	}
	example := time.Date(2031, 10, 23, 16, 49, 0, 0, time.UTC)
	if got, err := time.Parse(layout, example.Format(layout)); err != nil || !got.Equal(example) {
		c.wrong("mapping.time_format", "write rfc3339, unix, unix_ms, or how the sender writes 2006-01-02 15:04:05", "%q does not say the date and the time", alert.CutText(layout, 64))
	}
}

// decode implements Format.Batches for a source.
func (m *mapping) decode(r ingest.Request) (ingest.Batch, error) {
	body, flags, err := read(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	elements, place := []any{body}, func(int) string { return "body" }
	if m.alerts != nil {
		found := m.alerts.find(body, body)
		list, ok := found.([]any)
		if !ok {
			return ingest.Batch{}, ingest.Errorf(m.alerts.text, "%s, must be an array of alerts", fields.Kind(found))
		}
		elements, place = list, func(i int) string { return m.alerts.text + "[" + strconv.Itoa(i) + "]" }
	}
	var batch ingest.Batch
	made := &reading{body: body, left: 16*len(r.Body) + 1<<20, work: m.work}
	for i, element := range elements {
		a, p := m.alert(made, element)
		if made.left < 0 {
			return ingest.Batch{}, ingest.Errorf(place(i), "the mapping repeats too much of the body in each alert")
		}
		if made.work < 0 {
			return ingest.Batch{}, ingest.Errorf(place(i), "the regular expressions of the mapping take too long for this body")
		}
		if p != nil {
			batch.Rejected = append(batch.Rejected, ingest.Reject(i, place(i), "."+p.field, p.reason, r.Body))
			continue
		}
		a.Flags |= flags
		batch.Alerts = append(batch.Alerts, a)
	}
	return batch, nil
}

// read reads a body that begins like an object or an array as JSON, any other as
// a form.
func read(r ingest.Request) (any, alert.Flag, error) {
	if begin := bytes.TrimLeft(r.Body, " \t\r\n\ufeff"); len(begin) > 0 && (begin[0] == '{' || begin[0] == '[') {
		v, flags, err := fields.JSON(r.Body)
		if err != nil {
			err = ingest.NotJSON(err)
		}
		return v, flags, err
	}
	form, flags, err := fields.Form(r.ContentType, r.Body)
	if err != nil {
		return nil, 0, ingest.Errorf("", "neither JSON nor a form: %v", err)
	}
	o := fields.Object{}
	something := false
	for name, value := range form {
		o[name] = value
		something = something || value != ""
	}
	if !something {
		return nil, 0, ingest.Foreignf("neither JSON nor a form")
	}
	return o, flags, nil
}

// problem is why an element gives no alert; field is the part that is wrong.
type problem struct{ field, reason string }

func (m *mapping) alert(r *reading, element any) (alert.Alert, *problem) {
	part := func(name string) string { return m.parts[name].text(r, element) }
	name := part("name")
	if name == "" {
		return alert.Alert{}, &problem{"name", "nothing there; " + m.parts["name"].wanted()}
	}
	status := alert.Firing
	if m.parts["status"] != nil {
		var ok bool
		if status, ok = statuses[strings.ToLower(part("status"))]; !ok {
			return alert.Alert{}, &problem{"status", fmt.Sprintf("%q is neither firing nor resolved; add it to map in the source's mapping, or write a default", alert.CutText(part("status"), 64))}
		}
	}
	a := alert.Alert{Kind: alert.KindAlert, Status: status, Identity: part("identity"), Key: part("key"), GeneratorURL: fields.Link(part("url"))}
	for _, t := range []struct {
		name string
		to   *time.Time
	}{{"starts_at", &a.StartsAt}, {"ends_at", &a.EndsAt}, {"event_at", &a.EventAt}} {
		text := part(t.name)
		if text == "" {
			continue
		}
		var ok bool
		if *t.to, ok = m.time(text); !ok {
			return alert.Alert{}, &problem{t.name, fmt.Sprintf("%q is not a time as time_format says: %s", alert.CutText(text, 64), cmp.Or(m.layout, "rfc3339"))}
		}
	}
	if a.Status == alert.Firing {
		a.EndsAt = time.Time{} // some senders write when it would end
	}
	labels := []string{"alertname", name, "host", part("host"), "service", part("service"), "severity", strings.ToLower(part("severity"))}
	for _, l := range m.labels {
		labels = append(labels, l.name, l.text(r, element))
	}
	a.Labels = fields.Labels(labels...)
	annotations := []string{"summary", part("summary"), "description", part("description")}
	for _, l := range m.annotations {
		annotations = append(annotations, l.name, l.text(r, element))
	}
	a.Annotations = fields.Labels(annotations...)
	a.Group = a.Key // who names the problem may leave out the rest when it is over
	if a.Key == "" {
		a.Key = fields.Key(a.Labels, append([]string{"severity"}, m.ignore...)...)
	}
	return a, nil
}

// wanted says what an expression looks for.
func (e *expression) wanted() string {
	text := "the source's mapping takes it from " + cmp.Or(e.Path, e.Template, "a value")
	if e.regex != nil {
		text += " with the regular expression " + e.Regex
	}
	return text
}

// time reads a time in the source's format.
func (m *mapping) time(text string) (time.Time, bool) {
	switch m.layout {
	case "", "rfc3339":
		return fields.Time(text)
	case "unix", "unix_ms":
		seconds, err := strconv.ParseFloat(text, 64)
		if m.layout == "unix_ms" {
			seconds /= 1000
		}
		if err != nil || !(seconds > 0 && seconds < 1e12) {
			return time.Time{}, false
		}
		whole := int64(seconds)
		t := fields.Unix(whole, int64((seconds-float64(whole))*1e6)*1000) // a float knows no more
		return t, !t.IsZero()
	}
	t, err := time.Parse(m.layout, text)
	t = t.UTC()
	return t, err == nil && t.Year() >= 0 && t.Year() <= 9999
}
