package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// GrowthReport is what the same work costs on a store that fills.
type GrowthReport struct {
	// Alerts are for more and more active alerts in the same incidents, Incidents
	// for more and more open incidents of one alert each; sizes rise.
	Alerts    []Stage `json:"alerts"`
	Incidents []Stage `json:"incidents"`
	// Stored is what the incidents take in the store.
	Stored IncidentBytes `json:"stored_incidents"`
}

// Stage is what work costs at one size of the store.
type Stage struct {
	// Size is how many alerts or incidents there were when it began.
	Size int `json:"size"`
	// Known are alerts again that were sent before, at most 100,000 different ones,
	// spread over all; New are alerts that nobody knows yet.
	Known Result `json:"known"`
	New   Result `json:"new"`
	// BytesPerAlert is what an alert takes in the store: of Redis' memory or of the
	// disk. 0 for stages of incidents.
	BytesPerAlert float64 `json:"stored_bytes_per_alert,omitempty"`
	// Lists are pages of 50 incidents, empty for stages of alerts.
	Lists []ListTime `json:"lists,omitempty"`
}

// ListTime is how long a page of incidents took.
type ListTime struct {
	// Query is what was asked for, beside the limit.
	Query string `json:"query"`
	// Rounds are the medians of each round, in milliseconds.
	Rounds []float64 `json:"rounds_ms"`
	Median float64   `json:"median_ms"`
}

// IncidentBytes is what one incident of one alert takes in the store, of Redis'
// memory or of the disk, as the last round has it.
type IncidentBytes struct {
	Incidents int `json:"incidents,omitempty"`
	// Open and Resolved are with all of them in this state.
	Open     float64 `json:"open,omitempty"`
	Resolved float64 `json:"resolved,omitempty"`
	// Closed is Resolved with what closing Sample of them changed; 0 on a disk,
	// where so few do not show.
	Closed float64 `json:"closed,omitempty"`
	Sample int     `json:"closed_sample,omitempty"`
}

// lists are the pages whose time is measured: everything, what filters find much
// of, and what no incident is.
var lists = []string{"", "state=open", "severity=critical", "state=open&severity=critical&service=checkout", "state=acknowledged&service=checkout"}

var (
	alertSizes    = []int{10_000, 100_000, 1_000_000}
	incidentSizes = []int{1_000, 10_000, 100_000}
)

const (
	// newJoining and newOpening are how many new alerts a stage is measured with:
	// much less than the next size, and enough for a p99.
	newJoining = 30_000
	newOpening = 3_000
	// apartBatch is how many alerts a request holds whose keys all differ: the
	// requests of the other loads touch about as many keys.
	apartBatch = 10
	// mostKnown bounds the requests in memory.
	mostKnown = 100_000
	// listRequests is how often each list is asked for, after listWarmUp times that do not count.
	listRequests = 100
	listWarmUp   = 10
	// closeSample is how many incidents are closed by command.
	closeSample = 1_000
)

// growth measures one round, on a store for alerts and one for incidents.
func (b *bench) growth(ctx context.Context, round int) error {
	if b.report.Growth == nil {
		b.report.Growth = &GrowthReport{Alerts: make([]Stage, len(alertSizes)), Incidents: make([]Stage, len(incidentSizes))}
	}
	seed := 10 * round
	alerts := growing{bench: b, g: &generator{seed: seed + 6, now: b.now}, per: batchSize}
	incidents := growing{bench: b, g: &generator{seed: seed + 7, now: b.now, apart: true}, per: apartBatch}
	err := b.onStore(ctx, func(t *target) error {
		return alerts.stages(ctx, t, round, alertSizes, newJoining, b.report.Growth.Alerts)
	})
	if err != nil {
		return err
	}
	return b.onStore(ctx, func(t *target) error {
		if err := incidents.stages(ctx, t, round, incidentSizes, newOpening, b.report.Growth.Incidents); err != nil {
			return err
		}
		return incidents.bytes(ctx, t, &b.report.Growth.Stored)
	})
}

