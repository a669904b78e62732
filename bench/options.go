package bench

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options say what to measure and how. The zero value of a field means its default.
type Options struct {
	// Target is the ingest URL of a running gateway on this machine; a URL
	// without a path gets /ingest/alertmanager. Empty: start a gateway of our
	// own for each round, on a temporary folder. Memory, idle and restart are
	// only measured on gateways of our own.
	Target string
	// Token is sent to Target as a bearer token, if set.
	Token string
	// PID is the process of Target, for its CPU time; 0: not measured.
	PID int
	// Executable is the tocsin to start; empty: this program.
	Executable string
	// Alertmanager is the path of Alertmanager's program; empty: look for
	// prometheus-alertmanager and alertmanager in PATH, and go on without.
	Alertmanager string
	// Rounds is how often everything is measured; the report shows the median. Default 3.
	Rounds int
	// Workloads is what to measure, of Workloads(); empty: everything.
	Workloads []string
	// Scale shortens the run: it multiplies durations and numbers of alerts. Default 1.
	Scale float64
	// Output is "table" (default) or "json".
	Output string
}

// The names of what can be measured, for Options.Workloads.
const (
	W1      = "W1"
	W2      = "W2"
	W3      = "W3"
	W4      = "W4"
	Memory  = "memory"
	Idle    = "idle"
	Restart = "restart"
)

// Workloads lists all names that Options.Workloads may hold, in the order of the run.
func Workloads() []string { return []string{Idle, W1, W3, W4, W2, Memory, Restart} }

const (
	knownAlerts  = 10_000
	newAlerts    = 200_000
	churnAlerts  = 50_000
	memoryAlerts = 1_000_000
	stormTime    = 4 * time.Second
	batchSize    = 100
	fewConns     = 8
	manyConns    = 64
)

func (o *Options) complete() error {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Output == "" {
		o.Output = "table"
	}
	if len(o.Workloads) == 0 {
		o.Workloads = Workloads()
	}
	var errs []error
	if o.Rounds < 0 {
		errs = append(errs, fmt.Errorf("rounds: %d is negative", o.Rounds))
	}
	if o.Scale < 0 || o.Scale > 100 {
		errs = append(errs, fmt.Errorf("scale: %v is not between 0 and 100", o.Scale))
	}
	if o.Output != "table" && o.Output != "json" {
		errs = append(errs, fmt.Errorf("output: %q is neither table nor json", o.Output))
	}
	for _, name := range o.Workloads {
		if !slices.Contains(Workloads(), name) {
			errs = append(errs, fmt.Errorf("workload %q is unknown, known are %s", name, strings.Join(Workloads(), ", ")))
		}
	}
	if o.Target != "" {
		errs = append(errs, o.completeTarget())
	}
	return errors.Join(errs...)
}

// completeTarget refuses other machines: a bench in the wrong window must not
// flood a team's real gateway.
func (o *Options) completeTarget() error {
	u, err := url.Parse(o.Target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme != "http" || u.Port() == "" || (u.Hostname() != "localhost" && !ip.IsLoopback()) {
		return fmt.Errorf("target: %q is not an http URL with a port on this machine", o.Target)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ingest/alertmanager"
	}
	o.Target = u.String()
	return nil
}

func (o *Options) wants(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(o.Workloads, n) })
}

// scaled is n times the scale, in whole batches, and never less than one batch per connection.
func (o *Options) scaled(n int) int {
	return max(int(float64(n)*o.Scale)/batchSize, fewConns) * batchSize
}

func (o *Options) stormTime() time.Duration {
	return max(time.Duration(float64(stormTime)*o.Scale), 200*time.Millisecond)
}
