package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// Sum is how many units of a kind there are, and their checksum.
type Sum struct {
	Count uint64   `json:"count"`
	Check Checksum `json:"checksum"`
}

// Checksum is the sum of the SHA-256 of each unit, modulo 2^256: it is the same
// in whatever order they come, and another one if one is missing, was changed,
// or is there twice. The lowest word comes first.
type Checksum [4]uint64

func (c *Checksum) add(with Checksum) {
	var carry uint64
	for n := range c {
		c[n], carry = bits.Add64(c[n], with[n], carry)
	}
}

func (c Checksum) String() string {
	text, _ := c.MarshalText() // it cannot fail
	return string(text)
}

// MarshalText implements encoding.TextMarshaler: 64 hexadecimal digits.
func (c Checksum) MarshalText() ([]byte, error) {
	var b [32]byte
	for n := range c {
		binary.BigEndian.PutUint64(b[8*(3-n):], c[n])
	}
	return hex.AppendEncode(nil, b[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Checksum) UnmarshalText(text []byte) error {
	var b [32]byte
	if len(text) != hex.EncodedLen(len(b)) {
		return fmt.Errorf("store: copy: %q is not a checksum", text)
	}
	if _, err := hex.Decode(b[:], text); err != nil {
		return fmt.Errorf("store: copy: checksum: %w", err)
	}
	for n := range c {
		c[n] = binary.BigEndian.Uint64(b[8*(3-n):])
	}
	return nil
}

// Sums are the sums of all kinds.
type Sums [kinds]Sum

func (s *Sums) add(with *Sums) {
	for k := range s {
		s[k].Count += with[k].Count
		s[k].Check.add(with[k].Check)
	}
}

// Units is how many there are of all kinds together.
func (s *Sums) Units() uint64 {
	n := uint64(0)
	for k := range s {
		n += s[k].Count
	}
	return n
}

// byKind is the form that is stored: a later version may have more kinds.
func (s *Sums) byKind() map[Kind]Sum {
	out := map[Kind]Sum{}
	for k, sum := range s {
		if sum.Count > 0 {
			out[Kind(k)] = sum
		}
	}
	return out
}

// sum counts a unit in. It uses buf, and returns it for the next one.
func (s *Sums) sum(u Unit, buf []byte) ([]byte, error) {
	k := u.kind()
	buf, err := u.appendTo(append(buf[:0], byte(k)))
	if err != nil {
		return buf, fmt.Errorf("store: copy: %s: %w", k, err)
	}
	full := sha256.Sum256(buf)
	var c Checksum
	for n := range c {
		c[n] = binary.BigEndian.Uint64(full[8*(3-n):])
	}
	s[k].Count++
	s[k].Check.add(c)
	return buf, nil
}

// Counts are the counters that follow from what a store holds, by shard.
type Counts map[Place]int64

// Place is a counter of one shard.
type Place struct {
	Shard byte
	// Name is as package row names the incidents of a state and the firing alerts
	// of a generation; the jobs of a kind are jobs, a zero byte, and the kind.
	Name string
}

// count counts a unit in.
func (c Counts) count(u Unit) {
	switch u := u.(type) {
	case *Incident:
		c[Place{u.ID.Shard(), row.StateName(u.Incident)}]++
	case *Alert:
		if u.Entry.Firing && !u.Archived {
			c[Place{incident.Key(u.Owner).Shard(), row.FiringName(u.Entry.Generation)}]++
		}
	case *Job:
		c[Place{u.Shard(), "jobs\x00" + u.Kind}]++
	}
}
