package embedded

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// observe counts an observation in the batch that caused it. Counters end in
// _total; everything else is a histogram, whose sum is kept in microseconds.
func (w *writing) observe(o incident.Observation) error {
	name := "series\x00" + o.Metric + "\x00" + o.Severity + "\x00" + o.Team + "\x00"
	if strings.HasSuffix(o.Metric, "_total") {
		return w.count(name, int64(o.Value))
	}
	bucket, _ := slices.BinarySearch(store.Buckets, o.Value)
	return errors.Join(w.count(name+strconv.Itoa(bucket), 1), w.count(name+"sum", int64(o.Value*1e6)))
}

// Statistics implements store.Store.
func (s *Store) Statistics(ctx context.Context) (store.Statistics, error) {
	out := store.Statistics{Incidents: map[store.StateSeverity]int64{}, Counters: map[store.Series]int64{}, Histograms: map[store.Series]store.Histogram{}}
	leave, err := s.enter()
	if err != nil {
		return out, err
	}
	defer leave()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowCounter}, UpperBound: []byte{rowCounter + 1}})
	if err != nil {
		return out, &store.UnavailableError{Cause: err}
	}
	for ok := it.First(); ok; ok = it.Next() {
		parts := strings.Split(string(it.Key()[1:]), "\x00")
		value := parseNumber(it.Value())
		switch {
		case parts[0] == "incidents" && len(parts) == 3:
			out.Incidents[store.StateSeverity{State: parts[1], Severity: parts[2]}] = value
		case parts[0] == "series" && len(parts) == 5:
			addSeries(&out, store.Series{Metric: parts[1], Severity: parts[2], Team: parts[3]}, parts[4], value)
		}
	}
	return out, it.Close()
}

func addSeries(out *store.Statistics, series store.Series, part string, value int64) {
	if part == "" {
		out.Counters[series] = value
		return
	}
	h := out.Histograms[series]
	if h.Counts == nil {
		h.Counts = make([]uint64, len(store.Buckets)+1)
	}
	if part == "sum" {
		h.Sum = float64(value) / 1e6
	} else if n, err := strconv.Atoi(part); err == nil && n >= 0 && n < len(h.Counts) {
		h.Counts[n] = uint64(value)
	}
	out.Histograms[series] = h
}
