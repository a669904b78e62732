package incident

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ID is an incident's identity: a UUID version 7 (RFC 9562) of the moment it
// was opened whose last byte is the shard of its key, so that whoever holds an
// id knows where the incident lives.
type ID [16]byte

// Shards is how many parts a store has. An incident's last byte is below it.
const Shards = 64

// NewID returns the n-th id of the change with the given seed. It is a pure
// function, so that a step that runs twice makes the same ids.
func NewID(now time.Time, seed [16]byte, n int, shard byte) ID {
	var id ID
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	copy(id[6:], seed[:10])
	id[13] ^= byte(n >> 8)
	id[14] ^= byte(n)
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	id[15] = shard
	return id
}

// ParseID reads the usual text form of an id.
func ParseID(s string) (ID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return ID{}, fmt.Errorf("incident: %q is not an id", s)
	}
	return ID(u), nil
}

// String returns the usual text form, 36 characters.
func (id ID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether id names no incident.
func (id ID) IsZero() bool { return id == ID{} }

// Shard is the part of the store that the incident lives in.
func (id ID) Shard() byte { return id[15] }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(b))
	*id = v
	return err
}

// Key says which alerts belong together: a hash of the correlation rule's name
// and of the values of its labels. See dedupe.
type Key [16]byte

// String returns the key as 32 hexadecimal digits.
func (k Key) String() string {
	var text [2 * len(k)]byte
	hex.Encode(text[:], k[:])
	return string(text[:])
}

// IsZero reports whether k is not set.
func (k Key) IsZero() bool { return k == Key{} }

// Shard is the part of the store that holds the key's data.
func (k Key) Shard() byte { return k[0] % Shards }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Key) UnmarshalText(b []byte) error {
	if len(b) != 2*len(k) {
		return fmt.Errorf("incident: key %q does not have 32 hexadecimal digits", b)
	}
	_, err := hex.Decode(k[:], b)
	return err
}

// crockford is the alphabet of references: no I, L, O and U, so that they can be read out.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Reference returns the short name of the n-th incident (from 1) that the
// given shard opened on that UTC day, such as INC-20261121-0025.
func Reference(day time.Time, n uint64, shard byte) string {
	var digits []byte
	for v := n*Shards + uint64(shard); v > 0 || len(digits) < 4; v /= 32 {
		digits = append(digits, crockford[v%32])
	}
	out := day.UTC().AppendFormat([]byte("INC-"), "20060102-")
	for i := len(digits) - 1; i >= 0; i-- {
		out = append(out, digits[i])
	}
	return string(out)
}

// ReferenceShard reads from a short name which shard gave it out; ok is false
// for what is no short name.
func ReferenceShard(name string) (shard byte, ok bool) {
	digits := strings.TrimPrefix(name, "INC-")
	if digits == name || len(digits) < 13 || len(digits) > 21 || digits[8] != '-' {
		return 0, false
	}
	var v uint64
	for _, c := range []byte(digits[9:]) {
		n := strings.IndexByte(crockford, c)
		if n < 0 {
			return 0, false
		}
		v = v*32 + uint64(n)
	}
	return byte(v % Shards), true
}
