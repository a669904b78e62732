package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// JobFamily has a parent know what became of a child: one that is merged into it, or
// that of a customer. The subject is the child, the target the parent's id.
const JobFamily = "family"

// Merged is what a parent knows of an incident that is merged into it.
type Merged struct {
	ID        ID     `json:"id"`
	Reference string `json:"reference"`
	// Over: people need not handle it any more.
	Over bool `json:"over,omitzero"`
	// Firing and Total count its alerts.
	Firing int `json:"firing,omitzero"`
	Total  int `json:"total,omitzero"`
	// Version is that of the child that this says.
	Version uint64 `json:"version"`
}

// Merge makes the incident a part of parent, as parent was when it was read: people
// hear of parent alone while that is open. The parent learns of it by a job, which
// undoes this if the parent cannot take it.
func (e *Edit) Merge(by string, parent *Incident, comment string) error {
	i := e.Incident
	p := i.Proceedings()
	switch {
	case p.MergedInto == parent.ID:
		return nil
	case !i.IsOpen():
		return &StateError{"merge", i.State}
	case i.ID == parent.ID:
		return &FieldError{"into", "is the incident itself"}
	case !p.MergedInto.IsZero():
		return &RefusedError{"it is merged into another incident already"}
	case len(p.Merged) > 0:
		return &RefusedError{"other incidents are merged into it: " + names(p.Merged)}
	case p.Customer != "":
		return &RefusedError{"it is the incident of one customer, which stays apart"}
	}
	if err := parent.takes(i); err != nil {
		return err
	}
	e.Process().MergedInto, i.Parent = parent.ID, parent.ID
	e.family(parent.ID)
	e.Log(by, "merged_into", withComment("merged into "+parent.Reference, comment), 0)
	return nil
}

// takes says why a child cannot be merged into i, nil if it can.
func (i *Incident) takes(child *Incident) error {
	p := i.Proceedings()
	switch {
	case !i.IsOpen():
		return &RefusedError{"cannot merge into an incident that is " + i.State}
	case i.Drill != child.Drill:
		return &RefusedError{"an exercise and what is real stay apart"}
	case !p.MergedInto.IsZero():
		return &RefusedError{i.Reference + " is itself merged into another incident"}
	case p.Customer != "":
		return &RefusedError{i.Reference + " is the incident of one customer, which stays apart"}
	case len(p.Merged) >= mergedKept || len(i.Children) >= childrenKept:
		return &RefusedError{i.Reference + " has too many incidents merged into it already"}
	}
	return nil
}

// Unmerge makes the incident one of its own again, of which people are told.
func (e *Edit) Unmerge(by, comment string) error {
	i := e.Incident
	parent := i.Proceedings().MergedInto
	if parent.IsZero() {
		return nil
	}
	if i.State == Closed {
		return &StateError{"separate", i.State}
	}
	e.Process().MergedInto = ID{}
	if i.Parent == parent {
		i.Parent = ID{}
	}
	e.family(parent)
	e.Log(by, "unmerged", withComment("on its own again", comment), 0)
	e.tell(urgentNews)
	return nil
}

// OpenFor makes a new incident one customer's part of parent. It is called right
// after Policy.Open.
func (e *Edit) OpenFor(customer string, parent ID) {
	i := e.Incident
	e.Process().Customer = customer
	i.Parent, i.Labels = parent, map[string]string{"customer": customer}
	e.family(parent)
}

// family arms the job that tells a parent.
func (e *Edit) family(parent ID) {
	e.jobs = append(e.jobs, Job{Subject: e.Incident.ID.String(), Kind: JobFamily, Target: parent.String(), Due: e.now, NoLater: true})
}

// Family has an incident know what a child is now: one of a customer, one that is
// merged into it or not any more, and what of that is news. Doing it again changes
// nothing. An error says why it cannot have the child.
func (e *Edit) Family(child *Incident) error {
	i, c := e.Incident, child.Proceedings()
	at := slices.IndexFunc(i.Proceedings().Merged, func(m Merged) bool { return m.ID == child.ID })
	switch {
	case c.Customer != "" && child.Parent == i.ID:
		if !slices.Contains(i.Children, child.ID) && len(i.Children) < childrenKept {
			i.Children = append(i.Children, child.ID)
			e.Log(System, "linked", child.Reference+" is for customer "+c.Customer, 0)
		}
	case c.MergedInto == i.ID:
		return e.takeIn(child, at)
	case at >= 0 && i.Process.Merged[at].Version < child.Version:
		p := e.Process()
		p.Merged = slices.Delete(p.Merged, at, at+1)
		i.Children = slices.DeleteFunc(slices.Clone(i.Children), func(id ID) bool { return id == child.ID })
		e.Log(System, "unmerged", child.Reference+" is on its own again", 0)
		e.childrenOver()
	}
	return nil
}

