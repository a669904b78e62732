package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// DigestLine is one incident of a digest, as it is.
type DigestLine struct {
	Reference, Title, State string
	Severity, Priority      string
	Service, Team           string
	// Firing are its alerts that fire.
	Firing int
	// URL leads to it; empty if there is no link.
	URL string
	// Drill: it is an exercise.
	Drill bool
}

const (
	// digestSend and digestRecord are sendTime and recordTime of a digest, of which
	// there is more to record. With what is read before they are shorter than a lease.
	digestSend   = 10 * time.Second
	digestRecord = 10 * time.Second
	// digestTitle bounds a title in a digest, in bytes.
	digestTitle = 120
)

// waiting is an incident that a digest lists.
type waiting struct {
	pending
	incident *incident.Incident
	told     *told
	detail   string
}

// listing is what a digest lists.
type listing struct {
	list []waiting
	// rest is how many are left for the next one; unread says that this is because
	// there was no time to read them.
	rest   int
	unread bool
}

// digest does the job of a target's digest: it tells of all that waits, and
// ends the storm when nothing does.
func (w *Worker) digest(ctx context.Context, s *Settings, in *Integration, l store.Lease) error {
	read, cancel := context.WithTimeout(ctx, recordTime/2)
	defer cancel()
	st, _, err := w.stormOf(read, l.Target)
	if err != nil {
		return err
	}
	now := w.store.Now()
	switch {
	case !in.Storm.on() || st.Digest.IsZero():
		return w.store.Done(ctx, l)
	case st.Digest.After(now):
		return w.nextDigest(ctx, l, st.Digest)
	}
	all, err := w.pending(read, l.Target)
	if err != nil {
		return err
	}
	next, err := w.digestOf(read, s, in, all, now)
	if err != nil {
		return err
	}
	if len(next.list) == 0 {
		return w.calm(ctx, l)
	}
	return w.sendDigest(ctx, s, in, l, next.list, digestMessage(s, in, st, next, now))
}

// calm ends a storm. What came in this moment is looked at again by its own job.
func (w *Worker) calm(ctx context.Context, l store.Lease) error {
	err := w.editStorm(ctx, l.Target, func(s *stormState) bool {
		*s = stormState{Sent: s.Sent, Unknown: s.Unknown}
		return true
	})
	if err != nil {
		return err
	}
	return w.store.Done(ctx, l)
}

func (w *Worker) nextDigest(ctx context.Context, l store.Lease, due time.Time) error {
	if err := w.armDigest(ctx, l.Target, due); err != nil {
		return err
	}
	return w.store.Done(ctx, l)
}

// pending lists what waits for a target, the most urgent and then the oldest first.
func (w *Worker) pending(ctx context.Context, target string) (list []pending, err error) {
	prefix := target + "/"
	for after, more := prefix, true; more; {
		docs, err := w.store.Documents(ctx, DocumentPending, after, toldAtOnce)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			after = d.ID
			rest, ours := strings.CutPrefix(d.ID, prefix)
			if more = ours; !more {
				break
			}
			p := pending{doc: d}
			if p.id, err = incident.ParseID(rest); err != nil {
				continue // of a target whose name begins like this one's
			}
			if err := json.Unmarshal(d.Data, &p); err != nil {
				return nil, fmt.Errorf("notify: %s: %w", d.ID, err)
			}
			list = append(list, p)
		}
		more = more && len(docs) == toldAtOnce
	}
	slices.SortFunc(list, func(a, b pending) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), bytes.Compare(a.id[:], b.id[:]))
	})
	return list, nil
}

// digestOf reads the incidents that the next digest lists. They are read one by
// one: for each there is something to decide and perhaps to write. If the time is
// over, what was read is told, since that is the most urgent; but never nothing,
// which would end the storm.
func (w *Worker) digestOf(ctx context.Context, s *Settings, in *Integration, all []pending, now time.Time) (listing, error) {
	var out listing
	for n, p := range all {
		if len(out.list) == in.Storm.lines() {
			out.rest = len(all) - n
			return out, nil
		}
		one, err := (*waiting)(nil), ctx.Err() // a store may be slow and not look at it
		if err == nil {
			one, err = w.waiting(ctx, s, in, p, now)
		}
		switch {
		case err == nil && one != nil:
			out.list = append(out.list, *one)
		case err == nil:
		case len(out.list) > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded): // not if we are being stopped
			out.rest, out.unread = len(all)-n, true
			return out, nil
		default:
			return listing{}, err
		}
	}
	return out, nil
}

