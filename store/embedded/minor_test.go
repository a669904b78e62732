package embedded

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// TestNewerMinor lets a newer version add fields and kinds of rows. This one
// works with them and writes back what it does not know.
func TestNewerMinor(t *testing.T) {
	dir := t.TempDir()
	s := filled(t, "file:"+dir, Options{Now: frozen}, keys)
	ks, err := s.keyState(sum("key", 0))
	if err != nil {
		t.Fatal(err)
	}
	id := ks.Incident
	unknown := protowire.AppendString(protowire.AppendTag(nil, 200, protowire.BytesType), "from the future")
	unknown = protowire.AppendVarint(protowire.AppendTag(unknown, 201, protowire.VarintType), 42)
	unknown = protowire.AppendFixed32(protowire.AppendTag(unknown, 202, protowire.Fixed32Type), 42)
	entry := entryKey(nil, rowEntry, sum("key", 0), sum("alert", 0))
	header, job, doc := idKey(rowIncident, id), jobName("subject 0", incident.JobExpiry, ""), documentKey("token", "a")
	for _, key := range [][]byte{entry, header, contentKey(nil, 1)} {
		addTo(t, s, key, func(v []byte) []byte { return append(v, unknown...) })
	}
	member := func(v []byte) []byte { return append(v[:len(v)-1], `,"from_the_future":[1,{"a":2}]}`...) }
	for _, key := range [][]byte{job, doc} {
		addTo(t, s, key, member)
	}
	for key, value := range map[string]string{"\x73": `{"name":"tocsin","major":1,"minor":7}`, "Znew kind of row": "x"} {
		if err := s.db.Set([]byte(key), []byte(value), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	wantSound(t, dir)

	s = mustOpen(t, "file:"+dir, Options{Now: frozen})
	touch(t, s, id)
	mustClose(t, s)
	s = mustOpen(t, "file:"+dir, Options{Now: frozen})
	for what, key := range map[string][]byte{"entry": entry, "incident": header} {
		if v := value(t, s, key); !bytes.Contains(v, unknown) {
			t.Errorf("%s: the unknown fields are gone: %q", what, v)
		}
	}
	for what, key := range map[string][]byte{"job": job, "document": doc} {
		if v := string(value(t, s, key)); !strings.Contains(v, `"from_the_future":[1,{"a":2}]`) {
			t.Errorf("%s: the unknown member is gone: %s", what, v)
		}
	}
	if v := string(value(t, s, []byte{rowSchema})); !strings.Contains(v, `"minor":7`) {
		t.Errorf("the schema is %s now", v)
	}
	if v := string(value(t, s, []byte("Znew kind of row"))); v != "x" {
		t.Errorf("the row of a new kind: %q", v)
	}
	// What an alert said went along into another incident: the text was copied as it was.
	n := 0
	for _, r := range rowsOf(t, s, rowContent) {
		if bytes.Contains(r, unknown) {
			n++
		}
	}
	if n != 2 {
		t.Errorf("the unknown fields of what an alert said are in %d rows, want 2: the archived one and the copy", n)
	}
	mustClose(t, s)
	wantSound(t, dir)
}

func addTo(t *testing.T, s *Store, key []byte, change func([]byte) []byte) {
	t.Helper()
	if err := s.db.Set(key, change(value(t, s, key)), pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

func value(t *testing.T, s *Store, key []byte) []byte {
	t.Helper()
	v, ok, err := s.get(key)
	if err != nil || !ok {
		t.Fatalf("row %q: %t, %v", key, ok, err)
	}
	return v
}

func rowsOf(t *testing.T, s *Store, kind byte) (values [][]byte) {
	t.Helper()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		values = append(values, bytes.Clone(it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return values
}

// touch writes every kind of row that TestNewerMinor put something into: the
// alert goes on into a new incident and says the same.
func touch(t *testing.T, s *Store, id incident.ID) {
	t.Helper()
	key := incident.Key(sum("key", 0))
	update := func(c incident.Change) {
		t.Helper()
		if err := s.Update(t.Context(), []incident.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	update(incident.Change{ID: sum("touch", 1), Key: key, Fingerprints: []alert.Fingerprint{sum("alert", 0)}, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		old := testPolicy.Change(st.Incident, st.Now)
		old.Leave("warning", st.Now)
		if err := old.Resolve("ann", ""); err != nil {
			return next, err
		}
		old.Into(&next)
		was := st.Entries[0]
		ended := was
		ended.Firing = false
		next.Archive = []incident.Entry{ended}
		opened := testPolicy.Open(incident.Opening{ID: st.NewID(0), Key: key, Rule: "test", Title: "second", By: incident.System,
			Class: incident.Classification{Severity: "warning"}}, st.Now)
		opened.Join(incident.Member{Alert: &alert.Alert{}, Class: incident.Classification{Severity: "warning"}}, false)
		opened.Into(&next)
		is := was
		is.Incident = opened.Incident.ID
		is.Count++
		next.Entries = []incident.EntryWrite{{Entry: is, Was: was}}
		state := *st.Key
		state.Incident = opened.Incident.ID
		next.Key = &state
		next.Jobs = []incident.Job{{Subject: "subject 0", Kind: incident.JobExpiry, Due: st.Now}}
		return next, nil
	}})
	leases, err := s.Claim(t.Context(), 10, 60e9)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := s.Retry(t.Context(), leases[0], testStart.Add(60e9), "again"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutDocument(t.Context(), incident.Document{Type: "token", ID: "a", Version: 1, Data: []byte(`{"b":2}`)}); err != nil {
		t.Fatal(err)
	}
	if i, err := s.Incident(t.Context(), id.String()); err != nil || i.State != incident.Resolved {
		t.Fatal(i, err)
	}
}

// TestJobsOfOlderVersions: one left a place in the order behind that no job has, and
// passed on, in the row of one that nobody is at, what was armed while somebody was.
func TestJobsOfOlderVersions(t *testing.T) {
	dir := t.TempDir()
	now := testStart
	s := mustOpen(t, "file:"+dir, Options{Now: func() time.Time { return now }})
	arm := func(due incident.Job, change int) {
		t.Helper()
		err := s.Update(t.Context(), []incident.Change{{ID: sum("arm", change), Key: sum("key", 0), Step: func(incident.State) (incident.Next, error) {
			return incident.Next{Jobs: []incident.Job{due}}, nil
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	due := incident.Job{Subject: "subject", Kind: incident.JobExpiry, Due: now.Add(time.Hour)}
	arm(due, 1)
	name := jobName(due.Subject, due.Kind, due.Target)
	var j job
	if _, err := s.getJSON(name, &j); err != nil {
		t.Fatal(err)
	}
	j.Armed = now.Add(-time.Hour)
	w := s.writing()
	err := errors.Join(w.putJSON(name, &j), w.batch.Set(jobDueKey(now, name), nil, nil), w.batch.Set(jobDueKey(now, jobName("none", "", "")), nil, nil))
	if err = errors.Join(err, s.apply(w.batch, pebble.Sync), w.batch.Close()); err != nil {
		t.Fatal(err)
	}
	claim := func(want int) []store.Lease {
		t.Helper()
		leases, err := s.Claim(t.Context(), 10, time.Minute)
		if err != nil || len(leases) != want {
			t.Fatalf("claimed %+v (%v), want %d", leases, err, want)
		}
		return leases
	}
	claim(0)
	now = due.Due
	l := claim(1)[0]
	if err := s.Done(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	due.Due, due.NoLater = now.Add(time.Minute), true
	arm(due, 2)
	claim(0)
	mustClose(t, s)
	wantSound(t, dir)
}

// TestNewerMinorKeys: what a newer version wrote about a key, its held alerts
// and the generations is passed on.
func TestNewerMinorKeys(t *testing.T) {
	s := mustOpen(t, "mem:", Options{Now: frozen})
	defer mustClose(t, s)
	const future = `"from_the_future":[1,{"a":2}]`
	key := incident.Key(sum("key", 9))
	for row, value := range map[string]string{
		string(idKey(rowKey, key)):                      `{"key":"` + key.String() + `","rule":"r","by":[],"held":[{"fingerprint":"` + strings.Repeat("0", 32) + `","at":"2026-11-21T03:00:00Z",` + future + `}],` + future + `}`,
		string([]byte{rowGenerations}):                  `{"epoch":3,"list":[{"id":"0000000000000001","text":"",` + future + `}],` + future + `}`,
		"m" + row.FiringName(incident.Generation{7: 1}): string(appendNumber(nil, 1)), // so that it is not forgotten
	} {
		if err := s.db.Set([]byte(row), []byte(value), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.loadGenerations(); err != nil {
		t.Fatal(err)
	}
	change := incident.Change{ID: sum("change", 9), Key: key, Step: func(st incident.State) (incident.Next, error) {
		ks := *st.Key
		ks.Rule = "changed"
		return incident.Next{Key: &ks}, nil
	}}
	if err := s.Update(t.Context(), []incident.Change{change}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetGeneration(t.Context(), store.Generation{ID: incident.Generation{7: 2}}); err != nil {
		t.Fatal(err)
	}
	if v := string(value(t, s, idKey(rowKey, key))); strings.Count(v, future) != 2 || !strings.Contains(v, `"changed"`) {
		t.Errorf("the key: got %s, want it changed, with two unknown members", v)
	}
	if v := string(value(t, s, []byte{rowGenerations})); strings.Count(v, future) != 2 || !strings.Contains(v, "0000000000000002") {
		t.Errorf("the generations: got %s, want a second one, with two unknown members", v)
	}
}