// onStore calls f with gateways on a store that is empty.
func (b *bench) onStore(ctx context.Context, f func(*target) error) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := b.newPlace(dir)
	defer func() { err = errors.Join(err, b.clean(ctx, at)) }()
	t, err := b.startTocsin(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	return f(t)
}

// growing is a store on its way through the stages.
type growing struct {
	*bench
	g *generator
	// per is how many alerts a request holds.
	per int
	// sent is how many alerts there are, numbered from 0.
	sent int
	// empty is what the store took before the first.
	empty int64
}

// part is n times the scale, in whole requests.
func (s *growing) part(n int) int { return max(int(float64(n)*s.Scale)/s.per, 1) * s.per }

// stages goes through all sizes and adds what it finds to found.
func (s *growing) stages(ctx context.Context, t *target, round int, sizes []int, more int, found []Stage) (err error) {
	if s.empty, err = s.stored(ctx, t); err != nil {
		return err
	}
	for n, size := range sizes {
		stage := &found[n]
		if err := s.fill(ctx, t, s.part(size)); err != nil {
			return err
		}
		stage.Size = s.sent
		if s.g.apart {
			err = s.lists(ctx, t, stage)
		} else {
			stage.BytesPerAlert, err = s.bytesEach(ctx, t)
		}
		if err != nil {
			return err
		}
		if err := s.measure(ctx, t, round, stage, s.part(more)); err != nil {
			return err
		}
	}
	c, err := t.count(ctx)
	if err != nil {
		return err
	}
	if c.total != s.sent || c.firing != s.sent || s.g.apart && c.incidents != s.sent {
		s.wrong(round, "got %d alerts of which %d fire in %d incidents, want %d firing as acknowledged", c.total, c.firing, c.incidents, s.sent)
	}
	return nil
}

func (s *growing) wrong(round int, format string, args ...any) {
	what := "alerts"
	if s.g.apart {
		what = "incidents"
	}
	s.report.Wrong = append(s.report.Wrong, fmt.Sprintf("round %d, growth of %s: ", round, what)+fmt.Sprintf(format, args...))
}

// fill sends new alerts until there are n.
func (s *growing) fill(ctx context.Context, t *target, n int) error {
	for s.sent < n {
		l := s.next(t, min(memoryChunk, n-s.sent))
		sent, err := drive(ctx, t.addrs(), l)
		if err != nil {
			return err
		}
		if sent.errors > 0 {
			return fmt.Errorf("bench: growth: %d of %d requests failed, first: %s", sent.errors, sent.requests, sent.firstError)
		}
	}
	return nil
}

// next is a load of n alerts that nobody knows yet.
func (s *growing) next(t *target, n int) load {
	l := load{requests: s.requests(s.g, t, s.sent, n, s.per, false), conns: fewConns}
	s.sent += n
	return l
}

// measure measures known and then new alerts at the size of the stage.
func (s *growing) measure(ctx context.Context, t *target, round int, stage *Stage, more int) error {
	for _, w := range []struct {
		name     string
		to       *Result
		load     load
		verdicts []string
		settled  func(context.Context) error
	}{
		// What known alerts leave to be stored later belongs to their cost, and not to that of the next ones.
		{"known", &stage.Known, s.known(t), []string{"duplicate"}, t.repeatsStored},
		{"new", &stage.New, s.next(t, more), []string{"opened", "joined"}, nil},
	} {
		before, err := t.judged(ctx)
		if err != nil {
			return err
		}
		sent, m, err := s.timed(ctx, t, w.load, w.settled)
		if err != nil {
			return fmt.Errorf("bench: growth: %w", err)
		}
		if w.name == "new" && sent.errors > 0 {
			return fmt.Errorf("bench: growth: %d of %d requests failed, first: %s", sent.errors, sent.requests, sent.firstError)
		}
		after, err := t.judged(ctx)
		if err != nil {
			return err
		}
		got := 0
		for _, v := range w.verdicts {
			got += after[v] - before[v]
		}
		if got != sent.acked {
			s.wrong(round, "%s alerts at %d: verdict %s: got %d, want %d as acknowledged", w.name, stage.Size, strings.Join(w.verdicts, " or "), got, sent.acked)
		}
		w.to.Workload, w.to.Target = w.name, tocsin
		w.to.Rounds = append(w.to.Rounds, m)
		s.say("round %d  growth at %s  %-5s  %9s alerts/s  p99 %s ms  %s CPU s/1,000", round, grouped(float64(stage.Size)), w.name,
			grouped(m.AlertsPerSecond), short(m.P99), cpuText(m.CPUPer1000))
	}
	return nil
}

