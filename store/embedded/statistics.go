package embedded

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// observe counts an observation in the batch that caused it.
func (w *writing) observe(o incident.Observation) error {
	var errs []error
	row.Observe(o, func(name string, n int64) { errs = append(errs, w.count(name, n)) })
	return errors.Join(errs...)
}

// Statistics implements store.Store.
func (s *Store) Statistics(ctx context.Context) (store.Statistics, error) {
	out := row.NewStatistics()
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
		row.AddStatistic(&out, string(it.Key()[1:]), parseNumber(it.Value()))
	}
	return out, it.Close()
}
