package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

var (
	faults    = flag.Int("faults", 1, "how often each fault of the tests TestRedis… happens")
	faultTime = flag.Duration("faulttime", 3*time.Second, "for how long Redis is away in the tests TestRedis…")
	faultSeed = flag.Uint64("faultseed", 0, "seed of what the tests TestRedis… send; 0: from the clock")
)

const (
	// trialSenders is how many connections send, and trialKeys how many keys their alerts have at most.
	trialSenders = 6
	trialKeys    = 200
	// fewSubjects is where a sender begins to say more about old alerts than new ones.
	fewSubjects = 60
	// lookEvery is the time between two looks at whether a gateway is ready.
	lookEvery = 50 * time.Millisecond
	// noticed is how long a gateway may take to say that it is not ready, and to
	// say that it is again. Both are generous: the figures are what counts.
	noticed = 45 * time.Second
	// settledWithin is how long jobs may take that are due when all is well again: whoever was killed, or
	// did not hear that it has a job, keeps it for half a minute.
	settledWithin = 50 * time.Second
	// closeAfter is when resolved incidents are closed, by a job each.
	closeAfter = time.Second
)

// trial is gateways under load while something goes wrong.
type trial struct {
	t     *testing.T
	fleet fleet
	*killer
	path    string // of the ledger
	senders []*trialSender
	cancel  context.CancelCauseFunc
	ctx     context.Context
	sending sync.WaitGroup
	heard   heard
	// kills says that gateways are killed, so that attempts may end without an answer.
	kills bool
	// sticky says that each sender keeps to one gateway.
	sticky bool
	// source is where senders post to.
	source string
	// first are the processes of the beginning, which no fault but a kill ends.
	first []*answering
	// watches are alerts that nobody repeats and that so expire, by pod; named is how
	// many have a name.
	watches map[string]*expiring
	named   int
	figures []string
}

// heard is what the senders of a trial were answered.
type heard struct {
	mu       sync.Mutex
	statuses map[int]int
	broken   int // attempts that ended without an answer
	slowest  map[int]time.Duration
}

func (h *heard) note(status int, took time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.broken++
		return
	}
	h.statuses[status]++
	h.slowest[status] = max(h.slowest[status], took)
}

func (h *heard) count(status int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.statuses[status]
}

// String says how many answers there were of each kind, and the slowest of them.
func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	for _, status := range []int{http.StatusOK, http.StatusAccepted, http.StatusServiceUnavailable} {
		if n := h.statuses[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d × %d, slowest %s", n, status, h.slowest[status].Round(time.Millisecond)))
		}
	}
	if h.broken > 0 {
		parts = append(parts, fmt.Sprintf("%d without an answer", h.broken))
	}
	return strings.Join(parts, "; ")
}

// trialConfig is a configuration in which resolved incidents are closed soon, so
// that there are jobs, with more sections behind it.
func trialConfig(sections ...string) string {
	return fmt.Sprintf("correlate: {close_after: %s}\n%s\n", closeAfter, strings.Join(sections, "\n"))
}

// durable is a section store for a Redis that replicates.
func durable(url, durability string) string {
	return fmt.Sprintf("store: {url: %q, durability: %s}", url, durability)
}

