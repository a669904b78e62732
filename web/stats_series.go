package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report/stats"
	"github.com/tocsin-gateway/tocsin/router"
)

// seriesGroups is how many groups a series shows, those with the most incidents opened.
const seriesGroups = 10

// StatsBucketJSON is a day, a week or a month of a series.
type StatsBucketJSON struct {
	Name   string           `json:"name"`
	From   time.Time        `json:"from"`
	To     time.Time        `json:"to"`
	Total  StatsGroupJSON   `json:"total"`
	Groups []StatsGroupJSON `json:"groups"`
}

// buckets reads the parameter interval.
func (q *query) buckets(want stats.Query, format string) (b stats.Buckets) {
	interval := q.text("interval")
	if interval == "" || len(q.errs) > 0 {
		return b
	}
	switch {
	case !slices.Contains(stats.Intervals(), interval):
		q.bad("interval", "%q is none of day, week, month", interval)
		return b
	case format == "csv":
		q.bad("interval", "is not for CSV; write by=%s", interval)
		return b
	case slices.ContainsFunc(want.By, func(by string) bool { return slices.Contains(stats.Intervals(), by) }):
		q.bad("interval", "is not for what is split by days, weeks or months already")
		return b
	}
	b, err := stats.NewBuckets(interval, want)
	if err != nil {
		q.errs = append(q.errs, &router.InputError{Field: "interval", Reason: err.Error()[len("interval "):]})
	}
	return b
}

// series adds up intervals, in the same pass as the whole. A nil series adds up nothing.
type series struct {
	buckets stats.Buckets
	// total is split by the interval, groups also by what the whole is split by.
	total, groups *stats.Sum
}

func newSeries(want stats.Query, b stats.Buckets) *series {
	if len(b.List) == 0 {
		return nil
	}
	s := &series{buckets: b}
	by := want.By
	want.AllGroups, want.By = true, []string{b.Interval}
	s.total = stats.New(want)
	if len(by) > 0 {
		want.By = append([]string{b.Interval}, by...)
		s.groups = stats.New(want)
	}
	return s
}

func (s *series) add(i *incident.Incident) {
	if s == nil {
		return
	}
	s.total.Add(i)
	if s.groups != nil {
		s.groups.Add(i)
	}
}

// view shows the series of a whole, of whose groups it shows the largest.
func (s *series) view(whole stats.Result) []StatsBucketJSON {
	if s == nil {
		return nil
	}
	largest := slices.Clone(whole.Groups)
	slices.SortStableFunc(largest, func(a, b stats.Group) int { return cmp.Compare(b.Opened, a.Opened) })
	largest = largest[:min(len(largest), seriesGroups)]
	out := make([]StatsBucketJSON, len(s.buckets.List))
	at := map[string]*StatsBucketJSON{}
	for n, b := range s.buckets.List {
		out[n] = StatsBucketJSON{Name: b.Name, From: b.From.UTC(), To: b.To.UTC(), Total: viewGroup(nil, stats.Group{})}
		at[b.Name] = &out[n]
	}
	for _, g := range s.total.Result().Groups {
		if b := at[g.Values[0]]; b != nil { // what is open now may have been opened before
			b.Total = viewGroup(nil, g)
		}
	}
	if s.groups == nil {
		return out
	}
	for _, g := range s.groups.Result().Groups {
		b, values := at[g.Values[0]], g.Values[1:]
		if b != nil && slices.ContainsFunc(largest, func(l stats.Group) bool { return slices.Equal(l.Values, values) }) {
			g.Values = values
			b.Groups = append(b.Groups, viewGroup(whole.By, g))
		}
	}
	return out
}
