package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Publish records a status update and tells those that it is for; one that needs
// a signature waits for it.
func (e *Edit) Publish(u Update, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"write an update on", i.State}
	}
	p := e.Process()
	u.ID, u.At, u.NeedsSignature, u.SignedBy, u.SignedAt = 1, e.now, false, "", time.Time{}
	if n := len(p.Updates); n > 0 {
		u.ID = p.Updates[n-1].ID + 1
	}
	for n := range p.Updates {
		if p.Updates[n].says(&u) {
			return nil
		}
	}
	if u.Phase == "" {
		u.Phase = i.Phase
	}
	was := i.Phase
	if i.IsOpen() {
		i.Phase = u.Phase // what it will be decides who is told
	}
	_, u.NeedsSignature = e.audience(&u)
	i.Phase = was
	u.SetsPhase = u.NeedsSignature && i.IsOpen() && u.Phase != was
	if !u.NeedsSignature {
		e.phaseOf(&u)
	}
	p.Updates = keepUpdates(append(p.Updates, u))
	e.takesPart(u.By)
	if u.Waits() {
		// Not what it says: messages quote the timeline, and it may go nowhere yet.
		e.Log(u.By, "update_drafted", fmt.Sprintf("update %d waits for a signature", u.ID), 0)
		return nil
	}
	e.send(u.By, &u, comment)
	return nil
}

// keepUpdates drops one if there are too many: the oldest that the public does not
// know, if that is not the new one, since what stands on a status page stays there.
func keepUpdates(list []Update) []Update {
	if len(list) <= updatesKept {
		return list
	}
	drop := slices.IndexFunc(list, func(u Update) bool { return !u.Public })
	if drop < 0 || drop == len(list)-1 {
		drop = 0
	}
	return slices.Delete(list, drop, drop+1)
}

// says reports whether an update that was just written says the same: it was sent twice.
func (u *Update) says(same *Update) bool {
	return same.At.Sub(u.At) < sentTwice && u.By == same.By && (same.Phase == "" || u.Phase == same.Phase) && u.What == same.What && u.Analysis == same.Analysis &&
		u.Progress == same.Progress && u.Forecast == same.Forecast && u.Contact == same.Contact && u.Restoration.Equal(same.Restoration) &&
		u.Public == same.Public && slices.Equal(u.For, same.For)
}

// Sign lets an update out. Who wrote it cannot sign it.
func (e *Edit) Sign(by string, id uint64, comment string) error {
	if i := e.Incident; i.State == Closed {
		return &StateError{"sign an update on", i.State}
	}
	p := e.Process()
	for n := range p.Updates {
		u := &p.Updates[n]
		switch {
		case u.ID != id:
			continue
		case !u.Waits():
			return nil
		case u.By == by:
			return &FieldError{"by", "who wrote an update cannot sign it"}
		}
		u.SignedBy, u.SignedAt = by, e.now
		e.takesPart(by)
		e.Log(by, "signed", withComment(fmt.Sprintf("signed update %d", id), comment), 0)
		if u.SetsPhase {
			e.phaseOf(u)
		}
		e.send(u.By, u, "")
		return nil
	}
	return &FieldError{"update", fmt.Sprintf("there is no update %d", id)}
}

// phaseOf has the incident in the phase that an update says.
func (e *Edit) phaseOf(u *Update) {
	if e.Incident.IsOpen() {
		_ = e.SetPhase(u.By, u.Phase, "") // cannot fail: it is open
	}
}

// send tells an update to everybody who is told, and to those it is for.
func (e *Edit) send(by string, u *Update, comment string) {
	e.Log(by, "update", withComment(u.text(), comment), 0)
	e.tell(urgentNews)
	called, _ := e.audience(u)
	for _, c := range called {
		e.CallIn(c.Receiver, c.Why, c.Detail)
	}
	for _, r := range u.For {
		e.CallIn(r, "status updates", DetailSummary)
	}
}

func (e *Edit) audience(u *Update) (called []Called, sign bool) {
	if e.policy.Guide == nil {
		return nil, false
	}
	return e.policy.Guide.Audience(e.Incident, u)
}

// text says an update in words.
func (u *Update) text() string {
	lines := []string{u.Phase + ": " + u.What}
	for _, f := range [...]struct{ name, value string }{{"analysis", u.Analysis}, {"progress", u.Progress}, {"forecast", u.Forecast}, {"contact", u.Contact}} {
		if f.value != "" {
			lines = append(lines, f.name+": "+f.value)
		}
	}
	if !u.Restoration.IsZero() {
		lines = append(lines, "restoration expected at "+u.Restoration.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return strings.Join(lines, "\n")
}

// LastUpdate is the latest update that went out, nil if none did.
func (p *Process) LastUpdate() *Update {
	for n := len(p.Updates) - 1; n >= 0; n-- {
		if !p.Updates[n].Waits() {
			return &p.Updates[n]
		}
	}
	return nil
}