// waiting reads one incident. It is nil if that waits no more: because it is
// gone, was told otherwise, or something else hides it now.
func (w *Worker) waiting(ctx context.Context, s *Settings, in *Integration, p pending, now time.Time) (*waiting, error) {
	t, err := w.told(ctx, toldID(p.id, in.Target()))
	if err != nil {
		return nil, err
	}
	if !t.waits() {
		if now.Sub(p.At) < pendingGrace {
			return nil, nil // somebody is just noting that it waits
		}
		return nil, w.drop(ctx, p.doc)
	}
	i, err := w.store.Incident(ctx, p.id.String())
	if errors.Is(err, incident.ErrNotFound) {
		return nil, w.drop(ctx, p.doc)
	}
	if err != nil {
		return nil, err
	}
	timing := s.Timing(i, in.Receiver)
	h, hidden, err := w.muted(ctx, s, in, i, t, timing, Updated, now)
	if err != nil {
		return nil, err
	}
	if !hidden {
		return &waiting{p, i, t, detailOf(t, timing)}, nil
	}
	t.Hidden = &h
	t.log(Attempt{At: now, Result: "hidden", Text: h.By + ": " + h.Text})
	w.metrics.hidden.WithLabelValues(h.By).Inc()
	if err := w.keepOnce(ctx, toldID(p.id, in.Target()), t); errors.Is(err, incident.ErrConflict) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return nil, w.drop(ctx, p.doc) // its own job looks at it again
}

// digestMessage makes the message. Its key is the same until it has been sent.
func digestMessage(s *Settings, in *Integration, st *stormState, next listing, now time.Time) *Message {
	list := next.list
	m := &Message{Event: Digested, Receiver: in.Receiver, RouteLabels: map[string]string{}, DigestMore: next.rest, DigestUnread: next.unread, SentAt: now}
	sum := sha256.Sum256([]byte(in.Target()))
	worst := list[0].incident
	i := &incident.Incident{ID: incident.NewID(st.Digest, [16]byte(sum[:16]), 0, 0), Title: fmt.Sprintf("%d incidents in a storm of messages", len(list)+next.rest),
		State: incident.Open, Phase: incident.Investigating, Severity: worst.Severity, Priority: worst.Priority, Impact: worst.Impact, Urgency: worst.Urgency, Level: worst.Level,
		CycleSeverity: worst.Severity, OpenedAt: st.Since, CycleOpenedAt: st.Since, Labels: map[string]string{"alertname": "Storm"}, Roles: map[string]string{}, Firing: map[string]int{}}
	if next.unread { // in the title, which every target shows
		i.Title += fmt.Sprintf(", %d of which could not be read in time", next.rest)
	}
	i.Reference = "DIGEST-" + strings.ToUpper(i.ID.String()[:13])
	for n := range list {
		one := list[n].incident
		line := DigestLine{Reference: one.Reference, Title: Cut(Line(one.Title), digestTitle), State: one.State, Severity: one.Severity, Priority: one.Priority,
			Service: one.Service, Team: one.Team, Firing: one.Alerts.Firing, Drill: one.Drill}
		remark := list[n].told.Remark
		if list[n].detail == incident.DetailPublic { // as tellLess has it
			line.Title, line.Team, remark = Cut(Line(publicTitle(one)), digestTitle), "", ""
		} else if s.Links != nil {
			line.URL = s.Links(one, in.Target()).Incident
		}
		m.Digest = append(m.Digest, line)
		m.Alerts = append(m.Alerts, line.alert(one))
		if i.Alerts.Total++; one.IsOpen() {
			i.Alerts.Firing++
			i.Firing[one.Severity]++
		}
		m.Remark = cmp.Or(m.Remark, remark)
	}
	m.Incident = i
	return m
}

// alert is the line for templates that know only alerts.
func (d *DigestLine) alert(i *incident.Incident) Alert {
	labels := map[string]string{"alertname": d.Title, "incident": d.Reference, "severity": d.Severity, "priority": d.Priority, "service": d.Service, "team": d.Team, "state": d.State}
	for name, value := range labels {
		if value == "" {
			delete(labels, name)
		}
	}
	a := Alert{Alert: &alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Labels: alert.FromMap(labels), GeneratorURL: d.URL,
		Annotations: alert.FromMap(map[string]string{"summary": d.Text()})}, Fingerprint: alert.Fingerprint(i.ID), Firing: i.IsOpen(), Severity: d.Severity, StartsAt: i.CycleOpenedAt}
	if !a.Firing {
		a.EndsAt = i.ResolvedAt
	}
	return a
}

