package incident

import (
	"fmt"
	"slices"
	"testing"
)

// family are a parent and a child, on their way together.
type family struct {
	parent, child *story
	minute        int
}

func newFamily(t *testing.T) *family {
	f := &family{parent: begin(t, Opening{Title: "the core"}).heard("ops"), child: begin(t, Opening{Title: "a switch"}).heard("net")}
	f.child.incident.ID, f.child.incident.Reference, f.child.incident.Version = ID{2}, "INC-C", 1
	for n := range f.child.timeline {
		f.child.timeline[n].Incident = ID{2}
	}
	f.child.rehash()
	f.parent.incident.Reference = "INC-P"
	return f
}

// rehash makes the timeline that of the incident's new id.
func (s *story) rehash() {
	previous := ""
	for n := range s.timeline {
		s.timeline[n].Hash = s.timeline[n].Sum(previous)
		previous = s.timeline[n].Hash
	}
	s.incident.TimelineHash = previous
}

// does has the child do something, and the parent hear of it.
func (f *family) does(edit func(*Edit) error, want ...string) {
	f.child.t.Helper()
	f.minute++
	f.child.must(f.minute, edit)
	f.child.incident.Version++
	n := len(f.parent.timeline)
	if _, err := f.parent.do(f.minute, f.hear); err != nil {
		f.child.t.Fatal(err)
	}
	if got := f.parent.since(n); !slices.Equal(got, want) {
		f.child.t.Errorf("the parent says %q, want %q", got, want)
	}
	f.parent.same(f.minute, f.hear)
}

func (f *family) hear(e *Edit) error { return e.Family(f.child.incident) }

