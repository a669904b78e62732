package stats

import (
	"strings"
	"testing"
	"time"
)

// TestBuckets: they cover the time without a gap, each under the name that its
// observations are split by, also where the clock changes.
func TestBuckets(t *testing.T) {
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		interval    string
		days, want  int
		first, last string
	}{
		{"day", 10, 11, "2026-10-20", "2026-10-30"},
		{"week", 20, 4, "2026-W43", "2026-W46"},
		{"month", 90, 4, "2026-10", "2027-01"},
	} {
		q := Query{From: time.Date(2026, 10, 20, 13, 0, 0, 0, zurich), Zone: zurich}
		q.To = q.From.AddDate(0, 0, c.days)
		b, err := NewBuckets(c.interval, q)
		if err != nil || len(b.List) != c.want || b.List[0].Name != c.first || b.List[len(b.List)-1].Name != c.last {
			t.Fatalf("%s: got %+v, %v", c.interval, b, err)
		}
		at := q.From
		for n, one := range b.List {
			if !one.From.Equal(at) || !one.From.Before(one.To) {
				t.Errorf("%s: %+v does not begin at %s", c.interval, one, at)
			}
			if n > 0 && one.Name == b.List[n-1].Name {
				t.Errorf("%s: %s twice", c.interval, one.Name)
			}
			if h, m, _ := one.To.In(zurich).Clock(); n < c.want-1 && h+m != 0 {
				t.Errorf("%s: %+v does not end at midnight", c.interval, one)
			}
			at = one.To
		}
		if !at.Equal(q.To) {
			t.Errorf("%s: it ends at %s, not %s", c.interval, at, q.To)
		}
	}
	q := Query{From: time.Unix(0, 0), To: time.Unix(0, 0).AddDate(2, 0, 0)}
	if _, err := NewBuckets("day", q); err == nil || !strings.HasPrefix(err.Error(), "interval more than 400") {
		t.Errorf("two years of days: got %v", err)
	}
}

// TestBucketsWithoutMidnight: where the clock is put forward at midnight, the day begins
// at one o'clock, and no day is there twice or not at all.
func TestBucketsWithoutMidnight(t *testing.T) {
	for zone, day := range map[string]string{"America/Santiago": "2026-09-06", "America/Havana": "2026-03-08", "Africa/Cairo": "2026-04-24", "Asia/Beirut": "2026-03-29"} {
		where, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		short, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		from := StartOfDay(short.AddDate(0, 0, -2), where)
		b, err := NewBuckets("day", Query{From: from, To: StartOfDay(short.AddDate(0, 0, 3), where), Zone: where})
		if err != nil || len(b.List) != 5 {
			t.Fatalf("%s: got %d days, %v, want 5", zone, len(b.List), err)
		}
		for n, one := range b.List {
			want := short.AddDate(0, 0, n-2).Format(time.DateOnly)
			if long := one.To.Sub(one.From); one.Name != want || n == 2 && long != 23*time.Hour || n != 2 && long != 24*time.Hour {
				t.Errorf("%s: got %s for %s, want %s", zone, one.Name, long, want)
			}
		}
	}
}
