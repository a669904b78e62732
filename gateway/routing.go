package gateway

import (
	"slices"
	"sync/atomic"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/notify/route"
)

// routing is Alertmanager's part of the configuration, as its API shows it.
type routing struct{ current atomic.Pointer[routes] }

type routes struct {
	config *amconfig.Config
	root   *route.Route
}

// set makes a configuration the current one; nil is none.
func (r *routing) set(c *amconfig.Config) {
	if c == nil || c.Route == nil {
		r.current.Store(nil)
		return
	}
	r.current.Store(&routes{c, route.New(c.Route)})
}

// receivers names those that an incident is routed to, each once.
func (r *routing) receivers(i *incident.Incident) []string {
	current := r.current.Load()
	if current == nil {
		return nil
	}
	var names []string
	for _, one := range current.root.Match(match.Of(i)) {
		if !slices.Contains(names, one.Receiver) {
			names = append(names, one.Receiver)
		}
	}
	return names
}

// names are all receivers in the order of the file.
func (r *routing) names() []string {
	current := r.current.Load()
	if current == nil {
		return nil
	}
	names := make([]string, len(current.config.Receivers))
	for n := range current.config.Receivers {
		names[n] = current.config.Receivers[n].Name
	}
	return names
}

// text is the configuration as YAML, with <secret> in place of secrets.
func (r *routing) text() string {
	current := r.current.Load()
	if current == nil {
		return ""
	}
	return current.config.String()
}
