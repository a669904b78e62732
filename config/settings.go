package config

import (
	"time"

	"github.com/tocsin-gateway/tocsin/router"
)

// Settings returns what decides about alerts and incidents.
func (c *Config) Settings() router.Settings {
	s := router.Settings{Classify: c.Classify, Correlate: c.Correlate, Incidents: c.Incidents,
		Sources: make(map[string]router.SourceSettings, len(c.Sources)), Identity: c.Identity(), Heartbeats: c.Heartbeats}
	for name, source := range c.Sources {
		s.Sources[name] = router.SourceSettings{VolatileAnnotations: source.VolatileAnnotations, ResolveAfter: time.Duration(source.ResolveAfter),
			Reconcile: time.Duration(source.API.Reconcile), WritesBack: source.API.WriteBack}
	}
	return s
}
