package ingest

import (
	"encoding/binary"
	"math/bits"
)

// cursor walks over JSON that jsontext has found to be valid. Knowing that, it
// need not look for mistakes; it only must not run away if it is misused, which
// Go's bounds checks see to.
type cursor struct {
	b []byte
	p int
}

// take skips white space, and the byte c if it comes next.
func (c *cursor) take(want byte) bool {
	for c.b[c.p] <= ' ' {
		c.p++
	}
	if c.b[c.p] == want {
		c.p++
		return true
	}
	return false
}

// quoted reads a string if one comes next. It returns it with its quotes, and
// whether there are escapes in it.
func (c *cursor) quoted() (s []byte, escaped, ok bool) {
	if !c.take('"') {
		return nil, false, false
	}
	start := c.p - 1
	c.p, escaped = closingQuote(c.b, c.p)
	c.p++
	return c.b[start:c.p], escaped, true
}

// closingQuote returns the index of the quote that ends the string whose first
// byte is b[i], and whether there are escapes before it. It looks at eight
// bytes at a time: most of an alert is text, and most texts are too short for
// two calls of bytes.IndexByte.
func closingQuote(b []byte, i int) (end int, escaped bool) {
	for {
		for i+8 <= len(b) {
			eight := binary.LittleEndian.Uint64(b[i:])
			if found := equalBytes(eight, '"') | equalBytes(eight, '\\'); found != 0 {
				i += bits.TrailingZeros64(found) / 8
				break
			}
			i += 8
		}
		switch b[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i++ // what is escaped ends nothing
		}
		i++
	}
}

// equalBytes sets the highest bit of the first byte of eight that is c. Bits of
// later bytes may be wrong.
func equalBytes(eight uint64, c byte) uint64 {
	const each = 0x0101010101010101
	x := eight ^ each*uint64(c) // the byte is 0 now
	return (x - each) &^ x & (each << 7)
}

// measure returns how deep a JSON value nests and how many members its objects
// have in all. It also takes text that breaks off or is not JSON at all; then
// the result means little, but it ends.
func measure(b []byte) (depth, members int) {
	level := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			level++
			depth = max(depth, level)
		case '}', ']':
			level--
		case ':':
			members++
		case '"':
			i = skipString(b, i+1)
		}
	}
	return depth, members
}

// skipString is closingQuote for text that may end before the quote.
func skipString(b []byte, i int) int {
	for ; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}
