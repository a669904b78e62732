// Package events reads our own JSON, for scripts and for senders that can write
// what they are told to. It is strict: whatever is not understood is an error
// that says what was probably meant.
package events

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is documented in docs/sources.md.
var Format = func() ingest.Format {
	f := plain
	f.Configure = configure
	return f
}()

// plain is the format for a source that ignores no labels.
var plain = ingest.Format{Name: "events", BodyLimit: 16 * ingest.MiB, Batches: ingest.Whole(decoder{}.decode), Place: place, Wrap: wrap}

// configure implements ingest.Format.Configure.
func configure(c ingest.SourceConfig) (ingest.Format, error) {
	f := plain
	f.Batches = ingest.Whole(decoder{ignore: c.IgnoreLabels}.decode)
	return f, nil
}

func place(i int) string { return "events[" + strconv.Itoa(i) + "]" }

func wrap(elements [][]byte) []byte {
	out := []byte(`{"events":[`)
	for i, e := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, "]}"...)
}

// decoder decodes for one source.
type decoder struct{ ignore []string }

func (d decoder) decode(r ingest.Request) (ingest.Batch, error) {
	elements, err := split(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	var batch ingest.Batch
	for i, raw := range elements {
		a, p := d.event(raw)
		if p != nil {
			field := ""
			if p.field != "" {
				field = "." + p.field
			}
			batch.Rejected = append(batch.Rejected, ingest.Reject(i, place(i), field, p.reason, raw))
			continue
		}
		batch.Alerts = append(batch.Alerts, a)
	}
	return batch, nil
}

// problem is what is wrong in an event.
type problem struct{ field, reason string }

// names are the members of an event.
var names = []string{"name", "host", "service", "severity", "status", "summary", "description", "labels", "annotations",
	"starts_at", "ends_at", "event_at", "identity", "key", "url", "kind", "author", "comment"}

func (d decoder) event(raw []byte) (alert.Alert, *problem) {
	v, flags, err := fields.JSON(raw)
	if err != nil {
		return alert.Alert{}, &problem{"", err.Error()}
	}
	o, ok := v.(fields.Object)
	if !ok {
		return alert.Alert{}, &problem{"", fields.Kind(v) + ", must be an object"}
	}
	e := event{Object: o}
	a := e.alert()
	a.Flags = flags
	if e.problem == nil && a.Key == "" {
		a.Key = fields.Key(a.Labels, append([]string{"severity"}, d.ignore...)...)
	}
	return a, e.problem
}

// event is an event while it is read. The first problem stays.
type event struct {
	fields.Object
	problem *problem
}

func (e *event) wrong(field, format string, args ...any) {
	if e.problem == nil {
		e.problem = &problem{field, fmt.Sprintf(format, args...)}
	}
}

func (e *event) alert() alert.Alert {
	for _, name := range slices.Sorted(maps.Keys(e.Object)) {
		if !slices.Contains(names, name) {
			e.wrong(alert.CutText(name, 64), "there is no such member%s", hint(nearest.Suggest(name, names)))
			break // to look for what each of very many was to be takes long
		}
	}
	a := alert.Alert{Identity: e.text("identity"), Key: e.text("key"), Author: e.text("author"), Comment: e.text("comment"),
		StartsAt: e.time("starts_at"), EndsAt: e.time("ends_at"), EventAt: e.time("event_at")}
	a.Group = a.Key // who names the problem may leave out the rest when it is over
	a.Kind, a.Status = e.kind(), e.status()
	a.Labels = fields.Labels(append([]string{"alertname", e.text("name"), "host", e.text("host"), "service", e.text("service"),
		"severity", strings.ToLower(e.text("severity"))}, e.pairs("labels")...)...)
	a.Annotations = fields.Labels(append([]string{"summary", e.text("summary"), "description", e.text("description")}, e.pairs("annotations")...)...)
	if link := e.text("url"); link != "" {
		if a.GeneratorURL = fields.Link(link); a.GeneratorURL == "" {
			e.wrong("url", "%q is not a link with http or https", alert.CutText(link, 64))
		}
	}
	switch {
	case a.Name() == "":
		e.wrong("name", "absent; it is what the alert is called, such as DiskFull")
	case a.Kind == alert.KindAlert && a.Status == alert.Unknown && e.Object["status"] == nil:
		a.Status = alert.Firing
	}
	if a.Status == alert.Firing && !a.EndsAt.IsZero() {
		e.wrong("ends_at", "an end, but the status is firing; leave it out, or write status: resolved")
	}
	return a
}

func hint(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return "; " + suggestion
}

// text returns a member that must be a text; numbers are taken as they are written.
func (e *event) text(name string) string {
	switch v := e.Object[name].(type) {
	case nil, string, fields.Number:
		return strings.TrimSpace(fields.Text(v))
	default:
		e.wrong(name, "%s, must be a string", fields.Kind(v))
		return ""
	}
}

func (e *event) time(name string) time.Time {
	s := e.text(name)
	if s == "" {
		return time.Time{}
	}
	t, ok := fields.Time(s)
	if !ok {
		e.wrong(name, "%q is not a time of RFC 3339 such as 2026-11-21T02:00:00Z", alert.CutText(s, 64))
	}
	return t
}

func (e *event) status() alert.Status {
	switch s := e.text("status"); s {
	case "":
		if e.Object["status"] != nil {
			e.wrong("status", "empty; write firing or resolved, or leave it out, which means firing")
		}
		return alert.Unknown
	case "firing":
		return alert.Firing
	case "resolved":
		return alert.Resolved
	default:
		e.wrong("status", "%q is neither firing nor resolved%s", alert.CutText(s, 64), hint(nearest.Suggest(s, []string{"firing", "resolved"})))
		return alert.Unknown
	}
}

func (e *event) kind() (k alert.Kind) {
	s := e.text("kind")
	if s == "" {
		return alert.KindAlert
	}
	if k.UnmarshalText([]byte(s)) != nil {
		var known []string
		for k := alert.KindAlert; k <= alert.KindTest; k++ {
			known = append(known, k.String())
		}
		e.wrong("kind", "%q is none that there is%s", alert.CutText(s, 64), hint(nearest.Suggest(s, known)))
	}
	return k
}

// pairs returns the names and values of an object of texts.
func (e *event) pairs(member string) (pairs []string) {
	o, ok := e.Object[member].(fields.Object)
	if !ok && e.Object[member] != nil {
		e.wrong(member, "%s, must be an object of strings", fields.Kind(e.Object[member]))
	}
	if len(o) > alert.MaxLabels {
		e.wrong(member, "%d members, at most %d are kept", len(o), alert.MaxLabels)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		switch v := o[name].(type) {
		case nil, string, fields.Number, bool:
			pairs = append(pairs, name, fields.Text(v))
		default:
			e.wrong(member+"."+alert.CutText(name, 64), "%s, must be a string", fields.Kind(v))
		}
	}
	return pairs
}
