package row

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// testStart is the time that tests of this package begin at.
var testStart = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

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
	case *jsontext.Value: // unknown members
		*x = fmt.Appendf(nil, `{"later":%d}`, f.n)
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
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
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
	back, err := ParseIncident(AppendIncident(nil, &i))
	if err != nil || !reflect.DeepEqual(*back, i) {
		t.Errorf("incident: got  %+v (%v)\nwant %+v", *back, err, i)
	}
	e := Entry{Entry: filledValue[incident.Entry](), Number: 5}
	again, err := ParseEntry(AppendEntry(nil, &e), e.Fingerprint)
	if err != nil || !reflect.DeepEqual(again, e) {
		t.Errorf("entry: got  %+v (%v)\nwant %+v", again, err, e)
	}
	a := filledValue[alert.Alert]()
	a.ValidUntil = time.Time{} // the entry has it
	said, err := ParseContent(AppendContent(nil, &a))
	if err != nil || !reflect.DeepEqual(*said, a) {
		t.Errorf("content: got  %+v (%v)\nwant %+v", *said, err, a)
	}
	l := filledValue[incident.TimelineEntry]()
	line, err := ParseTimeline(AppendTimeline(nil, &l), l.Incident, l.Seq)
	if err != nil || !reflect.DeepEqual(line, l) {
		t.Errorf("timeline: got  %+v (%v)\nwant %+v", line, err, l)
	}
}

// TestLean: what is added up is the same as in the whole incident, and the rest is not read.
func TestLean(t *testing.T) {
	i := filledValue[incident.Incident]()
	lean, err := ParseLean(AppendIncident(nil, &i))
	want := incident.Incident{ID: i.ID, Reference: i.Reference, State: i.State, Severity: i.Severity, Priority: i.Priority, Category: i.Category,
		Service: i.Service, Team: i.Team, Sources: i.Sources, OpenedAt: i.OpenedAt, CycleSeverity: i.CycleSeverity, Rule: i.Rule, Parent: i.Parent,
		Drill: i.Drill, Version: i.Version, Observed: i.Observed}
	if err != nil || !reflect.DeepEqual(*lean, want) {
		t.Errorf("got  %+v (%v)\nwant %+v", lean, err, want)
	}
}

// What people write is text by then, but a commit is no place to find out that it is not.
func TestProcessOfBrokenText(t *testing.T) {
	i := incident.Incident{Process: &incident.Process{Tier: "L\xff"}}
	back, err := ParseIncident(AppendIncident(nil, &i))
	if err != nil || back.Process.Tier != "L\ufffd" {
		t.Errorf("got %+v (%v), want the broken byte replaced", back, err)
	}
}

func TestCodecsOfNothing(t *testing.T) {
	empty := incident.Incident{Firing: map[string]int{}, Roles: map[string]string{}, Links: []incident.Link{}, Children: []incident.ID{}}
	if back, err := ParseIncident(AppendIncident(nil, &empty)); err != nil || !reflect.DeepEqual(*back, empty) {
		t.Errorf("incident: got %+v (%v), want %+v", *back, err, empty)
	}
	none := empty
	none.Labels = map[string]string{}
	if back, err := ParseIncident(AppendIncident(nil, &none)); err != nil || back.Labels == nil {
		t.Errorf("an incident without labels in common: got %+v (%v)", back, err)
	}
	if back, err := ParseEntry(AppendEntry(nil, &Entry{}), alert.Fingerprint{}); err != nil || !reflect.DeepEqual(back, Entry{}) {
		t.Errorf("entry: got %+v (%v)", back, err)
	}
	if back, err := ParseContent(AppendContent(nil, &alert.Alert{})); err != nil || !reflect.DeepEqual(*back, alert.Alert{}) {
		t.Errorf("content: got %+v (%v)", back, err)
	}
}

// TestTimes: every year that a sender can write survives the codec.
func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1699, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0).UTC(), time.Unix(0, -1).UTC(),
		time.Date(1969, 7, 20, 20, 17, 40, 999_999_999, time.UTC), testStart, time.Date(2200, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)} {
		e := Entry{Entry: incident.Entry{Start: at, Last: at, End: at, EndSeen: at, ValidUntil: at, FirstSeen: at, LastSeen: at}}
		if !at.IsZero() {
			e.Changes = []time.Time{at, at}
		}
		back, err := ParseEntry(AppendEntry(nil, &e), alert.Fingerprint{})
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("%s through the codec: got %+v (%v)", at, back, err)
		}
	}
}

// The fuzz targets: whatever a damaged row holds, it is an error or something
// that is written back as it was read.

func FuzzEntry(f *testing.F) {
	e := Entry{Entry: filledValue[incident.Entry](), Number: 1}
	f.Add(AppendEntry(nil, &e))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b, alert.Fingerprint{})
		if err != nil {
			return
		}
		stable(t, AppendEntry(nil, &e), func(b []byte) ([]byte, error) {
			e, err := ParseEntry(b, alert.Fingerprint{})
			return AppendEntry(nil, &e), err
		})
	})
}

func FuzzContent(f *testing.F) {
	a := filledValue[alert.Alert]()
	f.Add(AppendContent(nil, &a))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseContent(b)
		if err != nil {
			return
		}
		stable(t, AppendContent(nil, a), func(b []byte) ([]byte, error) {
			a, err := ParseContent(b)
			if err != nil {
				return nil, err
			}
			return AppendContent(nil, a), nil
		})
	})
}

func FuzzIncident(f *testing.F) {
	i := filledValue[incident.Incident]()
	f.Add(AppendIncident(nil, &i))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := ParseIncident(b)
		if err != nil {
			return
		}
		stable(t, AppendIncident(nil, i), func(b []byte) ([]byte, error) {
			i, err := ParseIncident(b)
			if err != nil {
				return nil, err
			}
			return AppendIncident(nil, i), nil
		})
	})
}

func FuzzTimeline(f *testing.F) {
	l := filledValue[incident.TimelineEntry]()
	f.Add(AppendTimeline(nil, &l))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseTimeline(b, incident.ID{}, 1)
		if err != nil {
			return
		}
		stable(t, AppendTimeline(nil, &l), func(b []byte) ([]byte, error) {
			l, err := ParseTimeline(b, incident.ID{}, 1)
			return AppendTimeline(nil, &l), err
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