// Text says the line in words, without its link.
func (d *DigestLine) Text() string {
	text := "[" + strings.ToUpper(d.Severity) + "] " + d.Reference + " " + d.State
	if d.Drill {
		text = "[DRILL " + text[1:]
	}
	if d.Firing > 0 {
		text += fmt.Sprintf(", %d firing", d.Firing)
	}
	return text + ": " + d.Title
}

func (m *Message) digestHeadline() string {
	return fmt.Sprintf("[STORM] %s · the worst is %s", m.Incident.Title, strings.ToLower(m.Digest[0].Severity))
}

func (m *Message) digestPlain() string {
	var b strings.Builder
	b.WriteString(m.digestHeadline() + "\n")
	if m.Remark != "" {
		b.WriteString(Line(m.Remark) + "\n")
	}
	b.WriteString("there is too much to tell of it one by one\n")
	for n := range m.Digest {
		d := &m.Digest[n]
		b.WriteString("- " + cutLine(d.Text()))
		if d.URL != "" {
			b.WriteString(" " + d.URL)
		}
		b.WriteByte('\n')
	}
	switch {
	case m.DigestUnread:
		fmt.Fprintf(&b, "- and %d more, which could not be read in time; the next digest lists them\n", m.DigestMore)
	case m.DigestMore > 0:
		fmt.Fprintf(&b, "- and %d more, which the next digest lists\n", m.DigestMore)
	}
	return b.String()
}

// sendDigest tells the target and records that it knows of each incident.
func (w *Worker) sendDigest(ctx context.Context, s *Settings, in *Integration, l store.Lease, list []waiting, m *Message) error {
	sending, cancel := context.WithTimeout(ctx, digestSend)
	defer cancel()
	began := time.Now()
	_, err := guarded(sending, in.Sender, m)
	took := time.Since(began)
	ctx, cancelRecord := context.WithTimeout(context.WithoutCancel(ctx), digestRecord)
	defer cancelRecord()
	if err != nil && sending.Err() != nil && errors.Is(context.Cause(sending), context.Canceled) {
		return nil // we are being stopped; another one takes over when the lease ends
	}
	if failed := m.ErrTemplates(); failed != nil {
		w.metrics.templates.WithLabelValues(in.Receiver, in.Name).Add(float64(len(m.failed)))
	}
	if err != nil {
		return w.digestFailed(ctx, s, in, l, list, m, asError(err))
	}
	w.metrics.sent(in, max(m.SentAt.Sub(l.Due), 0)+took)
	w.log.InfoContext(ctx, "notified", "target", l.Target, "event", string(m.Event), "incidents", len(list), "left", m.DigestMore, "unread", m.DigestUnread, "took", took)
	a := Attempt{At: m.SentAt, Event: Digested, Result: "sent", Took: took.Seconds()}
	for n := range list {
		_, err := w.listed(ctx, in, &list[n], func(t *told, i *incident.Incident) {
			if t.is(i); !i.IsOpen() {
				t.Remark = ""
			}
			t.Seq, t.At, t.Detail = i.TimelineLength, m.SentAt, list[n].detail
			t.Sent++
			t.Failures, t.FailedSince = 0, time.Time{}
			t.log(a)
		})
		if err != nil {
			return err
		}
	}
	due := m.SentAt.Add(in.Storm.Within)
	err = w.editStorm(ctx, l.Target, func(st *stormState) bool {
		st.Digest, st.Failures, st.FailedSince, st.NextTry = due, 0, time.Time{}, time.Time{}
		return true
	})
	if err != nil {
		return err
	}
	return w.nextDigest(ctx, l, due)
}

// listed records what became of one incident of a digest, which waits no more.
// Its own job looks at it again. It reports whether it still waited.
func (w *Worker) listed(ctx context.Context, in *Integration, one *waiting, change func(*told, *incident.Incident)) (waited bool, _ error) {
	id := toldID(one.id, in.Target())
	for t := one.told; t.waits(); {
		wasGivenUp := t.GivenUp
		t.Hidden, t.GivenUp = nil, false
		change(t, one.incident)
		err := w.keepOnce(ctx, id, t)
		if err == nil && wasGivenUp && !t.GivenUp {
			err = w.mark(ctx, id, nil)
		}
		if err == nil {
			waited = true
			break
		}
		if !errors.Is(err, incident.ErrConflict) {
			return false, err
		}
		if t, err = w.told(ctx, id); err != nil {
			return false, err
		}
	}
	return waited, w.drop(ctx, one.doc)
}

