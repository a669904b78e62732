package process

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestVersion: whatever a duty can depend on makes another version, and nothing else.
func TestVersion(t *testing.T) {
	made := func(change ...func(c *Config, o *Options)) string {
		t.Helper()
		c := Config{Profile: "itil-basic", Duties: []Duty{{Name: "look", After: "10m"}}}
		o := Options{Severities: incident.Scale{"critical", "info"}, Objectives: map[string]incident.Objectives{"P1": {}, "P2": {}}, Receivers: []string{"a"}}
		for _, f := range change {
			f(&c, &o)
		}
		v, err := Version(c, o)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	was := made()
	if again := made(func(_ *Config, o *Options) { o.Rotas = map[string]Rota{"day": nil} }); again != was {
		t.Error("who is on call makes another version")
	}
	for what, change := range map[string]func(c *Config, o *Options){
		"the profile":    func(c *Config, _ *Options) { c.Profile = "none" },
		"a duty":         func(c *Config, _ *Options) { c.Duties[0].After = "9m" },
		"a calendar":     func(c *Config, _ *Options) { c.Calendar.Timezone = "Europe/Zurich" },
		"a chain":        func(c *Config, _ *Options) { c.Chains = []Chain{{Name: "c", Wait: "1m"}} },
		"the severities": func(_ *Config, o *Options) { o.Severities = incident.Scale{"info", "critical"} },
		"an objective": func(_ *Config, o *Options) {
			o.Objectives["P1"] = incident.Objectives{Response: model.Duration(time.Minute)}
		},
		"the receivers": func(_ *Config, o *Options) { o.Receivers = nil },
		"a service":     func(_ *Config, o *Options) { o.Services = map[string]Service{"db": {}} },
		"a service's":   func(_ *Config, o *Options) { o.Services = map[string]Service{"db": {Owner: "ann"}} },
	} {
		if made(change) == was {
			t.Errorf("%s makes no other version", what)
		}
	}
}
