package redis

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

const (
	// ample is how long anything may take that takes a moment, on a machine that does other things too.
	ample = 30 * time.Second
	// unhurried is the Timeout of a Store that is not to give up because of the machine.
	unhurried = 20 * time.Second
)

// lifePolicy is what the incidents of these tests live by.
var lifePolicy = incident.Policy{Severities: incident.Scale{"critical", "warning"}, Matrix: incident.DefaultMatrix(),
	CloseAfter: time.Hour, StillFiringAfter: time.Hour, Retention: time.Hour}

// madeBy is the generation that the fingerprints of these tests are said to derive from.
var madeBy = incident.Generation{7}

func hashed(kind string, n int) (out [16]byte) {
	full := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	copy(out[:], full[:])
	return out
}

func keyNumber(n int) incident.Key { return hashed("key", n) }

func alertNumber(n int) alert.Fingerprint { return hashed("alert", n) }

// inShard is the n-th key of a shard.
func inShard(shard byte, n int) incident.Key {
	k := incident.Key(hashed("key of a shard", n))
	k[0] = shard
	return k
}

// another opens a Store as one more process would.
func another(t testing.TB, url string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = logTo(t)
	}
	if o.Timeout == 0 {
		o.Timeout = unhurried
	}
	if o.downAfter == 0 {
		o.downAfter = 5 * time.Second // a closed Store is tried for as long
	}
	s := opened(t, Open, url, o)
	t.Cleanup(func() { _ = s.Close() }) // again, if the test has done it
	return s
}

// opened is what Open and its like return, which try only once.
func opened[T any](t testing.TB, open func(context.Context, string, Options) (T, error), url string, o Options) (v T) {
	t.Helper()
	must(t, redistest.Retry(t, func() (err error) {
		v, err = open(t.Context(), url, o)
		return err
	}))
	return v
}

// examine is Examine, again if it found that an answer was late.
func examine(t testing.TB, url string, o Options) (r Report, err error) {
	t.Helper()
	_ = redistest.Retry(t, func() error {
		if r, err = Examine(t.Context(), url, o); err == nil && len(r.Findings) > 0 {
			return fmt.Errorf("findings: %v", r.Findings)
		}
		return err
	})
	return r, err
}

// alone starts a server and opens a Store on it.
func alone(t testing.TB, o Options) (*redistest.Server, *Store) {
	t.Helper()
	server := redistest.Single(t)
	return server, another(t, server.URL(), o)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for something that another goroutine or server is about to do.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(ample); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", ample, what)
		}
	}
}

// together runs n functions at once and waits for them.
func together(n int, do func(worker int)) {
	var wg sync.WaitGroup
	for worker := range n {
		wg.Go(func() { do(worker) })
	}
	wg.Wait()
}

