package redis

import (
	"context"
	"strconv"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// Statistics implements store.Store.
func (s *Store) Statistics(ctx context.Context) (store.Statistics, error) {
	out := row.NewStatistics()
	err := s.eachShard(ctx, func(n *names) *call { return &call{args: []any{"HGETALL", n.statistics}} },
		func(_ *names, result any) error {
			return pairs(result, func(name, value string) error {
				n, err := strconv.ParseInt(value, 10, 64)
				row.AddStatistic(&out, name, n)
				return err
			})
		})
	return out, err
}