// takeIn notes what a child is that is merged into the incident; at is where it is
// among those, -1 if it is new.
func (e *Edit) takeIn(child *Incident, at int) error {
	i := e.Incident
	is := Merged{ID: child.ID, Reference: child.Reference, Over: !child.IsOpen(), Firing: child.Alerts.Firing, Total: child.Alerts.Total, Version: child.Version}
	text := fmt.Sprintf("%s, firing: %d of %d", child.Reference, is.Firing, is.Total)
	if at < 0 {
		if err := i.takes(child); err != nil {
			return err
		}
		p := e.Process()
		p.Merged = append(p.Merged, is)
		if !slices.Contains(i.Children, child.ID) {
			i.Children = append(i.Children, child.ID)
		}
		e.Log(System, "merged", "took in "+text+": "+child.Title, is.Firing)
		e.tell(soonNews)
		e.raise(Classification{Severity: child.Severity})
		return nil
	}
	was := i.Process.Merged[at]
	same := is
	same.Version = was.Version
	if was.Version >= is.Version || was == same {
		return nil // an old one, or nothing that counts here
	}
	if !is.Over && !i.IsOpen() { // nobody handles it here any more
		return &RefusedError{i.Reference + " is over"}
	}
	if child.FlappingUntil.After(e.now) && was.Over == is.Over {
		return nil // too often to be news
	}
	e.Process().Merged[at] = is
	switch {
	case is.Over && !was.Over:
		e.restoredWith(child)
		e.Log(System, "child_over", "over in "+text, is.Total)
	case !is.Over && was.Over:
		e.Log(System, "child_news", "again in "+text, is.Firing)
	case is.Firing > was.Firing || is.Total > was.Total:
		e.Log(System, "child_news", "more in "+text, is.Firing)
	default:
		e.Log(System, "child_over", "less in "+text, is.Total)
	}
	e.tell(soonNews)
	if !is.Over {
		e.raise(Classification{Severity: child.Severity})
	}
	e.childrenOver()
	return nil
}

// restoredWith has the outage last as long as that of what is merged into the incident.
func (e *Edit) restoredWith(child *Incident) {
	i := e.Incident
	if at, ok := child.Restored(); ok && at.After(i.RestoredAt) {
		if i.RestoredAt = at; !at.Equal(child.RestoredAt) { // no alert says so: it is over when the incident is
			i.RestoredAt = time.Time{}
		}
	}
}

// childrenOver resolves the incident if it only waited for those merged into it.
func (e *Edit) childrenOver() {
	i := e.Incident
	if p := i.Proceedings(); p.Waits && i.IsOpen() && i.Alerts.Firing == 0 && len(openIn(p.Merged)) == 0 {
		_ = e.Resolve(System, "what was merged into it is over as well") // cannot fail: it is open
	}
}

// children reports which of those merged into the incident keep it from being over.
func (e *Edit) children() error {
	if open := openIn(e.Incident.Proceedings().Merged); len(open) > 0 {
		return &RefusedError{"cannot resolve it before what is merged into it is over: " + names(open)}
	}
	return nil
}

// wait notes that the incident is over but for those merged into it.
func (e *Edit) wait() {
	p := e.Process()
	if p.Waits {
		return
	}
	p.Waits = true
	e.Log(System, "waiting", "its own alerts have ended; open are still "+names(openIn(p.Merged)), 0)
}

func openIn(all []Merged) (open []Merged) {
	for _, m := range all {
		if !m.Over {
			open = append(open, m)
		}
	}
	return open
}

// namesShown bounds the references that a sentence lists.
const namesShown = 20

// names lists references.
func names(list []Merged) string {
	var refs []string
	for _, m := range list[:min(len(list), namesShown)] {
		refs = append(refs, m.Reference)
	}
	if more := len(list) - namesShown; more > 0 {
		refs = append(refs, fmt.Sprintf("%d more", more))
	}
	return strings.Join(refs, ", ")
}

// TakeCustomer lists a customer among those that the incident affects, because it
// gets an incident of its own.
func (e *Edit) TakeCustomer(by, customer, comment string) error {
	i := e.Incident
	p := i.Proceedings()
	switch {
	case !i.IsOpen():
		return &StateError{"open a customer's part of", i.State}
	case p.Customer != "":
		return &RefusedError{"it is the incident of one customer, which has no parts"}
	case !p.MergedInto.IsZero():
		return &RefusedError{"it is merged into another incident; open the customer's there"}
	case len(i.Children) >= childrenKept:
		return &RefusedError{"it has too many children already"}
	case slices.Contains(p.Customers, customer):
		return nil
	}
	return e.SetCustomers(by, append(slices.Clone(p.Customers), customer), comment)
}
