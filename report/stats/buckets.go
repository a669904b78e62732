package stats

import (
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// bucketLimit bounds the intervals of a series.
const bucketLimit = 400

// Buckets are days, weeks or months one after the other, without a gap.
type Buckets struct {
	// Interval is day, week or month, which are Splits.
	Interval string
	List     []Bucket
}

// Bucket is one of them, with From ≤ at < To. The first and the last are cut where the
// time in question begins and ends.
type Bucket struct {
	// Name is what Query.By calls it.
	Name     string
	From, To time.Time
}

// Intervals lists what a time can be divided into.
func Intervals() []string { return []string{"day", "week", "month"} }

// NewBuckets divides the time from q.From to q.To. The query must be valid.
func NewBuckets(interval string, q Query) (Buckets, error) {
	zone := q.Zone
	if zone == nil {
		zone = time.UTC
	}
	b := Buckets{Interval: interval}
	for at := q.From; at.Before(q.To); {
		if len(b.List) == bucketLimit {
			return b, fmt.Errorf("interval more than %d of them; ask for a shorter time, or for longer intervals", bucketLimit)
		}
		end := nextOf(interval, at.In(zone))
		if end.After(q.To) {
			end = q.To
		}
		b.List = append(b.List, Bucket{splits[interval](nil, incident.Observed{At: at}, zone), at, end})
		at = end
	}
	return b, nil
}

// nextOf is when the interval after the one that has t begins.
func nextOf(interval string, t time.Time) time.Time {
	y, m, d := t.Date()
	switch interval {
	case "month":
		m, d = m+1, 1
	case "week":
		d += 7 - (int(t.Weekday())+6)%7
	default:
		d++
	}
	return StartOfDay(time.Date(y, m, d, 0, 0, 0, 0, time.UTC), t.Location())
}

// StartOfDay is when the day that t names begins in a zone: at midnight, or when the clock
// was put forward over it.
func StartOfDay(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.Date()
	begin := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if begin.Format(time.DateOnly) < t.Format(time.DateOnly) { // there is no such time: it is taken for an hour earlier
		_, begin = begin.ZoneBounds()
	}
	return begin
}
