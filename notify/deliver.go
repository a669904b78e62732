package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// sendTime is how long a target may take, and recordTime what is done afterwards;
	// together with the time before they are shorter than a lease.
	sendTime   = 12 * time.Second
	recordTime = 6 * time.Second
	// firstRetry and lastRetry bound the pause between two attempts.
	firstRetry = 2 * time.Second
	lastRetry  = 5 * time.Minute
	// lookAgain is when something that is hidden without a known end is looked at again.
	lookAgain = 30 * time.Second
	// hiddenAtMost is the longest pause before what is hidden is looked at again.
	hiddenAtMost = 24 * time.Hour
	// newsRead bounds the timeline entries that a message is made of.
	newsRead = 200
)

// deliver looks at the incident as it is now and tells the target what it has to
// hear. An error is one of the store: the lease ends by itself.
func (w *Worker) deliver(ctx context.Context, s *Settings, in *Integration, l store.Lease) error {
	read, cancel := context.WithTimeout(ctx, recordTime/2)
	defer cancel()
	i, err := w.store.Incident(read, l.Subject)
	if errors.Is(err, incident.ErrNotFound) {
		return w.store.Done(ctx, l)
	}
	if err != nil {
		return err
	}
	id := toldID(i.ID, l.Target)
	t, err := w.told(read, id)
	if err != nil {
		return err
	}
	if t.GivenUp { // what comes now is tried like anything else
		t.Failures, t.FailedSince = 0, time.Time{}
	}
	entries, news, err := w.news(read, i.ID, t.Seq, in.Receiver)
	if err != nil {
		return err
	}
	now := w.store.Now()
	timing := s.Timing(i, in.Receiver)
	d := decide(i, t, in, timing, news, now)
	if d.event != "" {
		if h, muted, err := w.muted(read, s, in, i, t, timing, d.event, now); err != nil {
			return err
		} else if muted {
			d = decision{again: againAfter(h, now), hidden: &h}
		}
	}
	if d.event != "" && !(in.Storm.on() && t.waits()) {
		if free, back := w.pace(in, now); !free {
			w.giveBack(ctx, l, now.Add(back))
			return nil
		}
	}
	if in.Storm.on() {
		if until, err := w.storm(read, in, i, t, d, now); err != nil {
			return err
		} else if !until.IsZero() {
			return w.wait(ctx, l, in, i, t, until, now)
		}
	}
	if d.event == "" {
		return w.quiet(ctx, l, id, i, t, d, now)
	}
	m, err := w.message(read, s, in, i, t, timing, d.event, entries, now)
	if err != nil {
		return err
	}
	return w.send(ctx, s, in, l, id, t, m)
}

// news reads what a target has not heard, of which it keeps the latest entries.
func (w *Worker) news(ctx context.Context, id incident.ID, after uint64, receiver string) (latest []incident.TimelineEntry, n newsOf, err error) {
	for {
		page, err := w.store.Timeline(ctx, id, after, newsRead)
		if err != nil {
			return nil, n, err
		}
		n = n.and(read(page, receiver))
		if latest = append(latest, page...); len(latest) > newsRead {
			latest = latest[len(latest)-newsRead:]
		}
		if len(page) < newsRead {
			return latest, n, nil
		}
		after = page[len(page)-1].Seq
	}
}

// muted says what hides an event from a target. What ends something there is not
// hidden from a target that recognises it: nobody is called by it.
func (w *Worker) muted(ctx context.Context, s *Settings, in *Integration, i *incident.Incident, t *told, timing Timing, e Event, now time.Time) (Hidden, bool, error) {
	if in.Recognises && (e == Resolved || e == Acknowledged) {
		return Hidden{}, false, nil
	}
	if timing.Muted != nil {
		if h, ok := timing.Muted(now); ok {
			return h, true, nil
		}
	}
	if s.Mute == nil {
		return Hidden{}, false, nil
	}
	return s.Mute.Muted(ctx, i, now)
}

func againAfter(h Hidden, now time.Time) time.Time {
	if h.Until.IsZero() {
		return now.Add(lookAgain)
	}
	return earlier(h.Until, now.Add(hiddenAtMost))
}

// quiet notes that there is nothing to say now, and when to look again.
func (w *Worker) quiet(ctx context.Context, l store.Lease, id string, i *incident.Incident, t *told, d decision, now time.Time) error {
	changed := false
	if d.hidden != nil && (t.Hidden == nil || t.Hidden.By != d.hidden.By || t.Hidden.Text != d.hidden.Text) {
		t.log(Attempt{At: now, Result: "hidden", Text: d.hidden.By + ": " + d.hidden.Text})
		w.metrics.hidden.WithLabelValues(d.hidden.By).Inc()
		changed = true
	}
	if t.Hidden != d.hidden && (t.Hidden == nil || d.hidden == nil || *t.Hidden != *d.hidden) {
		t.Hidden, changed = d.hidden, true
	}
	if d.known && !t.fresh() && t.State != i.State {
		t.is(i)
		changed = true
	}
	if d.again.IsZero() && d.hidden == nil && t.Failures > 0 { // what failed is not to be said any more
		t.Failures, t.FailedSince, changed = 0, time.Time{}, true
	}
	if !i.IsOpen() && d.again.IsZero() && d.hidden == nil && (t.Remark != "" || t.Tried) {
		t.Remark, t.Tried, changed = "", false, true
	}
	if changed {
		if overtaken, err := w.keep(ctx, id, t, unlessOvertaken); err != nil {
			return err
		} else if overtaken {
			return w.next(ctx, l, w.store.Now())
		}
	}
	return w.next(ctx, l, d.again)
}

