package config

import (
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/router"
)

// Settings returns what decides about alerts and incidents.
func (c *Config) Settings() router.Settings {
	s := router.Settings{Classify: c.Classify, Correlate: c.Correlate, Incidents: c.Incidents,
		Sources: make(map[string]router.SourceSettings, len(c.Sources)), Identity: c.Identity(), Heartbeats: c.Heartbeats}
	for name, source := range c.Sources {
		volatile := slices.Concat(formats.All[source.Format].Volatile, source.VolatileAnnotations)
		s.Sources[name] = router.SourceSettings{VolatileAnnotations: volatile, ResolveAfter: time.Duration(source.ResolveAfter),
			Reconcile: time.Duration(source.API.Reconcile), WritesBack: source.API.WriteBack}
	}
	return s
}
