package process_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
)

// TestKindsOfDuties: which are about telling people, and which a review does not count.
func TestKindsOfDuties(t *testing.T) {
	g, err := process.New(process.Config{Profile: "none", Duties: []process.Duty{
		{Name: "update", On: []string{"acknowledged", "updated"}, Every: "30m"},
		{Name: "told", On: []string{"resolved"}, After: "1h", Unless: []string{"followed_up"}},
		{Name: "assess", On: []string{"acknowledged"}, After: "10m", Unless: []string{"assessed"}},
		{Name: "raise", On: []string{"opened"}, After: "2h", Do: process.Do{Raise: process.Raise{Level: "major"}}},
	}}, process.Options{Severities: incident.Scale{"critical"}, Objectives: map[string]incident.Objectives{"P1": {Response: model.Duration(time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.Telling(), []string{"update", "told"}; !slices.Equal(got, want) {
		t.Errorf("telling: got %q, want %q", got, want)
	}
	if got, want := g.Uncounted(), []string{"response-objective-near", "response-objective", "raise"}; !slices.Equal(got, want) {
		t.Errorf("uncounted: got %q, want %q", got, want)
	}
}
