package transfer

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

func summed(t *testing.T, units ...Unit) (s Sums) {
	t.Helper()
	var buf []byte
	for _, u := range units {
		var err error
		if buf, err = s.sum(u, buf); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestSums: the order does not matter, everything else does.
func TestSums(t *testing.T) {
	var units []Unit
	for n := range 100 {
		units = append(units, &Counter{Name: strings.Repeat("x", n), Value: int64(n)}, &TimelineEntry{Seq: uint64(n), Row: []byte("row")})
	}
	want := summed(t, units...)
	if want.Units() != 200 || want[Counters].Count != 100 || want[TimelineEntries].Count != 100 {
		t.Fatalf("got %+v", want)
	}
	rand.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	if got := summed(t, units...); got != want {
		t.Errorf("in another order: got %+v, want %+v", got, want)
	}
	left, right := summed(t, units[:70]...), summed(t, units[70:]...)
	if left.add(&right); left != want {
		t.Errorf("in two parts: got %+v, want %+v", left, want)
	}
	for name, other := range map[string][]Unit{
		"one is missing":          units[1:],
		"one is twice":            append([]Unit{units[0]}, units...),
		"one is twice, one less":  append([]Unit{units[0]}, units[:199]...),
		"two are there twice":     append([]Unit{units[0], units[0]}, units[:198]...),
		"one is another":          append([]Unit{&Counter{Name: "y"}}, units[1:]...),
		"one is of another owner": append([]Unit{&TimelineEntry{Incident: incident.ID{1}, Row: []byte("row")}}, units[1:]...),
	} {
		if summed(t, other...) == want {
			t.Errorf("%s: the sums are the same", name)
		}
	}
}

// TestUnitsDiffer: whatever is known of a unit is part of its checksum.
func TestUnitsDiffer(t *testing.T) {
	now := time.Unix(1, 2)
	seen := map[Checksum]int{}
	for n, u := range []Unit{
		&Alert{}, &Alert{Said: []byte{}}, &Alert{Said: []byte("a")}, &Alert{Archived: true}, &Alert{Owner: [16]byte{1}}, &Alert{Entry: incident.Entry{Fingerprint: [16]byte{1}}},
		&Alert{Entry: incident.Entry{Count: 1}}, &Alert{Entry: incident.Entry{LastSeen: now}}, &Alert{Entry: incident.Entry{Unknown: []byte{8, 1}}},
		&Job{}, &Job{Subject: "a"}, &Job{Kind: "a"}, &Job{Target: "a"}, &Job{Error: "a"}, &Job{Attempts: 1}, &Job{Due: now}, &Job{Due: now.Add(1)}, &Job{Unknown: []byte(`{"a":1}`)},
		&Document{Document: incident.Document{ID: "a"}}, &Document{Document: incident.Document{Type: "a"}}, &Document{Document: incident.Document{Version: 1}},
		&Document{Document: incident.Document{Data: []byte(`{}`)}}, &Document{Document: incident.Document{Data: []byte(`{"a":1}`)}},
		&Document{Document: incident.Document{UpdatedAt: now}}, &Document{Unknown: []byte(`{"a":1}`)},
		&Number{Day: "20261121"}, &Number{Day: "20261121", Shard: 1}, &Number{Day: "20261121", Last: 1}, &Counter{}, &Counter{Name: "a"}, &Counter{Value: -1},
		&TimelineEntry{}, &TimelineEntry{Seq: 1}, &TimelineEntry{Row: []byte{1}}, &Key{}, &Key{incident.KeyState{Rule: "a"}}, &Generations{},
		&Incident{&incident.Incident{}}, &Incident{&incident.Incident{Occurrences: 1}}, &Incident{&incident.Incident{Labels: map[string]string{}}},
	} {
		s := summed(t, u)
		sum := s[u.kind()]
		if other, taken := seen[sum.Check]; taken || sum.Count != 1 {
			t.Errorf("unit %d, %T: the same sum as %d", n, u, other)
		}
		seen[sum.Check] = n
	}
}

// TestDocumentsMeanTheSame: however they are written.
func TestDocumentsMeanTheSame(t *testing.T) {
	a := summed(t, &Document{Document: incident.Document{Data: []byte(` { "a" : "ä\/" } `)}})
	if b := summed(t, &Document{Document: incident.Document{Data: []byte(`{"a":"\u00e4/"}`)}}); a != b {
		t.Error("the sums of equal documents differ")
	}
	if _, err := a.sum(&Document{Document: incident.Document{Type: "t", ID: "i", Data: []byte(`{"a"`)}}, nil); err == nil || !strings.Contains(err.Error(), "document t i") {
		t.Errorf("no JSON: got %v", err)
	}
}

func TestChecksumText(t *testing.T) {
	c := Checksum{1, math.MaxUint64, 0, 1 << 63}
	const want = "8000000000000000" + "0000000000000000" + "ffffffffffffffff" + "0000000000000001"
	if c.String() != want {
		t.Errorf("got %s, want %s", c, want)
	}
	var back Checksum
	if err := back.UnmarshalText([]byte(want)); err != nil || back != c {
		t.Errorf("back: got %v, %v", back, err)
	}
	for _, text := range []string{"", want[1:], strings.Repeat("x", 64)} {
		if err := back.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a checksum", text)
		}
	}
	most := Checksum{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64}
	if most.add(Checksum{1}); most != (Checksum{}) {
		t.Errorf("one more than the most: got %s, want 0", most)
	}
}

// TestProgressIsKept: what a target keeps is what comes back, and what is not
// understood is an error rather than a new beginning.
func TestProgressIsKept(t *testing.T) {
	was := summed(t, &Counter{}, &Job{}, &Job{Kind: "a"})
	text, err := json.Marshal(saved{"source", "place", was.byKind()})
	if err != nil {
		t.Fatal(err)
	}
	c := &copying{identity: "source"}
	if err := c.resume(text); err != nil || c.after != "place" || c.report.Sums != was || c.report.Resumed != 3 {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, text := range []string{"x", `{"from":"source","after":"","sums":{"things of tomorrow":{}}}`, string(bytes.Replace(text, []byte("source"), []byte("other"), 1))} {
		if err := (&copying{identity: "source"}).resume([]byte(text)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// TestJobsShard: with its subject.
func TestJobsShard(t *testing.T) {
	key, id := incident.Key{0x45, 1}, incident.ID{15: 7}
	for subject, want := range map[string]byte{key.String(): 5, id.String(): 7} {
		if got := (&Job{Subject: subject}).Shard(); got != want {
			t.Errorf("%s: got shard %d, want %d", subject, got, want)
		}
	}
	for _, subject := range []string{"", "cluster", "source alertmanager", incident.ID{15: 255}.String()} {
		if got := (&Job{Subject: subject}).Shard(); got >= incident.Shards {
			t.Errorf("%q: got shard %d", subject, got)
		}
	}
}
