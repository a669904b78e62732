package embedded

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/row"
)

// filled is a store with numbered changes, an archive, documents, jobs and repeats.
func filled(t *testing.T, url string, o Options, changes int) *Store {
	t.Helper()
	s := mustOpen(t, url, o)
	if _, err := s.SetGeneration(t.Context(), store.Generation{ID: testGeneration, Text: []byte("text")}); err != nil {
		t.Fatal(err)
	}
	for n := range changes {
		if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.PutDocument(t.Context(), incident.Document{Type: "token", ID: "a", Data: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func backupTo(t *testing.T, s *Store, path string) {
	t.Helper()
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBackup(t *testing.T) {
	for _, c := range []struct {
		name, url string
		o         Options
	}{
		{"of a folder", "file:" + t.TempDir(), Options{Now: frozen}},
		{"of memory", "mem:", Options{Now: frozen}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const changes = 40
			s := filled(t, c.url, c.o, changes)
			archive := filepath.Join(t.TempDir(), "backup.tar")
			backupTo(t, s, archive)
			if names, err := s.fs().List(s.dir); err != nil || strings.Contains(strings.Join(names, " "), backupFolder) {
				t.Errorf("left in the folder: %q (%v)", names, err)
			}
			// What comes after is not in it.
			if err := s.Update(t.Context(), []incident.Change{numbered(changes)}); err != nil {
				t.Fatal(err)
			}
			report := wantSound(t, archive)
			if report.Incidents != keys || report.Alerts != changes || report.TimelineEntries != changes+keys {
				t.Errorf("got %+v, want %d incidents and %d alerts", report, keys, changes)
			}
			dir := filepath.Join(t.TempDir(), "new", "folder")
			if err := Restore(archive, dir); err != nil {
				t.Fatal(err)
			}
			wantSound(t, dir)
			restored := mustOpen(t, "file:"+dir, Options{Now: frozen})
			there := present(t, restored, changes+1)
			for n := range changes {
				if !there[n] {
					t.Errorf("change %d is not in the restored store", n)
				}
			}
			if there[changes] {
				t.Error("a change after the backup is in the restored store")
			}
			if d, err := restored.Document(t.Context(), "token", "a"); err != nil || string(d.Data) != `{"a":1}` {
				t.Errorf("got document %+v, %v", d, err)
			}
			// And it goes on where the other was.
			if err := restored.Update(t.Context(), []incident.Change{numbered(changes)}); err != nil {
				t.Fatal(err)
			}
			mustClose(t, restored)
			wantSound(t, dir)
		})
	}
}

func TestBackupWhileWriting(t *testing.T) {
	s := filled(t, "file:"+t.TempDir(), Options{Now: frozen}, 10)
	const workers, each = 3, 60
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[int]bool{}
	for worker := range workers {
		wg.Go(func() {
			for m := range each {
				n := 100 + worker*each + m
				if err := s.Update(t.Context(), []incident.Change{numbered(n)}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				acknowledged[n] = true
				mu.Unlock()
			}
		})
	}
	for round := range 4 {
		mu.Lock()
		before := map[int]bool{}
		for n := range acknowledged {
			before[n] = true
		}
		mu.Unlock()
		archive := filepath.Join(t.TempDir(), "backup.tar")
		backupTo(t, s, archive)
		wantSound(t, archive)
		dir := t.TempDir()
		if err := Restore(archive, dir); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		restored := mustOpen(t, "file:"+dir, Options{Now: frozen})
		wantPresent(t, restored, before, 100+workers*each)
		mustClose(t, restored)
	}
	wg.Wait()
}

func TestBackupEnds(t *testing.T) {
	dir := t.TempDir()
	s := filled(t, "file:"+dir, Options{Now: frozen}, 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("whose caller has gone: got %v", err)
	}
	broken := errors.New("the reader has gone")
	if err := s.Backup(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken })); !errors.Is(err, broken) {
		t.Errorf("whose reader has gone: got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, backupFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a backup that ended early left its folder: %v", err)
	}
	// One that was killed leaves it to the next start.
	if err := os.MkdirAll(filepath.Join(dir, backupFolder, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = mustOpen(t, "file:"+dir, Options{Now: frozen})
	if _, err := os.Stat(filepath.Join(dir, backupFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next start left the folder of a backup that was killed: %v", err)
	}
	mustClose(t, s)
	if err := s.Backup(t.Context(), io.Discard); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("of a closed store: got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// member is one file of an archive that a test makes.
type member struct {
	tar.Header
	data string
}

func archiveOf(t *testing.T, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size, m.Mode = int64(len(m.data)), 0o600
		if err := w.WriteHeader(&m.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "made.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHostileArchive: nothing is written outside of the folder, and nothing is left in it.
func TestHostileArchive(t *testing.T) {
	list := member{tar.Header{Name: manifestName}, `{"files":[]}`}
	file := func(name string) member { return member{tar.Header{Name: name}, "data"} }
	for name, members := range map[string][]member{
		"out of the folder":       {file("../evil"), list},
		"deep out of the folder":  {file("a/../../evil"), list},
		"absolute":                {file("/tmp/evil"), list},
		"backslashes":             {file(`..\evil`), list},
		"in a folder":             {file("sub/file"), list},
		"hidden":                  {file(".evil"), list},
		"with NUL":                {file("a\x01b"), list},
		"the stage itself":        {file(restoringFolder), list},
		"a link":                  {{tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""}, list},
		"a hard link":             {{tar.Header{Name: "link", Typeflag: tar.TypeLink, Linkname: "CURRENT"}, ""}, list},
		"a folder":                {{tar.Header{Name: "folder", Typeflag: tar.TypeDir}, ""}, list},
		"a device":                {{tar.Header{Name: "device", Typeflag: tar.TypeChar}, ""}, list},
		"the same file twice":     {file("000001.sst"), file("000001.sst"), list},
		"two manifests":           {list, list},
		"a file after the list":   {list, file("000001.sst")},
		"no manifest":             {file("000001.sst")},
		"a manifest of no kind":   {{tar.Header{Name: manifestName}, `{"files":`}},
		"nothing":                 {},
		"a file that is not said": {file("000001.sst"), list},
		"a file that is missing":  {{tar.Header{Name: manifestName}, `{"files":[{"name":"000001.sst","size":4,"sha256":"00"}]}`}},
		"another file than said":  {file("000001.sst"), {tar.Header{Name: manifestName}, `{"files":[{"name":"000001.sst","size":4,"sha256":"00"}]}`}},
		"no store":                {list},
	} {
		t.Run(name, func(t *testing.T) {
			path := archiveOf(t, members...)
			report, err := Verify(path)
			if err == nil && len(report.Problems) == 0 {
				t.Error("verify found nothing wrong")
			}
			around := t.TempDir()
			dir := filepath.Join(around, "store")
			if err := Restore(path, dir); err == nil {
				t.Error("it was restored")
			}
			for _, folder := range []string{around, dir} {
				there, err := os.ReadDir(folder)
				if err != nil || len(there) > 1 || folder == dir && len(there) > 0 {
					t.Errorf("left in %s: %v, %v", filepath.Base(folder), there, err)
				}
			}
		})
	}
}

// TestDamagedArchive changes and cuts a backup at many places.
func TestDamagedArchive(t *testing.T) {
	s := filled(t, "mem:", Options{Now: frozen}, 20)
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	dir := t.TempDir()
	path := filepath.Join(dir, "damaged.tar")
	refused := func(what string, at int, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if report, err := Verify(path); err == nil && len(report.Problems) == 0 {
			t.Errorf("%s at %d of %d bytes: verify found nothing wrong", what, at, len(whole))
		}
	}
	for n := range 40 {
		at := (len(whole)*n + n*37) / 41
		// Within a header some bytes do not matter (owner, time, padding).
		if inData(t, whole, at) {
			flipped := bytes.Clone(whole)
			flipped[at] ^= 1 << (n % 8)
			refused("a flipped bit", at, flipped)
		}
		if at < len(whole)-2*512 {
			refused("cut", at, whole[:at])
		}
	}
}

// inData reports whether a byte of an archive belongs to a file's data.
func inData(t *testing.T, archive []byte, at int) bool {
	t.Helper()
	r := bytes.NewReader(archive)
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		start := len(archive) - r.Len()
		if at >= start && at < start+int(h.Size) && h.Name != manifestName {
			return true
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	s := filled(t, "mem:", Options{Now: frozen}, 5)
	archive := filepath.Join(t.TempDir(), "backup.tar")
	backupTo(t, s, archive)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, "into a folder with a file", Restore(archive, dir), dir, "not empty")
	wantError(t, "into a file", Restore(archive, filepath.Join(dir, "mine")), "mine")
	if there, err := os.ReadDir(dir); err != nil || len(there) != 1 {
		t.Errorf("the folder has %v, %v; want what was there", there, err)
	}
	wantError(t, "of nothing", Restore(filepath.Join(dir, "none.tar"), filepath.Join(t.TempDir(), "x")), "none.tar")

	// A restore that was killed leaves its stage: the folder is no store.
	half := t.TempDir()
	if err := os.Mkdir(filepath.Join(half, restoringFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Open("file:"+half, Options{})
	wantError(t, "opening a folder that was restored in part", err, half, "restore")
}

// TestVerifyFinds breaks one thing after the other, behind the store's back.
func TestVerifyFinds(t *testing.T) {
	id := func(s *Store) incident.ID {
		ks, err := s.keyState(sum("key", 0))
		if err != nil || ks == nil {
			t.Fatal(ks, err)
		}
		return ks.Incident
	}
	header := func(s *Store) *incident.Incident {
		i, err := s.header(id(s))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	change := func(s *Store, do func(*incident.Incident)) (key, value []byte) {
		i := header(s).Clone()
		do(i)
		return idKey(rowIncident, i.ID), row.AppendIncident(nil, i)
	}
	entryOf := func(n int) []byte { return entryKey(nil, rowEntry, sum("key", n%keys), sum("alert", n)) }
	gone := func(key []byte) (k, v []byte) { return key, nil }
	for name, c := range map[string]struct {
		do   func(s *Store) (key, value []byte) // nil deletes
		want string
	}{
		"an incident's alerts": {func(s *Store) (k, v []byte) { return change(s, func(i *incident.Incident) { i.Alerts.Firing-- }) }, "counts"},
		"an incident's state":  {func(s *Store) (k, v []byte) { return change(s, func(i *incident.Incident) { i.State = "closed" }) }, "index"},
		"an incident's reference": {func(s *Store) (k, v []byte) {
			return change(s, func(i *incident.Incident) { i.Reference = "INC-20261121-0001" })
		}, "reference"},
		"an incident's last entry":  {func(s *Store) (k, v []byte) { return change(s, func(i *incident.Incident) { i.TimelineHash = "" }) }, "timeline"},
		"an incident's length":      {func(s *Store) (k, v []byte) { return change(s, func(i *incident.Incident) { i.TimelineLength++ }) }, "timeline"},
		"an incident without sense": {func(s *Store) (k, v []byte) { return idKey(rowIncident, id(s)), []byte{0xff} }, "incident"},
		"an incident that is gone":  {func(s *Store) (k, v []byte) { return gone(idKey(rowIncident, id(s))) }, "does not exist"},
		"a timeline entry": {func(s *Store) (k, v []byte) {
			return timelineKey(id(s), 2), row.AppendTimeline(nil, &incident.TimelineEntry{Text: "x"})
		}, "chain"},
		"a timeline entry gone": {func(s *Store) (k, v []byte) { return gone(timelineKey(id(s), 2)) }, "belongs"},
		"a timeline of nothing": {func(s *Store) (k, v []byte) {
			return timelineKey(incident.ID{1}, 1), row.AppendTimeline(nil, &incident.TimelineEntry{Text: "x"})
		}, "does not exist"},
		"an alert that is gone":  {func(s *Store) (k, v []byte) { return gone(entryOf(0)) }, "counts"},
		"an alert without sense": {func(s *Store) (k, v []byte) { return entryOf(0), []byte{0xff} }, "entry"},
		"a content that is gone": {func(s *Store) (k, v []byte) { return gone(contentKey(nil, 1)) }, "content"},
		"a content of nobody":    {func(s *Store) (k, v []byte) { return contentKey(nil, 1<<40), []byte{} }, "belongs to no alert"},
		"an index entry gone":    {func(s *Store) (k, v []byte) { return gone(append(indexPrefix(fieldAll, ""), position(header(s))...)) }, "index"},
		"an index entry too many": {func(s *Store) (k, v []byte) {
			return append(indexPrefix(fieldState, "closed"), position(header(s))...), []byte{}
		}, "index"},
		"an index entry of nothing": {func(s *Store) (k, v []byte) {
			return append(indexPrefix(fieldAll, ""), make([]byte, positionSize)...), []byte{}
		}, "index"},
		"a reference gone": {func(s *Store) (k, v []byte) { return gone(append([]byte{rowReference}, header(s).Reference...)) }, "reference"},
		"a reference of another": {func(s *Store) (k, v []byte) {
			i := incident.ID{1}
			return append([]byte{rowReference}, header(s).Reference...), i[:]
		}, "reference"},
		"a number that was given out": {func(s *Store) (k, v []byte) { return gone(numberKey("20261121", header(s).ID.Shard())) }, "again"},
		"a job without a time": {func(s *Store) (k, v []byte) {
			return gone(jobDueKey(testStart.Add(60*60e9), jobName("subject 0", "expiry", "")))
		}, "job"},
		"a time without a job": {func(s *Store) (k, v []byte) { return gone(jobName("subject 0", "expiry", "")) }, "job"},
		"a job without sense":  {func(s *Store) (k, v []byte) { return jobName("subject 0", "expiry", ""), []byte("{") }, "job"},
		"a key of another": {func(s *Store) (k, v []byte) {
			return idKey(rowKey, sum("key", 0)), []byte(`{"key":"00000000000000000000000000000000"}`)
		}, "key"},
		"a counter": {func(s *Store) (k, v []byte) {
			return []byte(string(rowCounter) + "incidents\x00open\x00warning"), appendNumber(nil, 99)
		}, "counter"},
		"a counter gone": {func(s *Store) (k, v []byte) { return gone([]byte(string(rowCounter) + "incidents\x00open\x00warning")) }, "counter"},
		"the count of firing alerts": {func(s *Store) (k, v []byte) {
			return []byte(string(rowCounter) + row.FiringName(testGeneration)), appendNumber(nil, 1)
		}, "counter"},
		"a document without sense": {func(s *Store) (k, v []byte) { return documentKey("token", "a"), []byte("{") }, "row"},
		"a list of generations":    {func(s *Store) (k, v []byte) { return []byte{rowGenerations}, []byte("{") }, "row"},
		"a row of no kind":         {func(s *Store) (k, v []byte) { return []byte("?what"), []byte{} }, "no kind"},
		"a key of another size":    {func(s *Store) (k, v []byte) { return []byte("e123"), []byte{} }, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := filled(t, "file:"+dir, Options{Now: frozen}, 2*keys)
			key, value := c.do(s)
			var err error
			if value == nil {
				err = s.db.Delete(key, pebble.Sync)
			} else {
				err = s.db.Set(key, value, pebble.Sync)
			}
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			report, err := Verify(dir)
			if err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), c.want) {
				t.Errorf("got %q, %v; want a problem that says %q", report.Problems, err, c.want)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Verify(filepath.Join(dir, "none"))
	wantError(t, "what is not there", err, "none")
	_, err = Verify(dir)
	wantError(t, "an empty folder", err, dir)
	if there, _ := os.ReadDir(dir); len(there) > 1 { // a LOCK
		t.Errorf("looking at an empty folder made %v", there)
	}
	s := mustOpen(t, "file:"+dir, Options{})
	_, err = Verify(dir)
	wantError(t, "a folder that is in use", err, dir, "in use by another process")
	if err := s.db.Set([]byte{rowSchema}, []byte(`{"name":"tocsin","major":2,"minor":0}`), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	_, err = Verify(dir)
	wantError(t, "a newer store", err, dir, "newer version", "2.0")
	other := t.TempDir()
	db, err := pebble.Open(other, &pebble.Options{FS: vfs.Default, Logger: silent{}, Merger: merger})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Verify(other)
	wantError(t, "another engine's folder", err, "not a store")
}