// next arms the job again, if there is something to look at later, and ends it.
// Whoever armed it meanwhile is not overruled: the earliest time holds.
func (w *Worker) next(ctx context.Context, l store.Lease, again time.Time) error {
	if !again.IsZero() {
		id, err := incident.ParseID(l.Subject)
		if err != nil {
			return err // unreachable: it was read
		}
		job := l.Job
		job.Due, job.NoLater = again, true
		if err := w.arm(ctx, id, job); err != nil {
			return err
		}
	}
	return w.store.Done(ctx, l)
}

func (w *Worker) arm(ctx context.Context, id incident.ID, jobs ...incident.Job) error {
	return w.store.Update(ctx, []incident.Change{{ID: uuid.New(), Incident: id, Step: func(st incident.State) (incident.Next, error) {
		if st.Incident == nil {
			return incident.Next{}, nil
		}
		return incident.Next{Jobs: jobs}, nil
	}}})
}

// message gathers what is said.
func (w *Worker) message(ctx context.Context, s *Settings, in *Integration, i *incident.Incident, t *told, timing Timing, e Event, news []incident.TimelineEntry, now time.Time) (*Message, error) {
	links := i
	if (!t.fresh() || t.Tried) && t.Cycle != i.Reopens {
		i = i.Clone()
		i.Reopens = t.Cycle
	}
	m := &Message{Event: e, Incident: i, News: news, Receiver: in.Receiver, RouteLabels: maps.Clone(timing.Labels), Remark: t.Remark, Memory: maps.Clone(t.Memory), SentAt: now}
	if s.Links != nil {
		m.Links = s.Links(links, in.Target())
	}
	since := t.At
	if t.fresh() {
		since = i.CycleOpenedAt
	}
	if err := w.alerts(ctx, s.Severities, m, since); err != nil {
		return nil, err
	}
	why := ""
	if c := timing.Called; c != nil && c.At.After(t.At) {
		why = c.Why
	}
	m.remark(why, spoken(news, in.Receiver))
	t.Detail = detailOf(t, timing) // kept with what becomes of the message
	m.tellLess(t.Detail, t.At)
	return m, nil
}

// send tells the target and records what became of it. That is recorded even if
// we are being stopped: otherwise it is said twice.
func (w *Worker) send(ctx context.Context, s *Settings, in *Integration, l store.Lease, id string, t *told, m *Message) error {
	if t.fresh() && !t.Tried && m.Event != Resolved {
		// Before, because afterwards nobody may be there to say that it may know.
		t.begins(m.Incident)
		t.Tried = true
		if overtaken, err := w.keep(ctx, id, t, unlessOvertaken); err != nil {
			return err
		} else if overtaken {
			return w.next(ctx, l, w.store.Now())
		}
	}
	sending, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	began := time.Now()
	memory, err := guarded(sending, in.Sender, m)
	took := time.Since(began)
	ctx, cancelRecord := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancelRecord()
	if err != nil && sending.Err() != nil && errors.Is(context.Cause(sending), context.Canceled) {
		return nil // we are being stopped; another one takes over when the lease ends
	}
	a := Attempt{At: m.SentAt, Event: m.Event, Result: "sent", Took: took.Seconds()}
	if failed := m.ErrTemplates(); failed != nil {
		a.Templates = Cut(failed.Error(), 500)
		w.metrics.templates.WithLabelValues(in.Receiver, in.Name).Add(float64(len(m.failed)))
	}
	if memory != nil {
		t.Memory = memory // also if it failed: some of those it tells may know
	}
	if err != nil {
		return w.failed(ctx, s, in, l, id, t, m, a, asError(err))
	}
	late := m.SentAt.Sub(l.Due)
	w.metrics.sent(in, max(late, 0)+took)
	w.log.InfoContext(ctx, "notified", "incident", m.Incident.Reference, "target", l.Target, "event", string(m.Event), "took", took)
	wasGivenUp := t.GivenUp
	t.is(m.Incident)
	t.Seq, t.At = m.Incident.TimelineLength, m.SentAt
	t.Sent++
	t.Failures, t.FailedSince, t.GivenUp, t.Hidden = 0, time.Time{}, false, nil
	if !m.Incident.IsOpen() {
		t.Remark = ""
	}
	t.log(a)
	overtaken, err := w.keep(ctx, id, t, evenIfOvertaken) // it was said, after or before what somebody else said
	if err != nil {
		return err
	}
	if wasGivenUp {
		if err := w.mark(ctx, id, nil); err != nil {
			return err
		}
	}
	if overtaken {
		return w.next(ctx, l, w.store.Now())
	}
	d := decide(m.Incident, t, in, s.Timing(m.Incident, in.Receiver), newsOf{}, m.SentAt)
	return w.next(ctx, l, d.again)
}

