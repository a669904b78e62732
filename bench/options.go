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
	// StoreURL is the Redis that our gateways keep their state in, such as
	// redis://127.0.0.1:6379; empty: a temporary folder. Each store is under a
	// prefix of its own, which begins with the URL's (?prefix=, default bench),
	// and its keys are removed afterwards.
	StoreURL string
	// Gateways is how many of our own work on the one store, the load spread over
	// them; more than one needs StoreURL. Default 1.
	Gateways int
	// PID is the process of Target, for its CPU time; 0: not measured.
	PID int
	// Executable is the tocsin to start; empty: this program.
	Executable string
	// Alertmanager is the path of Alertmanager's program; empty: look for
	// prometheus-alertmanager and alertmanager in PATH, and go on without.
	Alertmanager string
	// Rounds is how often everything is measured; the report shows the median. Default 3.
	Rounds int
	// Workloads is what to measure, of Workloads(); empty: everything but Growth.
	Workloads []string
	// Scale shortens the run: it multiplies durations and numbers of alerts. Default 1.
	Scale float64
	// Output is "table" (default) or "json".
	Output string

	redis *redisServer // of StoreURL
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
	// Growth is how the cost of the same work changes as the store fills.
	Growth = "growth"
)

// Workloads lists all names that Options.Workloads may hold, in the order of the run.
func Workloads() []string { return []string{Idle, W1, W3, W4, W2, Memory, Restart, Growth} }

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
	if o.Gateways == 0 {
		o.Gateways = 1
	}
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Output == "" {
		o.Output = "table"
	}
	if len(o.Workloads) == 0 {
		o.Workloads = slices.DeleteFunc(Workloads(), func(name string) bool { return name == Growth })
	}
	var errs []error
	if o.Rounds < 0 {
		errs = append(errs, fmt.Errorf("rounds: %d is negative", o.Rounds))
	}
	if o.Gateways < 0 || o.Gateways > 64 {
		errs = append(errs, fmt.Errorf("gateways: %d is not between 1 and 64", o.Gateways))
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
	return errors.Join(append(errs, o.completeStore())...)
}

func (o *Options) completeStore() (err error) {
	switch {
	case o.Target != "" && (o.StoreURL != "" || o.Gateways > 1):
		return errors.New("target: a gateway that runs has its store already: leave out store.url and gateways")
	case o.StoreURL == "" && o.Gateways > 1:
		return errors.New("gateways: several need a store that they share: name a Redis with store.url")
	case o.StoreURL == "":
		return nil
	}
	if o.redis, err = newRedisServer(o.StoreURL); err != nil {
		return fmt.Errorf("store.url: %w", err)
	}
	return nil
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
