package embedded

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// logTo sends a store's log to the test's.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// testStart is the time that tests of this package begin at.
var testStart = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func frozen() time.Time { return testStart }

func mustOpen(t *testing.T, url string, o Options) *Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = logTo(t)
	}
	s, err := Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // again, if the test has done it
	return s
}

func mustClose(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

var testPolicy = incident.Policy{Severities: incident.Scale{"critical", "warning"}, Matrix: incident.DefaultMatrix(),
	CloseAfter: time.Hour, StillFiringAfter: time.Hour, Retention: time.Hour}

var testGeneration = incident.Generation{7}

func sum(kind string, n int) (out [16]byte) {
	full := sha256.Sum256(fmt.Appendf(nil, "%s %d", kind, n))
	copy(out[:], full[:])
	return out
}

// keys is how many keys the numbered changes go round over.
const keys = 5

// numbered is the change with the number n: an alert of its own joins the
// incident of one of a few keys, with an entry in the timeline, a job and what it says.
func numbered(n int) incident.Change {
	key, fp := incident.Key(sum("key", n%keys)), alert.Fingerprint(sum("alert", n))
	return incident.Change{ID: sum("change", n), Key: key, Fingerprints: []alert.Fingerprint{fp}, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		class := incident.Classification{Severity: "warning", Service: "db"}
		a := &alert.Alert{Status: alert.Firing, Source: "test", Labels: alert.FromMap(map[string]string{"alertname": "Test", "n": fmt.Sprint(n)})}
		e := testPolicy.Open(incident.Opening{ID: st.NewID(0), Key: key, Rule: "test", Title: "test", Class: class, By: incident.System}, st.Now)
		if st.Incident != nil {
			e = testPolicy.Change(st.Incident, st.Now)
		} else {
			next.Key = &incident.KeyState{Key: key, Rule: "test", Incident: e.Incident.ID}
		}
		e.Join(incident.Member{Alert: a, Class: class}, false)
		e.Log("test", "took", took(n), 1)
		e.Incident.Occurrences++
		is := incident.Entry{Fingerprint: fp, Source: "test", Generation: testGeneration, Firing: true, Incident: e.Incident.ID, Severity: "warning",
			Start: st.Now, Last: st.Now, FirstSeen: st.Now, LastSeen: st.Now, Count: 1}
		next.Entries = append(next.Entries, incident.EntryWrite{Entry: is, Was: st.Entries[0], Content: a})
		next.Jobs = append(next.Jobs, incident.Job{Subject: fmt.Sprint("subject ", n), Kind: incident.JobExpiry, Due: st.Now.Add(time.Hour)})
		e.Into(&next)
		return next, nil
	}}
}

func took(n int) string { return fmt.Sprintf("took %d.", n) }

// present tells which of the numbered changes below limit are in a store, and
// fails if one is there in part.
func present(t *testing.T, s *Store, limit int) map[int]bool {
	t.Helper()
	timeline := map[string]int{}
	list, _, err := s.Incidents(t.Context(), store.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		entries, err := s.Timeline(t.Context(), i.ID, 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			timeline[e.Text]++
		}
	}
	out := map[int]bool{}
	for n := range limit {
		entries, err := s.Entries(t.Context(), []store.Place{{Key: sum("key", n%keys), Fingerprint: sum("alert", n)}})
		if err != nil {
			t.Fatal(err)
		}
		_, armed, err := s.get(jobName(fmt.Sprint("subject ", n), incident.JobExpiry, ""))
		if err != nil {
			t.Fatal(err)
		}
		there := entries[0].Exists()
		if inTimeline := timeline[took(n)]; armed != there || inTimeline > 1 || (inTimeline == 1) != there {
			t.Errorf("change %d is there in part: entry %t, job %t, %d times in the timeline", n, there, armed, inTimeline)
		}
		out[n] = there
	}
	return out
}

// wantPresent checks that all that was acknowledged is there.
func wantPresent(t *testing.T, s *Store, acknowledged map[int]bool, limit int) {
	t.Helper()
	there := present(t, s, limit)
	for n := range limit {
		if acknowledged[n] && !there[n] {
			t.Errorf("change %d was acknowledged and is lost", n)
		}
	}
}

// wantSound verifies the folder of a store that is closed.
func wantSound(t *testing.T, dir string) Report {
	t.Helper()
	report, err := Verify(dir)
	if err != nil {
		t.Errorf("verify %s: %v", filepath.Base(dir), err)
	}
	for _, p := range report.Problems {
		t.Errorf("verify %s: %s", filepath.Base(dir), p)
	}
	return report
}

// wantError checks that an error is there and says all of the words.
func wantError(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error, want one", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: got error %q, want one that says %q", what, err, w)
		}
	}
}