// guarded turns a panic of a sender into an error.
func guarded(ctx context.Context, s Sender, m *Message) (memory Memory, err error) {
	defer func() {
		if p := recover(); p != nil {
			memory, err = nil, &Error{Reason: ReasonOther, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return s.Send(ctx, m)
}

// failed records that the target was not told, and when it is tried again.
func (w *Worker) failed(ctx context.Context, s *Settings, in *Integration, l store.Lease, id string, t *told, m *Message, a Attempt, e *Error) error {
	now := w.store.Now()
	a.Result, a.Text = "failed", Cut(Line(e.Error()), 500)
	if t.Failures++; t.FailedSince.IsZero() {
		t.FailedSince = now
	}
	giveUp := e.Permanent || s.GiveUpAfter > 0 && now.Sub(t.FailedSince) >= s.GiveUpAfter
	if giveUp {
		a.Result, t.GivenUp = "given_up", true
	}
	t.log(a)
	w.metrics.failed(in, e.Reason, giveUp)
	level := slog.LevelDebug // what goes on failing is said when it begins and when it ends
	switch {
	case giveUp:
		level = slog.LevelError
	case t.Failures == 1:
		level = slog.LevelWarn
	}
	w.log.Log(ctx, level, "not notified", "incident", m.Incident.Reference, "target", l.Target, "event", string(m.Event), "attempt", t.Failures,
		"reason", e.Reason, "given_up", giveUp, "err", e)
	if overtaken, err := w.keep(ctx, id, t, unlessOvertaken); err != nil {
		return err
	} else if overtaken {
		return w.next(ctx, l, w.store.Now())
	}
	if s.Fallback != "" && s.Fallback != in.Receiver && m.Event != Resolved && (giveUp || now.Sub(t.FailedSince) >= s.FallbackAfter) {
		if err := w.fallBack(ctx, s, in, m.Incident, a.Text); err != nil {
			return err
		}
	}
	if giveUp {
		if err := w.mark(ctx, id, &Undelivered{Incident: m.Incident.ID, Reference: m.Incident.Reference, Target: l.Target, At: now, Error: a.Text}); err != nil {
			return err
		}
		return w.store.Done(ctx, l)
	}
	pause := max(backoff(t.Failures), e.RetryAfter)
	if e.RetryAfter > 0 {
		w.hold(in, now.Add(e.RetryAfter))
	}
	return w.store.Retry(ctx, l, now.Add(pause), a.Text)
}

// backoff is the pause after the n-th failure in a row: growing, capped, and
// never the same for all.
func backoff(n int) time.Duration {
	top := min(firstRetry<<min(n-1, 20), lastRetry)
	return top/2 + rand.N(top/2+1)
}

// remark has a target that knows nothing of an incident say why it is told. Armed
// says that its job was armed before. It reports whether there is nothing to do.
func (w *Worker) remark(ctx context.Context, id, text string, armed bool) (knows bool, err error) {
	for {
		t, err := w.told(ctx, id)
		if err != nil {
			return false, err
		}
		if !t.fresh() || t.Remark != "" && armed {
			return true, nil
		}
		t.Remark = text
		if err := w.keepOnce(ctx, id, t); !errors.Is(err, incident.ErrConflict) {
			return false, err
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
}

// fallBack tells the fallback receiver, once for an incident, because a target
// does not answer.
func (w *Worker) fallBack(ctx context.Context, s *Settings, in *Integration, i *incident.Incident, why string) error {
	remark := fmt.Sprintf("%s of receiver %s is unreachable (%s), so you are told instead", in.Name, in.Receiver, why)
	var targets []string
	var jobs []incident.Job
	for target, other := range s.Integrations {
		if other.Receiver != s.Fallback {
			continue
		}
		knows, err := w.remark(ctx, toldID(i.ID, target), remark, slices.Contains(i.Told, target))
		if err != nil {
			return err
		}
		if knows {
			continue
		}
		targets = append(targets, target)
		jobs = append(jobs, incident.Job{Subject: i.ID.String(), Kind: incident.JobNotify, Target: target, Due: w.store.Now(), NoLater: true})
	}
	if len(jobs) == 0 {
		return nil
	}
	return w.store.Update(ctx, []incident.Change{{ID: uuid.New(), Incident: i.ID, Step: func(st incident.State) (incident.Next, error) {
		if st.Incident == nil {
			return incident.Next{}, nil
		}
		// It has to hear how this ends as well.
		return incident.Next{Incidents: []*incident.Incident{st.Incident.WithTold(targets)}, Jobs: jobs}, nil
	}}})
}
