package nagios

import (
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Result is the result of a check that somebody else ran, as NRDP and NSCA carry it.
type Result struct {
	Host string
	// Service is empty if it is the host that was checked.
	Service string
	// State is the state's number: OK, WARNING, CRITICAL, UNKNOWN of a service, UP,
	// DOWN, UNREACHABLE of a host. Any other is the exit status of what could not
	// check it, such as 127 where the plugin is not there.
	State int
	// Output is what the plugin wrote: a line, perhaps more, performance data
	// behind a bar.
	Output string
	// At is when it was checked; zero if it is not said.
	At time.Time
}

var (
	serviceStates = []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}
	hostStates    = []string{"UP", "DOWN", "UNREACHABLE"}
)

// statesOf are the states of a service, or of a host if there is none, by their numbers.
func statesOf(service string) []string {
	if service == "" {
		return hostStates
	}
	return serviceStates
}

// Fault says what is wrong with it, and in which field of NRDP; "" if nothing is.
func (r *Result) Fault() (field, reason string) {
	if r.Host == "" {
		return "hostname", "absent; a result says there which host it is of"
	}
	return "", ""
}

// Alert makes an alert of a result without a fault. It has the same key as a
// notification about the same object. A good result resolves: if there is
// nothing to resolve it means nothing.
func (r *Result) Alert() alert.Alert {
	state := "UNKNOWN"
	if states := statesOf(r.Service); 0 <= r.State && r.State < len(states) {
		state = states[r.State]
	}
	first, _, _ := strings.Cut(strings.TrimSpace(r.Output), "\n")
	summary, _, _ := strings.Cut(first, "|")
	summary = strings.TrimSpace(summary)
	description := strings.TrimSpace(r.Output)
	if description == summary {
		description = ""
	}
	a := alert.Alert{
		Status:      status(state),
		Identity:    key(r.Host, r.Service),
		Key:         key(r.Host, r.Service),
		PerHost:     true,
		EventAt:     r.At,
		Labels:      fields.Labels("alertname", name(r.Service), "host", r.Host, "service", r.Service, "severity", severity(state)),
		Annotations: fields.Labels("summary", summary, "description", description, "state", strings.ToLower(state)),
	}
	if a.Status == alert.Resolved {
		a.EndsAt = r.At
	}
	return a
}
