package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
)

// summary says in a line what the configuration consists of.
func (c *Config) summary() string {
	sources := slices.Sorted(maps.Keys(c.Sources))
	parts := []string{
		count(len(sources), "source") + " (" + strings.Join(sources, ", ") + ")",
		count(len(c.Classify.Rules), "classify rule"),
		count(len(c.Correlate.Rules), "correlate rule"),
	}
	if am := c.Alertmanager; am != nil {
		parts = append(parts, count(len(am.Receivers), "receiver"), count(routes(am.Route), "route"))
	}
	return strings.Join(parts, ", ")
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// routes counts a route and all below it.
func routes(r *amconfig.Route) int {
	n := 1
	for _, child := range r.Routes {
		n += routes(child)
	}
	return n
}
