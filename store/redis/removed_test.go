package redis

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// TestAlertWhileRemoved: an alert that opens an incident, and a note on an older incident
// of its key that is removed in this moment, are committed together: the alert is not lost.
func TestAlertWhileRemoved(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	other := another(t, server.URL(), Options{})
	key := keyNumber(1)
	old := closedWith(t, s, key, 1)
	policy := &dedupe.Policy{Policy: lifePolicy}
	place := dedupe.PlaceOf(key)
	send := func(n int) (dedupe.Outcome, error) {
		b := &dedupe.Batch{Place: place, Policy: policy, Events: []dedupe.Event{{Fingerprint: alertNumber(n), Generation: madeBy,
			Alert: &alert.Alert{Status: alert.Firing, Source: "test", StartsAt: testTime, ReceivedAt: s.Now(), Labels: alert.FromMap(map[string]string{"alertname": "Test"})},
			Class: &incident.Classification{Severity: "warning", Service: "db"}}}}
		err := s.Update(context.Background(), []incident.Change{{ID: hashed("send", rand.Int()), Key: key, Fingerprints: b.Fingerprints(), Settled: b.Settled, Step: b.Step}})
		if err != nil {
			return dedupe.Outcome{}, err
		}
		return b.Outcomes[0], nil
	}
	_, err := send(0) // fires again: it goes on to another incident, and the first one keeps it in the archive
	must(t, err)
	second := incidentOf(t, s, key)
	if second.ID == old.ID {
		t.Fatal("no other incident")
	}
	update(t, s, ending(20, key, 0))
	update(t, s, editing(21, second.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(22, second.ID, func(e *incident.Edit) error { return e.Close("ann", "") }))
	h := hold(t, s, p, arming(11, key, incident.Job{Subject: "x", Kind: incident.JobExpiry, Due: s.Now().Add(time.Hour)}))
	done := make(chan error, 2)
	go func() {
		done <- s.Update(context.Background(), []incident.Change{editing(13, old.ID, func(e *incident.Edit) error { return e.Note("ann", "late word", testTime) })})
	}()
	await(t, "the note waits", func() bool { return queuing(s, key) == 1 })
	go func() { _, err := send(7); done <- err }()
	await(t, "the alert waits", func() bool { return queuing(s, key) == 2 })
	p.at("before-commit", func() { must(t, other.Remove(context.Background(), old.ID)) })
	must(t, h.goOn())
	for range 2 {
		t.Logf("a change of the group: %v", <-done)
	}
	// The sender sends its alert again, as it was refused.
	for range 3 {
		o, err := send(7)
		t.Logf("sent again: %v %s %v", o.Verdict, o.Incident, err)
		if _, err := other.Incident(t.Context(), o.Incident.String()); err != nil {
			t.Errorf("the alert was taken, and its incident does not exist: %v", err)
		}
	}
}

// TestNoteWhileRemoved: the same with an alert that joins an incident.
func TestNoteWhileRemoved(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	other := another(t, server.URL(), Options{})
	key := keyNumber(1)
	old := closedWith(t, s, key, 2)
	update(t, s, joining(10, key, 0, 1)) // both go on to a new incident
	now := incidentOf(t, s, key)
	if now.ID == old.ID {
		t.Fatal("the same incident")
	}
	// A change is at it; behind it wait an alert and a note on the old incident, which go together.
	h := hold(t, s, p, joining(11, key, 5))
	done := make(chan error, 2)
	go func() { done <- s.Update(t.Context(), []incident.Change{joining(12, key, 6)}) }()
	await(t, "the alert waits", func() bool { return queuing(s, key) == 1 })
	go func() {
		done <- s.Update(t.Context(), []incident.Change{editing(13, old.ID, func(e *incident.Edit) error { return e.Note("ann", "late word", testTime) })})
	}()
	await(t, "the note waits", func() bool { return queuing(s, key) == 2 })
	p.at("before-commit", func() { must(t, other.Remove(t.Context(), old.ID)) }) // of the group
	must(t, h.goOn())
	for range 2 {
		t.Logf("a change of the group: %v", <-done)
	}
	// Whoever got an error sends it again.
	send(t, s, joining(12, key, 6))
	wantTook(t, other, key, 10, 11, 12)
	audit(t, other)
	wantForgotten(t, other, old)
}

// TestResolveWhileRemoved: the end of an alert whose closed incident is removed in the same moment.
func TestResolveWhileRemoved(t *testing.T) {
	t.Parallel()
	p := &points{}
	server, s := alone(t, Options{Failpoint: p.hit})
	other := another(t, server.URL(), Options{})
	key := keyNumber(1)
	policy := &dedupe.Policy{Policy: lifePolicy}
	change := func(status alert.Status, n int) incident.Change {
		a := &alert.Alert{Status: status, Source: "test", StartsAt: testTime, ReceivedAt: s.Now(), Labels: alert.FromMap(map[string]string{"alertname": "Test"})}
		if status == alert.Resolved {
			a.EndsAt = s.Now()
		}
		b := &dedupe.Batch{Place: dedupe.PlaceOf(key), Policy: policy, Events: []dedupe.Event{{Fingerprint: alertNumber(n), Generation: madeBy, Alert: a,
			Class: &incident.Classification{Severity: "warning", Service: "db"}}}}
		return incident.Change{ID: hashed("send", rand.Int()), Key: key, Fingerprints: b.Fingerprints(), Settled: b.Settled, Step: b.Step}
	}
	update(t, s, change(alert.Firing, 1))
	old := incidentOf(t, s, key)
	update(t, s, editing(2, old.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(3, old.ID, func(e *incident.Edit) error { return e.Close("ann", "") })) // by hand: alert 1 still fires
	update(t, s, change(alert.Firing, 2))                                                        // opens another one
	if incidentOf(t, s, key).ID == old.ID {
		t.Fatal("no other incident")
	}
	h := hold(t, s, p, change(alert.Resolved, 1))
	must(t, other.Remove(t.Context(), old.ID))
	t.Logf("the end: %v", h.goOn())
	for range 3 { // sent again
		t.Logf("again: %v", s.Update(t.Context(), []incident.Change{change(alert.Resolved, 1)}))
	}
	firing := int64(0)
	for n := 1; n <= 2; n++ {
		if e := entryOf(t, other, key, n); e.Firing {
			firing++
		}
	}
	_, err := other.SetGeneration(t.Context(), store.Generation{ID: madeBy, Text: []byte("x")})
	must(t, err)
	g, err := other.Generations(t.Context())
	must(t, err)
	if g.Firing[madeBy] != firing {
		t.Errorf("the statistics count %d firing alerts, there are %d", g.Firing[madeBy], firing)
	}
}

// TestArchiveOfRemoved: an alert that still fires when its incident is removed, and then
// goes on to another one, leaves nothing behind.
func TestArchiveOfRemoved(t *testing.T) {
	t.Parallel()
	_, s := alone(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, 1, 2))
	i := incidentOf(t, s, key)
	update(t, s, editing(3, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(4, i.ID, func(e *incident.Edit) error { return e.Close("ann", "") }))
	must(t, s.Remove(t.Context(), i.ID))
	update(t, s, joining(5, key, 1, 2))
	checkPages(t, s)
	for _, r := range (&subject{s, s.url}).Rows(t) {
		if strings.Contains(string(r.Key), "archive") {
			t.Errorf("left for ever: %q", r.Key)
		}
	}
}

var _ store.Place

// TestRemoveWithoutMemory: pages get shorter in a server that is out of memory.
func TestRemoveWithoutMemory(t *testing.T) {
	t.Parallel()
	server, s := alone(t, Options{})
	key := keyNumber(1)
	update(t, s, joining(1, key, numbers(0, 500)...))
	var ended []int
	for n := range 500 {
		if n%3 > 0 {
			ended = append(ended, n)
		}
	}
	update(t, s, ending(2, key, ended...))
	i := incidentOf(t, s, key)
	update(t, s, editing(3, i.ID, func(e *incident.Edit) error { return e.Resolve("ann", "") }))
	update(t, s, editing(4, i.ID, func(e *incident.Edit) error { return e.Close("ann", "") }))
	server.Do("CONFIG", "SET", "maxmemory", "1")
	must(t, s.Remove(t.Context(), i.ID))
	server.Do("CONFIG", "SET", "maxmemory", "0")
	checkPages(t, s)
	list, _, err := s.KeyEntries(t.Context(), key, "", 1000)
	must(t, err)
	if len(list) != 500-len(ended) {
		t.Errorf("%d left", len(list))
	}
}