// digestFailed records that the target was not told, and when it is tried again.
// What is given up is given up for each incident, like a message about it alone.
func (w *Worker) digestFailed(ctx context.Context, s *Settings, in *Integration, l store.Lease, list []waiting, m *Message, e *Error) error {
	now := w.store.Now()
	text := Cut(Line(e.Error()), 500)
	var since, due time.Time
	giveUp := false
	// When it was due stays as it was: the digest keeps its key.
	err := w.editStorm(ctx, l.Target, func(st *stormState) bool {
		if st.Failures++; st.FailedSince.IsZero() {
			st.FailedSince = now
		}
		since = st.FailedSince
		giveUp = e.Permanent || s.GiveUpAfter > 0 && now.Sub(since) >= s.GiveUpAfter
		due = now.Add(max(backoff(st.Failures), e.RetryAfter))
		st.NextTry = due
		return true
	})
	if err != nil {
		return err
	}
	w.metrics.failed(in, e.Reason, giveUp)
	w.log.ErrorContext(ctx, "not notified", "target", l.Target, "event", string(m.Event), "incidents", len(list), "reason", e.Reason, "given_up", giveUp, "err", e)
	if e.RetryAfter > 0 {
		w.hold(in, now.Add(e.RetryAfter))
	}
	if s.Fallback != "" && s.Fallback != in.Receiver && (giveUp || now.Sub(since) >= s.FallbackAfter) {
		for n := range list {
			if i := list[n].incident; i.IsOpen() {
				if err := w.fallBack(ctx, s, in, i, text); err != nil {
					return err
				}
			}
		}
	}
	if !giveUp {
		return w.store.Retry(ctx, l, due, text)
	}
	return w.giveUpDigest(ctx, in, l, list, text, now)
}

// giveUpListed gives up one incident of a digest.
func (w *Worker) giveUpListed(ctx context.Context, in *Integration, one *waiting, text string, now time.Time) error {
	i := one.incident
	// First, so that whoever asks for it as soon as it says so is not overruled.
	if err := w.rest(ctx, in, i); err != nil {
		return err
	}
	waited, err := w.listed(ctx, in, one, func(t *told, _ *incident.Incident) {
		t.GivenUp = true
		t.log(Attempt{At: now, Event: Digested, Result: "given_up", Text: text})
	})
	if err != nil {
		return err
	}
	if !waited { // something else hides it now, or it was told: its own job looks again
		return w.arm(ctx, i.ID, incident.Job{Subject: i.ID.String(), Kind: incident.JobNotify, Target: in.Target(), Due: now, NoLater: true})
	}
	return w.mark(ctx, toldID(i.ID, in.Target()), &Undelivered{Incident: i.ID, Reference: i.Reference, Target: in.Target(), At: now, Error: text})
}

// rest lets a target hear nothing of an incident before somebody asks for it, or there
// is news since it was read.
func (w *Worker) rest(ctx context.Context, in *Integration, i *incident.Incident) error {
	return w.store.Update(ctx, []incident.Change{{ID: uuid.New(), Incident: i.ID, Step: func(st incident.State) (next incident.Next, _ error) {
		if st.Incident != nil && st.Incident.TimelineLength == i.TimelineLength {
			next.Jobs = []incident.Job{{Subject: i.ID.String(), Kind: incident.JobNotify, Target: in.Target()}}
		}
		return next, nil
	}}})
}

func (w *Worker) giveUpDigest(ctx context.Context, in *Integration, l store.Lease, list []waiting, text string, now time.Time) error {
	for n := range list {
		if err := w.giveUpListed(ctx, in, &list[n], text, now); err != nil {
			return err
		}
	}
	due := now.Add(in.Storm.Within)
	err := w.editStorm(ctx, l.Target, func(st *stormState) bool {
		st.Digest, st.Failures, st.FailedSince, st.NextTry = due, 0, time.Time{}, time.Time{}
		return true
	})
	if err != nil {
		return err
	}
	return w.nextDigest(ctx, l, due)
}
