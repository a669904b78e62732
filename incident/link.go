package incident

import "slices"

// childrenKept bounds the children that an incident lists.
const childrenKept = 1000

// Link makes the incident a child of another one, for the reason given. Doing it
// again changes nothing, nor does what would make a circle. The parent is told
// with LinkChild.
func (e *Edit) Link(parent *Incident, reason string) {
	i := e.Incident
	if i.Parent == parent.ID || i.ID == parent.ID || parent.Parent == i.ID || i.HasFamily() {
		return
	}
	i.Parent = parent.ID
	e.Log(System, "linked", withComment("child of "+parent.Reference, reason), 0)
}

// Unlink makes the incident one of its own again, since what it was a child of is over.
// What people made a part of another one stays that.
func (e *Edit) Unlink() {
	i := e.Incident
	if i.Parent.IsZero() || i.HasFamily() {
		return
	}
	i.Parent = ID{}
	e.Log(System, "unlinked", "on its own again: what it depended on is over", 0)
}

// HasFamily reports whether people made i a part of another incident.
func (i *Incident) HasFamily() bool {
	p := i.Proceedings()
	return p.Customer != "" || !p.MergedInto.IsZero()
}

// LinkChild lists another incident among the children. Doing it again changes
// nothing, nor does what would make a circle.
func (e *Edit) LinkChild(child *Incident) {
	i := e.Incident
	if slices.Contains(i.Children, child.ID) || i.ID == child.ID || i.Parent == child.ID || len(i.Children) >= childrenKept {
		return
	}
	i.Children = append(i.Children, child.ID)
	e.Log(System, "linked", "parent of "+child.Reference, 0)
}
