package storetest

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var statisticsTests = []test{
	{"incidents by state and severity", incidentsCounted},
	{"observations go into buckets and sums", observations},
	{"statistics are the same after opening again", statisticsOutlive},
	{"handling times of a life", handlingTimes},
	{"the store takes alerts", takesAlerts},
	{"a closed store says so", closedStore},
}

func (f *fixture) statistics() store.Statistics {
	f.Helper()
	s, err := f.Statistics(f.ctx())
	f.must(err)
	return s
}

func incidentsCounted(f *fixture) {
	a := f.open(keyOf(1), message{n: 1, severity: "critical"})
	f.open(keyOf(2), message{n: 2, severity: "critical"})
	f.open(keyOf(3), message{n: 3})
	want := func(what, state, severity string, n int64) {
		f.Helper()
		if got := f.statistics().Incidents[store.StateSeverity{State: state, Severity: severity}]; got != n {
			f.Errorf("%s: %d are %s and %s, want %d", what, got, state, severity, n)
		}
	}
	want("opened", "open", "critical", 2)
	want("opened", "open", "warning", 1)
	f.update(f.edit(a.ID, acknowledge))
	want("acknowledged", "acknowledged", "critical", 1)
	want("acknowledged", "open", "critical", 1)
	f.update(f.edit(a.ID, func(e *incident.Edit) error { return e.SetSeverity("ann", "info", "") }))
	want("graded", "acknowledged", "critical", 0)
	want("graded", "acknowledged", "info", 1)
	f.update(f.edit(a.ID, resolve))
	f.update(f.edit(a.ID, closeIt))
	f.must(f.Remove(f.ctx(), a.ID))
	want("removed", "closed", "info", 0)
	f.audit()
}

func (f *fixture) observe(list ...incident.Observation) {
	f.Helper()
	f.update(incident.Change{ID: f.id(), Key: keyOf(1), Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Observations: list}, nil
	}})
}

func observations(f *fixture) {
	series := store.Series{Metric: "time_to_resolve_seconds", Severity: "critical", Team: "db"}
	counter := store.Series{Metric: "opened_total", Severity: "critical", Team: ""}
	values := []float64{0, 0.25, 29.999, 30, 30.001, 259200, 259201, 1e9}
	var sum float64
	for _, v := range values {
		f.observe(incident.Observation{Metric: series.Metric, Severity: series.Severity, Team: series.Team, Value: v})
		sum += v
	}
	f.observe(incident.Observation{Metric: counter.Metric, Severity: "critical", Value: 1}, incident.Observation{Metric: counter.Metric, Severity: "critical", Value: 1})
	got := f.statistics()
	want := make([]uint64, len(store.Buckets)+1)
	for _, v := range values {
		n := 0
		for n < len(store.Buckets) && v > store.Buckets[n] {
			n++
		}
		want[n]++
	}
	h := got.Histograms[series]
	if !slices.Equal(h.Counts, want) || math.Abs(h.Sum-sum) > 1e-3 {
		f.Errorf("got counts %v and sum %f, want %v and %f", h.Counts, h.Sum, want, sum)
	}
	if got.Counters[counter] != 2 || len(got.Counters) != 1 || len(got.Histograms) != 1 {
		f.Errorf("got %+v", got)
	}
}

func statisticsOutlive(f *fixture) {
	for n := range 10 {
		i := f.open(keyOf(n), message{n: n, team: "db", severity: []string{"critical", "info"}[n%2]})
		f.clock.add(time.Duration(n) * time.Minute)
		if n%3 == 0 {
			f.update(f.edit(i.ID, acknowledge))
			f.update(f.edit(i.ID, resolve))
		}
	}
	want := f.statistics()
	if !f.reopen() {
		return
	}
	f.sameStatistics(want)
	f.reopen()
	f.sameStatistics(want)
}

func (f *fixture) sameStatistics(want store.Statistics) {
	f.Helper()
	got := f.statistics()
	for series, h := range want.Histograms {
		if g := got.Histograms[series]; !slices.Equal(g.Counts, h.Counts) || g.Sum != h.Sum {
			f.Errorf("%v: got %+v, want %+v", series, g, h)
		}
	}
	for series, n := range want.Counters {
		if got.Counters[series] != n {
			f.Errorf("%v: got %d, want %d", series, got.Counters[series], n)
		}
	}
	for label, n := range want.Incidents {
		if got.Incidents[label] != n {
			f.Errorf("%v: got %d, want %d", label, got.Incidents[label], n)
		}
	}
	if len(got.Histograms) != len(want.Histograms) || len(got.Counters) != len(want.Counters) {
		f.Errorf("got %+v, want %+v", got, want)
	}
}

func handlingTimes(f *fixture) {
	i := f.open(keyOf(1), message{n: 1, severity: "critical", team: "db"})
	f.clock.add(90 * time.Second)
	ack := f.edit(i.ID, acknowledge)
	f.update(ack)
	f.update(ack) // sent again
	f.clock.add(10 * time.Minute)
	f.update(f.send(keyOf(1), message{n: 1, resolved: true}))
	got := f.statistics()
	for metric, want := range map[string]float64{"time_to_detect_seconds": 0, "time_to_acknowledge_seconds": 90, "time_to_resolve_seconds": 690} {
		h := got.Histograms[store.Series{Metric: metric, Severity: "critical", Team: "db"}]
		var n uint64
		for _, c := range h.Counts {
			n += c
		}
		if n != 1 || h.Sum != want {
			f.Errorf("%s: %d observations with the sum %f, want 1 and %f", metric, n, h.Sum, want)
		}
	}
}

func takesAlerts(f *fixture) {
	f.must(f.Check(f.ctx()))
	if since := f.ListeningSince(); since.After(f.clock.Now()) {
		f.Errorf("listening since %s, and it is %s", since, f.clock.Now())
	}
	rows := len(f.rows())
	for range 3 {
		f.must(f.Check(f.ctx()))
	}
	if after := len(f.rows()); after > rows {
		f.Errorf("checks leave rows: %d before, %d after", rows, after)
	}
	ctx, cancel := context.WithCancel(f.ctx())
	done := make(chan error, 1)
	go func() { done <- f.Store.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		f.Errorf("Run ended with %v", err)
	}
}

func closedStore(f *fixture) {
	i := f.open(keyOf(1), message{n: 1})
	f.must(f.Close())
	if err := f.Close(); err != nil {
		f.Errorf("closing again: %v", err)
	}
	f.wantErr("update", f.Update(f.ctx(), []incident.Change{f.send(keyOf(1), message{n: 2})}), store.ErrUnavailable)
	f.wantErr("check", f.Check(f.ctx()), store.ErrUnavailable)
	_, err := f.Incident(f.ctx(), i.ID.String())
	f.wantErr("incident", err, store.ErrUnavailable)
	_, _, err = f.Incidents(f.ctx(), store.Query{Limit: 1})
	f.wantErr("incidents", err, store.ErrUnavailable)
	_, err = f.Claim(f.ctx(), 1, time.Minute)
	f.wantErr("claim", err, store.ErrUnavailable)
	_, err = f.Statistics(f.ctx())
	f.wantErr("statistics", err, store.ErrUnavailable)
	_, err = f.PutDocument(f.ctx(), incident.Document{Type: "a", ID: "b", Data: []byte(`1`)})
	f.wantErr("document", err, store.ErrUnavailable)
}
