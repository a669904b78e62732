package embedded

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// filler sets every field of a value to something of its own, so that a field
// which a codec forgets is seen.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = testStart.Add(time.Duration(f.n) * 1_000_000_007)
		return
	case *[]byte: // unknown fields
		*x = protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), uint64(f.n))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d \x00ü", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(f.n%200 + 1))
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		panic("a field of the kind " + v.Kind().String())
	}
}

func filledValue[T any]() T {
	var v T
	(&filler{}).fill(reflect.ValueOf(&v).Elem())
	return v
}

func TestCodecsKeepAll(t *testing.T) {
	i := filledValue[incident.Incident]()
	back, err := parseIncident(appendIncident(nil, &i))
	if err != nil || !reflect.DeepEqual(*back, i) {
		t.Errorf("incident: got  %+v (%v)\nwant %+v", *back, err, i)
	}
	e := stored{Entry: filledValue[incident.Entry](), content: 5}
	again, err := parseEntry(appendEntry(nil, &e), e.Fingerprint)
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("entry: got  %+v (%v)\nwant %+v", again, err, e)
	}
	a := filledValue[alert.Alert]()
	a.ValidUntil = time.Time{} // the entry has it
	said, err := parseContent(appendContent(nil, &a))
	if err != nil || !reflect.DeepEqual(*said, a) {
		t.Errorf("content: got  %+v (%v)\nwant %+v", *said, err, a)
	}
	l := filledValue[incident.TimelineEntry]()
	line, err := parseTimeline(appendTimeline(nil, &l), l.Incident, l.Seq)
	if err != nil || !reflect.DeepEqual(line, l) {
		t.Errorf("timeline: got  %+v (%v)\nwant %+v", line, err, l)
	}
}

func TestCodecsOfNothing(t *testing.T) {
	empty := incident.Incident{Firing: map[string]int{}, Roles: map[string]string{}, Links: []incident.Link{}, Children: []incident.ID{}}
	if back, err := parseIncident(appendIncident(nil, &empty)); err != nil || !reflect.DeepEqual(*back, empty) {
		t.Errorf("incident: got %+v (%v), want %+v", *back, err, empty)
	}
	none := empty
	none.Labels = map[string]string{}
	if back, err := parseIncident(appendIncident(nil, &none)); err != nil || back.Labels == nil {
		t.Errorf("an incident without labels in common: got %+v (%v)", back, err)
	}
	if back, err := parseEntry(appendEntry(nil, &stored{}), alert.Fingerprint{}); err != nil || !reflect.DeepEqual(back, stored{}) {
		t.Errorf("entry: got %+v (%v)", back, err)
	}
	if back, err := parseContent(appendContent(nil, &alert.Alert{})); err != nil || !reflect.DeepEqual(*back, alert.Alert{}) {
		t.Errorf("content: got %+v (%v)", back, err)
	}
}

// TestTimes: every year that a sender can write survives the codec and the
// memory of entries.
func TestTimes(t *testing.T) {
	var h hot
	h.reset()
	for _, at := range []time.Time{{}, time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1699, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0).UTC(), time.Unix(0, -1).UTC(),
		time.Date(1969, 7, 20, 20, 17, 40, 999_999_999, time.UTC), testStart, time.Date(2200, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)} {
		e := stored{Entry: incident.Entry{Start: at, Last: at, End: at, EndSeen: at, ValidUntil: at, FirstSeen: at, LastSeen: at}}
		if !at.IsZero() {
			e.Changes = []time.Time{at, at}
		}
		back, err := parseEntry(appendEntry(nil, &e), alert.Fingerprint{})
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s through the codec: got %+v (%v)", at, back, err)
		}
		if r, ok := h.pack(&e); ok {
			if got := h.unpack(&r, alert.Fingerprint{}); !reflect.DeepEqual(got, e) {
				t.Errorf("%s through memory: got %+v, want %+v", at, got, e)
			}
		} else if at.Year() > 1700 && at.Year() < 2200 {
			t.Errorf("%s is not kept in memory", at)
		}
	}
}

