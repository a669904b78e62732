package config

import "github.com/tocsin-gateway/tocsin/router"

// Identity returns what the fingerprints and keys of alerts derive from, which
// names the generation of this configuration. It holds no secrets.
func (c *Config) Identity() router.Identity {
	sources := make(map[string]router.SourceIdentity, len(c.Sources))
	for name, s := range c.Sources {
		sources[name] = router.SourceIdentity{Namespace: s.Namespace, IgnoreLabels: s.IgnoreLabels}
	}
	return router.NewIdentity(c.Correlate, c.Classify, sources)
}
