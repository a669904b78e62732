// Package stats adds up what incidents observed of themselves over a time: how many
// there were, and how long they took to detect, to acknowledge, to resolve and to
// restore. It reads nothing: whoever has the incidents gives them to a Sum.
//
// What is added up are the observations that the stored histograms count as well
// (incident.Observed), so both say the same of the same incidents.
package stats

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// groupLimit bounds the groups of an answer: services and sources are what senders
	// and configurations make of them.
	groupLimit = 1000
	// splitLimit is by how much at a time an answer can be split.
	splitLimit = 3
)

// splits says for each thing that an answer can be split by which group an
// observation belongs to.
var splits = map[string]func(i *incident.Incident, o incident.Observed, zone *time.Location) string{
	"severity": func(_ *incident.Incident, o incident.Observed, _ *time.Location) string { return o.Severity },
	"team":     func(_ *incident.Incident, o incident.Observed, _ *time.Location) string { return o.Team },
	"service":  func(i *incident.Incident, _ incident.Observed, _ *time.Location) string { return i.Service },
	"priority": func(i *incident.Incident, _ incident.Observed, _ *time.Location) string { return i.Priority },
	"category": func(i *incident.Incident, _ incident.Observed, _ *time.Location) string { return i.Category },
	"rule":     func(i *incident.Incident, _ incident.Observed, _ *time.Location) string { return i.Rule },
	"source": func(i *incident.Incident, _ incident.Observed, _ *time.Location) string {
		if len(i.Sources) == 0 {
			return "" // a person reported it
		}
		return i.Sources[0]
	},
	"day": func(_ *incident.Incident, o incident.Observed, zone *time.Location) string {
		return o.At.In(zone).Format("2006-01-02")
	},
	"week": func(_ *incident.Incident, o incident.Observed, zone *time.Location) string {
		year, week := o.At.In(zone).ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	},
	"month": func(_ *incident.Incident, o incident.Observed, zone *time.Location) string {
		return o.At.In(zone).Format("2006-01")
	},
}

// Splits lists what an answer can be split by.
func Splits() []string { return slices.Sorted(maps.Keys(splits)) }

// Query says what is added up: observations with From ≤ at < To.
type Query struct {
	From, To time.Time
	// By are what the answer is split by, each one of Splits.
	By []string
	// AllGroups: a result has all groups, not only the thousand largest.
	AllGroups bool
	// Zone is where days, weeks and months begin; nil is UTC.
	Zone *time.Location
}

// Validate says what is wrong with q.
func (q *Query) Validate() error {
	if !q.From.Before(q.To) {
		return fmt.Errorf("from %s is not before to %s", q.From.UTC().Format(time.RFC3339), q.To.UTC().Format(time.RFC3339))
	}
	if len(q.By) > splitLimit {
		return fmt.Errorf("by more than %d at a time", splitLimit)
	}
	for n, by := range q.By {
		if splits[by] == nil {
			return fmt.Errorf("by %q is none of %s", by, strings.Join(Splits(), ", "))
		}
		if slices.Contains(q.By[:n], by) {
			return fmt.Errorf("by %q twice", by)
		}
	}
	return nil
}

// Sum adds up observations. It is not for several goroutines.
type Sum struct {
	query            Query
	total            *group
	groups           map[groupKey]*group
	scanned, clipped int
}

// New returns an empty Sum. The query must be valid.
func New(q Query) *Sum {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	return &Sum{query: q, total: &group{}, groups: map[groupKey]*group{}}
}

// groupKey are the values of one group. A series has its interval beside the rest.
type groupKey [splitLimit + 1]string

// group is what is known of one group. Observations are kept as they are, since
// exact quantiles need all of them.
type group struct {
	values                             []string
	counters                           map[string]int
	openNow                            int
	detect, acknowledge, resolve, down []float64
}

// Add counts an incident in. Each is to be added once.
func (s *Sum) Add(i *incident.Incident) {
	s.scanned++
	if i.MayLackObservations() {
		s.clipped++
	}
	for _, o := range i.Observed {
		if o.At.Before(s.query.From) || !o.At.Before(s.query.To) {
			continue
		}
		s.total.add(o)
		if len(s.query.By) > 0 {
			s.group(i, o).add(o)
		}
	}
	if i.IsOpen() && i.Measured() && i.OpenedAt.Before(s.query.To) {
		s.total.openNow++
		if len(s.query.By) > 0 {
			// Where it will be counted: as what it is now, at the time it was opened.
			s.group(i, incident.Observed{Severity: i.CycleSeverity, Team: i.Team, At: i.OpenedAt}).openNow++
		}
	}
}

