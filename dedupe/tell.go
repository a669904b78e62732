package dedupe

import (
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// toldKept is how many messages of a key, other than alerts, are remembered so
	// that a copy of one is recognised.
	toldKept = 64
	// commentKept bounds what the timeline keeps of a comment, in bytes.
	commentKept = 4096
	// flapsAtMost is how long an alert counts as flapping if nobody says that it ended.
	flapsAtMost = 24 * time.Hour
)

// tell does what a message means that is no alert, or one whose sender does not
// know: people hear of it in the timeline of the incident that the alert, or
// else its key, has open. It opens nothing.
func (s *stepping) tell(ev *Event, w working) Outcome {
	a := ev.Alert
	t := s.about(w)
	if !s.next.Want.IsZero() || t == nil || !t.Incident.IsOpen() || a.Flags&alert.FlagAccompanies != 0 || s.toldBefore(ev) {
		return Outcome{Verdict: alert.Recorded}
	}
	who := a.Author
	if who == "" {
		who = a.Source
	}
	out := Outcome{Verdict: alert.Recorded, Incident: t.Incident.ID}
	comment := alert.CutText(a.Comment, commentKept)
	t.From(a.Source)
	defer func() {
		t.From("")
		t.changed = t.changed || t.Changed()
	}()
	switch a.Kind {
	case alert.KindAcknowledgement:
		if w.Entry.Firing { // else it is about something that we know nothing of
			out.Verdict = alert.Acknowledged
			_ = t.Acknowledge(who, comment) // it is open, or acknowledged already, and then nothing changes
			return out
		}
	case alert.KindAcknowledgementRemoved:
		if w.Entry.Firing {
			_ = t.Unacknowledge(who, comment) // likewise
			return out
		}
	case alert.KindFlappingStarted:
		t.Flap(s.st.Now.Add(flapsAtMost), a.Name())
		t.changed = true // also where it flapped already, for longer now
		return out
	case alert.KindMaintenanceStarted:
		// A sender that does not think in hosts, such as Uptime Kuma, never says that
		// it is over.
		if a.PerHost || !a.EndsAt.IsZero() {
			t.BeginDowntime(a, a.EndsAt)
		}
	case alert.KindMaintenanceEnded, alert.KindMaintenanceCancelled:
		t.EndDowntime(a)
	case alert.KindFlappingEnded:
		if t.Incident.FlappingUntil.After(s.st.Now) {
			t.Incident.FlappingUntil = s.st.Now // what is logged below says so
		}
	}
	text := comment
	switch {
	case text == "":
		text = a.Name()
	case a.PerHost: // the incident is about the host, the message about a part of it
		text = a.Name() + ": " + text
	}
	action := a.Kind.String()
	if a.Kind == alert.KindAlert {
		action = "state_unknown"
	}
	t.Log(who, action, text, 0)
	return out
}

// about is the incident that a message about an alert belongs to.
func (s *stepping) about(w working) *tally {
	if w.Entry.Firing && !w.Entry.Incident.IsZero() {
		return s.edit(w.Entry.Incident)
	}
	return s.current()
}

// toldBefore reports whether the same message came before, and remembers it.
// Senders and the spool repeat what may have been lost. Without a time of its own
// a message is the same only for so long as a late copy can be under way.
func (s *stepping) toldBefore(ev *Event) bool {
	a := ev.Alert
	told := incident.Told{At: a.ReceivedAt, Message: messageOf(string(ev.Fingerprint[:]), a.Kind.String(), a.Author, a.Comment, a.EventAt.UTC().Format(time.RFC3339Nano))}
	window := s.b.Policy.LateWindow
	if !a.EventAt.IsZero() {
		window = forEver
	}
	if known(&s.key, told, window) {
		return true
	}
	s.keyNew = true
	return false
}

const forEver = time.Duration(math.MaxInt64)

// Heard reports whether the key has heard what another tool says of an incident,
// such as a person's acknowledgement there, and else remembers it. The message
// identifies it; tools and their networks repeat what may have been lost.
func Heard(key *incident.KeyState, message string, now time.Time) bool {
	return known(key, incident.Told{Message: messageOf("heard", message), At: now}, forEver)
}

// messageOf is what a message is recognised by.
func messageOf(parts ...string) uint64 {
	h := xxhash.New()
	for _, part := range parts {
		_, _ = h.WriteString(part)
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// known reports whether the key heard the same within the window, and else adds it.
func known(key *incident.KeyState, told incident.Told, window time.Duration) bool {
	for _, k := range key.Told {
		if k.Message == told.Message && told.At.Sub(k.At).Abs() <= window {
			return true
		}
	}
	key.Told = append(slices.Clip(key.Told), told)
	if over := len(key.Told) - toldKept; over > 0 {
		key.Told = key.Told[over:]
	}
	return false
}
