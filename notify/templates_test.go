package notify

import (
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// TestDrillsAreMarked in the words that Alertmanager's own templates show, and so in
// those that others have written for it.
func TestDrillsAreMarked(t *testing.T) {
	set, err := NewTemplates(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := Alert{Alert: &alert.Alert{Kind: alert.KindAlert, Labels: alert.FromMap(map[string]string{"alertname": "LakeGone", "service": "lake"})}, Firing: true}
	for _, drill := range []bool{false, true} {
		for _, alerts := range [][]Alert{nil, {one}} {
			m := &Message{Event: Opened, Alerts: alerts, Incident: &incident.Incident{Title: "the lake is gone", State: incident.Open, Drill: drill, Labels: map[string]string{}}}
			for _, text := range []string{`{{ template "__subject" . }}`, `{{ .RouteLabels.title }}`, `{{ .RouteLabels.summary }}`, `{{ .RouteLabels.details }}`} {
				if got := set.Texts(m, nil).Text("text", text, "failed"); strings.Contains(got, "DRILL ") != drill {
					t.Errorf("a drill: %t: %s is %q", drill, text, got)
				}
			}
		}
	}
}
