package embedded

import (
	"encoding/binary"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// merger adds up counters, and keeps the largest of the numbers given out,
// without reading them first: commits that touch the same ones need no lock.
var merger = &pebble.Merger{
	Name: "tocsin.1",
	Merge: func(key, value []byte) (pebble.ValueMerger, error) {
		m := &number{largest: len(key) > 0 && key[0] == rowNumber}
		return m, m.MergeNewer(value)
	},
}

type number struct {
	largest bool
	set     bool
	value   int64
}

func (n *number) MergeNewer(value []byte) error {
	v := parseNumber(value)
	switch {
	case !n.set:
		n.value = v
	case n.largest:
		n.value = max(n.value, v)
	default:
		n.value += v
	}
	n.set = true
	return nil
}

func (n *number) MergeOlder(value []byte) error { return n.MergeNewer(value) }

func (n *number) Finish(bool) ([]byte, io.Closer, error) { return appendNumber(nil, n.value), nil, nil }

func appendNumber(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

func parseNumber(b []byte) int64 {
	if len(b) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}
