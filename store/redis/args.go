package redis

import (
	"sync"
	"unsafe"
)

// args builds a command that runs a script. Encoded values share one text, and
// the list holds pointers to strings: each value by itself would be several
// allocations.
type args struct {
	list []any
	buf  []byte
	cuts []cut
}

// cut is a value of the list that is a part of buf.
type cut struct{ at, from, to int }

// newArgs begins the command of a script with its keys, and with room for more
// arguments of the given size in bytes.
func newArgs(s *script, fixed []any, keys []string, more, size int) *args {
	a := &args{list: make([]any, 0, 3+len(fixed)+len(keys)+more), buf: buffer(size), cuts: make([]cut, 0, more)}
	a.list = append(a.list, s.command(), s.sha, len(fixed)+len(keys))
	a.list = append(a.list, fixed...)
	for n := range keys {
		a.list = append(a.list, &keys[n])
	}
	return a
}

func (a *args) add(v ...any) { a.list = append(a.list, v...) }

// hole leaves room for a number that is known later.
func (a *args) hole() (at int) {
	a.list = append(a.list, 0)
	return len(a.list) - 1
}

// bytes adds what encode appends.
func (a *args) bytes(encode func(b []byte) []byte) {
	from := len(a.buf)
	a.buf = encode(a.buf)
	a.cuts = append(a.cuts, cut{len(a.list), from, len(a.buf)})
	a.list = append(a.list, nil)
}

func (a *args) id(v [16]byte) { a.bytes(func(b []byte) []byte { return append(b, v[:]...) }) }

// done returns the command. Its values are in buf, which nobody else may use
// before the call is over.
func (a *args) done() []any {
	text := unsafe.String(unsafe.SliceData(a.buf), len(a.buf))
	values := make([]string, len(a.cuts))
	for n, c := range a.cuts {
		values[n] = text[c.from:c.to]
		a.list[c.at] = &values[n]
	}
	return a.list
}

// buffers are those of calls that are over.
var buffers sync.Pool

// bufferKept bounds the size of a buffer that is kept for others.
const bufferKept = 64 << 10

func buffer(size int) []byte {
	if b, ok := buffers.Get().(*[]byte); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make([]byte, 0, max(size, 4<<10))
}

// reuse gives the buffer of a call that is over to others.
func (c *call) reuse() {
	if b := c.buf; cap(b) > 0 && cap(b) <= bufferKept {
		buffers.Put(&b)
	}
	c.buf, c.full, c.several = nil, nil, nil
}
