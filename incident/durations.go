package incident

import "time"

// farOff is how far before its opening an incident's start may lie to count.
// Beyond it the sender's clock or its meaning is in doubt.
const farOff = 366 * 24 * time.Hour

// wentDown is the start that durations use: the one stated, unless it is
// missing, in the future or very far off.
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

// Outage is from when it went down to when it was restored; ok is false before that.
func (i *Incident) Outage() (d time.Duration, ok bool) {
	if i.ResolvedAt.IsZero() {
		return 0, false
	}
	restored := i.RestoredAt
	if restored.IsZero() || restored.After(i.ResolvedAt) || restored.Before(i.wentDown()) {
		restored = i.ResolvedAt
	}
	return max(restored.Sub(i.wentDown()), 0), true
}

// measured reports whether i counts in the statistics.
func (i *Incident) measured() bool { return !i.Drill && i.Parent.IsZero() }