// known is a storm of alerts that were sent before.
func (s *growing) known(t *target) load {
	l := load{conns: fewConns, repeat: s.stormTime()}
	all := s.sent / s.per
	n := min(all, mostKnown/s.per)
	for i := range n {
		l.requests = append(l.requests, s.requests(s.g, t, i*all/n*s.per, s.per, s.per, false)...)
	}
	return l
}

// bytesEach is what the store has grown by for each alert.
func (s *growing) bytesEach(ctx context.Context, t *target) (float64, error) {
	n, err := s.stored(ctx, t)
	return float64(n-s.empty) / float64(s.sent), err
}

// lists measures pages of incidents.
func (s *growing) lists(ctx context.Context, t *target, stage *Stage) error {
	if stage.Lists == nil {
		stage.Lists = make([]ListTime, len(lists))
	}
	for n, query := range lists {
		address := "http://" + t.addr + "/api/v1/incidents?limit=50"
		if query != "" {
			address += "&" + query
		}
		var times []float64
		for i := range listWarmUp + listRequests {
			start := time.Now()
			status, body, err := get(ctx, address, "")
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			if status != http.StatusOK {
				return fmt.Errorf("bench: GET %s: %d %.200s", address, status, body)
			}
			if i >= listWarmUp {
				times = append(times, float64(time.Since(start))/float64(time.Millisecond))
			}
		}
		stage.Lists[n].Query = query
		stage.Lists[n].Rounds = append(stage.Lists[n].Rounds, median(times))
	}
	return nil
}

// bytes resolves all incidents, closes some, and says what one takes.
func (s *growing) bytes(ctx context.Context, t *target, to *IncidentBytes) (err error) {
	*to = IncidentBytes{Incidents: s.sent}
	if to.Open, err = s.bytesEach(ctx, t); err != nil {
		return err
	}
	for first := 0; first < s.sent; first += memoryChunk {
		var l load
		l.conns = fewConns
		for id := first; id < min(first+memoryChunk, s.sent); id += s.per {
			l.requests = append(l.requests, request{alerts: s.per, bytes: appendRequest(nil, t.addr, t.path, "", s.g.appendBody(nil, id, s.per, true))})
		}
		sent, err := drive(ctx, t.addrs(), l)
		if err != nil {
			return err
		}
		if sent.errors > 0 {
			return fmt.Errorf("bench: growth: %d of %d resolving requests failed, first: %s", sent.errors, sent.requests, sent.firstError)
		}
	}
	if to.Resolved, err = s.bytesEach(ctx, t); err != nil || s.redis == nil {
		return err
	}
	before, err := s.stored(ctx, t)
	if err != nil {
		return err
	}
	if to.Sample, err = t.closeSome(ctx, min(closeSample, s.sent)); err != nil {
		return err
	}
	after, err := s.stored(ctx, t)
	to.Closed = to.Resolved + float64(after-before)/float64(to.Sample)
	return err
}

// closeSome closes the newest n of the resolved incidents, n at most 1,000.
func (t *target) closeSome(ctx context.Context, n int) (int, error) {
	address := fmt.Sprintf("http://%s/api/v1/incidents?state=resolved&limit=%d", t.addr, n)
	status, body, err := get(ctx, address, "")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	var page struct {
		Incidents []struct {
			ID string `json:"id"`
		} `json:"incidents"`
	}
	if status == http.StatusOK {
		err = json.Unmarshal(body, &page)
	}
	if status != http.StatusOK || err != nil || len(page.Incidents) != n {
		return 0, fmt.Errorf("bench: GET %s: %d with %d incidents, %v, want %d", address, status, len(page.Incidents), err, n)
	}
	for _, i := range page.Incidents {
		address := "http://" + t.addr + "/api/v1/incidents/" + i.ID + "/close"
		status, body, err := post(ctx, address, `{"by":"bench"}`)
		if err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		if status != http.StatusOK {
			return 0, fmt.Errorf("bench: POST %s: %d %.200s", address, status, body)
		}
	}
	return n, nil
}

