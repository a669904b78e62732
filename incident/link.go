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
