package gateway

import (
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web/live"
)

// watch returns st, through which pages hear of everything that is committed:
// alerts, what people do, and jobs.
func (g *Gateway) watch(st store.Store) store.Store {
	shared, _ := g.opts.Store.(live.Shared) // nil where one process has the store for itself
	g.Live = live.New(live.Options{Store: st, Shared: shared, Severities: func() []string { return g.Pipeline.Severities() },
		Duty: g.nextDuty, Config: func() any { return g.guide.Load() }, Log: g.log, Registerer: g.opts.Registry})
	return g.Live.Watch(st)
}

// nextDuty is what the process asks people for next in an incident. What happens by itself
// is no duty of anybody.
func (g *Gateway) nextDuty(i *incident.Incident, now time.Time) (name string, due time.Time) {
	guide := g.guide.Load()
	if guide == nil {
		return "", time.Time{}
	}
	for _, next := range guide.Duties(i, now) {
		if next.Deadline && !next.Due.IsZero() {
			return next.Name, next.Due
		}
	}
	return "", time.Time{}
}