// valueOf is the value of a counter or gauge.
func valueOf(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	must(t, m.Write(&out))
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// points are what a Store does at its failpoints.
type points struct {
	mu   sync.Mutex
	todo map[string][]func()
}

// at adds what is to be done the next times that the Store comes to a failpoint, one after the other.
func (p *points) at(name string, do ...func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.todo == nil {
		p.todo = map[string][]func(){}
	}
	p.todo[name] = append(p.todo[name], do...)
}

func (p *points) hit(name string) {
	p.mu.Lock()
	do := func() {}
	if list := p.todo[name]; len(list) > 0 {
		do, p.todo[name] = list[0], list[1:]
	}
	p.mu.Unlock()
	do()
}

// stop is where a Store waits.
type stop struct{ here, on chan struct{} }

func newStop() stop { return stop{make(chan struct{}), make(chan struct{})} }

func (s stop) wait() {
	close(s.here)
	<-s.on
}

// holding is a Store that waits with the commit of a change.
type holding struct {
	stop
	done chan error
}

// hold has s commit a change, and stops it just before.
func hold(t testing.TB, s *Store, p *points, changes ...incident.Change) *holding {
	t.Helper()
	h := &holding{newStop(), make(chan error, 1)}
	p.at("before-commit", h.wait)
	go func() { h.done <- s.Update(context.Background(), changes) }()
	select {
	case <-h.here:
	case err := <-h.done:
		t.Fatalf("an update that was to stop before its commit: %v", err)
	}
	return h
}

// goOn lets it commit, and returns what came of it.
func (h *holding) goOn() error {
	close(h.on)
	return <-h.done
}

// queuing is how many changes wait for a key in this process.
func queuing(s *Store, key incident.Key) int {
	q := s.queue(key)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.m[key] == nil {
		return 0
	}
	return len(q.m[key].waiting)
}

func took(n int) string { return fmt.Sprintf("took %d.", n) }

// joining is the change with the number n: alerts join the incident of the key,
// or open one. One that has joined before counts once more. That it took place is in the timeline, once.
func joining(n int, key incident.Key, alerts ...int) incident.Change {
	c := incident.Change{ID: hashed("change", n), Key: key}
	for _, a := range alerts {
		c.Fingerprints = append(c.Fingerprints, alertNumber(a))
	}
	c.Step = func(st incident.State) (incident.Next, error) { return join(n, key, alerts, &st), nil }
	return c
}

func join(n int, key incident.Key, alerts []int, st *incident.State) (next incident.Next) {
	class := incident.Classification{Severity: "warning", Service: "db"}
	var e *incident.Edit
	if st.Incident != nil && st.Incident.IsOpen() {
		e = lifePolicy.Change(st.Incident, st.Now)
	} else {
		e = lifePolicy.Open(incident.Opening{ID: st.NewID(0), Key: key, Rule: "test", Title: "test", Class: class, By: incident.System}, st.Now)
		next.Key = &incident.KeyState{Key: key, Rule: "test", Incident: e.Incident.ID}
	}
	for i, a := range alerts {
		w := incident.EntryWrite{Was: st.Entries[i], Entry: st.Entries[i]}
		said := &alert.Alert{Status: alert.Firing, Source: "test", Labels: alert.FromMap(map[string]string{"alertname": "Test", "n": fmt.Sprint(a)})}
		if known := w.Was.Incident == e.Incident.ID; !w.Was.Firing || !known {
			if w.Was.Exists() && !w.Was.Incident.IsZero() && !known {
				next.Archive = append(next.Archive, w.Was)
			}
			e.Join(incident.Member{Alert: said, Class: class}, known)
			w.Entry.Start, w.Entry.Last, w.Entry.Content, w.Content = st.Now, st.Now, uint64(a)+1, said
		}
		if !w.Was.Exists() {
			w.Entry.FirstSeen = st.Now
		}
		w.Entry.Source, w.Entry.Generation, w.Entry.Firing, w.Entry.Incident, w.Entry.Severity = "test", madeBy, true, e.Incident.ID, class.Severity
		w.Entry.LastSeen, w.Entry.ValidUntil = st.Now, st.Now.Add(5*time.Minute)
		w.Entry.Count++
		e.Incident.Occurrences++
		next.Entries = append(next.Entries, w)
	}
	e.Log(incident.System, "took", took(n), len(alerts))
	e.Into(&next)
	return next
}

// ending is the change with the number n: alerts of the key's incident end.
func ending(n int, key incident.Key, alerts ...int) incident.Change {
	c := joining(n, key, alerts...)
	c.Step = func(st incident.State) (next incident.Next, err error) {
		e := lifePolicy.Change(st.Incident, st.Now)
		for i := range st.Entries {
			w := incident.EntryWrite{Was: st.Entries[i], Entry: st.Entries[i]}
			w.Entry.Firing, w.Entry.End, w.Entry.LastSeen = false, st.Now, st.Now
			w.Entry.Count++
			e.Incident.Occurrences++
			e.Leave(w.Was.Severity, st.Now)
			next.Entries = append(next.Entries, w)
		}
		e.Log(incident.System, "took", took(n), len(alerts))
		e.Into(&next)
		return next, nil
	}
	return c
}

// editing is the change with the number n: a person does something to an incident.
func editing(n int, id incident.ID, do func(*incident.Edit) error) incident.Change {
	return incident.Change{ID: hashed("change", n), Incident: id, Step: func(st incident.State) (next incident.Next, err error) {
		if st.Incident == nil {
			return next, incident.ErrNotFound
		}
		e := lifePolicy.Change(st.Incident, st.Now)
		if err := do(e); err != nil {
			return next, err
		}
		e.Into(&next)
		return next, nil
	}}
}

// repeating is the change with the number n: its alerts, which fire, are said once more.
func repeating(n int, key incident.Key, alerts ...int) incident.Change {
	c := joining(n, key, alerts...)
	c.Settled = func(now time.Time, entries []incident.Entry) ([]incident.Patch, bool) {
		out := make([]incident.Patch, len(entries))
		for i := range entries {
			out[i] = incident.Patch{Count: 1, LastSeen: now, ValidUntil: now.Add(10 * time.Minute)}
		}
		return out, true
	}
	c.Step = func(incident.State) (incident.Next, error) {
		return incident.Next{}, errors.New("the step ran for a repeat")
	}
	return c
}

// refusing is the change with the number n, whose step does not want it.
func refusing(n int, key incident.Key, err error) incident.Change {
	return incident.Change{ID: hashed("change", n), Key: key, Step: func(incident.State) (incident.Next, error) { return incident.Next{}, err }}
}

// arming is the change with the number n: it arms jobs.
func arming(n int, key incident.Key, jobs ...incident.Job) incident.Change {
	return incident.Change{ID: hashed("change", n), Key: key, Step: func(incident.State) (incident.Next, error) { return incident.Next{Jobs: jobs}, nil }}
}

func update(t testing.TB, s *Store, changes ...incident.Change) {
	t.Helper()
	must(t, s.Update(t.Context(), changes))
}

// send updates as those do who repeat what was not taken, which only happens
// where this machine stops for a second. It may be called from any goroutine.
func send(t testing.TB, s *Store, changes ...incident.Change) {
	t.Helper()
	err := s.Update(t.Context(), changes)
	for try := 0; errors.Is(err, store.ErrUnavailable) && try < 100; try++ {
		t.Logf("sent again: %v", err)
		time.Sleep(probeEvery)
		err = s.Update(t.Context(), changes)
	}
	if err != nil {
		t.Error(err)
	}
}

// incidentOf is the incident that a key names.
func incidentOf(t testing.TB, s *Store, key incident.Key) *incident.Incident {
	t.Helper()
	var id incident.ID
	update(t, s, incident.Change{ID: hashed("look", 0), Key: key, Step: func(st incident.State) (incident.Next, error) {
		if st.Incident != nil {
			id = st.Incident.ID
		}
		return incident.Next{}, nil
	}})
	if id.IsZero() {
		t.Fatalf("key %s names no incident", key)
	}
	i, err := s.Incident(t.Context(), id.String())
	must(t, err)
	return i
}

// entryOf reads one entry.
func entryOf(t testing.TB, s *Store, key incident.Key, n int) incident.Entry {
	t.Helper()
	list, err := s.Entries(t.Context(), []store.Place{{Key: key, Fingerprint: alertNumber(n)}})
	must(t, err)
	return list[0]
}

// timelineOf reads the timeline of an incident and checks that it is whole.
func timelineOf(t testing.TB, s *Store, i *incident.Incident) []incident.TimelineEntry {
	t.Helper()
	list, err := s.Timeline(t.Context(), i.ID, 0, 10_000)
	must(t, err)
	if broken, ok := incident.VerifyTimeline(list); !ok {
		t.Errorf("timeline of %s: entry %d does not fit the chain", i.Reference, broken)
	}
	if n := uint64(len(list)); n != i.TimelineLength || n > 0 && list[n-1].Hash != i.TimelineHash {
		t.Errorf("timeline of %s has %d entries, the incident says %d and the hash %s", i.Reference, n, i.TimelineLength, i.TimelineHash)
	}
	return list
}

// wantTook checks that exactly these changes took place in the incident of a
// key, each once.
func wantTook(t testing.TB, s *Store, key incident.Key, numbers ...int) *incident.Incident {
	t.Helper()
	i := incidentOf(t, s, key)
	times := map[string]int{}
	for _, e := range timelineOf(t, s, i) {
		if e.Action == "took" {
			times[e.Text]++
		}
	}
	for _, n := range numbers {
		if times[took(n)] != 1 {
			t.Errorf("change %d is %d times in the timeline, want once", n, times[took(n)])
		}
		delete(times, took(n))
	}
	if len(times) > 0 {
		t.Errorf("the timeline has %v beside the changes that were made", slices.Sorted(maps.Keys(times)))
	}
	return i
}

// audit checks that all that is stored fits together.
func audit(t testing.TB, s *Store) {
	t.Helper()
	var all []*incident.Incident
	for cursor := ""; ; {
		list, next, err := s.Incidents(t.Context(), store.Query{Limit: 500, Cursor: cursor})
		must(t, err)
		all = append(all, list...)
		if cursor = next; next == "" {
			break
		}
	}
	states, references := map[store.StateSeverity]int64{}, map[string]bool{}
	for _, i := range all {
		states[store.StateSeverity{State: i.State, Severity: i.Severity}]++
		if references[i.Reference] {
			t.Errorf("reference %s was given out twice", i.Reference)
		}
		references[i.Reference] = true
		timelineOf(t, s, i)
		auditAlerts(t, s, i)
	}
	stats, err := s.Statistics(t.Context())
	must(t, err)
	for label, n := range stats.Incidents {
		if n != states[label] {
			t.Errorf("the statistics count %d incidents %v, the list has %d", n, label, states[label])
		}
		delete(states, label)
	}
	if len(states) > 0 {
		t.Errorf("the statistics lack %v", states)
	}
}

// auditAlerts compares the alerts of an incident with its counts.
func auditAlerts(t testing.TB, s *Store, i *incident.Incident) {
	t.Helper()
	total, firing, count, older := 0, 0, uint64(0), 0
	for cursor := ""; ; {
		list, next, err := s.Alerts(t.Context(), i.ID, cursor, 1000)
		must(t, err)
		for _, r := range list {
			if r.Content == nil || r.Key != i.Key || r.Entry.Incident != i.ID {
				t.Errorf("an alert of %s: got %+v", i.Reference, r)
			}
			if total++; r.Entry.Firing {
				firing++
			}
			if count += r.Entry.Count; r.Entry.FirstSeen.Before(i.OpenedAt) {
				older++
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if total != i.Alerts.Total || firing != i.Alerts.Firing {
		t.Errorf("%s has %d alerts, %d firing; the incident says %+v", i.Reference, total, firing, i.Alerts)
	}
	// An alert that went on from the incident before goes on counting.
	if count < i.Occurrences || older == 0 && count > i.Occurrences {
		t.Errorf("the alerts of %s came %d times, the incident says %d", i.Reference, count, i.Occurrences)
	}
}

// dump is everything that is stored, but for what says since when we listen.
func dump(t *testing.T, s *Store) (rows []string) {
	t.Helper()
	for _, r := range (&subject{s, s.url}).Rows(t) {
		if !strings.HasSuffix(string(r.Key), ":listening") {
			rows = append(rows, fmt.Sprintf("%q = %q", r.Key, r.Value))
		}
	}
	return rows
}

// wantSame checks that nothing was written.
func wantSame(t testing.TB, what string, before, after []string) {
	t.Helper()
	for _, row := range after {
		if !slices.Contains(before, row) {
			t.Errorf("%s wrote %.300s", what, row)
		}
	}
	for _, row := range before {
		if !slices.Contains(after, row) {
			t.Errorf("%s removed or changed %.300s", what, row)
		}
	}
}

// wantUnavailable checks that a call was refused for now.
func wantUnavailable(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%s: got error %v, want %v", what, err, store.ErrUnavailable)
	}
}

func numbers(from, to int) (out []int) {
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}
