package config

import "github.com/tocsin-gateway/tocsin/process"

// ProcessOptions are what the process takes from other sections.
func (c *Config) ProcessOptions() process.Options {
	o := process.Options{Severities: c.Classify.Severities, Objectives: c.Incidents.Priorities}
	o.Owners = map[string]string{}
	for _, s := range c.Services {
		if s.Owner != "" {
			o.Owners[s.Name] = s.Owner
		}
	}
	if c.Alertmanager != nil {
		for _, r := range c.Alertmanager.Receivers {
			o.Receivers = append(o.Receivers, r.Name)
		}
	}
	return o
}
