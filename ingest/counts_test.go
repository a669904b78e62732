package ingest

import (
	"testing"
	"time"
)

// TestRate: what is an hour old is forgotten, also after a long silence and when the
// clock goes back.
func TestRate(t *testing.T) {
	at := time.Unix(60*1000, 0)
	var r rate
	want := func(now time.Time, five, hour uint64) {
		t.Helper()
		if a, b := r.last(now, 5), r.last(now, rateMinutes); a != five || b != hour {
			t.Errorf("at %s: got %d and %d, want %d and %d", now.UTC().Format(time.TimeOnly), a, b, five, hour)
		}
	}
	want(at, 0, 0)
	r.add(at, 3)
	r.add(at.Add(time.Minute), 4)
	want(at.Add(time.Minute), 7, 7)
	want(at.Add(5*time.Minute), 4, 7)
	r.add(at.Add(-time.Hour), 1) // counted as the latest minute that is known
	want(at.Add(6*time.Minute), 1, 8)
	want(at.Add(60*time.Minute), 0, 5)
	r.add(at.Add(1000*time.Minute), 9)
	want(at.Add(1000*time.Minute), 9, 9)
}
