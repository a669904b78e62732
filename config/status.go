package config

import (
	"slices"

	"github.com/tocsin-gateway/tocsin/config/nearest"
)

// status checks the status page, and what the maintenance says on it.
func (c *checker) status() {
	var services, components []string
	for _, s := range c.c.Services {
		services = append(services, s.Name)
	}
	for _, one := range c.c.Status.Components {
		components = append(components, one.Name)
	}
	c.problems("status", c.c.Status.Problems(services))
	for n, w := range c.c.Maintenance {
		for k, name := range w.Public.Components {
			switch path := indexPath(indexPath("maintenance", n)+".public.components", k); {
			case slices.Contains(components, name):
			case len(components) == 0:
				c.mistake(path, "there is no component "+quote(name), "add it to status.components")
			default:
				c.mistake(path, "there is no component "+quote(name), nearest.Suggest(name, components))
			}
		}
	}
}
