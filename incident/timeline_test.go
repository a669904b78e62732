package incident

import (
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// TestTimelineShowsChanges: any change of any entry breaks the chain there.
func TestTimelineShowsChanges(t *testing.T) {
	s := begin(t, Opening{Title: "x"})
	s.must(1, acknowledge)
	s.must(2, func(e *Edit) error { return e.Note("ana", "before", at(-5)) }, resolve)
	if n, ok := VerifyTimeline(nil); !ok || n != 0 {
		t.Errorf("no entries: got %d, %v", n, ok)
	}
	for name, change := range map[string]func(e *TimelineEntry){
		"incident": func(e *TimelineEntry) { e.Incident = ID{9} },
		"seq":      func(e *TimelineEntry) { e.Seq++ },
		"at":       func(e *TimelineEntry) { e.At = e.At.Add(time.Nanosecond) },
		"recorded": func(e *TimelineEntry) { e.RecordedAt = e.RecordedAt.Add(time.Second) },
		"late":     func(e *TimelineEntry) { e.Late = !e.Late },
		"who":      func(e *TimelineEntry) { e.Who = "eve" },
		"action":   func(e *TimelineEntry) { e.Action += "!" },
		"text":     func(e *TimelineEntry) { e.Text = "" },
		"who and action": func(e *TimelineEntry) {
			e.Who, e.Action = e.Who+e.Action[:1], e.Action[1:]
		},
		"count": func(e *TimelineEntry) { e.Count++ },
		"hash":  func(e *TimelineEntry) { e.Hash = "" },
	} {
		for n := range s.timeline {
			forged := slices.Clone(s.timeline)
			change(&forged[n])
			if broken, ok := VerifyTimeline(forged); ok || broken != uint64(n)+1 {
				t.Errorf("%s of entry %d: got entry %d, %v", name, n+1, broken, ok)
			}
			// Whoever makes the hash fit breaks the next one.
			if n+1 < len(forged) && name != "hash" && name != "seq" {
				previous := ""
				if n > 0 {
					previous = forged[n-1].Hash
				}
				forged[n].Hash = forged[n].Sum(previous)
				if broken, ok := VerifyTimeline(forged); ok || broken != uint64(n)+2 {
					t.Errorf("%s of entry %d, with a new hash: got entry %d, %v", name, n+1, broken, ok)
				}
			}
		}
	}
	for name, forged := range map[string][]TimelineEntry{
		"without the first": s.timeline[1:], "without one": slices.Delete(slices.Clone(s.timeline), 1, 2),
		"in another order": {s.timeline[1], s.timeline[0], s.timeline[2], s.timeline[3]}, "twice": slices.Concat(s.timeline, s.timeline),
	} {
		if _, ok := VerifyTimeline(forged); ok {
			t.Errorf("%s: all fit", name)
		}
	}
	if s.timeline[len(s.timeline)-1].Hash != s.incident.TimelineHash {
		t.Error("a cut at the end would not show in the incident")
	}
}

// TestJSONKeepsEverything: what is said in JSON comes back, and an edit keeps
// what a newer version stored.
func TestJSONKeepsEverything(t *testing.T) {
	s := begin(t, Opening{Title: "x", StartedAt: at(-1), Class: Classification{Severity: "critical", Team: "db"}})
	s.must(1, func(e *Edit) error {
		e.Join(member("a", "critical", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	s.must(2, acknowledge, resolve, reopen)
	text, err := json.Marshal(s.incident, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	var back Incident
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(&back, json.Deterministic(true)); err != nil || string(again) != string(text) {
		t.Errorf("got  %s (%v)\nwant %s", again, err, text)
	}
	back.Unknown = []byte{1, 2, 3}
	e := s.policy.Change(&back, at(3))
	if err := e.Acknowledge("ana", ""); err != nil || !slices.Equal(e.Incident.Unknown, back.Unknown) {
		t.Errorf("what a newer version wrote: got %v after an edit (%v), want it kept", e.Incident.Unknown, err)
	}
	e2 := TimelineEntry{Incident: ID{1}, Seq: 1, At: at(1), RecordedAt: at(2), Late: true, Who: "a", Action: "b", Text: "c", Count: 3}
	e2.Hash = e2.Sum("")
	text, err = json.Marshal(e2)
	if err != nil {
		t.Fatal(err)
	}
	var got TimelineEntry
	if err := json.Unmarshal(text, &got); err != nil || got.Sum("") != e2.Hash {
		t.Errorf("timeline entry: got %+v (%v), want %+v", got, err, e2)
	}
}

// TestEntryApply: repeats are commutative, and revive nothing.
func TestEntryApply(t *testing.T) {
	patches := []Patch{{Count: 1, LastSeen: at(3), ValidUntil: at(9)}, {Count: 2, LastSeen: at(5), ValidUntil: at(7)}, {Count: 1}}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		e := Entry{FirstSeen: at(1), LastSeen: at(1), Firing: true, ValidUntil: at(2), Count: 1}
		for _, n := range order {
			e.Apply(patches[n])
		}
		if e.Count != 5 || !e.LastSeen.Equal(at(5)) || !e.ValidUntil.Equal(at(9)) {
			t.Errorf("order %v: got %+v", order, e)
		}
	}
	over := Entry{FirstSeen: at(1), End: at(2)}
	if over.Apply(patches[0]); over.Firing || !over.ValidUntil.IsZero() {
		t.Errorf("ended: got %+v", over)
	}
	endless := Entry{FirstSeen: at(1), Firing: true}
	if endless.Apply(patches[0]); !endless.ValidUntil.IsZero() || endless.Validity() != 0 {
		t.Errorf("without an end: got %+v", endless)
	}
}
