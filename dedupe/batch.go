package dedupe

import (
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// heldKept bounds the alerts that a threshold remembers for a key.
const heldKept = 1000

// TombstoneKept is how long an ended alert without an incident is remembered:
// long enough to recognise what its senders repeat.
const TombstoneKept = 24 * time.Hour

// Batch are the events of one request that belong to one key. Its Step is what
// the store runs.
type Batch struct {
	Place  Place
	Events []Event
	Policy *Policy

	// Outcomes are those of the latest run of Step or Settled, one for each event.
	Outcomes []Outcome
	// Duties are what became of duties of the process in it.
	Duties []incident.DutyOutcome
	// fingerprints are the different ones of the events, and slots says for each
	// event which of them is its own.
	fingerprints []alert.Fingerprint
	slots        []int32
}

// Outcome is what became of an event.
type Outcome struct {
	Verdict  alert.Verdict
	Incident incident.ID
	// Bounced: the event was only for something known here, and there is nothing.
	Bounced bool
}

// Room is memory for the batches of one request, which each get a part of it.
type Room struct {
	fingerprints []alert.Fingerprint
	slots        []int32
	outcomes     []Outcome
}

// NewRoom returns room for batches of so many events in all.
func NewRoom(events int) *Room {
	return &Room{make([]alert.Fingerprint, events), make([]int32, events), make([]Outcome, events)}
}

// For gives b what it needs for its events. Where the room is used up, and
// without any, b allocates it itself.
func (r *Room) For(b *Batch) {
	n := len(b.Events)
	if n > len(r.slots) {
		return
	}
	b.fingerprints, r.fingerprints = r.fingerprints[:0:n], r.fingerprints[n:]
	b.slots, r.slots = r.slots[:0:n], r.slots[n:]
	b.Outcomes, r.outcomes = r.outcomes[:0:n], r.outcomes[n:]
}

// fewFingerprints is up to how many looking through all of them costs less than a map.
const fewFingerprints = 32

// Fingerprints returns the different fingerprints of the events. It must be
// called before Settled and Step, which expect their entries in this order.
func (b *Batch) Fingerprints() []alert.Fingerprint {
	n := len(b.Events)
	fps, slots := slices.Grow(b.fingerprints[:0], n), slices.Grow(b.slots[:0], n)
	var known map[alert.Fingerprint]int32
	if n > fewFingerprints {
		known = make(map[alert.Fingerprint]int32, n)
	}
	for i := range b.Events {
		fp := b.Events[i].Fingerprint
		var slot int32
		if known == nil {
			slot = int32(slices.Index(fps, fp))
		} else if at, ok := known[fp]; ok {
			slot = at
		} else {
			slot, known[fp] = -1, int32(len(fps))
		}
		if slot < 0 {
			slot = int32(len(fps))
			fps = append(fps, fp)
		}
		slots = append(slots, slot)
	}
	b.fingerprints, b.slots = fps, slots
	return fps
}

// Settled reports whether the entries alone show that nothing happened but
// repeats. It is the short way of duplicates.
func (b *Batch) Settled(now time.Time, entries []incident.Entry) ([]incident.Patch, bool) {
	b.Outcomes, b.Duties = slices.Grow(b.Outcomes[:0], len(b.Events)), nil
	patches := make([]incident.Patch, len(entries))
	var room times
	for i := range b.Events {
		ev := &b.Events[i]
		slot := b.slots[i]
		known := &entries[slot]
		if !known.Exists() || known.Held() || ev.Alert == nil || ev.Alert.Kind != alert.KindAlert || !ev.Alert.TellsState() || ev.Alert.LeftOut > 0 {
			return nil, false
		}
		is := *known
		j := judging{e: &is, room: &room}
		if b.Policy.judge(&j, ev, now); j.Write {
			return nil, false
		}
		p := &patches[slot]
		p.Count++
		p.LastSeen = is.LastSeen
		if is.ValidUntil.After(p.ValidUntil) {
			p.ValidUntil = is.ValidUntil
		}
		b.Outcomes = append(b.Outcomes, Outcome{Verdict: j.Verdict, Incident: known.Incident})
	}
	return patches, true
}

// Step decides what the events do to the key. It is one function in spite of
// its length in helpers: each event sees what the ones before it did.
func (b *Batch) Step(st incident.State) (incident.Next, error) {
	var fewMarks [16]mark
	var fewEdits [2]*tally
	s := stepping{b: b, st: &st, writes: make([]incident.EntryWrite, len(st.Entries)), edits: fewEdits[:0], room: times{expected: len(st.Entries)}}
	if s.marks = fewMarks[:min(len(st.Entries), len(fewMarks))]; len(s.marks) < len(st.Entries) {
		s.marks = make([]mark, len(st.Entries))
	}
	for i := range st.Entries {
		s.writes[i].Entry, s.writes[i].Was = st.Entries[i], st.Entries[i]
	}
	if st.Key != nil {
		s.key = *st.Key
		s.key.Held = slices.Clip(st.Key.Held)
	} else {
		first := &b.Events[0]
		s.key = incident.KeyState{Key: b.Place.Key, Rule: b.Place.Rule(), By: b.Place.By(first.Alert, first.Class)}
	}
	b.Outcomes, b.Duties = slices.Grow(b.Outcomes[:0], len(b.Events)), nil
	for i := range b.Events {
		b.Outcomes = append(b.Outcomes, s.event(&b.Events[i], s.entry(b.slots[i])))
		if !s.next.Want.IsZero() {
			return s.next, nil
		}
	}
	next := s.finish()
	b.Duties = next.Duties
	return next, nil
}

// stepping is one run of a Step.
type stepping struct {
	b      *Batch
	st     *incident.State
	next   incident.Next
	key    incident.KeyState
	keyNew bool // the key's state changed
	// writes are the entries of the batch's fingerprints, each with its mark.
	// What is written of them becomes the Entries of next, where it is.
	writes  []incident.EntryWrite
	marks   []mark
	extra   []incident.EntryWrite // adopted from a threshold
	edits   []*tally
	room    times
	opened  int
	orphans bool // an ended entry without an incident was written
}

// mark says what becomes of an entry.
type mark struct{ write, moved, bounced bool }

// working is an entry on its way.
type working struct {
	*incident.EntryWrite
	*mark
}

// entry returns an entry of the batch.
func (s *stepping) entry(slot int32) working { return working{&s.writes[slot], &s.marks[slot]} }

// tally gathers what a batch does to one incident, so that the timeline says it once.
type tally struct {
	*incident.Edit
	joined, updated, resolved, expired, moved, reconciled int
	// changed: there is something to write. An incident that was only looked at keeps its version.
	changed bool
}

func (s *stepping) event(ev *Event, w working) Outcome {
	if ev.Alert != nil && (ev.Alert.Kind != alert.KindAlert || !ev.Alert.TellsState()) {
		if o := s.tell(ev, w); !ev.Alert.TellsState() || !s.next.Want.IsZero() {
			return o
		}
	}
	was := w.Entry
	j := judging{e: &w.Entry, room: &s.room}
	s.b.Policy.judge(&j, ev, s.st.Now)
	if ev.KnownOnly && (w.bounced || j.Verdict == alert.Opened || j.Verdict == alert.Recorded) {
		w.Entry = was
		w.bounced = true // and so does all that comes after it: one alert's messages keep their order
		return Outcome{Bounced: true}
	}
	if ev.Alert == nil && !j.Write {
		return Outcome{Verdict: j.Verdict, Incident: w.Entry.Incident} // it was repeated, or ended, just in time
	}
	w.write = w.write || j.Write
	if j.Write && ev.Alert != nil && j.Verdict != alert.ResolvedAlert && j.Verdict != alert.Duplicate {
		w.Content = ev.Alert
		if ev.Alert.Kind != alert.KindAlert { // what is stored is the alert that it tells of
			said := *ev.Alert
			said.Kind = alert.KindAlert
			w.Content = &said
		}
	}
	switch j.Verdict {
	case alert.Opened:
		return s.begin(w, &was, ev, j.Verdict)
	case alert.Updated, alert.Duplicate:
		if was.Held() && ev.Class.SuppressedBy == "" {
			return s.begin(w, &was, ev, j.Verdict)
		}
		switch {
		case !was.Firing:
		case j.Write:
			s.update(&was, ev, j.Verdict)
		default:
			s.leftOut(&was, ev.Alert)
		}
	case alert.ResolvedAlert:
		w.moved = ev.Moved
		s.end(w, &was, ev)
	}
	return Outcome{Verdict: j.Verdict, Incident: w.Entry.Incident}
}

// current is the edit of the key's incident, nil if the key has none.
func (s *stepping) current() *tally { return s.edit(s.key.Incident) }

// edit returns the edit of an incident of this key; nil if there is none, or
// if it has to be read first.
func (s *stepping) edit(id incident.ID) *tally {
	if id.IsZero() {
		return nil
	}
	for _, t := range s.edits {
		if t.Incident.ID == id {
			return t
		}
	}
	known := s.st.Others[id]
	if s.st.Incident != nil && s.st.Incident.ID == id {
		known = s.st.Incident
	}
	if known == nil {
		if _, asked := s.st.Others[id]; !asked {
			s.next.Want.Incidents = append(s.next.Want.Incidents, id)
		}
		return nil // gone by retention, or to be read
	}
	t := &tally{Edit: s.b.Policy.Change(known, s.st.Now)}
	s.edits = append(s.edits, t)
	return t
}

// begin puts a firing alert into an incident, or holds it.
func (s *stepping) begin(w working, was *incident.Entry, ev *Event, v alert.Verdict) Outcome {
	verdict := alert.Joined
	cur := s.current()
	if !s.next.Want.IsZero() {
		return Outcome{}
	}
	switch {
	case cur != nil && cur.Incident.IsOpen():
	case cur != nil && s.b.Policy.reopens(cur.Incident, s.st.Now):
		if err := cur.Reopen(incident.System, "fires again"); err != nil {
			return Outcome{Verdict: alert.Failed} // unreachable: a resolved incident can be reopened
		}
		verdict, cur.changed = alert.Reopened, true
		s.key.Opens(cur.Edit)
		s.keyNew = true
	case was.Held() && !s.reached(nil, incident.ID{}):
		return Outcome{Verdict: v}
	case !was.Held() && !s.reached(ev, was.Incident):
		s.leaveOld(was)
		w.write = true
		w.Entry.Incident = incident.ID{}
		return Outcome{Verdict: alert.Held}
	default:
		cur = s.open(ev)
		verdict = alert.Opened
		if s.adopt(cur, ev.Fingerprint); !s.next.Want.IsZero() {
			return Outcome{}
		}
	}
	s.join(cur, w, was, ev.Alert, ev.Class)
	if verdict != alert.Opened {
		cur.joined++
	}
	return Outcome{Verdict: verdict, Incident: cur.Incident.ID}
}

func (s *stepping) join(t *tally, w working, was *incident.Entry, a *alert.Alert, class *incident.Classification) {
	known := was.Incident == t.Incident.ID || was.Held() && s.heldFrom(was.Fingerprint) == t.Incident.ID
	if !known {
		s.leaveOld(was)
	}
	w.Entry.Incident, w.write, t.changed = t.Incident.ID, true, true
	// It counts as what it is now, though a repeat of what was held says nothing new.
	w.Entry.Severity = class.Severity
	t.Join(incident.Member{Alert: a, Class: *class}, known)
	if w.Was.Held() {
		t.Incident.Occurrences += w.Was.Count // what this request adds is counted at the end
	}
	s.flap(t, w, a.Name())
}

// heldFrom is the incident of a held alert's episode before, zero if there is none.
func (s *stepping) heldFrom(fp alert.Fingerprint) incident.ID {
	for _, h := range slices.Backward(s.key.Held) {
		if h.Fingerprint == fp {
			return h.From
		}
	}
	return incident.ID{}
}

// leaveOld archives an entry with the incident of its episode before.
func (s *stepping) leaveOld(was *incident.Entry) {
	if !was.Incident.IsZero() {
		s.next.Archive = append(s.next.Archive, *was)
	}
}

// reopens reports whether a resolved incident takes an alert that fires again.
// While some of its alerts still fire the problem is not over, whatever the window.
func (p *Policy) reopens(i *incident.Incident, now time.Time) bool {
	return i.State == incident.Resolved &&
		(i.Alerts.Firing > 0 || p.ReopenWindow > 0 && now.Sub(i.ResolvedAt) <= p.ReopenWindow)
}

func (s *stepping) open(ev *Event) *tally {
	id := s.st.NewID(s.opened)
	s.opened++
	e := s.b.Policy.Open(incident.Opening{ID: id, Key: s.b.Place.Key, Rule: s.b.Place.Rule(),
		Title: s.b.Place.Title(ev.Alert, ev.Class), Class: *ev.Class,
		StartedAt: ev.Alert.StartsAt, By: incident.System}, s.st.Now)
	t := &tally{Edit: e, changed: true}
	s.edits = append(s.edits, t)
	s.key.Incident, s.keyNew = id, true
	s.key.Opens(e)
	return t
}

// reached counts ev (or, if it is nil, nothing new), whose alert was in the
// given incident before, and reports whether the rule's threshold is reached.
func (s *stepping) reached(ev *Event, from incident.ID) bool {
	th := s.b.Policy.Threshold
	if th.Count <= 1 {
		return true
	}
	since := s.since()
	if ev != nil {
		if from.IsZero() {
			from = s.heldFrom(ev.Fingerprint)
		}
		held := incident.Held{Fingerprint: ev.Fingerprint, At: s.st.Now, From: from}
		if th.Distinct != "" {
			held.Value = xxhash.Sum64String(view(ev.Alert, ev.Class, th.Distinct))
		}
		s.key.Held = append(slices.Clip(s.key.Held), held)
		if over := len(s.key.Held) - heldKept; over > 0 {
			s.key.Held = s.key.Held[over:]
		}
		s.keyNew = true
	}
	seen := make(map[uint64]bool)
	n := 0
	for _, h := range s.key.Held {
		if h.At.Before(since) || th.Distinct != "" && seen[h.Value] {
			continue
		}
		seen[h.Value] = true
		n++
	}
	return n >= th.Count
}

// adopt brings what a threshold held into the incident that it led to: what
// fires, and what ended within the threshold's window.
func (s *stepping) adopt(t *tally, except alert.Fingerprint) {
	done := map[alert.Fingerprint]bool{except: true}
	for _, h := range s.key.Held {
		if done[h.Fingerprint] {
			continue
		}
		done[h.Fingerprint] = true
		if slot := slices.Index(s.b.fingerprints, h.Fingerprint); slot >= 0 {
			s.take(t, s.entry(int32(slot)), s.said(h.Fingerprint))
			continue
		}
		known, ok := s.st.More[h.Fingerprint]
		if !ok {
			s.next.Want.Fingerprints = append(s.next.Want.Fingerprints, h.Fingerprint)
			continue
		}
		w := working{&incident.EntryWrite{Entry: known.Entry, Was: known.Entry}, &mark{}}
		if s.take(t, w, known.Content); w.write {
			s.extra = append(s.extra, *w.EntryWrite)
		}
	}
	s.key.Held = nil
}

// said returns the alert of the first event with the given fingerprint.
func (s *stepping) said(fp alert.Fingerprint) *alert.Alert {
	i := slices.IndexFunc(s.b.Events, func(ev Event) bool { return ev.Fingerprint == fp })
	return s.b.Events[i].Alert
}

// since is when the threshold's window begins.
func (s *stepping) since() time.Time {
	return s.st.Now.Add(-time.Duration(s.b.Policy.Threshold.Window))
}

// take counts an entry into an incident without an event of its own.
func (s *stepping) take(t *tally, w working, content *alert.Alert) {
	if !w.Entry.Exists() || !w.Entry.Incident.IsZero() || content == nil {
		return
	}
	if !w.Entry.Firing && w.Entry.EndSeen.Before(s.since()) {
		return
	}
	w.Entry.Incident, w.write = t.Incident.ID, true
	adopted := w.Entry
	adopted.Count = w.Was.Count // what this request adds is counted at the end
	t.Adopt(incident.Known{Entry: adopted, Content: content}, s.b.Policy.labels(content))
	t.joined++
}

func (s *stepping) update(was *incident.Entry, ev *Event, v alert.Verdict) {
	t := s.edit(was.Incident)
	if t == nil {
		return
	}
	t.Regrade(was.Severity, incident.Member{Alert: ev.Alert, Class: *ev.Class})
	t.changed = true
	if v == alert.Updated {
		t.updated++
	}
}

// leftOut records that a sender left more alerts out of a message than before,
// even if the ones it did send are no news.
func (s *stepping) leftOut(was *incident.Entry, a *alert.Alert) {
	if a.LeftOut == 0 {
		return
	}
	if t := s.edit(was.Incident); t != nil && t.Incident.LeftOut < a.LeftOut {
		t.Incident.LeftOut, t.changed = a.LeftOut, true
	}
}

func (s *stepping) end(w working, was *incident.Entry, ev *Event) {
	t := s.edit(was.Incident)
	if t == nil {
		return
	}
	t.Leave(was.Severity, w.Entry.End)
	t.changed = true
	name := ""
	switch {
	case ev.Expiry:
		t.expired++
	case ev.Moved:
		t.moved++
		t.Incident.Alerts.Total-- // an episode is in one incident: from now on the one it goes to
		return
	case ev.Alert.Flags&alert.FlagReconciled != 0:
		t.reconciled++
	default:
		t.resolved++
		name = ev.Alert.Name()
	}
	s.flap(t, w, name)
}

func (s *stepping) flap(t *tally, w working, name string) {
	if until, ok := s.b.Policy.flapping(&w.Entry); ok {
		t.Flap(until, name)
	}
}

// occurred counts the messages about the entries that are written into their
// incidents. For those that are only patched the store does so.
func (s *stepping) occurred() {
	for i := range s.writes {
		w := &s.writes[i]
		if !s.marks[i].write || w.Entry.Count <= w.Was.Count {
			continue
		}
		for _, t := range s.edits {
			if t.changed && t.Incident.ID == w.Entry.Incident {
				t.Incident.Occurrences += w.Entry.Count - w.Was.Count
			}
		}
	}
}

// finish turns the run into what is to be written.
func (s *stepping) finish() incident.Next {
	s.occurred()
	for _, t := range s.edits {
		if t.changed {
			t.say(s.st.Now)
			t.Into(&s.next)
		}
	}
	written := 0
	for i := range s.writes {
		switch w := s.entry(int32(i)); {
		case w.moved:
			// Nothing of it stays: here it neither fires nor has it ended.
			s.next.Remove = append(s.next.Remove, w.Was)
		case w.write:
			if written < i { // the place of one that is not written
				s.writes[written] = *w.EntryWrite
			}
			written++
		case w.Entry.Count > w.Was.Count:
			e := &w.Entry
			s.next.Patches = append(s.next.Patches, incident.EntryPatch{Fingerprint: e.Fingerprint,
				Patch: incident.Patch{Count: e.Count - w.Was.Count, LastSeen: e.LastSeen, ValidUntil: e.ValidUntil}})
		}
	}
	s.next.Entries = append(s.writes[:written], s.extra...)
	earliest := time.Time{}
	for i := range s.next.Entries {
		e := &s.next.Entries[i].Entry
		s.orphans = s.orphans || !e.Firing && e.Incident.IsZero()
		if v := e.ValidUntil; e.Firing && !v.IsZero() && (earliest.IsZero() || v.Before(earliest)) {
			earliest = v
		}
	}
	if s.keyNew { // a key that only knows ends of alerts that never fired needs no state
		key := s.key
		s.next.Key = &key
	}
	if s.orphans {
		s.next.Jobs = append(s.next.Jobs, incident.Job{Subject: s.b.Place.Key.String(), Kind: incident.JobRetention, Due: s.st.Now.Add(TombstoneKept), NoLater: true})
	}
	if !earliest.IsZero() {
		s.next.Jobs = append(s.next.Jobs, incident.Job{Subject: s.b.Place.Key.String(), Kind: incident.JobExpiry, Due: earliest, NoLater: true})
	}
	return s.next
}

// say writes one timeline entry for each kind of change, and resolves the
// incident when its last alert has ended.
func (t *tally) say(now time.Time) {
	for _, kind := range [...]struct {
		n            int
		action, text string
	}{{t.joined, "joined", " joined"}, {t.updated, "updated", " changed"}, {t.resolved, "alerts_resolved", " resolved"},
		{t.expired, "expired", " not repeated in time, counted as resolved"},
		{t.moved, "moved", " moved to where the current configuration puts them"},
		{t.reconciled, "reconciled", " that their source does not know any more, counted as resolved"}} {
		if kind.n > 0 {
			t.Log(incident.System, kind.action, strconv.Itoa(kind.n)+kind.text, kind.n)
		}
	}
	if t.resolved+t.expired+t.moved+t.reconciled > 0 && t.Incident.IsOpen() && t.Incident.Alerts.Firing == 0 {
		if err := t.Resolve(incident.System, "its last alert ended"); err != nil {
			t.Log(incident.System, "error", err.Error(), 0) // unreachable: it is open
		}
	}
}