func post(ctx context.Context, address, body string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}

func (r *GrowthReport) summarize() {
	for _, stages := range [][]Stage{r.Alerts, r.Incidents} {
		for i := range stages {
			stages[i].Known.summarize()
			stages[i].New.summarize()
			for n := range stages[i].Lists {
				stages[i].Lists[n].Median = median(stages[i].Lists[n].Rounds)
			}
		}
	}
}

// flat is the goal of costs: what the largest store may cost of what the smallest does.
const flat = "at most 1.5"

func (r *GrowthReport) write(b *strings.Builder, redis bool) {
	fmt.Fprintf(b, "\nGrowth: what the same work costs as the store fills (last: the largest by the smallest)\n")
	table := func(title string, stages []Stage) {
		sizes := make([]string, len(stages))
		for i, s := range stages {
			sizes[i] = grouped(float64(s.Size))
		}
		row(b, title, sizes, "last", "goal")
		results(b, "known alerts", stages, func(s Stage) Result { return s.Known })
		results(b, "new alerts", stages, func(s Stage) Result { return s.New })
	}
	where := "bytes of disk"
	if redis {
		where = "bytes of Redis"
	}
	table("active alerts", r.Alerts)
	line(b, where+" per alert", r.Alerts, func(s Stage) float64 { return s.BytesPerAlert }, grouped, "")
	b.WriteByte('\n')
	table("open incidents, one alert each", r.Incidents)
	for n := range lists {
		query := "list of 50, ms"
		if lists[n] != "" {
			query += ", " + lists[n]
		}
		line(b, query, r.Incidents, func(s Stage) float64 { return s.Lists[n].Median }, short, "at most 10")
	}
	fmt.Fprintf(b, "   %s per incident of one alert (%s): open %s, resolved %s", where, grouped(float64(r.Stored.Incidents)), grouped(r.Stored.Open), grouped(r.Stored.Resolved))
	if r.Stored.Sample > 0 {
		fmt.Fprintf(b, ", closed %s", grouped(r.Stored.Closed))
	}
	b.WriteByte('\n')
}

// results writes what one kind of work costs at all sizes.
func results(b *strings.Builder, name string, stages []Stage, of func(Stage) Result) {
	line(b, name+"/s", stages, func(s Stage) float64 { return of(s).AlertsPerSecond }, grouped, "")
	line(b, name+", CPU s per 1,000", stages, func(s Stage) float64 { return of(s).CPUPer1000 }, cpuText, flat)
	line(b, name+", p99 ms", stages, func(s Stage) float64 { return of(s).P99 }, short, flat)
}

// line writes one value at all sizes.
func line(b *strings.Builder, name string, stages []Stage, of func(Stage) float64, text func(float64) string, goal string) {
	values := make([]string, len(stages))
	for i, s := range stages {
		values[i] = text(of(s))
	}
	ratio := "-"
	if first := of(stages[0]); first > 0 {
		ratio = short(of(stages[len(stages)-1])/first) + "x"
	}
	row(b, name, values, ratio, goal)
}

func row(b *strings.Builder, name string, values []string, ratio, goal string) {
	// Names that are longer than their column stand above their values.
	const width = 34
	if len(name) > width {
		fmt.Fprintf(b, "   %s\n", name)
		name = ""
	}
	text := fmt.Sprintf("   %-*s", width, name)
	for _, v := range values {
		text += fmt.Sprintf(" %11s", v)
	}
	b.WriteString(strings.TrimRight(fmt.Sprintf("%s %8s  %s", text, ratio, goal), " ") + "\n")
}
