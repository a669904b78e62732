package redis

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// randomly fills values from what a fuzzer gave.
type randomly struct{ *rand.Rand }

func from(seed []byte) randomly {
	return randomly{rand.New(rand.NewChaCha8(sha256.Sum256(seed)))}
}

// time is no time, or one of the years that can be written.
func (r randomly) time() time.Time {
	if r.IntN(4) == 0 {
		return time.Time{}
	}
	first, last := time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	return time.Unix(first+r.Int64N(last-first+1), r.Int64N(1e9)).UTC()
}

func (r randomly) text() string {
	runes := []rune("ab \x00ü😀\"{}\\\n")
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

func (r randomly) bytes(to []byte) {
	for n := range to {
		to[n] = byte(r.Uint32())
	}
}

// fill sets all fields of what v points to. Lists and maps are not there, or not empty.
func (r randomly) fill(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = r.time()
		return
	case *[]byte:
		return // fields of a newer version
	case *jsontext.Value: // likewise
		if r.IntN(2) == 0 {
			*x = jsontext.Value(fmt.Sprintf(`{"newer":%d}`, r.IntN(100)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for n := range v.NumField() {
			r.fill(v.Field(n))
		}
	case reflect.String:
		v.SetString(r.text())
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int:
		v.SetInt(r.Int64N(1 << 40))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(r.Uint64() >> 1 & (1<<v.Type().Bits() - 1))
	case reflect.Float64:
		v.SetFloat(float64(r.IntN(1e6)) / 8)
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem())
		}
	case reflect.Array:
		for n := range v.Len() {
			r.fill(v.Index(n))
		}
	case reflect.Slice:
		for range r.IntN(3) {
			one := reflect.New(v.Type().Elem()).Elem()
			r.fill(one)
			v.Set(reflect.Append(v, one))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			r.fill(key)
			r.fill(value)
			v.SetMapIndex(key, value)
		}
	default:
		panic("a field of the kind " + v.Kind().String())
	}
}

// random is a value all of whose fields are set from what a fuzzer gave.
func random[T any](seed []byte) (v T) {
	from(seed).fill(reflect.ValueOf(&v).Elem())
	return v
}

// damages are what may stand in place of a value.
func damages(whole string) (out []string) {
	out = append(out, "", "\x00", "x", strings.Repeat("\xff", 200), whole+"\xff", whole+whole)
	for _, at := range []int{1, 7, 8, 16, 24, 25, 26, 33, 60, 61, len(whole) / 2, len(whole) - 1} {
		if at > 0 && at < len(whole) {
			out = append(out, whole[:at], whole[:at]+"\xff"+whole[at+1:], whole[at:])
		}
	}
	return out
}

func seeds(f *testing.F, wholes ...string) {
	for _, whole := range wholes {
		f.Add([]byte(whole))
		for _, d := range damages(whole) {
			f.Add([]byte(d))
		}
	}
}

func FuzzEntry(f *testing.F) {
	fp := alertNumber(1)
	pack := func(e *incident.Entry) string { return string(appendEntry(nil, e, e.Count, 7)) }
	some := random[incident.Entry]([]byte("seed"))
	seeds(f, pack(&some), pack(&incident.Entry{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := parseEntry(string(data), fp); err == nil {
			// What was understood of it is stored in one way.
			once, err := parseEntry(pack(&e), fp)
			must(t, err)
			if twice, err := parseEntry(pack(&once), fp); err != nil || !reflect.DeepEqual(twice, once) {
				t.Errorf("got  %+v (%v)\nwant %+v", twice, err, once)
			}
			if got := pageOf(pack(&e)); got != 7 {
				t.Errorf("got page %d, want 7", got)
			}
		} else if !strings.Contains(err.Error(), fp.String()) {
			t.Errorf("the error %q does not name the alert", err)
		}
		e := random[incident.Entry](data)
		e.Fingerprint = fp
		e.Changes = slices.DeleteFunc(e.Changes, time.Time.IsZero) // they are times of something
		if len(e.Changes) == 0 {
			e.Changes = nil
		}
		if back, err := parseEntry(pack(&e), fp); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("got  %+v (%v)\nwant %+v", back, err, e)
		}
	})
}

// packIncident is what the script stores.
func packIncident(i *incident.Incident) string {
	b := binary.BigEndian.AppendUint64(nil, i.Occurrences)
	b = append(append(append(b, i.Key[:]...), byte(len(i.Reference))), i.Reference...)
	return string(appendIncident(b, i))
}

func FuzzIncident(f *testing.F) {
	some := random[incident.Incident]([]byte("seed"))
	seeds(f, packIncident(&some), packIncident(&incident.Incident{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if i, err := parseIncident(string(data)); err == nil {
			once, err := parseIncident(packIncident(i))
			must(t, err)
			if twice, err := parseIncident(packIncident(once)); err != nil || !reflect.DeepEqual(twice, once) {
				t.Errorf("got  %+v (%v)\nwant %+v", twice, err, once)
			}
		}
		i := random[incident.Incident](data)
		if i.Links == nil {
			i.Links = []incident.Link{}
		}
		if i.Children == nil {
			i.Children = []incident.ID{}
		}
		if back, err := parseIncident(packIncident(&i)); err != nil || !reflect.DeepEqual(*back, i) {
			t.Errorf("got  %+v (%v)\nwant %+v", back, err, i)
		}
	})
}

func FuzzRecord(f *testing.F) {
	pack := func(r record) string {
		b, err := r.append(nil)
		if err != nil {
			panic(err) // unreachable: all texts are UTF-8
		}
		return string(b)
	}
	filled := func(seed []byte) record {
		r := from(seed)
		version, ids := make([]byte, versionSize), make([]byte, idSize*r.IntN(idsKept+1))
		r.bytes(version)
		r.bytes(ids)
		out := record{version: string(version), page: page(r.Uint32()), listed: byte(r.IntN(256)), ids: string(ids)}
		for range r.IntN(callersKept + 1) {
			caller := make([]byte, callerSize)
			r.bytes(caller)
			out.commits(string(caller))
		}
		if r.IntN(4) > 0 {
			out.key = &incident.KeyState{}
			r.fill(reflect.ValueOf(out.key).Elem())
			if out.key.By == nil {
				out.key.By = []alert.Label{}
			}
		}
		return out
	}
	seeds(f, pack(filled([]byte("one"))), pack(filled([]byte("two"))), pack(record{version: "12345678"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var id [16]byte
		copy(id[:], data)
		_ = has(string(data), id) // it only has to come back
		if r, err := parseRecord(string(data)); err == nil {
			// Without a state it names no incident.
			if again := pack(r); r.key != nil && again != string(data) {
				t.Errorf("got  %q\nwant %q", again, data)
			}
			for at := 0; at < len(r.ids); at += idSize {
				var id [16]byte
				copy(id[:], r.ids[at:])
				if !r.has(id) || !has(string(data), id) {
					t.Errorf("it does not have the id %x, which is in it", id[:idSize])
				}
			}
		}
		want := filled(data)
		back, err := parseRecord(pack(want))
		if err != nil || back.version != want.version || back.page != want.page || back.listed != want.listed || back.ids != want.ids || back.callers != want.callers || !reflect.DeepEqual(back.key, want.key) {
			t.Errorf("got  %+v %+v (%v)\nwant %+v %+v", back, back.key, err, want, want.key)
		}
		// A step that does not change the state leaves its text as it was.
		if again := pack(back); again != pack(want) {
			t.Errorf("got  %q\nwant %q", again, pack(want))
		}
	})
}

func FuzzDocument(f *testing.F) {
	pack := func(d incident.Document) string {
		b := binary.BigEndian.AppendUint64(nil, d.Version)
		b = append(b, "write id"...)
		return string(append(appendTime(b, d.UpdatedAt), d.Data...))
	}
	seeds(f, pack(incident.Document{Version: 3, UpdatedAt: testTime, Data: []byte(`{"n":1}`)}), pack(incident.Document{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseDocument("silence", "one", string(data))
		if err != nil {
			if len(data) >= documentHead || !strings.Contains(err.Error(), "silence one") {
				t.Errorf("%d bytes: got error %v, want none, or one that names it", len(data), err)
			}
			return
		}
		back, err := parseDocument("silence", "one", pack(d))
		if err != nil || !reflect.DeepEqual(back, d) {
			t.Errorf("got  %+v (%v)\nwant %+v", back, err, d)
		}
	})
}

// TestIDsOfRecord: a record knows the ids that it keeps, and no others.
func TestIDsOfRecord(t *testing.T) {
	for kept := range idsKept + 1 {
		r := record{version: "12345678"}
		for n := range kept {
			id := hashed("change", n)
			r.ids += string(id[:idSize])
		}
		packed, err := r.append(nil)
		must(t, err)
		for n := range kept + 5 {
			if got, want := has(string(packed), hashed("change", n)), n < kept; got != want {
				t.Errorf("%d ids kept: has(%d) is %t, want %t", kept, n, got, want)
			}
		}
		for cut := range packed { // of what is shorter it knows no more than is there
			_ = has(string(packed[:cut]), hashed("change", 0))
		}
	}
}

// TestCallersOfRecord: a record knows what the latest callers committed last, and
// the script finds it where it is.
func TestCallersOfRecord(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	find := source("parts/keys") + "return lastOf(ARGV[1], ARGV[2])"
	r := record{ids: strings.Repeat("change 0", 3)}
	caller := func(n int) string { return fmt.Sprintf("caller%02d", n) }
	for n := range callersKept + 9 {
		r.version = fmt.Sprintf("first %02d", n)
		r.commits(caller(n))
		r.version = fmt.Sprintf("later %02d", n)
		r.commits(caller(n))
	}
	packed, err := r.append(nil)
	must(t, err)
	for n := range callersKept + 9 {
		want := "" // the oldest ones were forgotten
		if n >= 9 {
			want = fmt.Sprintf("later %02d", n)
		}
		v, err := s.one(t.Context(), &call{args: []any{"EVAL", find, 0, packed, caller(n)}})
		must(t, err)
		if got, _ := v.(string); got != want {
			t.Errorf("caller %d: got %q, want %q", n, got, want)
		}
	}
}

// TestPositions: lists are in the order of positions, which is newest first and then by id.
func TestPositions(t *testing.T) {
	r := from([]byte("positions"))
	var ids []incident.ID
	for n := range 300 {
		at := time.UnixMilli(r.Int64N(1 << 47))
		if n%3 > 0 { // several were opened in one moment
			at = testTime.Add(time.Duration(n/30) * time.Millisecond)
		}
		ids = append(ids, incident.NewID(at, hashed("seed", n), n, byte(n%incident.Shards)))
	}
	for _, id := range ids {
		if back := position(incident.ID(position(id))); back != [16]byte(id) {
			t.Errorf("position of position of %s is %x", id, back)
		}
	}
	slices.SortFunc(ids, func(a, b incident.ID) int {
		p, q := position(a), position(b)
		return bytes.Compare(p[:], q[:])
	})
	for n := 1; n < len(ids); n++ {
		a, b := ids[n-1], ids[n]
		switch c := bytes.Compare(a[:6], b[:6]); {
		case c < 0:
			t.Errorf("%s comes before %s, which is newer", a, b)
		case c == 0 && bytes.Compare(a[6:], b[6:]) >= 0:
			t.Errorf("%s comes before %s, which was opened in the same moment", a, b)
		}
	}
}

// TestTimes: every time that can be written is kept to the nanosecond, and the
// bytes are in the order of the times.
func TestTimes(t *testing.T) {
	r := from([]byte("times"))
	times := []time.Time{{}, time.Time{}.Add(1), time.Unix(0, 0).UTC(), time.Unix(-1, 999_999_999).UTC(), testTime, testTime.Add(1),
		time.Date(1, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)}
	for range 500 {
		times = append(times, r.time())
	}
	for _, at := range times {
		packed := appendTime(nil, at)
		if back := parseTime(string(packed)); !back.Equal(at) || back.IsZero() != at.IsZero() || len(packed) != timeSize {
			t.Errorf("%s came back as %s", at, back)
		}
		here := time.FixedZone("here", 3600)
		if !bytes.Equal(appendTime(nil, at.In(here)), packed) {
			t.Errorf("%s is stored differently in another zone", at)
		}
	}
	for range 2000 {
		a, b := times[r.IntN(len(times))], times[r.IntN(len(times))]
		if got, want := bytes.Compare(appendTime(nil, a), appendTime(nil, b)), a.Compare(b); got != want {
			t.Errorf("%s and %s: the bytes compare as %d, want %d", a, b, got, want)
		}
	}
}

// TestTimesInScripts: the scripts understand the times of any year as we do.
func TestTimesInScripts(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	now := s.Now()
	past := []time.Time{time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 5, time.UTC), time.Unix(0, 0).UTC(),
		time.Date(2001, 9, 9, 1, 46, 40, 999_999_999, time.UTC), now.Add(-time.Millisecond)}
	future := []time.Time{now.Add(time.Hour), time.Date(2286, 11, 20, 17, 46, 40, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)}
	var jobs []incident.Job
	for n, due := range append(slices.Clone(past), future...) {
		jobs = append(jobs, incident.Job{Subject: fmt.Sprint(n), Kind: incident.JobClose, Due: due})
	}
	update(t, s, arming(1, keyNumber(1), jobs...))
	leases, err := s.Claim(t.Context(), 100, time.Minute)
	must(t, err)
	if len(leases) != len(past) {
		t.Fatalf("%d jobs are due, want %d", len(leases), len(past))
	}
	for n, l := range leases {
		if !l.Due.Equal(past[n]) {
			t.Errorf("the job %d was due at %s, want %s", n, l.Due, past[n])
		}
	}
}