func (s *Sum) group(i *incident.Incident, o incident.Observed) *group {
	var key groupKey
	for n, by := range s.query.By {
		key[n] = splits[by](i, o, s.query.Zone)
	}
	g := s.groups[key]
	if g == nil {
		g = &group{values: slices.Clone(key[:len(s.query.By)])}
		s.groups[key] = g
	}
	return g
}

func (g *group) add(o incident.Observed) {
	switch o.Metric {
	case "time_to_detect_seconds":
		g.detect = append(g.detect, o.Seconds)
	case "time_to_acknowledge_seconds":
		g.acknowledge = append(g.acknowledge, o.Seconds)
	case "time_to_resolve_seconds":
		g.resolve = append(g.resolve, o.Seconds)
	case "outage_seconds":
		g.down = append(g.down, o.Seconds)
	default:
		if g.counters == nil {
			g.counters = map[string]int{}
		}
		g.counters[o.Metric]++
	}
}

// Result is what was added up.
type Result struct {
	Query
	// Scanned is how many incidents were looked at, Clipped how many of them were
	// reopened so often that they do not list all their observations any more.
	Scanned, Clipped int
	Total            Group
	// Groups are in the order of their values; GroupsLeftOut are those with the fewest
	// incidents opened, beyond a thousand.
	Groups        []Group
	GroupsLeftOut int
}

// Group is one row of an answer.
type Group struct {
	// Values are those of Query.By.
	Values []string
	// Opened, Reopened and the others count what happened from From to To.
	Opened, Reopened, ResolvedUnacknowledged int
	// Objectives of response and resolution that were met or missed.
	ResponseMet, ResponseMissed, ResolutionMet, ResolutionMissed int
	// OpenNow are the incidents opened before To that people still have to handle.
	OpenNow                                                int
	TimeToDetect, TimeToAcknowledge, TimeToResolve, Outage Times
}

// Times sums up durations in seconds. Without any, all is 0.
type Times struct {
	Count               int
	Sum, Mean           float64
	P50, P90, P99, Most float64
}

// Result returns what was added up until now.
func (s *Sum) Result() Result {
	r := Result{Query: s.query, Scanned: s.scanned, Clipped: s.clipped, Total: s.total.result()}
	for _, g := range s.groups {
		r.Groups = append(r.Groups, g.result())
	}
	if left := len(r.Groups) - groupLimit; left > 0 && !s.query.AllGroups {
		slices.SortFunc(r.Groups, func(a, b Group) int {
			return cmp.Or(cmp.Compare(b.Opened, a.Opened), slices.Compare(a.Values, b.Values))
		})
		r.Groups, r.GroupsLeftOut = r.Groups[:groupLimit], left
	}
	slices.SortFunc(r.Groups, func(a, b Group) int { return slices.Compare(a.Values, b.Values) })
	return r
}

func (g *group) result() Group {
	return Group{Values: g.values, OpenNow: g.openNow,
		Opened: g.counters["opened_total"], Reopened: g.counters["reopened_total"], ResolvedUnacknowledged: g.counters["resolved_unacknowledged_total"],
		ResponseMet: g.counters["response_objective_met_total"], ResponseMissed: g.counters["response_objective_missed_total"],
		ResolutionMet: g.counters["resolution_objective_met_total"], ResolutionMissed: g.counters["resolution_objective_missed_total"],
		TimeToDetect: Of(g.detect), TimeToAcknowledge: Of(g.acknowledge), TimeToResolve: Of(g.resolve), Outage: Of(g.down)}
}

// Of sums up durations in seconds, which it sorts.
func Of(seconds []float64) Times {
	t := Times{Count: len(seconds)}
	if t.Count == 0 {
		return t
	}
	slices.Sort(seconds) // also so that the sum does not depend on the order in which they came
	for _, s := range seconds {
		t.Sum += s
	}
	t.Mean = t.Sum / float64(t.Count)
	t.P50, t.P90, t.P99, t.Most = nearest(seconds, 50), nearest(seconds, 90), nearest(seconds, 99), seconds[t.Count-1]
	return t
}

// nearest is the nearest-rank percentile of sorted values: the smallest of them that
// at least p of 100 do not exceed. It is always one of the values.
func nearest(sorted []float64, p int) float64 {
	return sorted[(len(sorted)*p+99)/100-1]
}
