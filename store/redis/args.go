package redis

import (
	"strconv"
	"sync"
	"unsafe"
)

// args builds commands. Encoded values share one text, and the list holds
// pointers to strings: each value by itself would be several allocations. All of it
// is used again for other commands.
type args struct {
	list   []any
	buf    []byte
	cuts   []cut
	values []string
}

// cut is a value of the list that is a part of buf, from where the one before ends.
type cut struct{ at, to int }

// spare are those of calls that are over.
var spare = sync.Pool{New: func() any { return &args{} }}

// The sizes of what is kept for others.
const (
	bufferKept = 64 << 10
	valuesKept = 4 << 10
)

// newArgs begins commands.
func newArgs() *args { return spare.Get().(*args) }

// newCommand begins the command of a script with its keys.
func newCommand(s *script, fixed []any, keys []string) *args {
	a := newArgs()
	a.list = append(a.list, s.command(), &s.sha)
	a.number(len(fixed) + len(keys))
	a.list = append(a.list, fixed...)
	for n := range keys {
		a.list = append(a.list, &keys[n])
	}
	return a
}

// name adds a text that stays as it is until the call is over.
func (a *args) name(v ...any) { a.list = append(a.list, v...) }

// bytes adds what encode appends.
func (a *args) bytes(encode func(b []byte) []byte) {
	a.buf = encode(a.buf)
	a.end()
}

func (a *args) end() {
	a.cuts = append(a.cuts, cut{len(a.list), len(a.buf)})
	a.list = append(a.list, nil)
}

func (a *args) text(v ...string) {
	for n := range v {
		a.buf = append(a.buf, v[n]...)
		a.end()
	}
}

func (a *args) id(v [16]byte) {
	a.buf = append(a.buf, v[:]...)
	a.end()
}

func (a *args) number(v int) {
	a.buf = strconv.AppendInt(a.buf, int64(v), 10)
	a.end()
}

func (a *args) unsigned(v uint64) {
	a.buf = strconv.AppendUint(a.buf, v, 10)
	a.end()
}

// done returns the list with its values, which are in buf: nobody else may use
// that before the call is over.
func (a *args) done() []any {
	text := unsafe.String(unsafe.SliceData(a.buf), len(a.buf))
	if cap(a.values) < len(a.cuts) {
		a.values = make([]string, len(a.cuts), cap(a.cuts))
	}
	a.values = a.values[:len(a.cuts)]
	from := 0
	for n, c := range a.cuts {
		a.values[n] = text[from:c.to]
		a.list[c.at] = &a.values[n]
		from = c.to
	}
	return a.list
}

// reuse gives what a call that is over was made of to others.
func (c *call) reuse() {
	a := c.made
	c.made, c.full, c.several = nil, nil, nil
	if a == nil || cap(a.buf) > bufferKept || cap(a.list) > valuesKept {
		return
	}
	clear(a.list)
	clear(a.values)
	a.list, a.buf, a.cuts, a.values = a.list[:0], a.buf[:0], a.cuts[:0], a.values[:0]
	spare.Put(a)
}
