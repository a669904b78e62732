package ingest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Counts is what a source has sent to this process since it began: the values of
// its metrics.
type Counts struct {
	// Source is its name, unknown for all that are not configured, or spool. Format
	// is empty for those two.
	Source, Format string
	// Spools: its requests wait on this machine while the store is away.
	Spools bool
	// LastReceived is when the last request came that was understood; zero if none did.
	LastReceived time.Time
	// Received are alerts; Minutes5 and Hour are those of the last 5 and 60 minutes,
	// the minute that has begun included.
	Received, Minutes5, Hour uint64
	// Verdicts say what became of them. Their sum is Received, but for what is
	// under way.
	Verdicts map[alert.Verdict]uint64
	// DeadLetters counts repeated ones too.
	DeadLetters uint64
}

// Counts returns what each source has sent, in the order of their names.
func (h *Handler) Counts() []Counts {
	out := []Counts{h.unknown.counts(unknownSource)}
	if h.replayed != nil {
		out = append(out, h.replayed.counts(SpoolSource))
	}
	for _, s := range h.sources.Load().inTurn {
		c := s.series.counts(s.Name)
		c.Format, c.Spools = s.Format.Name, s.Spools
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Counts) int { return cmp.Compare(a.Source, b.Source) })
	return out
}

func (s *series) counts(name string) Counts {
	now := time.Now()
	c := Counts{Source: name, Minutes5: s.rate.last(now, 5), Hour: s.rate.last(now, rateMinutes), Verdicts: map[alert.Verdict]uint64{}, DeadLetters: uint64(valueOf(s.deadLetters))}
	// Verdicts come after what was received: read first, they are never more.
	for v, n := range s.verdicts {
		c.Verdicts[alert.Verdict(v)] = uint64(valueOf(n))
	}
	c.Received = uint64(valueOf(s.received))
	if at := valueOf(s.lastReceived); at > 0 {
		c.LastReceived = time.UnixMicro(int64(at * 1e6))
	}
	return c
}

// valueOf reads a counter or a gauge.
func valueOf(m prometheus.Metric) float64 {
	var v dto.Metric
	if m.Write(&v) != nil {
		return 0 // unreachable: the metrics of the library always write
	}
	return v.GetCounter().GetValue() + v.GetGauge().GetValue()
}

// rateMinutes is for how long a rate is known.
const rateMinutes = 60

// rate counts the alerts of each of the last minutes.
type rate struct {
	mu sync.Mutex
	// minutes are counts; that of minute m, since 1970, is at m modulo the length.
	minutes [rateMinutes]uint64
	// latest is the minute that was counted last.
	latest int64
}

// rate is that of a source, the same for all of its series.
func (m *metrics) rate(source string) *rate {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rates[source]
	if r == nil {
		r = &rate{}
		m.rates[source] = r
	}
	return r
}

// move forgets what is too old. The caller holds mu.
func (r *rate) move(now time.Time) {
	minute := now.Unix() / 60
	for gone := max(r.latest+1, minute-rateMinutes+1); gone <= minute; gone++ {
		r.minutes[gone%rateMinutes] = 0
	}
	r.latest = max(r.latest, minute)
}

func (r *rate) add(now time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(now)
	r.minutes[r.latest%rateMinutes] += uint64(n)
}

// last adds up the latest minutes, the one that has begun included.
func (r *rate) last(now time.Time, minutes int64) (sum uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(now)
	for m := r.latest - minutes + 1; m <= r.latest; m++ {
		sum += r.minutes[m%rateMinutes]
	}
	return sum
}
