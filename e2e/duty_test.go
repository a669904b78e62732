package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

const (
	// dutySteps are the duties d1, d2 and so on, each due after another dutyStep.
	dutySteps, dutyStep = 6, 5 * time.Minute
	// dutyAgain is how often the duty again is due.
	dutyAgain = 4
	// dutyRate is how many times as fast the clock runs in tests of minutes.
	dutyRate = 60
)

// hearer is a receiver that remembers the last severity that it was told, by title. What
// a process said before it was killed may be read after what the next one says.
type hearer struct {
	*httptest.Server
	mu      sync.Mutex
	last    map[string]string
	version map[string]uint64
}

func newHearer(t *testing.T) *hearer {
	h := &hearer{last: map[string]string{}, version: map[string]uint64{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender was killed
		}
		var m struct {
			Incident struct {
				Title    string `json:"title"`
				Severity string `json:"severity"`
				Version  uint64 `json:"version"`
			} `json:"incident"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, "not understood", http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if i := m.Incident; i.Version >= h.version[i.Title] {
			h.last[i.Title], h.version[i.Title] = i.Severity, i.Version
		}
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	return h
}

// know says which of so many incidents the receiver does not know to be critical.
func (h *hearer) know(incidents int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var missing []string
	for n := range incidents {
		if name := fmt.Sprint("Duty", n); h.last[name] != "critical" {
			missing = append(missing, fmt.Sprintf("%s (%q)", name, h.last[name]))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the receiver does not know the last state of %d: %.300s", len(missing), strings.Join(missing, ", "))
	}
	return nil
}

// dutyTrial is gateways that fire duties while something goes wrong.
type dutyTrial struct {
	t         *testing.T
	binary    string
	fleet     fleet
	hears     *hearer
	incidents int
	step      time.Duration
	again     int
	// clock is the file with the time of all processes, empty for that of the machine.
	clock string
	mu    sync.Mutex
	now   time.Time // guarded by mu
}

// pass lets time pass, and says what time it is then.
func (d *dutyTrial) pass(by time.Duration) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
	err := os.WriteFile(d.clock+".new", []byte(d.now.Format(time.RFC3339Nano)), 0o600)
	if err = errors.Join(err, os.Rename(d.clock+".new", d.clock)); err != nil {
		d.t.Error(err)
	}
	return d.now
}

// run lets the clock run fast until the test ends.
func (d *dutyTrial) run() {
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.pass(100 * time.Millisecond * dutyRate)
			case <-stop:
				return
			}
		}
	})
	d.t.Cleanup(func() { close(stop); running.Wait() })
}

// dutyConfig has duties each of which fires once, one that does so several times,
// and a last one that makes the incident worse.
func dutyConfig(receiver string, step time.Duration, again bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
route: {receiver: ops, group_wait: 0s, group_interval: 1s, repeat_interval: 100h}
receivers: [{name: ops, webhook_configs: [{url: %q}]}]
process:
  profile: none
  duties:
`, receiver)
	for n := range dutySteps {
		raise := ""
		if n == dutySteps-1 {
			raise = ", raise: {severity: critical}"
		}
		fmt.Fprintf(&b, "    - {name: d%d, after: %s, text: step, do: {notify: [ops]%s}}\n", n+1, time.Duration(n+1)*step, raise)
	}
	if again {
		fmt.Fprintf(&b, "    - {name: again, after: 3m, every: 6m, times: %d, text: again, do: {suggest: true}}\n", dutyAgain)
	}
	return b.String()
}

func newDutyTrial(t *testing.T, incidents int, fast bool, stores ...string) *dutyTrial {
	t.Helper()
	binary, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	d := &dutyTrial{t: t, binary: binary, hears: newHearer(t), incidents: incidents, step: 2 * time.Second, now: time.Now().UTC()}
	if fast {
		d.step, d.again, d.clock = dutyStep, dutyAgain, filepath.Join(t.TempDir(), "clock")
		d.pass(0)
	}
	d.fleet = newFleet(t, "{}\n", stores...)
	for _, m := range d.fleet {
		m.running.Load().kill()
		if err := m.configure(dutyConfig(d.hears.URL, d.step, fast)); err != nil {
			t.Fatal(err)
		}
		d.start(m)
	}
	return d
}

// environment is what the next process gets.
func (d *dutyTrial) environment(more ...string) []string {
	if d.clock != "" {
		more = append(more, "TOCSIN_CLOCK_FILE="+d.clock)
	}
	return more
}

// start starts a process of m and says whether it lives: one with a failpoint may
// reach it before it is ready.
func (d *dutyTrial) start(m *member, environment ...string) bool {
	d.t.Helper()
	err := m.start(d.t.Context(), d.binary, d.environment(environment...)...)
	if early := new(exitError); errors.As(err, &early) && early.hard() {
		return false
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return true
}

// open opens all incidents.
func (d *dutyTrial) open() {
	d.t.Helper()
	var alerts []map[string]any
	for n := range d.incidents {
		alerts = append(alerts, map[string]any{"startsAt": time.Now().Add(-time.Second),
			"labels": map[string]string{"alertname": fmt.Sprint("Duty", n), "severity": "warning"}})
	}
	body, err := json.Marshal(alerts)
	if err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, soon, func(ctx context.Context) error {
		return accepted(ctx, d.fleet[0].running.Load().gateway, "/api/v2/alerts", body)
	})
}

// killUntil kills members at failpoints and at random until it is so late, and lets
// the clock of a gateway that is alone jump with each new process.
func (d *dutyTrial) killUntil(end time.Time, outage func()) (kills int) {
	d.t.Helper()
	random := rand.New(rand.NewPCG(4, 2))
	points := []string{"before-commit", "after-commit"}
	for ; d.pass(0).Before(end); kills++ {
		m := d.fleet[random.IntN(len(d.fleet))]
		m.running.Load().kill()
		if len(d.fleet) == 1 {
			d.pass(20 * time.Second)
		}
		// The first commits of a process that was away are those of the duties that are due.
		point := fmt.Sprintf("TOCSIN_FAILPOINT=%s:%d", points[kills%2], 1+random.IntN(4))
		if d.start(m, point) {
			select {
			case <-m.running.Load().process.exited:
			case <-time.After(3 * time.Second): // nothing is due: that is a kill at random
				m.running.Load().kill()
			}
		}
		if outage != nil && kills == 3 {
			outage()
		}
		if !d.start(m) {
			d.t.Fatal("a process without a failpoint was killed")
		}
	}
	return kills
}

// check wants each firing once, in order, and the receiver to know of the last.
func (d *dutyTrial) check(within time.Duration) *shown {
	d.t.Helper()
	var s *shown
	eventually(d.t, within, func(ctx context.Context) (err error) {
		if s, err = d.fleet[0].running.Load().shows(ctx); err != nil {
			return err
		}
		if len(s.incidents) != d.incidents {
			return fmt.Errorf("%d incidents, want %d", len(s.incidents), d.incidents)
		}
		for _, in := range s.incidents {
			if fired := d.fired(s, in.ID); len(fired) < dutySteps+d.again {
				return fmt.Errorf("%s: fired %q", in.Title, fired)
			}
			if in.Severity != "critical" { // the list was read before the last duty fired
				return fmt.Errorf("%s: %s", in.Title, in.Severity)
			}
		}
		return d.hears.know(d.incidents)
	})
	complain(d.t, "contradiction", s.contradictions())
	var found []string
	for _, in := range s.incidents {
		say := func(format string, args ...any) { found = append(found, in.Title+": "+fmt.Sprintf(format, args...)) }
		next, again, lastSlot := 1, 0, time.Duration(-1)
		for _, e := range s.timelines[in.ID] {
			if !firing(e) {
				continue
			}
			since := e.At.Sub(in.OpenedAt)
			if e.Action == "suggested" {
				slot := (since - 3*time.Minute) / (6 * time.Minute)
				if since < 3*time.Minute || slot <= lastSlot {
					say("%q fired %s after the opening, in the time of the one before", e.Text, since)
				}
				again, lastSlot = again+1, slot
				continue
			}
			if e.Text != fmt.Sprintf("d%d: step", next) {
				say("fired %q, want d%d", e.Text, next)
			}
			if since < time.Duration(next)*d.step {
				say("%q fired %s after the opening, too early", e.Text, since)
			}
			next++
		}
		if next != dutySteps+1 || again != d.again || in.Severity != "critical" {
			say("fired %q, severity %s; want %d and %d firings, critical", d.fired(s, in.ID), in.Severity, dutySteps, d.again)
		}
	}
	complain(d.t, "duty", found)
	return s
}

// firing reports whether an entry is that of one of the duties of dutyConfig.
func firing(e incident.TimelineEntry) bool {
	return (e.Action == "duty" || e.Action == "suggested") && !strings.Contains(e.Text, "-objective")
}

func (d *dutyTrial) fired(s *shown, id string) (list []string) {
	for _, e := range s.timelines[id] {
		if firing(e) {
			list = append(list, e.Text)
		}
	}
	return list
}

// counted is what the processes of the moment have counted of a duty.
func (d *dutyTrial) counted(duty string) (n float64) {
	d.t.Helper()
	for _, m := range d.fleet {
		s, err := m.running.Load().series(d.t.Context(), "tocsin_duties_total{")
		if err != nil {
			d.t.Fatal(err)
		}
		n += sumOf(s, "tocsin_duties_total{", fmt.Sprintf("duty=%q", duty), `outcome="fired"`)
	}
	return n
}

// TestDutiesSurviveKills kills gateways before and after the commits of duties, between
// two batches of them, and at random, over half an hour of a clock that runs fast.
// Each duty fires once for each time at which it is due.
func TestDutiesSurviveKills(t *testing.T) {
	t.Parallel()
	trials := func(t *testing.T, incidents int, outage func(), stores ...string) {
		t.Parallel()
		d := newDutyTrial(t, incidents, true, stores...)
		d.open()
		d.run()
		kills := d.killUntil(d.pass(0).Add((dutySteps+1)*dutyStep), outage)
		d.check(2 * time.Minute)
		t.Logf("%d incidents, %d kills", incidents, kills)
		if kills < 3 {
			t.Errorf("%d kills are too few to show anything", kills)
		}
		for n := range dutySteps {
			// A process that was killed took its counts along, and none counts twice.
			if got := d.counted(fmt.Sprint("d", n+1)); got > float64(incidents) {
				t.Errorf("d%d: counted %v times, and fired %d times", n+1, got, incidents)
			}
		}
	}
	t.Run("a gateway with its own store, whose clock jumps", func(t *testing.T) { trials(t, 150, nil, "file:data") })
	t.Run("two gateways on Redis, which is killed too", func(t *testing.T) {
		server := durableRedis(t)
		trials(t, 80, func() { server.Kill(); server.Restart() }, sameStore(server.URL(), 2)...)
	})
}

// TestDutiesOfAClockThatIsOff has two gateways on Redis, one of them with a clock that
// is ten minutes off. Duties fire by Redis's clock, and the counts of both add up.
func TestDutiesOfAClockThatIsOff(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			const incidents = 120
			d := newDutyTrial(t, incidents, false, sameStore(redistest.Single(t).URL(), 2)...)
			d.fleet[1].running.Load().kill()
			d.start(d.fleet[1], "TOCSIN_CLOCK_SKEW="+skew.String())
			d.open()
			d.check(2 * time.Minute)
			for n := range dutySteps {
				if got := d.counted(fmt.Sprint("d", n+1)); got != incidents {
					t.Errorf("d%d: the two have counted %v, want %d", n+1, got, incidents)
				}
			}
		})
	}
}
