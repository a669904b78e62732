package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// rule is an alerting rule as a Prometheus repeats its alerts: as long as it
// holds they fire, for validity longer than they were said last, or without end.
type rule struct {
	service  string
	pods     int
	starts   time.Time
	validity time.Duration // 0: it says no end
	silent   atomic.Bool   // it is not repeated any more
	ended    atomic.Bool   // and now it says that it is over
}

// stillFiringAfter is as configured in TestManyGatewaysDoJobsOnce.
const stillFiringAfter = 2 * time.Second

// validity is the end that Prometheus states: so soon that the test need not wait long,
// and not before it says so again, however slow the machine is.
const validity = 8 * time.Second

// body is what a Prometheus posts, nil if it says nothing.
func (r *rule) body(now time.Time) ([]byte, error) {
	if r.silent.Load() {
		return nil, nil
	}
	var alerts []map[string]any
	for pod := range r.pods {
		a := map[string]any{"startsAt": r.starts, "annotations": map[string]string{"summary": "repeated"},
			"labels": map[string]string{"alertname": "JobsTest", "cluster": "e2e", "severity": "critical", "service": r.service, "pod": fmt.Sprint(r.service, "-", pod)}}
		switch {
		case r.ended.Load():
			a["endsAt"] = r.starts.Add(time.Second)
		case r.validity > 0:
			a["endsAt"] = now.Add(r.validity)
		}
		alerts = append(alerts, a)
	}
	return json.Marshal(alerts)
}

// prometheus repeats all rules to all gateways until stop is closed.
func (f fleet) prometheus(ctx context.Context, rules []*rule, stop <-chan struct{}) error {
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, r := range rules {
			body, err := r.body(time.Now())
			if err != nil {
				return err
			}
			for _, m := range f {
				if body == nil {
					break
				}
				// What is refused is said again with all else.
				if _, again, err := m.post(ctx, "prometheus", body, r.pods); err != nil && (!again || ctx.Err() != nil) {
					return err
				}
			}
		}
		select {
		case <-tick.C:
		case <-stop:
			return nil
		}
	}
}

// TestManyGatewaysDoJobsOnce: two Prometheus servers tell two gateways of the
// same alerts. Whatever ends by a job (an alert that is not repeated, an incident
// that is over, a reminder) does so once, although both gateways look for jobs.
func TestManyGatewaysDoJobsOnce(t *testing.T) {
	const each, pods = 8, 3
	f := newFleet(t, fmt.Sprintf("correlate: {close_after: 2s, still_firing_after: %s}\n", stillFiringAfter), sameStore(redistest.Single(t).URL(), 2)...)
	began := time.Now().Add(-time.Minute).Truncate(time.Millisecond).UTC()
	var rules []*rule
	kinds := map[string][]*rule{}
	for _, kind := range []string{"expires", "ends", "goes-on"} {
		for n := range each {
			r := &rule{service: fmt.Sprintf("%s-%d", kind, n), pods: pods, starts: began, validity: validity}
			if kind != "expires" {
				r.validity = 0 // nothing but what the test does ends it
			}
			rules, kinds[kind] = append(rules, r), append(kinds[kind], r)
		}
	}
	stop := make(chan struct{})
	var sending sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		sending.Go(func() { errs[i] = f.prometheus(t.Context(), rules, stop) })
	}
	eventually(t, soon, func(ctx context.Context) error {
		s, err := f[0].running.Load().shows(ctx)
		if err == nil && len(s.firing()) != len(rules)*pods {
			err = fmt.Errorf("%d alerts fire, want %d", len(s.firing()), len(rules)*pods)
		}
		return err
	})
	for _, r := range kinds["expires"] {
		r.silent.Store(true)
	}
	for _, r := range kinds["ends"] {
		r.ended.Store(true)
	}
	s, err := f[0].running.Load().shows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range s.incidents {
		if strings.HasPrefix(in.Service, "goes-on") {
			post(t, "http://"+f[1].running.Load().addr+"/api/v1/incidents/"+in.ID+"/resolve", []byte(`{"by":"ana"}`))
		}
	}
	eventually(t, soon, func(ctx context.Context) error {
		if s, err = f[1].running.Load().shows(ctx); err != nil {
			return err
		}
		late, _ := s.onlyOnce(pods)
		return late
	})
	close(stop)
	sending.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	// Only now nobody tells it anything. It still reminds.
	if s, err = f[1].running.Load().look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late, wrong := s.onlyOnce(pods); late != nil || wrong != nil {
		t.Error(errors.Join(late, wrong))
	}
	for i, m := range f {
		g := m.running.Load()
		g.conserves(t, i+1, map[string]int{})
		stored, err := g.series(t.Context(), "tocsin_")
		if err != nil {
			t.Fatal(err)
		}
		if n := sumOf(stored, "tocsin_jobs{", `kind="expiry"`); n > 0 {
			t.Errorf("gateway %d: %v expiry jobs, but nothing is there that could expire", i+1, n)
		}
		// What is measured at the end of a cycle, and at the close, is so once.
		for metric, want := range map[string]float64{"tocsin_incidents_opened_total": 3 * each, "tocsin_incident_time_to_resolve_seconds_count": 3 * each,
			"tocsin_incident_outage_seconds_count": 2 * each} {
			if got := sumOf(stored, metric+"{"); got != want {
				t.Errorf("gateway %d: %s: got %v, want %v", i+1, metric, got, want)
			}
		}
	}
}

