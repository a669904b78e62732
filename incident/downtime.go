package incident

import (
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

const (
	// downtimesKept bounds the downtimes that an incident remembers. What does not
	// fit is told as if there were none.
	downtimesKept = 50
	// downtimeAtMost is how long a downtime lasts whose end nobody stated: the
	// message that it is over may get lost, and silence must not be for ever.
	downtimeAtMost = 24 * time.Hour
	// downtimeNames bounds the names of its host and service together, in bytes: the
	// incident's header holds them.
	downtimeNames = 512
	// statedAtMost is how long one lasts whose end was stated.
	statedAtMost = 31 * 24 * time.Hour
)

// Downtime is a time in which the tool that an incident's alerts come from
// expects a host, or one service of it, to fail.
type Downtime struct {
	Host string `json:"host"`
	// Service is empty for the host and all that is on it.
	Service string    `json:"service,omitzero"`
	Until   time.Time `json:"until"`
}

// expected is what an alert, or a message about a downtime, is about.
func expected(a *alert.Alert) (host, service string) {
	host, service = a.Host(), a.Service()
	if host == "" && service == "" {
		service = a.Name()
	}
	return host, service
}

// InDowntime reports whether a downtime covers an alert now, and until when the
// longest one that does lasts.
func (i *Incident) InDowntime(a *alert.Alert, now time.Time) (until time.Time, ok bool) {
	host, service := expected(a)
	for _, d := range i.Downtimes {
		if d.Host == host && (d.Service == "" || d.Service == service) && d.Until.After(now) && d.Until.After(until) {
			until = d.Until
		}
	}
	return until, !until.IsZero()
}

// BeginDowntime notes that what the message is about is in a downtime. Ends is
// when that ends, zero if its sender did not say.
func (e *Edit) BeginDowntime(message *alert.Alert, ends time.Time) {
	host, service := expected(message)
	if size := len(host) + len(service); size == 0 || size > downtimeNames || !ends.IsZero() && !ends.After(e.now) {
		return
	}
	last := e.now.Add(statedAtMost)
	if ends.IsZero() {
		last = e.now.Add(downtimeAtMost)
		ends = last
	}
	if ends.After(last) {
		ends = last
	}
	i := e.Incident
	kept := e.otherDowntimes(host, service)
	if len(kept) < downtimesKept {
		kept = append(kept, Downtime{strings.Clone(host), strings.Clone(service), ends})
	}
	i.Downtimes = kept
}

// EndDowntime notes that what the message is about is in no downtime any more.
// People hear of what still fires.
func (e *Edit) EndDowntime(message *alert.Alert) {
	host, service := expected(message)
	kept := e.otherDowntimes(host, service)
	if len(kept) < len(e.Incident.Downtimes) {
		e.tell(soonNews)
	}
	e.Incident.Downtimes = kept
}

// otherDowntimes are those that last, but for the one of a host or service.
func (e *Edit) otherDowntimes(host, service string) []Downtime {
	return slices.DeleteFunc(slices.Clone(e.Incident.Downtimes), func(d Downtime) bool {
		return d.Host == host && d.Service == service || !d.Until.After(e.now)
	})
}
