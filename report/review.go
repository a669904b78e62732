package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// The verdicts on promises.
const (
	kept    = "kept"
	missed  = "missed"
	pending = "still open"
	noGoal  = "no objective"
)

// review is one incident with what the review makes of it.
type review struct {
	*incident.Incident
	goal                     Objectives
	response, resolution     string
	responseIn, resolutionIn time.Duration
	dutiesKept, dutiesMissed []string
	updatesKept, updatesLate []string
	updates                  int
	// quiet is the longest time without an update, while it was open.
	quiet time.Duration
}

func (m *Month) review(i *incident.Incident, now time.Time) review {
	r := review{Incident: i, response: noGoal, resolution: noGoal}
	if m.Objectives != nil {
		r.goal = m.Objectives(i)
	}
	cycles := cyclesOf(i)
	for n, c := range cycles {
		next := time.Time{}
		if n+1 < len(cycles) {
			next = cycles[n+1].OpenedAt
		}
		in, verdict := judge(c.OpenedAt, c.AcknowledgedAt, c.ResolvedAt, now, r.goal.Response)
		r.response, r.responseIn = worse(r.response, cmp.Or(counted(i, "response", c.OpenedAt, next), verdict)), max(r.responseIn, in)
		in, verdict = judge(c.OpenedAt, c.ResolvedAt, time.Time{}, now, r.goal.Resolution)
		r.resolution, r.resolutionIn = worse(r.resolution, cmp.Or(counted(i, "resolution", c.OpenedAt, next), verdict)), max(r.resolutionIn, in)
	}
	p := i.Proceedings()
	for _, d := range p.Duties {
		keptOnes, late := &r.dutiesKept, &r.dutiesMissed
		if slices.Contains(m.Communication, d.Name) {
			keptOnes, late = &r.updatesKept, &r.updatesLate
		}
		switch {
		case slices.Contains(m.Uncounted, d.Name):
		case d.Outcome == incident.DutyKept:
			*keptOnes = append(*keptOnes, words(d.Name))
		case d.Outcome == incident.DutyMissed || d.Outcome == "" && d.Fired > 0:
			*late = append(*late, words(d.Name))
		}
	}
	r.updates, r.quiet = quiet(i, now)
	return r
}

// cyclesOf are all times from opening to resolution, the current one last.
func cyclesOf(i *incident.Incident) []incident.Cycle {
	return append(slices.Clone(i.Cycles), i.Cycle())
}

// taken reports whether somebody acknowledged i, in whatever cycle.
func taken(i *incident.Incident) bool {
	return slices.ContainsFunc(cyclesOf(i), func(c incident.Cycle) bool { return !c.AcknowledgedAt.IsZero() })
}

// forgetful counts the incidents that do not list all of their cycles.
func forgetful(list []*incident.Incident) (n int) {
	for _, i := range list {
		if i.Reopens > len(i.Cycles) {
			n++
		}
	}
	return n
}

// counted is the verdict on an objective that statistics have of a cycle, empty if they
// have none: by what was promised then, whatever the priority is now.
func counted(i *incident.Incident, objective string, from, next time.Time) (verdict string) {
	for _, o := range i.Observed {
		switch {
		case o.At.Before(from) || !next.IsZero() && !o.At.Before(next):
		case o.Metric == objective+"_objective_missed_total":
			return missed
		case o.Metric == objective+"_objective_met_total":
			verdict = kept
		}
	}
	return verdict
}

// judge says whether what was promised from a time on was done in time. Over is
// when it need not be done any more.
func judge(from, done, over, now time.Time, goal time.Duration) (time.Duration, string) {
	took := max(done.Sub(from), 0)
	if done.IsZero() {
		took = 0
	}
	switch {
	case goal <= 0:
		return took, noGoal
	case !done.IsZero() && done.Sub(from) <= goal, done.IsZero() && !over.IsZero() && over.Sub(from) <= goal:
		return took, kept
	case !done.IsZero() || !over.IsZero() || now.Sub(from) > goal:
		return took, missed
	}
	return 0, pending
}

// worse is the verdict on several cycles together.
func worse(a, b string) string {
	order := []string{noGoal, kept, pending, missed}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// quiet counts the updates that went out, and says for how long there was none.
// Only the latest cycle is known well enough.
func quiet(i *incident.Incident, now time.Time) (updates int, longest time.Duration) {
	last, end := i.CycleOpenedAt, i.ResolvedAt
	if end.IsZero() {
		end = now
	}
	for _, u := range i.Proceedings().Updates {
		at := u.OutAt()
		if u.Waits() || at.Before(i.CycleOpenedAt) {
			continue
		}
		updates++
		if at.Before(end) {
			longest, last = max(longest, at.Sub(last)), at
		}
	}
	return updates, max(longest, end.Sub(last))
}

// tally counts promises.
type tally struct{ kept, missed, pending int }

func (t *tally) add(verdict string) {
	switch verdict {
	case kept:
		t.kept++
	case missed:
		t.missed++
	case pending:
		t.pending++
	}
}

func (t *tally) value() Value {
	if t.kept+t.missed+t.pending == 0 {
		return computed(Value{Text: "none was to be kept"})
	}
	text := fmt.Sprintf("%d kept, %d missed", t.kept, t.missed)
	if t.pending > 0 {
		text += fmt.Sprintf(", %d still open", t.pending)
	}
	return computed(Value{Text: text})
}
