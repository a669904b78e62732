package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store/row"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// copyFolder copies from one folder to another.
func copyFolder(t *testing.T, from, to string, o Options) (transfer.Report, error) {
	t.Helper()
	return copyUntil(t, t.Context(), from, to, o, nil)
}

func copyUntil(t *testing.T, ctx context.Context, from, to string, o Options, watch func(transfer.Progress)) (transfer.Report, error) {
	t.Helper()
	source, err := OpenSource(from, o)
	if err != nil {
		return transfer.Report{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	target, err := OpenTarget(to, o)
	if err != nil {
		return transfer.Report{}, err
	}
	report, err := transfer.Copy(ctx, source, target, transfer.Options{Watch: watch})
	return report, errors.Join(err, target.Close())
}

// TestCopyPassesOnWhatIsNewer: fields of a newer version come along, and kinds of
// rows that this version cannot know stop the copy.
func TestCopyPassesOnWhatIsNewer(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	s := filled(t, "file:"+from, Options{Now: frozen}, keys)
	ks, err := s.keyState(sum("key", 0))
	if err != nil {
		t.Fatal(err)
	}
	unknown := protowire.AppendString(protowire.AppendTag(nil, 200, protowire.BytesType), "from the future")
	member := `,"from_the_future":[1, {"a":"\u00e4"}]}`
	binary := map[string][]byte{"entry": entryKey(nil, rowEntry, sum("key", 0), sum("alert", 0)), "incident": idKey(rowIncident, ks.Incident),
		"content": contentKey(nil, 1), "timeline": timelineKey(ks.Incident, 1)}
	text := map[string][]byte{"job": jobName("subject 0", incident.JobExpiry, ""), "document": documentKey("token", "a"),
		"key": idKey(rowKey, sum("key", 0)), "generations": {rowGenerations}}
	for _, key := range binary {
		addTo(t, s, key, func(v []byte) []byte { return append(v, unknown...) })
	}
	for _, key := range text {
		addTo(t, s, key, func(v []byte) []byte { return append(v[:len(v)-1], member...) })
	}
	const counter = "mfuture\x00counter"
	for key, value := range map[string][]byte{"\x73": []byte(`{"name":"tocsin","major":1,"minor":7}`), counter: appendNumber(nil, 42)} {
		if err := s.db.Set([]byte(key), value, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, s)
	if _, err := copyFolder(t, "file:"+from, "file:"+to, Options{}); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, "file:"+to, Options{Now: frozen})
	for what, key := range binary {
		if what == "content" {
			continue // its number is another one
		}
		if v := value(t, s, key); !bytes.Contains(v, unknown) {
			t.Errorf("%s: the unknown fields are gone: %q", what, v)
		}
	}
	if n := bytes.Count(bytes.Join(rowsOf(t, s, rowContent), nil), unknown); n != 1 {
		t.Errorf("the unknown fields of what an alert said are there %d times", n)
	}
	for what, key := range text {
		if v := string(value(t, s, key)); !strings.Contains(v, `"from_the_future":[1,{"a":"ä"}]`) {
			t.Errorf("%s: the unknown member is gone: %s", what, v)
		}
	}
	if n := parseNumber(value(t, s, []byte(counter))); n != 42 {
		t.Errorf("the unknown counter is %d, want 42", n)
	}
	mustClose(t, s)

	s = mustOpen(t, "file:"+from, Options{Now: frozen})
	if err := s.db.Set([]byte("Znew kind of row"), []byte("x"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	_, err = copyFolder(t, "file:"+from, "file:"+t.TempDir(), Options{})
	wantError(t, "a row of a kind that is not known", err, "Znew kind of row", "copy with the version that wrote it")
}

// TestCopyFindsDamage: what is damaged is not copied as if it were whole.
func TestCopyFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(s *Store) error
		want   string
	}{
		"what an alert said is missing": {func(s *Store) error { return s.db.Delete(contentKey(nil, 1), pebble.Sync) }, "tocsin store verify"},
		"an entry is cut": {func(s *Store) error {
			return s.db.Set(entryKey(nil, rowEntry, sum("key", 0), sum("alert", 0)), []byte{0xff}, pebble.Sync)
		}, "entry"},
		"a job's name is cut": {func(s *Store) error { return s.db.Set([]byte("Jx"), []byte(`{}`), pebble.Sync) }, "not a job"},
		"a key is too long":   {func(s *Store) error { return s.db.Set([]byte("kx"), []byte(`{}`), pebble.Sync) }, "the key has 2 bytes, not 17"},
	} {
		t.Run(name, func(t *testing.T) {
			from := "file:" + t.TempDir()
			s := filled(t, from, Options{Now: frozen}, keys)
			if err := c.damage(s); err != nil {
				t.Fatal(err)
			}
			s.hot.complete.Store(false)
			mustClose(t, s)
			_, err := copyFolder(t, from, "file:"+t.TempDir(), Options{})
			wantError(t, "copy", err, c.want)
		})
	}
}

// TestImportTwice: writing everything once more changes nothing.
func TestImportTwice(t *testing.T) {
	from := "file:" + t.TempDir()
	mustClose(t, filled(t, from, Options{Now: frozen}, 100))
	source, err := OpenSource(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }() // it was only read
	target, err := OpenTarget("file:"+t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = target.Close() }() // again, if the test has done it
	if _, err := target.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	var rows [2]map[string]string
	for n := range rows {
		if err := source.Export(t.Context(), "", func(p transfer.Page) error { return target.Import(t.Context(), p.Units) }); err != nil {
			t.Fatal(err)
		}
		rows[n] = map[string]string{}
		it, err := target.s.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		for ok := it.First(); ok; ok = it.Next() {
			if it.Key()[0] != rowJob { // a token is never the same
				rows[n][string(it.Key())] = string(it.Value())
			}
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(rows[0]) < 300 || len(rows[1]) != len(rows[0]) {
		t.Errorf("%d rows, then %d", len(rows[0]), len(rows[1]))
	}
	for k, v := range rows[0] {
		if rows[1][k] != v {
			t.Errorf("row %q was %q and is %q", k, v, rows[1][k])
		}
	}
}

// TestPowerCutWhileCopying: all that was not synced is gone, and the copy goes on
// behind what is there. Four pages are copied here, and the fifth is compared; of what
// was not synced the odd ones leave a half.
func TestPowerCutWhileCopying(t *testing.T) {
	const alerts = transfer.PageUnits + 200
	fs := vfs.NewCrashableMem()
	mustClose(t, filled(t, "file:from", Options{Now: frozen, FS: fs}, alerts))
	for _, moment := range []int{1, 2, 4, 5} {
		ctx, cancel := context.WithCancel(t.Context())
		pages := 0
		var dead *vfs.MemFS
		_, err := copyUntil(t, ctx, "file:from", fmt.Sprint("file:to", moment), Options{FS: fs}, func(p transfer.Progress) {
			if pages++; pages == moment {
				dead = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (moment % 2), RNG: rand.New(rand.NewPCG(uint64(moment), 2))})
				cancel()
			}
		})
		cancel()
		if dead == nil {
			t.Fatalf("it ended before it was cut behind page %d: %v", moment, err)
		}
		o := Options{FS: dead}
		if _, err := copyFolder(t, "file:from", fmt.Sprint("file:to", moment), o); err != nil {
			t.Fatalf("after a cut behind page %d: %v", moment, err)
		}
		report, err := verifyRows(dead, fmt.Sprint("to", moment), nil)
		if err != nil || len(report.Problems) > 0 || report.Alerts != alerts {
			t.Errorf("after a cut behind page %d: %+v, %v", moment, report, err)
		}
	}
}

// TestTargetDiskFull: the copy ends with an error and goes on when there is space.
func TestTargetDiskFull(t *testing.T) {
	from, to := "file:"+t.TempDir(), "file:"+t.TempDir()
	mustClose(t, filled(t, from, Options{Now: frozen}, 20))
	source, err := OpenSource(from, Options{})
	if err != nil {
		t.Fatal(err)
	}
	target, err := OpenTarget(to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	target.s.opts.Reserve = 1 << 62 // more than there is
	_, err = transfer.Copy(t.Context(), source, target, transfer.Options{})
	if !errors.Is(err, errDiskFull) {
		t.Errorf("got %v, want %v", err, errDiskFull)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	mustClose(t, target.s)
	if _, err := copyFolder(t, from, to, Options{}); err != nil {
		t.Error(err)
	}
	wantSound(t, strings.TrimPrefix(to, "file:"))
}

// TestUnfinishedByAnotherVersion: who does not know what was begun leaves it alone.
func TestUnfinishedByAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, "file:"+dir, Options{})
	if err := s.db.Set([]byte{rowSchema}, []byte(`{"name":"`+unfinished+`","major":1,"minor":9}`), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	from := "file:" + t.TempDir()
	mustClose(t, filled(t, from, Options{Now: frozen}, 1))
	_, err := copyFolder(t, from, "file:"+dir, Options{})
	wantError(t, "copy", err, "another version (schema 1.9)")
}

// TestCountersAreCounted: those of the source may be wrong, what they count is not.
func TestCountersAreCounted(t *testing.T) {
	from, to := "file:"+t.TempDir(), t.TempDir()
	s := filled(t, from, Options{Now: frozen}, 10)
	if err := s.db.Set(append([]byte{rowCounter}, row.FiringName(testGeneration)...), appendNumber(nil, 77), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if _, err := copyFolder(t, from, "file:"+to, Options{}); err != nil {
		t.Fatal(err)
	}
	wantSound(t, to)
}

// TestCopyOfNothingSaid: to have said nothing is not the same as not to be known,
// whichever way it is read: neighbours are read together.
func TestCopyOfNothingSaid(t *testing.T) {
	for _, changes := range []int{1, keys} {
		from, to := "file:"+t.TempDir(), t.TempDir()
		s := filled(t, from, Options{Now: frozen}, changes)
		if err := s.db.Set(contentKey(nil, 1), nil, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		if _, err := copyFolder(t, from, "file:"+to, Options{}); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, "file:"+to, Options{Now: frozen})
		empty := 0
		for _, v := range rowsOf(t, s, rowContent) {
			if len(v) == 0 {
				empty++
			}
		}
		if empty != 1 {
			t.Errorf("%d alerts: %d said nothing, want 1", changes, empty)
		}
	}
}

// TestCopyEndsLeases: a job that was leased is due again when it was, also if it was
// armed meanwhile to be no later, and one that was disarmed is gone.
func TestCopyEndsLeases(t *testing.T) {
	from, to := "file:"+t.TempDir(), t.TempDir()
	now := testStart.Add(2 * time.Hour)
	s := filled(t, from, Options{Now: frozen}, 3)
	mustClose(t, s)
	s = mustOpen(t, from, Options{Now: func() time.Time { return now }})
	leases, err := s.Claim(t.Context(), 10, time.Hour)
	if err != nil || len(leases) != 3 {
		t.Fatal(leases, err)
	}
	disarm := incident.Change{ID: sum("disarm", 0), Key: sum("key", 0), Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Jobs: []incident.Job{{Subject: "subject 0", Kind: incident.JobExpiry},
			{Subject: "subject 2", Kind: incident.JobExpiry, Due: now.Add(time.Hour), NoLater: true}}}, nil
	}}
	if err := s.Update(t.Context(), []incident.Change{disarm}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if _, err := copyFolder(t, from, "file:"+to, Options{}); err != nil {
		t.Fatal(err)
	}
	wantSound(t, to)
	s = mustOpen(t, "file:"+to, Options{Now: func() time.Time { return now }})
	if rows := rowsOf(t, s, rowJob); len(rows) != 2 {
		t.Errorf("%d jobs, want 2", len(rows))
	}
	leases, err = s.Claim(t.Context(), 10, time.Hour)
	if err != nil || len(leases) != 2 || leases[0].Subject != "subject 1" || leases[0].Attempts != 2 || leases[1].Subject != "subject 2" {
		t.Fatalf("got %+v, %v, want subject 1 for the second time, and subject 2", leases, err)
	}
	for _, l := range leases {
		if want := testStart.Add(time.Hour); !l.Due.Equal(want) {
			t.Errorf("%s is due at %s, want %s", l.Subject, l.Due, want)
		}
	}
}
