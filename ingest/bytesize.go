package ingest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written in the configuration file as "64MiB",
// "4 KiB" or "1024". Only units of 1024 are understood, so that nobody has to
// wonder what an M is.
type ByteSize int64

// The units of a ByteSize.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
)

// sizeUnits are tried in this order; B last, because the others end in it.
var sizeUnits = []struct {
	name string
	size ByteSize
}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", 1}}

// UnmarshalText implements encoding.TextUnmarshaler, which YAML uses.
func (s *ByteSize) UnmarshalText(b []byte) error {
	number, unit := strings.TrimSpace(string(b)), ByteSize(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(unit) {
		return fmt.Errorf("%q is not a size; write a whole number of bytes, KiB, MiB or GiB, such as 64MiB", b)
	}
	*s = ByteSize(n) * unit
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s ByteSize) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String returns the size in the largest unit that needs no fraction.
func (s ByteSize) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
