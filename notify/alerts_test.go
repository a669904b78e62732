package notify

import (
	"slices"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// TestOrder: what fires, then the worst, then the oldest, and else as it was.
func TestOrder(t *testing.T) {
	at := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	one := func(name, severity string, firing bool, minute int) Alert {
		return Alert{Alert: &alert.Alert{Labels: alert.FromMap(map[string]string{"alertname": name})}, Severity: severity, Firing: firing, StartsAt: at.Add(time.Duration(minute) * time.Minute)}
	}
	list := []Alert{
		one("ended critical", "critical", false, 0),
		one("warning", "warning", true, 0),
		one("unknown", "purple", true, 0),
		one("late critical", "critical", true, 9),
		one("ended warning", "warning", false, 0),
		one("early critical", "critical", true, 1),
		one("late critical too", "critical", true, 9),
		one("ended critical too", "critical", false, 0),
		one("none", "", true, 0),
	}
	for name, c := range map[string]struct {
		scale incident.Scale
		want  []string
	}{
		"by severity": {incident.Scale{"critical", "warning"}, []string{"early critical", "late critical", "late critical too", "warning", "unknown", "none",
			"ended critical", "ended critical too", "ended warning"}},
		"by other severities": {incident.Scale{"purple", "warning", "critical"}, []string{"unknown", "warning", "early critical", "late critical", "late critical too", "none",
			"ended warning", "ended critical", "ended critical too"}},
		"without severities": {nil, []string{"warning", "unknown", "none", "early critical", "late critical", "late critical too",
			"ended critical", "ended warning", "ended critical too"}},
	} {
		t.Run(name, func(t *testing.T) {
			sorted := slices.Clone(list)
			order(sorted, c.scale)
			var got []string
			for n := range sorted {
				got = append(got, sorted[n].Labels.Get("alertname"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
