package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var removeTests = []test{
	{"nothing of a removed incident is left", removedWhole},
	{"alerts that fire stay", firingStay},
	{"a key goes on after its incident was removed", keyGoesOn},
	{"removing while others write", removeWhileWriting},
	{"removing what is not there", removeNothing},
}

// containsText looks into a row as rows returns it.
func containsText(row, text string) bool { return strings.Contains(row, text) }

// wantForgotten checks that no row names an incident, in any form.
func (f *fixture) wantForgotten(i *incident.Incident) {
	f.Helper()
	_, err := f.Incident(f.ctx(), i.ID.String())
	f.wantErr("the removed incident by id", err, incident.ErrNotFound)
	_, err = f.Incident(f.ctx(), i.Reference)
	f.wantErr("the removed incident by reference", err, incident.ErrNotFound)
	if got := f.timeline(i.ID, 10); len(got) > 0 {
		f.Errorf("timeline of a removed incident: %v", got)
	}
	d, ok := f.Store.(Dumper)
	if !ok {
		return
	}
	for _, row := range d.Rows(f.T) {
		for _, name := range [][]byte{i.ID[:], []byte(i.ID.String()), []byte(i.Reference)} {
			if bytes.Contains(row.Key, name) || bytes.Contains(row.Value, name) {
				f.Errorf("a row still names %s: %q = %q", i.Reference, row.Key, row.Value)
			}
		}
	}
}

// closed opens and closes an incident with two alerts.
func (f *fixture) closed(key incident.Key, n int, text string) *incident.Incident {
	f.Helper()
	f.update(f.send(key, message{n: n, text: text}, message{n: n + 1, text: text}))
	f.update(f.send(key, message{n: n, resolved: true}, message{n: n + 1, resolved: true}))
	i := f.ofKey(key)
	f.update(f.edit(i.ID, closeIt))
	f.update(f.edit(i.ID, func(e *incident.Edit) error { return e.Note("ann", "late word", time.Time{}) }))
	return f.incident(i.ID)
}

func removedWhole(f *fixture) {
	before := len(f.rows())
	key := keyOf(1)
	first := f.closed(key, 1, "first marker")
	// Its alerts go on to a second one, and from there one to a third.
	f.clock.add(time.Hour)
	second := f.closed(key, 1, "second marker")
	f.clock.add(time.Hour)
	third := f.open(key, message{n: 1, text: "third marker"})
	other := f.open(keyOf(2), message{n: 1, text: "other marker"})

	f.must(f.Remove(f.ctx(), first.ID))
	f.wantForgotten(first)
	f.wantNoRow("what a removed alert said", "first marker")
	f.audit()
	f.must(f.Remove(f.ctx(), second.ID))
	f.wantForgotten(second)
	f.wantNoRow("what a removed alert said", "second marker")
	f.audit()
	if got := f.alerts(third.ID, 10); len(got) != 1 || got[0].Content.Annotations.Get("summary") != "third marker" {
		f.Errorf("the incident that stays has the alerts %+v", got)
	}

	f.end(key, 1)
	f.update(f.edit(third.ID, closeIt))
	f.must(f.Remove(f.ctx(), third.ID))
	f.wantForgotten(third)
	f.end(keyOf(2), 1)
	f.update(f.edit(other.ID, closeIt))
	f.must(f.Remove(f.ctx(), other.ID))
	if f.ofKey(key) != nil || f.ofKey(keyOf(2)) != nil {
		f.Error("a key still has an incident")
	}
	if e := f.entry(key, 1); e.Exists() {
		f.Errorf("an entry is left: %+v", e)
	}
	for _, name := range []any{fingerprint(1), fingerprint(2), key, keyOf(2)} {
		f.wantNoRow("a key or fingerprint", fmt.Sprint(name))
	}
	if f.reopen() {
		f.wantForgotten(third)
	}
	f.audit()
	// What is left is a few counters, not rows for each incident.
	if after := len(f.rows()); after > before+30 {
		f.Errorf("%d rows before, %d after all was removed: %q", before, after, f.rows())
	}
}

func firingStay(f *fixture) {
	key := keyOf(1)
	i := f.open(key, message{n: 1, text: "stays"})
	f.update(f.send(key, message{n: 2, text: "goes"}))
	f.update(f.send(key, message{n: 2, resolved: true}))
	f.update(f.edit(i.ID, resolve))
	f.update(f.edit(i.ID, closeIt))
	f.must(f.Remove(f.ctx(), i.ID))
	if e := f.entry(key, 1); !e.Firing || e.Count != 1 {
		f.Errorf("the firing alert: got %+v", e)
	}
	if e := f.entry(key, 2); e.Exists() {
		f.Errorf("the ended alert: got %+v", e)
	}
	f.wantNoRow("what the ended alert said", "goes")
	f.auditFiring()
	if f.ofKey(key) != nil {
		f.Error("the key still names the removed incident")
	}
	if f.reopen() {
		if e := f.entry(key, 1); !e.Firing {
			f.Errorf("after opening again: got %+v", e)
		}
	}
	// It goes on to another incident, and is not kept with one that is no more.
	if next := f.open(key, message{n: 1, text: "goes on"}); next == nil || next.ID == i.ID {
		f.Fatalf("it goes on to %+v", next)
	}
	f.wantForgotten(i)
	f.wantNoRow("what it said in the removed incident", "stays")
	f.audit()
}

func keyGoesOn(f *fixture) {
	key := keyOf(1)
	first := f.closed(key, 1, "")
	f.must(f.Remove(f.ctx(), first.ID))
	f.clock.add(time.Second)
	second := f.open(key, message{n: 1})
	if second == nil || second.ID == first.ID || second.Reference == first.Reference || second.Version != 1 {
		f.Fatalf("got %+v after %+v was removed", second, first)
	}
	f.audit()
}

// removeWhileWriting removes incidents that somebody changes at that moment:
// the indexes and counts must fit whatever came first.
func removeWhileWriting(f *fixture) {
	var all []*incident.Incident
	for n := range 40 {
		all = append(all, f.open(keyOf(n), message{n: n, severity: "warning"}))
	}
	together(2, func(worker int) {
		for _, i := range all {
			if worker == 0 {
				if err := f.Remove(f.ctx(), i.ID); err != nil {
					f.Errorf("remove %s: %v", i.Reference, err)
				}
				continue
			}
			for _, do := range []func(*incident.Edit) error{acknowledge, resolve, note("still here")} {
				if err := f.Update(f.ctx(), []incident.Change{f.edit(i.ID, do)}); err != nil {
					f.wantErr("a change of a removed incident", err, incident.ErrNotFound)
				}
			}
		}
	})
	if list := f.list(store.Query{}, 10); len(list) > 0 {
		f.Errorf("%d incidents are left", len(list))
	}
	f.audit()
	// The alerts fire, and may name the incident that is gone; nothing else may.
	if d, ok := f.Store.(Dumper); ok {
		for _, row := range d.Rows(f.T) {
			for _, i := range all {
				if bytes.Contains(row.Key, i.ID[:]) || bytes.Contains(append(row.Key, row.Value...), []byte(i.ID.String())) {
					f.Errorf("a row names the removed %s: %q = %q", i.Reference, row.Key, row.Value)
				}
			}
		}
	}
}

func removeNothing(f *fixture) {
	f.wantErr("removing nothing", f.Remove(f.ctx(), incident.ID{1}), incident.ErrNotFound)
	i := f.closed(keyOf(1), 1, "")
	f.must(f.Remove(f.ctx(), i.ID))
	f.wantErr("removing it again", f.Remove(f.ctx(), i.ID), incident.ErrNotFound)
}