// TestHot: what does not fit into memory is still found, and what is not there is known not to be.
func TestHot(t *testing.T) {
	s := mustOpen(t, "mem:", Options{Now: frozen})
	for n := range 20 {
		if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if !s.hot.complete.Load() {
		t.Error("20 entries do not fit into memory")
	}
	odd := numbered(20)
	step := odd.Step
	odd.Step = func(st incident.State) (incident.Next, error) {
		next, err := step(st)
		for n := range hotChanges + 3 {
			next.Entries[0].Entry.Changes = append(next.Entries[0].Entry.Changes, st.Now.Add(time.Duration(n)))
		}
		return next, err
	}
	if err := s.Update(t.Context(), []incident.Change{odd}); err != nil {
		t.Fatal(err)
	}
	var buf []byte
	for n := range 23 {
		e, err := s.live(&buf, sum("key", n%keys), sum("alert", n))
		if err != nil || e.Exists() != (n <= 20) || n == 20 && len(e.Changes) != hotChanges+3 {
			t.Errorf("alert %d: got %+v, %v", n, e, err)
		}
	}
	// Too many odd ones: memory does not claim to have them all any more.
	long := stored{Entry: incident.Entry{Changes: make([]time.Time, hotChanges+1)}}
	for n := range oddKept * hotShards * 2 {
		s.hot.put(store.Place{Key: sum("odd", 0), Fingerprint: sum("odd", n)}, &long)
	}
	if _, found, known := s.hot.get(store.Place{Key: sum("key", 1), Fingerprint: sum("nobody", 1)}); found || known {
		t.Errorf("an alert that nobody knows: found %t, known %t; want that memory does not know", found, known)
	}
	// Places are used again after a removal.
	for n := range hotChunk + 5 {
		place := store.Place{Key: sum("key", n), Fingerprint: sum("f", n)}
		s.hot.put(place, &stored{Entry: incident.Entry{Count: uint64(n)}})
		if n%3 == 0 {
			s.hot.remove(place)
		}
	}
	for n := range hotChunk + 5 {
		e, found, _ := s.hot.get(store.Place{Key: sum("key", n), Fingerprint: sum("f", n)})
		if found != (n%3 != 0) || found && e.Count != uint64(n) {
			t.Errorf("place %d: got %+v, %t", n, e, found)
		}
	}
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		key    byte
		values []int64
		want   int64
	}{{rowCounter, []int64{1, 2, -5}, -2}, {rowNumber, []int64{3, 9, 4}, 9}, {rowCounter, []int64{math.MaxInt64}, math.MaxInt64}} {
		for _, name := range []string{"newer", "older"} {
			m, err := merger.Merge([]byte{c.key}, appendNumber(nil, c.values[0]))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.values[1:] {
				if name == "newer" {
					err = m.MergeNewer(appendNumber(nil, v))
				} else {
					err = m.MergeOlder(appendNumber(nil, v))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			got, _, err := m.Finish(true)
			if err != nil || parseNumber(got) != c.want {
				t.Errorf("%c of %v, %s: got %d, %v, want %d", c.key, c.values, name, parseNumber(got), err, c.want)
			}
		}
	}
}

// The fuzz targets: whatever a damaged row holds, it is an error or something
// that is written back as it was read.

func FuzzEntry(f *testing.F) {
	e := stored{Entry: filledValue[incident.Entry](), content: 1}
	f.Add(appendEntry(nil, &e))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b, alert.Fingerprint{})
		if err != nil {
			return
		}
		stable(t, appendEntry(nil, &e), func(b []byte) ([]byte, error) {
			e, err := parseEntry(b, alert.Fingerprint{})
			return appendEntry(nil, &e), err
		})
	})
}

func FuzzContent(f *testing.F) {
	a := filledValue[alert.Alert]()
	f.Add(appendContent(nil, &a))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseContent(b)
		if err != nil {
			return
		}
		stable(t, appendContent(nil, a), func(b []byte) ([]byte, error) {
			a, err := parseContent(b)
			if err != nil {
				return nil, err
			}
			return appendContent(nil, a), nil
		})
	})
}

func FuzzIncident(f *testing.F) {
	i := filledValue[incident.Incident]()
	f.Add(appendIncident(nil, &i))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := parseIncident(b)
		if err != nil {
			return
		}
		stable(t, appendIncident(nil, i), func(b []byte) ([]byte, error) {
			i, err := parseIncident(b)
			if err != nil {
				return nil, err
			}
			return appendIncident(nil, i), nil
		})
	})
}

func FuzzTimeline(f *testing.F) {
	l := filledValue[incident.TimelineEntry]()
	f.Add(appendTimeline(nil, &l))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseTimeline(b, incident.ID{}, 1)
		if err != nil {
			return
		}
		stable(t, appendTimeline(nil, &l), func(b []byte) ([]byte, error) {
			l, err := parseTimeline(b, incident.ID{}, 1)
			return appendTimeline(nil, &l), err
		})
	})
}

// stable checks that what was written is read and written the same.
func stable(t *testing.T, written []byte, again func([]byte) ([]byte, error)) {
	t.Helper()
	if got, err := again(written); err != nil || !bytes.Equal(got, written) {
		t.Errorf("got %x (%v), want %x", got, err, written)
	}
}
