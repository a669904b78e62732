package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// sample maps the sample of a mapping and compares what comes out with what
// should.
func (c *compiler) sample(m *mapping, from ingest.MappingConfig) {
	const at = "mapping.sample"
	batch, err := m.decode(ingest.Request{Body: []byte(from.Sample)})
	var bad *ingest.BodyError
	if errors.As(err, &bad) {
		c.wrong(at, "correct the sample, or the mapping", "it cannot be understood: %s", bad.Reason)
		return
	}
	if len(batch.Rejected) > 0 {
		c.wrong(at, "correct the sample, or the mapping", "%s", batch.Rejected[0].Reason)
		return
	}
	if len(batch.Alerts) == 0 {
		c.wrong(at, "write one with an alert in it", "there is no alert in it")
		return
	}
	if from.SampleExpect == nil {
		return
	}
	if len(from.SampleExpect) != len(batch.Alerts) {
		c.wrong("mapping.sample_expect", "", "the sample gives %d alerts, expected are %d", len(batch.Alerts), len(from.SampleExpect))
		return
	}
	known := slices.Sorted(maps.Keys(partsOf(from)))
	for i, expect := range from.SampleExpect {
		got := said(&batch.Alerts[i])
		for _, name := range slices.Sorted(maps.Keys(expect)) {
			place := fmt.Sprintf("mapping.sample_expect[%d]", i)
			value, there := got[name]
			switch {
			case !there && !slices.Contains(known, name) && !strings.HasPrefix(name, "labels.") && !strings.HasPrefix(name, "annotations."):
				c.wrong(place, nearest.Suggest(name, append(known, "labels.NAME", "annotations.NAME")), "there is no part %q of an alert", alert.CutText(name, 64))
			case value != expect[name]:
				c.wrong(place, "correct one of the two", "%s: the sample gives %q, expected is %q", alert.CutText(name, 64), alert.CutText(value, 200), alert.CutText(expect[name], 200))
			}
		}
	}
}

// said has the parts of an alert by their names in a mapping.
func said(a *alert.Alert) map[string]string {
	out := map[string]string{"name": a.Name(), "host": a.Labels.Get("host"), "service": a.Service(), "severity": a.Severity(), "status": a.Status.String(),
		"summary": a.Annotations.Get("summary"), "description": a.Annotations.Get("description"), "identity": a.Identity, "key": a.Key, "url": a.GeneratorURL}
	for name, t := range map[string]time.Time{"starts_at": a.StartsAt, "ends_at": a.EndsAt, "event_at": a.EventAt} {
		if !t.IsZero() {
			out[name] = t.Format(time.RFC3339Nano)
		}
	}
	for _, l := range a.Labels {
		out["labels."+l.Name] = l.Value
	}
	for _, l := range a.Annotations {
		out["annotations."+l.Name] = l.Value
	}
	return out
}
