package gateway

import (
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/report"
	"github.com/tocsin-gateway/tocsin/web"
)

// reportFacts is what reports have to know of the configuration.
func (g *Gateway) reportFacts() web.ReportFacts {
	return web.ReportFacts{
		Duties: g.duties,
		Objectives: func(i *incident.Incident) report.Objectives {
			o := g.guide.Load().ObjectivesOf(i)
			return report.Objectives{Response: time.Duration(o.Response), Resolution: time.Duration(o.Resolution)}
		},
		Communication: func() []string { return g.guide.Load().Telling() },
		Uncounted:     func() []string { return g.guide.Load().Uncounted() },
		Retention:     func() time.Duration { return time.Duration(g.config.Load().Incidents.Retention) },
		Owner:         func(service string) string { return g.service(service).Owner },
		Populations:   func(service string) string { return strings.Join(g.service(service).Populations, ", ") },
	}
}

// service is what the catalogue has of a service.
func (g *Gateway) service(name string) mute.Service {
	for _, s := range g.config.Load().Services {
		if s.Name == name {
			return s
		}
	}
	return mute.Service{}
}

// duties are those of an incident that are to come, and those that are late.
func (g *Gateway) duties(i *incident.Incident, now time.Time) []report.Duty {
	var out []report.Duty
	for _, d := range g.guide.Load().Duties(i, now) {
		due := d.Due
		if due.IsZero() {
			due = d.Missed
		}
		if due.IsZero() {
			continue
		}
		text := d.Text
		if !d.Deadline {
			text += " (by itself)"
		}
		out = append(out, report.Duty{Name: d.Name, Due: due, Text: text})
	}
	return out
}