// onlyOnce holds the timelines against what has to happen to each service. Late
// is what did not happen yet, wrong what must not have happened.
func (s *shown) onlyOnce(pods int) (late, wrong error) {
	for i := range s.incidents {
		in := &s.incidents[i]
		l, w := s.happened(in, pods)
		late, wrong = errors.Join(late, l), errors.Join(wrong, w)
		for _, found := range s.timeline(in) {
			wrong = errors.Join(wrong, errors.New(found))
		}
	}
	return late, wrong
}

func (s *shown) happened(in *shownIncident, pods int) (late, wrong error) {
	sums, times := map[string]int{}, map[string]int{}
	for _, e := range s.timelines[in.ID] {
		sums[e.Action] += e.Count
		times[e.Action]++
	}
	kind := in.Service[:strings.LastIndexByte(in.Service, '-')]
	want := map[string][]string{"expires": {"opened", "joined", "expired", "resolved", "closed"}, "ends": {"opened", "joined", "alerts_resolved", "resolved", "closed"},
		"goes-on": {"opened", "joined", "resolved", "still_firing"}}[kind]
	for action, n := range times {
		switch {
		case !slices.Contains(want, action):
			wrong = errors.Join(wrong, fmt.Errorf("%s (%s): %s, want only %q", in.Reference, in.Service, action, want))
		case n > 1 && sums[action] == 0:
			wrong = errors.Join(wrong, fmt.Errorf("%s (%s): %s %d times", in.Reference, in.Service, action, n))
		}
	}
	for _, action := range want {
		if times[action] == 0 {
			late = errors.Join(late, fmt.Errorf("%s (%s): not %s yet", in.Reference, in.Service, action))
		}
	}
	for _, action := range []string{"expired", "alerts_resolved"} {
		switch n := sums[action]; {
		case n > pods:
			wrong = errors.Join(wrong, fmt.Errorf("%s (%s): %s of %d alerts, want %d", in.Reference, in.Service, action, n, pods))
		case slices.Contains(want, action) && n < pods:
			late = errors.Join(late, fmt.Errorf("%s (%s): %s of %d alerts, want %d", in.Reference, in.Service, action, n, pods))
		}
	}
	return late, errors.Join(wrong, s.reminders(in))
}

// reminders wants the reminders of an incident to be as far apart as configured, but for a
// moment, as jobs come by whole milliseconds: two that both remind do so at the same time.
func (s *shown) reminders(in *shownIncident) (wrong error) {
	const least = stillFiringAfter - 100*time.Millisecond
	var last time.Time
	for _, e := range s.timelines[in.ID] {
		if e.Action != "still_firing" {
			continue
		}
		if since := e.At.Sub(last); since < least {
			wrong = errors.Join(wrong, fmt.Errorf("%s (%s): reminded %s after the reminder before, want at least %s", in.Reference, in.Service, since, least))
		}
		last = e.At
	}
	return wrong
}
