package dedupe

import (
	"reflect"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// batchOf returns a batch of firing alerts with the given numbers.
func batchOf(key byte, numbers ...byte) *Batch {
	b := &Batch{Place: PlaceOf(incident.Key{key}), Policy: &Policy{FlapChanges: 3}}
	for _, n := range numbers {
		a := &alert.Alert{Status: alert.Firing, Source: "s", StartsAt: at(0), ReceivedAt: at(1), Labels: alert.Labels{{Name: "n", Value: string('a' + rune(n))}}}
		b.Events = append(b.Events, Event{Alert: a, Fingerprint: alert.Fingerprint{n}, Class: &incident.Classification{Severity: "warning"}})
	}
	return b
}

func stateOf(b *Batch) incident.State {
	st := incident.State{Now: at(1), NewID: func(n int) incident.ID { return incident.ID{9, byte(n)} }}
	for _, fp := range b.Fingerprints() {
		st.Entries = append(st.Entries, incident.Entry{Fingerprint: fp})
	}
	return st
}

// TestStepAgain: a step says the same each time, and what it said before stays as it was.
func TestStepAgain(t *testing.T) {
	b := batchOf(1, 1, 2, 1, 3)
	st := stateOf(b)
	first, err := b.Step(st)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Step(st)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Entries) != 3 || !reflect.DeepEqual(first, second) {
		t.Errorf("the second run: got %+v, want what the first said: %+v", second, first)
	}
	for i := range second.Entries {
		e := &second.Entries[i].Entry
		e.Count, e.Changes[0] = 99, at(99)
		e.Changes = append(e.Changes, at(98))
	}
	third, err := b.Step(st)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first, third) {
		t.Errorf("after the second was changed: got %+v, want %+v", third, first)
	}
}

// TestStepWritesInPlace: of entries some of which are only patched, the others are written, in order.
func TestStepWritesInPlace(t *testing.T) {
	b := batchOf(1, 1, 2, 3, 4)
	st := stateOf(b)
	next, err := b.Step(st)
	if err != nil {
		t.Fatal(err)
	}
	st.Key, st.Incident = next.Key, next.Incidents[0]
	st.Entries[0], st.Entries[2] = next.Entries[0].Entry, next.Entries[2].Entry
	if next, err = b.Step(st); err != nil {
		t.Fatal(err)
	}
	if len(next.Entries) != 2 || next.Entries[0].Entry.Fingerprint != b.Events[1].Fingerprint || next.Entries[1].Entry.Fingerprint != b.Events[3].Fingerprint ||
		next.Entries[0].Was.Exists() || next.Entries[1].Content != b.Events[3].Alert {
		t.Errorf("written: got %+v, want the second and the fourth", next.Entries)
	}
	if len(next.Patches) != 2 || next.Patches[0].Fingerprint != b.Events[0].Fingerprint || next.Patches[1].Fingerprint != b.Events[2].Fingerprint {
		t.Errorf("patched: got %+v, want the first and the third", next.Patches)
	}
}

// TestRoom: batches that share room do not get in each other's way, and one that it has no room for does without.
func TestRoom(t *testing.T) {
	many := make([]byte, 100)
	for i := range many {
		many[i] = byte(i % 50)
	}
	batches := []*Batch{batchOf(1, 1, 2, 1), batchOf(2, 7, 7), batchOf(3, many...), batchOf(4, 5)}
	room := NewRoom(3 + 2 + 100)
	states := make([]incident.State, len(batches))
	for i, b := range batches {
		room.For(b)
		states[i] = stateOf(b)
		if _, err := b.Step(states[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range batches {
		alone := &Batch{Place: b.Place, Policy: b.Policy, Events: b.Events}
		if want := stateOf(alone); !reflect.DeepEqual(states[i].Entries, want.Entries) {
			t.Errorf("batch %d: fingerprints: got %v, want %v", i, states[i].Entries, want.Entries)
		}
		if _, err := alone.Step(states[i]); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(b.Outcomes, alone.Outcomes) || len(b.Outcomes) != len(b.Events) {
			t.Errorf("batch %d: outcomes: got %v, want %v", i, b.Outcomes, alone.Outcomes)
		}
	}
}