func joins(name, severity string) func(*Edit) error {
	return func(e *Edit) error {
		e.Join(member(name, severity, epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	}
}

func leaves(severity string, at int) func(*Edit) error {
	return func(e *Edit) error {
		e.Leave(severity, epoch)
		e.Log(System, "alerts_resolved", "", 1)
		if e.Incident.Alerts.Firing == 0 {
			return e.Resolve(System, "")
		}
		return nil
	}
}

// TestMerge: what happens in the child is news of the parent, which is not over
// before the child is.
func TestMerge(t *testing.T) {
	f := newFamily(t)
	merge := func(e *Edit) error { return e.Merge("ana", f.parent.incident, "the same") }
	f.child.must(0, joins("s1", "warning"))
	f.parent.must(0, joins("c1", "warning"))
	f.does(merge, "merged tocsin: took in INC-C, firing: 1 of 1: a switch")
	f.child.same(1, merge)
	if c := f.child.incident; f.child.last() != "merged_into ana: merged into INC-P: the same" || c.Parent != (ID{1}) || c.Process.MergedInto != (ID{1}) || f.child.jobs[JobFamily] != at(1) {
		t.Errorf("the child: %q, %+v, jobs %v", f.child.last(), c.Process, f.child.jobs)
	}
	if !slices.Equal(f.parent.incident.Children, []ID{{2}}) {
		t.Errorf("children %v", f.parent.incident.Children)
	}
	delete(f.child.jobs, JobFamily)
	f.does(joins("s2", "critical"), "child_news tocsin: more in INC-C, firing: 2 of 2", "severity tocsin: severity rose from warning to critical")
	if f.child.jobs[JobFamily] != at(2) {
		t.Errorf("what happens in the child arms no job: %v", f.child.jobs)
	}
	f.does(leaves("critical", 3), "child_over tocsin: less in INC-C, firing: 1 of 2")
	f.does(note)
	if f.parent.incident.Severity != "critical" {
		t.Errorf("got %s", f.parent.incident.Severity)
	}
	f.parent.refuses(5, resolve, "cannot resolve it before what is merged into it is over: INC-C")
	f.parent.says(5, leaves("warning", 5), "alerts_resolved tocsin: ", "waiting tocsin: its own alerts have ended; open are still INC-C")
	f.parent.same(6, func(e *Edit) error { return e.Resolve(System, "") })
	if f.parent.incident.State != Open {
		t.Fatalf("the parent is %s", f.parent.incident.State)
	}
	f.does(leaves("warning", 6), "child_over tocsin: over in INC-C, firing: 0 of 2", "resolved tocsin: resolved: what was merged into it is over as well")
	f.child.must(9, reopen)
	f.child.incident.Version++
	f.parent.refuses(9, f.hear, "INC-P is over")
	if f.parent.incident.State != Resolved || f.parent.incident.Process.Waits {
		t.Errorf("the parent is %s, waits %v", f.parent.incident.State, f.parent.incident.Process.Waits)
	}
	if len(f.child.observed) != 2 { // opened_total and time_to_detect_seconds, before it was merged
		t.Errorf("a merged child counts: %q", f.child.observed)
	}
}

// TestAParentThatWaitsForNothing: without alerts of its own that ended, the parent stays open.
func TestAParentThatWaitsForNothing(t *testing.T) {
	f := newFamily(t)
	f.child.must(0, joins("s1", "warning"))
	f.does(func(e *Edit) error { return e.Merge("ana", f.parent.incident, "") }, "merged tocsin: took in INC-C, firing: 1 of 1: a switch")
	f.does(leaves("warning", 2), "child_over tocsin: over in INC-C, firing: 0 of 1")
	if f.parent.incident.State != Open {
		t.Errorf("the parent is %s, but nobody said that it is over", f.parent.incident.State)
	}
	f.parent.must(3, resolve)
}

func TestUnmerge(t *testing.T) {
	f := newFamily(t)
	f.does(func(e *Edit) error { return e.Merge("ana", f.parent.incident, "") }, "merged tocsin: took in INC-C, firing: 0 of 0: a switch")
	old := *f.child.incident
	f.parent.must(1, joins("c1", "warning"))
	f.parent.must(1, leaves("warning", 1))
	delete(f.child.jobs, JobNotify)
	f.does(func(e *Edit) error { return e.Unmerge("ben", "another thing") }, "unmerged tocsin: INC-C is on its own again", "resolved tocsin: resolved: what was merged into it is over as well")
	if c := f.child.incident; f.child.last() != "unmerged ben: on its own again: another thing" || !c.Parent.IsZero() || c.HasFamily() || f.child.jobs[JobNotify] != at(2) {
		t.Errorf("the child: %q, %+v, jobs %v; want people to be told of it", f.child.last(), c.Process, f.child.jobs)
	}
	if p := f.parent.incident; len(p.Children) != 0 || len(p.Process.Merged) != 0 {
		t.Errorf("the parent still has %v, %v", p.Children, p.Process.Merged)
	}
	// Old news of one that went does not bring it back.
	if _, err := f.parent.do(3, func(e *Edit) error { return e.Family(&old) }); err == nil {
		t.Error("a parent that is over took a child in")
	}
}

// TestWhatCannotBeMerged, said by the child as it knows the parent, and by the parent.
func TestWhatCannotBeMerged(t *testing.T) {
	for name, c := range map[string]struct {
		before func(parent, child *Incident)
		want   string
	}{
		"itself":                 {func(p, c *Incident) { p.ID = c.ID }, "into: is the incident itself"},
		"a child that is over":   {func(p, c *Incident) { c.State = Resolved }, "cannot merge an incident that is resolved"},
		"a parent that is over":  {func(p, c *Incident) { p.State = Closed }, "cannot merge into an incident that is closed"},
		"an exercise":            {func(p, c *Incident) { p.Drill = true }, "an exercise and what is real stay apart"},
		"into a merged one":      {func(p, c *Incident) { p.Process = &Process{MergedInto: ID{9}} }, "INC-2 is itself merged into another incident"},
		"a merged one":           {func(p, c *Incident) { c.Process = &Process{MergedInto: ID{9}} }, "it is merged into another incident already"},
		"one with merged ones":   {func(p, c *Incident) { c.Process = &Process{Merged: []Merged{{Reference: "INC-9"}}} }, "other incidents are merged into it: INC-9"},
		"a customer's":           {func(p, c *Incident) { c.Process = &Process{Customer: "Acme"} }, "it is the incident of one customer, which stays apart"},
		"into a customer's":      {func(p, c *Incident) { p.Process = &Process{Customer: "Acme"} }, "INC-2 is the incident of one customer, which stays apart"},
		"into one that has many": {func(p, c *Incident) { p.Process = &Process{Merged: make([]Merged, mergedKept)} }, "INC-2 has too many incidents merged into it already"},
	} {
		s, parent := begin(t, Opening{}), another()
		c.before(parent, s.incident)
		s.refuses(1, func(e *Edit) error { return e.Merge("ana", parent, "") }, c.want)
		if s.incident.State != Open || parent.ID == s.incident.ID || s.incident.HasFamily() || len(s.incident.Proceedings().Merged) > 0 {
			continue // the parent is not asked
		}
		s.incident.Process = &Process{MergedInto: parent.ID}
		if err := policy().Change(parent, at(1)).Family(s.incident); err == nil || err.Error() != c.want {
			t.Errorf("%s: the parent says %v, want %q", name, err, c.want)
		}
	}
}

// TestFlappingChildren are no news, but for their end.
func TestFlappingChildren(t *testing.T) {
	f := newFamily(t)
	f.does(func(e *Edit) error { return e.Merge("ana", f.parent.incident, "") }, "merged tocsin: took in INC-C, firing: 0 of 0: a switch")
	f.does(func(e *Edit) error { e.Flap(at(60), "s"); return joins("s1", "warning")(e) })
	f.does(leaves("warning", 3), "child_over tocsin: over in INC-C, firing: 0 of 1")
}

// TestCustomersPart: it knows its customer, and nothing of the parent but its id.
func TestCustomersPart(t *testing.T) {
	parent := begin(t, Opening{Title: "secret"})
	take := func(e *Edit) error { return e.TakeCustomer("ana", "Acme", "") }
	parent.says(1, take, "customers ana: affected: Acme")
	parent.same(2, take)
	e := policy().Open(Opening{ID: ID{3}, Title: "mail is slow", By: "ana", Class: Classification{Severity: "warning"}}, at(2))
	e.OpenFor("Acme", parent.incident.ID)
	var next Next
	e.Into(&next)
	child := next.Incidents[0]
	if child.Parent != (ID{1}) || child.Process.Customer != "Acme" || fmt.Sprint(child.Labels) != "map[customer:Acme]" || len(next.Observations) != 0 {
		t.Errorf("got %+v, observed %v", child, next.Observations)
	}
	if len(next.Jobs) != 1 || next.Jobs[0].Kind != JobFamily || next.Jobs[0].Target != (ID{1}).String() {
		t.Errorf("jobs %v", next.Jobs)
	}
	child.Reference = "INC-A"
	parent.says(3, func(e *Edit) error { return e.Family(child) }, "linked tocsin: INC-A is for customer Acme")
	parent.same(4, func(e *Edit) error { return e.Family(child) })
	parent.must(5, resolve) // the internal one does not wait for it
	s := &story{t: t, policy: policy(), incident: child, timeline: next.Timeline}
	s.refuses(6, func(e *Edit) error { return e.SetCustomers("ana", []string{"Beta"}, "") }, "customers: it is the incident of one customer, which may not know of others")
	s.refuses(6, take, "it is the incident of one customer, which has no parts")
	s.same(6, func(e *Edit) error { e.Link(another(), "depends on it"); return nil })
}

// TestOutageOfWhatIsMerged: it lasts until the last of them is back.
func TestOutageOfWhatIsMerged(t *testing.T) {
	ends := func(minute int) func(*Edit) error {
		return func(e *Edit) error {
			e.Leave("warning", at(minute))
			e.Log(System, "alerts_resolved", "", 1)
			return e.Resolve(System, "")
		}
	}
	for name, c := range map[string]struct {
		over func(*Edit) error
		want int
	}{"its alerts end": {ends(60), 60}, "a person resolves it": {resolve, 61}} {
		t.Run(name, func(t *testing.T) {
			f := newFamily(t)
			f.child.must(0, joins("s1", "warning"))
			f.parent.must(0, joins("c1", "warning"))
			f.child.must(1, func(e *Edit) error { return e.Merge("ana", f.parent.incident, "") })
			f.child.incident.Version++
			f.parent.must(1, f.hear)
			f.parent.must(10, ends(10))
			f.child.must(61, c.over)
			f.child.incident.Version++
			f.parent.must(61, f.hear)
			if d, ok := f.parent.incident.Outage(); !ok || d != at(c.want).Sub(at(0)) {
				t.Errorf("got %v, %t, want %d minutes", d, ok, c.want)
			}
		})
	}
}