// newTrial starts a gateway on each of the stores; nothing is sent yet. In their
// configuration {dir} is a folder that each has for itself.
func newTrial(t *testing.T, config string, stores ...string) *trial {
	t.Helper()
	seed := *faultSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	path := filepath.Join(t.TempDir(), "ledger")
	ledger, err := NewLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	var all fleet
	for _, url := range stores {
		all = append(all, newFleet(t, strings.ReplaceAll(config, "{dir}", strconv.Quote(t.TempDir())), url)...)
	}
	tr := &trial{t: t, fleet: all, path: path, source: "alertmanager", watches: map[string]*expiring{},
		killer: &killer{KillOptions: KillOptions{Seed: seed, Log: t.Logf}, ledger: ledger, random: rand.New(rand.NewPCG(seed, 0))},
		heard:  heard{statuses: map[int]int{}, slowest: map[int]time.Duration{}}}
	tr.ctx, tr.cancel = context.WithCancelCause(t.Context())
	for _, m := range tr.fleet {
		tr.first = append(tr.first, m.running.Load())
	}
	t.Cleanup(func() {
		tr.cancel(nil)
		tr.sending.Wait()
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// figure remembers a measured time for the report.
func (tr *trial) figure(what string, took time.Duration) {
	tr.figures = append(tr.figures, fmt.Sprintf("%s %s", what, took.Round(10*time.Millisecond)))
}

// trialSender is one connection.
type trialSender struct {
	*sender
	trial *trial
	// answered counts the requests that were answered 2xx.
	answered atomic.Int64
}

// send begins to send, and returns when the gateways have taken something from everybody.
func (tr *trial) send() {
	tr.t.Helper()
	for i := range trialSenders {
		s := &trialSender{sender: newSender(tr.killer, i), trial: tr}
		tr.senders = append(tr.senders, s)
		tr.sending.Go(func() {
			if err := s.run(tr.ctx); err != nil {
				tr.cancel(err) // the others need not go on
			}
		})
	}
	tr.progress(8)
}

// progress waits until each sender was answered 2xx n times more.
func (tr *trial) progress(n int64) {
	tr.t.Helper()
	for _, s := range tr.senders {
		want := s.answered.Load() + n
		tr.await(settledWithin, func() error {
			if got := s.answered.Load(); got < want {
				return fmt.Errorf("sender %d was answered 2xx %d times, want %d; heard: %s", s.number, got, want, &tr.heard)
			}
			return nil
		})
	}
}

// await calls check until it returns nil.
func (tr *trial) await(within time.Duration, check func() error) {
	tr.t.Helper()
	eventually(tr.t, within, func(context.Context) error {
		if err := context.Cause(tr.ctx); err != nil {
			tr.t.Fatal(err)
		}
		return check()
	})
}

// stop lets the senders finish what they are at.
func (tr *trial) stop() {
	tr.t.Helper()
	tr.stopping.Store(true)
	tr.sending.Wait()
	if err := context.Cause(tr.ctx); err != nil {
		tr.t.Fatal(err)
	}
}

// batch decides what to say next. Unlike a sender that only kills, it makes few new
// alerts, so that incidents resolve, are closed, and open again.
func (s *trialSender) batch() (events []event, about []*subject) {
	chosen := map[*subject]bool{}
	for range 1 + s.random.IntN(20) {
		subject, e := s.pick()
		for e == fresh && len(s.subjects) > fewSubjects && s.random.IntN(10) > 0 {
			s.subjects = s.subjects[:len(s.subjects)-1] // nobody has heard of it
			subject, e = s.pick()
		}
		if chosen[subject] {
			continue
		}
		chosen[subject] = true
		if e == fresh {
			subject.told.Service = s.fewServices()
		}
		subject.apply(e, time.Now())
		events, about = append(events, e), append(about, subject)
	}
	return events, about
}

// fewServices spreads alerts over the keys: some in one, some in nine, most everywhere.
func (s *trialSender) fewServices() string {
	n := s.random.IntN(trialKeys)
	switch s.random.IntN(5) {
	case 0:
		n = 0
	case 1:
		n = 1 + s.random.IntN(9)
	}
	return "service-" + strconv.Itoa(n)
}

// run sends until told to stop.
func (s *trialSender) run(ctx context.Context) error {
	for !s.stopping.Load() {
		events, next := s.batch()
		body, err := s.body(next)
		if err != nil {
			return err
		}
		status, answer, attempts, err := s.deliver(ctx, body)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			if err := s.judge(events, next, answer, attempts > 1); err != nil {
				return err
			}
		}
		told := make([]Told, len(next))
		for i := range next {
			told[i] = next[i].told
		}
		if err := s.ledger.Acknowledged(told); err != nil {
			return err
		}
		s.answered.Add(1)
		// Some 2,000 alerts a second, all senders together.
		if err := pause(ctx, time.Duration(10+s.random.IntN(40))*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// deliver sends body until it is answered 2xx, each time to any of the gateways. All but
// 503 is an error, and so is no answer, unless gateways are killed.
func (s *trialSender) deliver(ctx context.Context, body []byte) (status int, answer []byte, attempts int, err error) {
	to := s.number
	for {
		attempts++
		if !s.trial.sticky {
			to = s.random.IntN(len(s.trial.fleet))
		}
		g := s.trial.fleet[to%len(s.trial.fleet)].running.Load()
		began := time.Now()
		status, answer, err := do(ctx, http.MethodPost, "http://"+g.addr+"/ingest/"+s.trial.source, body)
		s.trial.heard.note(status, time.Since(began), err)
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusAccepted):
			s.count(&s.report.Requests)
			return status, answer, attempts, nil
		case err == nil && status != http.StatusServiceUnavailable:
			return 0, nil, attempts, fmt.Errorf("e2e: a valid request was answered %d %.300s", status, answer)
		case err != nil && !s.trial.kills:
			return 0, nil, attempts, fmt.Errorf("e2e: a request was not answered after %s: %w", time.Since(began), err)
		}
		s.count(&s.report.Retries)
		if err := pause(ctx, time.Duration(20+s.random.IntN(100))*time.Millisecond); err != nil {
			return 0, nil, attempts, err
		}
	}
}

// isReady says why a gateway is not ready.
func isReady(ctx context.Context, g *answering) error {
	status, answer, err := do(ctx, http.MethodGet, "http://"+g.addr+"/-/ready", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("/-/ready is %d %s", status, answer)
	}
	return err
}

// awaitReady waits until all gateways say that they are ready, or all that they are
// not, and returns how long that took.
func (tr *trial) awaitReady(want bool) time.Duration {
	tr.t.Helper()
	began := time.Now()
	errs := make([]error, len(tr.fleet))
	var group sync.WaitGroup
	for i, m := range tr.fleet {
		group.Go(func() { errs[i] = tr.becomes(m, want) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		tr.t.Fatal(err)
	}
	return time.Since(began)
}

// becomes waits until a gateway is ready, or is not.
func (tr *trial) becomes(m *member, want bool) error {
	ctx, cancel := context.WithTimeout(tr.ctx, noticed)
	defer cancel()
	for {
		err := isReady(tr.t.Context(), m.running.Load())
		if (err == nil) == want {
			return nil
		}
		if pause(ctx, lookEvery) != nil {
			if cause := context.Cause(tr.ctx); cause != nil {
				return cause
			}
			return fmt.Errorf("a gateway did not become ready: %v within %s: %w", want, noticed, err)
		}
	}
}

// outage takes Redis away, keeps it away for a while, and brings it back. Meanwhile
// the gateways are not ready and refuse, and afterwards they go on by themselves.
func (tr *trial) outage(away, back func()) {
	tr.t.Helper()
	tr.watch(*faultTime / 2)
	refused := tr.heard.count(http.StatusServiceUnavailable) + tr.heard.count(http.StatusAccepted)
	began := time.Now()
	away()
	tr.figure("not ready after", tr.awaitReady(false))
	if err := pause(tr.t.Context(), time.Until(began.Add(*faultTime))); err != nil {
		tr.t.Fatal(err)
	}
	back()
	tr.figure("ready again after", tr.awaitReady(true))
	tr.progress(3)
	if n := tr.heard.count(http.StatusServiceUnavailable) + tr.heard.count(http.StatusAccepted); n == refused {
		tr.t.Error("nobody was answered 503 (or 202) while Redis was away")
	}
}

// expiring is an alert that is sent once and says until when it is valid.
type expiring struct {
	told  Told
	until time.Time
}

// watch sends an alert that expires after validity, so that it is seen whether what is due while
// something is wrong is done, once, and not too early.
func (tr *trial) watch(validity time.Duration) {
	tr.t.Helper()
	n := strconv.Itoa(tr.named)
	tr.named++
	now := time.Now().Truncate(time.Millisecond)
	w := &expiring{told: Told{Pod: "watch-" + n, Service: "watch-service-" + n, Status: "resolved", StartsAt: now}, until: now.Add(validity)}
	body, err := json.Marshal([]map[string]any{{"labels": map[string]string{"alertname": "Watch", "service": w.told.Service, "pod": w.told.Pod},
		"annotations": map[string]string{"revision": "0"}, "startsAt": now.UTC(), "endsAt": w.until.UTC()}})
	if err != nil {
		tr.t.Fatal(err)
	}
	var answered struct{ Results []result }
	tr.await(settledWithin, func() error {
		g := tr.fleet[len(tr.watches)%len(tr.fleet)].running.Load()
		status, answer, err := do(tr.t.Context(), http.MethodPost, "http://"+g.addr+"/ingest/prometheus", body)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("the alert that expires was answered %d %.300s", status, answer)
		}
		if err == nil {
			err = json.Unmarshal(answer, &answered, json.MatchCaseInsensitiveNames(true))
		}
		return err
	})
	if len(answered.Results) == 1 && answered.Results[0].Verdict == "recorded" {
		tr.watch(2 * validity) // it was over when it came, so that it opened nothing
		return
	}
	tr.watches[w.told.Pod] = w
}

// settle waits until all jobs that are due are done: the incidents that are resolved are
// closed, the alerts that nobody repeats have expired, and nothing is due.
func (tr *trial) settle() {
	tr.t.Helper()
	began := time.Now()
	tr.await(settledWithin, func() error {
		for i, m := range tr.fleet {
			s, err := m.running.Load().series(tr.t.Context(), "tocsin_")
			if err != nil {
				return err
			}
			for what, n := range map[string]float64{
				"jobs that are due":               sumOf(s, "tocsin_jobs{", `state="due"`),
				"seconds that jobs are late":      sumOf(s, "tocsin_job_lag_seconds"),
				"incidents that are not closed":   sumOf(s, "tocsin_incidents{", `state="resolved"`),
				"jobs that close incidents":       sumOf(s, "tocsin_jobs{", `kind="close"`),
				"requests that are in the spool":  sumOf(s, "tocsin_spool_entries"),
				"alerts that should have expired": sumOf(s, "tocsin_jobs{", `kind="expiry"`),
			} {
				if n != 0 {
					return fmt.Errorf("gateway %d: %v %s", i+1, n, what)
				}
			}
		}
		return nil
	})
	tr.figure("jobs done after", time.Since(began))
}

// noneExpires says whether alerts wait for their expiry; only those that are watched do.
func (tr *trial) noneExpires() error {
	s, err := tr.fleet[0].running.Load().series(tr.t.Context(), "tocsin_jobs{")
	if n := sumOf(s, "tocsin_jobs{", `kind="expiry"`); err == nil && n != 0 {
		err = fmt.Errorf("%v alerts have not expired", n)
	}
	return err
}

// finish stops the load and holds what the gateways show against what they have
// acknowledged: nothing may be lost.
func (tr *trial) finish() {
	tr.t.Helper()
	tr.progress(8)
	tr.stop()
	found := tr.check()
	complain(tr.t, "lost", found.Lost)
	complain(tr.t, "wrong", found.Wrong)
	complain(tr.t, "surprise", tr.report.Surprises)
}

// check compares, and wants all that holds whatever was lost.
func (tr *trial) check() *Findings {
	tr.t.Helper()
	tr.settle()
	told, lines, err := ReadLedger(tr.path)
	if err != nil {
		tr.t.Fatal(err)
	}
	if len(told) < 100 {
		tr.t.Errorf("alerts: got %d, too few to show anything", len(told))
	}
	for pod, w := range tr.watches {
		told[pod] = w.told
	}
	var first *shown
	for i, m := range tr.fleet {
		g := m.running.Load()
		tr.balances(i+1, g)
		if first == nil {
			if first, err = g.shows(tr.t.Context()); err != nil {
				tr.t.Fatal(err)
			}
			continue
		}
		others, err := pages[shownIncident](tr.t.Context(), "http://"+g.addr+"/api/v1/incidents", "incidents")
		if err != nil {
			tr.t.Fatal(err)
		}
		if !slices.EqualFunc(others, first.incidents, func(a, b shownIncident) bool { return a.ID == b.ID && a.Version == b.Version }) {
			tr.t.Errorf("gateways 1 and %d show other incidents:\n%+v\n%+v", i+1, first.incidents, others)
		}
	}
	complain(tr.t, "contradiction", first.contradictions())
	tr.lists(first)
	tr.expired(first)
	tr.survived()
	found := first.compare(told)
	complain(tr.t, "doubled", found.Doubled)
	states := map[string]int{}
	for _, in := range first.incidents {
		states[in.State]++
	}
	tr.t.Logf("acknowledged %d messages about %d alerts in %d requests; %s; %d incidents (%d open, %d closed), %d archived; lost %d, doubled %d, wrong %d, surprising verdicts %d; %s",
		lines, len(told), tr.report.Requests, &tr.heard, len(first.incidents), states["open"], states["closed"], found.Archived, len(found.Lost), len(found.Doubled), len(found.Wrong),
		len(tr.report.Surprises), strings.Join(tr.figures, ", "))
	return found
}

// balances wants a process to have counted a verdict for each alert that it received.
func (tr *trial) balances(number int, g *answering) {
	tr.t.Helper()
	s, err := g.series(tr.t.Context(), "tocsin_alerts_")
	if err != nil {
		tr.t.Fatal(err)
	}
	for name, received := range s {
		source, ok := strings.CutPrefix(name, "tocsin_alerts_received_total")
		if !ok {
			continue
		}
		if sum := sumOf(s, "tocsin_alerts_total{", strings.Trim(source, "{}")); sum != received {
			tr.t.Errorf("gateway %d: source %s: received %v, sum of verdicts %v", number, source, received, sum)
		}
	}
	if sumOf(s, "tocsin_alerts_received_total") == 0 {
		tr.t.Errorf("gateway %d received nothing", number)
	}
}

// lists wants the indexes to say what the list of all incidents says, and the
// counts that the metrics show.
func (tr *trial) lists(s *shown) {
	tr.t.Helper()
	ctx, g := tr.t.Context(), tr.fleet[0].running.Load()
	base := "http://" + g.addr + "/api/v1/incidents"
	counted, err := g.series(ctx, "tocsin_incident")
	if err != nil {
		tr.t.Fatal(err)
	}
	by := map[string]map[string]bool{}
	put := func(query, id string) {
		if by[query] == nil {
			by[query] = map[string]bool{}
		}
		by[query][id] = true
	}
	for _, state := range []string{"open", "acknowledged", "resolved", "closed"} {
		by["state="+state] = map[string]bool{}
	}
	for _, in := range s.incidents {
		put("state="+in.State, in.ID)
		put("severity="+in.Severity, in.ID)
		if service := serviceOf(s.alerts[in.ID]); strings.HasPrefix(service, "service-19") { // a few will do
			put("service="+service, in.ID)
		}
	}
	for query, want := range by {
		rows, err := listed(ctx, base, query)
		if err != nil {
			tr.t.Fatal(err)
		}
		if len(rows) != len(want) || slices.ContainsFunc(rows, func(in Incident) bool { return !want[in.ID] }) {
			tr.t.Errorf("the list of %s has %d incidents, want the %d of them that are in the list of all", query, len(rows), len(want))
		}
		if state, ok := strings.CutPrefix(query, "state="); ok {
			if n := sumOf(counted, "tocsin_incidents{", fmt.Sprintf("state=%q", state)); n != float64(len(want)) {
				tr.t.Errorf("tocsin_incidents of state %s: got %v, want %d as listed", state, n, len(want))
			}
		}
	}
	if n := sumOf(counted, "tocsin_incidents_opened_total"); n != float64(len(s.incidents)) {
		tr.t.Errorf("tocsin_incidents_opened_total: got %v, want %d as listed", n, len(s.incidents))
	}
	for i, in := range s.incidents {
		if i%10 != 0 {
			continue
		}
		var named Incident
		if err := getJSON(ctx, base+"/"+in.Reference, &named); err != nil {
			tr.t.Error(err)
		} else if named.ID != in.ID {
			tr.t.Errorf("%s leads to incident %s, want %s", in.Reference, named.ID, in.ID)
		}
	}
}

// listed reads the list of incidents that the query asks for to its end.
func listed(ctx context.Context, base, query string) (all []Incident, err error) {
	for cursor := ""; ; {
		var page struct {
			Incidents  []Incident `json:"incidents"`
			NextCursor string     `json:"next_cursor"`
		}
		if err := getJSON(ctx, base+"?"+query+"&limit=100&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Incidents...); page.NextCursor == "" {
			return all, nil
		}
		cursor = page.NextCursor
	}
}

// serviceOf is the service of an incident's alerts, which all have the same.
func serviceOf(alerts []shownAlert) string {
	if len(alerts) == 0 {
		return ""
	}
	return alerts[0].Labels["service"]
}

// expired wants the alerts that nobody repeated to have ended once, and not before
// they were over.
func (tr *trial) expired(s *shown) {
	tr.t.Helper()
	latest := time.Duration(0)
	for _, in := range s.incidents {
		for _, a := range s.alerts[in.ID] {
			w := tr.watches[a.Labels["pod"]]
			if w == nil {
				continue
			}
			ends := 0
			for _, e := range s.timelines[in.ID] {
				if e.Action == "resolved" {
					ends++
					latest = max(latest, e.At.Sub(w.until))
					if e.At.Before(w.until) {
						tr.t.Errorf("alert %s was valid until %s and expired at %s", w.told.Pod, w.until, e.At)
					}
				}
			}
			if ends != 1 {
				tr.t.Errorf("the incident of alert %s was resolved %d times, want once: %+v", w.told.Pod, ends, s.timelines[in.ID])
			}
		}
	}
	tr.figure("expiry late by up to", latest)
}

// survived wants the processes of the beginning to be there still, unless gateways are killed.
func (tr *trial) survived() {
	tr.t.Helper()
	if tr.kills {
		return
	}
	for i, m := range tr.fleet {
		if m.running.Load() != tr.first[i] {
			tr.t.Errorf("gateway %d was restarted", i+1)
		}
		select {
		case <-tr.first[i].process.exited:
			tr.t.Errorf("gateway %d has ended: %v", i+1, tr.first[i].process.failure())
		default:
		}
	}
}

// again plays a fault as often as is asked.
func (tr *trial) again(fault func()) {
	tr.t.Helper()
	for range *faults {
		fault()
	}
}

// errNotYet is what await is told while something is still to come.
var errNotYet = errors.New("not yet")
