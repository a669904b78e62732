package incident

import (
	"slices"
	"time"
)

// farOff is how far before its opening an incident's start may lie to count.
// Beyond it the sender's clock or its meaning is in doubt.
const farOff = 366 * 24 * time.Hour

// WentDown is the start of the outage: as a person corrected it, or else the one
// stated, unless it is missing, in the future or very far off.
func (i *Incident) WentDown() time.Time {
	if c := i.Proceedings().Corrected.WentDown; !c.IsZero() {
		return c
	}
	return i.wentDown()
}

// wentDown is WentDown without a person's word.
func (i *Incident) wentDown() time.Time {
	if i.StartedAt.IsZero() || i.TimeClamped || i.StartedAt.After(i.OpenedAt) {
		return i.OpenedAt
	}
	return i.StartedAt
}

// TimeToDetect is from the earliest start of an alert to the opening.
func (i *Incident) TimeToDetect() time.Duration { return max(i.OpenedAt.Sub(i.wentDown()), 0) }

// TimeToAcknowledge is from the opening (of the current cycle) to the first
// acknowledgement, even if that was taken back; ok is false while there is none.
func (i *Incident) TimeToAcknowledge() (d time.Duration, ok bool) {
	first := i.FirstAcknowledgedAt
	if first.IsZero() {
		first = i.AcknowledgedAt
	}
	if first.IsZero() {
		return 0, false
	}
	return max(first.Sub(i.CycleOpenedAt), 0), true
}

// TimeToResolve is from the opening (of the current cycle) to the resolution;
// ok is false while there is none.
func (i *Incident) TimeToResolve() (d time.Duration, ok bool) {
	if i.ResolvedAt.IsZero() {
		return 0, false
	}
	return max(i.ResolvedAt.Sub(i.CycleOpenedAt), 0), true
}

// Restored is when the outage ended: as a person corrected it, or else when the
// last alert ended; ok is false before it is resolved.
func (i *Incident) Restored() (at time.Time, ok bool) {
	if i.ResolvedAt.IsZero() {
		return time.Time{}, false
	}
	if c := i.Proceedings().Corrected.Restored; !c.IsZero() {
		return c, true
	}
	if r := i.RestoredAt; !r.IsZero() && !r.After(i.ResolvedAt) && !r.Before(i.WentDown()) {
		return r, true
	}
	return i.ResolvedAt, true
}

// Outage is from when it went down to when it was restored; ok is false before that.
func (i *Incident) Outage() (d time.Duration, ok bool) {
	restored, ok := i.Restored()
	if !ok {
		return 0, false
	}
	return max(restored.Sub(i.WentDown()), 0), true
}

// uncountedOutage is the part of the outage that no earlier close has counted: what was
// closed and came back has gone down again when it was reopened.
func (i *Incident) uncountedOutage() (d time.Duration, ok bool) {
	restored, ok := i.Restored()
	if !ok {
		return 0, false
	}
	down := i.WentDown()
	for _, o := range slices.Backward(i.Observed) {
		if o.Metric != "outage_seconds" {
			continue
		}
		if !down.After(o.At) { // else a person has corrected it since
			down = i.CycleOpenedAt
			if n := slices.IndexFunc(i.Cycles, func(c Cycle) bool { return !c.OpenedAt.Before(o.At) }); n >= 0 {
				down = i.Cycles[n].OpenedAt
			}
		}
		break
	}
	return max(restored.Sub(down), 0), true
}

// Cycle is the current cycle. It was acknowledged when it first was; by whom is not known
// any more if that was taken back.
func (i *Incident) Cycle() Cycle {
	c := Cycle{i.CycleOpenedAt, i.AcknowledgedAt, i.AcknowledgedBy, i.ResolvedAt, i.ResolvedBy, i.CycleSeverity}
	if first := i.FirstAcknowledgedAt; !first.IsZero() {
		c.AcknowledgedAt, c.AcknowledgedBy = first, ""
	}
	return c
}

// Measured reports whether i counts in the statistics: drills and merged children
// do not.
func (i *Incident) Measured() bool { return !i.Drill && i.Parent.IsZero() }

// MayLackObservations reports whether i lists as many observations as it may, so
// that older ones can be missing.
func (i *Incident) MayLackObservations() bool { return len(i.Observed) >= observedKept }
