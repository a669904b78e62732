package row

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// StateName is the counter of the incidents of i's state and severity.
func StateName(i *incident.Incident) string { return "incidents\x00" + i.State + "\x00" + i.Severity }

// FiringName is the counter of a generation's firing alerts.
func FiringName(g incident.Generation) string {
	if last := lastFiring.Load(); last != nil && last.generation == g {
		return last.name
	}
	n := &firingName{g, "firing\x00" + string(g[:])}
	lastFiring.Store(n)
	return n.name
}

// lastFiring is the name that was asked for last: nearly all alerts are of one generation.
var lastFiring atomic.Pointer[firingName]

type firingName struct {
	generation incident.Generation
	name       string
}

// Observe calls add for each counter that an observation adds to. Counters end
// in _total; everything else is a histogram, whose sum is kept in microseconds.
func Observe(o incident.Observation, add func(name string, n int64)) {
	name := "series\x00" + o.Metric + "\x00" + o.Severity + "\x00" + o.Team + "\x00"
	if strings.HasSuffix(o.Metric, "_total") {
		add(name, int64(o.Value))
		return
	}
	bucket, _ := slices.BinarySearch(store.Buckets, o.Value)
	add(name+strconv.Itoa(bucket), 1)
	add(name+"sum", int64(o.Value*1e6))
}

// NewStatistics returns statistics that count nothing.
func NewStatistics() store.Statistics {
	return store.Statistics{Incidents: map[store.StateSeverity]int64{}, Counters: map[store.Series]int64{}, Histograms: map[store.Series]store.Histogram{}}
}

// AddStatistic adds a counter to the statistics that it belongs to, if any.
func AddStatistic(out *store.Statistics, name string, value int64) {
	parts := strings.Split(name, "\x00")
	switch {
	case parts[0] == "incidents" && len(parts) == 3:
		out.Incidents[store.StateSeverity{State: parts[1], Severity: parts[2]}] += value
	case parts[0] == "series" && len(parts) == 5:
		addSeries(out, store.Series{Metric: parts[1], Severity: parts[2], Team: parts[3]}, parts[4], value)
	}
}

func addSeries(out *store.Statistics, series store.Series, part string, value int64) {
	if part == "" {
		out.Counters[series] += value
		return
	}
	h := out.Histograms[series]
	if h.Counts == nil {
		h.Counts = make([]uint64, len(store.Buckets)+1)
	}
	if part == "sum" {
		h.Sum += float64(value) / 1e6
	} else if n, err := strconv.Atoi(part); err == nil && n >= 0 && n < len(h.Counts) {
		h.Counts[n] += uint64(value)
	}
	out.Histograms[series] = h
}
