package incident

import (
	"slices"
	"time"
)

// Target is somebody who is told of an incident.
type Target struct {
	// Name is that of a receiver's integration, such as dba/slack[0], and Receiver
	// the receiver's.
	Name, Receiver string
	// Wait is how long news is gathered before it is told.
	Wait time.Duration
}

// targetsKept bounds the targets that an incident remembers.
const targetsKept = 50

// news is how soon people are to hear of a change.
type news uint8

const (
	noNews news = iota
	// soonNews waits for more of its kind.
	soonNews
	// urgentNews does not wait.
	urgentNews
)

// tell notes that people are to hear of the edit.
func (e *Edit) tell(n news) { e.news = max(e.news, n) }

// tellThese notes that receivers are to hear of it at once, whoever else does.
func (e *Edit) tellThese(receivers ...string) { e.newsFor = append(e.newsFor, receivers...) }

// byWhom is how soon people hear of what was done: at once of what a person did,
// with what else comes together of what followed from alerts.
func byWhom(by string) news {
	if by == System {
		return soonNews
	}
	return urgentNews
}

// notify arms the jobs that tell people: those who are told of the incident as it
// is now, and those who were told of it before, who have to hear how it ends.
func (e *Edit) notify() {
	if e.policy.Targets == nil || e.news == noNews && len(e.newsFor) == 0 && !e.retargeted {
		return
	}
	i := e.Incident
	targets := e.policy.Targets(i)
	known := i.Told
	wait := time.Duration(0)
	for _, t := range targets {
		wait = max(wait, t.Wait)
		i.addTold(t.Name)
	}
	for _, name := range i.Told {
		if !slices.ContainsFunc(targets, func(t Target) bool { return t.Name == name }) {
			targets = append(targets, Target{Name: name, Wait: wait})
		}
	}
	for _, t := range targets {
		due := e.now
		switch {
		case slices.Contains(e.newsFor, t.Receiver):
		case e.news == noNews && (!e.retargeted || slices.Contains(known, t.Name)):
			continue
		case e.news == soonNews:
			due = due.Add(t.Wait)
		}
		e.jobs = append(e.jobs, Job{Subject: i.ID.String(), Kind: JobNotify, Target: t.Name, Due: due, NoLater: true})
	}
}

// Reroute tells those who are told of the incident only now, because the routes
// have changed.
func (e *Edit) Reroute() {
	e.tell(soonNews)
	e.rerouted = true
}
