package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// noticeKey is the key that a job's subject is, if it is that of a notice; ok is
// false for other jobs.
func noticeKey(l store.Lease) (key incident.Key, ok bool) {
	return key, key.UnmarshalText([]byte(l.Subject)) == nil && !isDigest(l)
}

// notice tells a target of something that is no incident, once.
func (w *Worker) notice(ctx context.Context, s *Settings, in *Integration, l store.Lease) error {
	read, cancel := context.WithTimeout(ctx, recordTime/2)
	defer cancel()
	id := l.Subject + "/" + l.Target
	t, err := w.told(read, id)
	if err != nil {
		return err
	}
	now := w.store.Now()
	if t.Sent > 0 || t.GivenUp || in.Pages {
		return w.store.Done(ctx, l)
	}
	if free, back := w.pace(in, now); !free {
		w.giveBack(ctx, l, now.Add(back))
		return nil
	}
	if !t.Tried {
		// Before the notice is read: who withdraws it looks for those who know of it, or
		// may, after that.
		t.Tried = true
		if _, err := w.keep(read, id, t, evenIfOvertaken); err != nil {
			return err
		}
	}
	n, err := w.noticeOf(read, l.Subject)
	if errors.Is(err, incident.ErrNotFound) || err == nil && n.Withdrawn {
		return w.store.Done(ctx, l)
	}
	if err != nil {
		return err
	}
	m := noticeMessage(n, l.Subject, s.Severities, now)
	m.Receiver, m.Remark = in.Receiver, t.Remark
	sending, cancelSend := context.WithTimeout(ctx, sendTime)
	defer cancelSend()
	began := time.Now()
	_, err = guarded(sending, in.Sender, m)
	took := time.Since(began)
	ctx, cancelRecord := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancelRecord()
	if err != nil && sending.Err() != nil && errors.Is(context.Cause(sending), context.Canceled) {
		return nil // we are being stopped; another one takes over when the lease ends
	}
	if err != nil {
		return w.noticeFailed(ctx, s, in, l, n, id, t, asError(err))
	}
	w.metrics.sent(in, max(now.Sub(l.Due), 0)+took)
	w.log.InfoContext(ctx, "notified", "notice", n.Name, "target", l.Target, "took", took)
	t.At, t.Failures, t.FailedSince = now, 0, time.Time{}
	t.Sent++
	t.log(Attempt{At: now, Event: Noticed, Result: "sent", Took: took.Seconds()})
	if _, err := w.keep(ctx, id, t, evenIfOvertaken); err != nil {
		return err
	}
	return w.store.Done(ctx, l)
}

func (w *Worker) noticeOf(ctx context.Context, id string) (*incident.Notice, error) {
	d, err := w.store.Document(ctx, incident.TypeNotice, id)
	if err != nil {
		return nil, err
	}
	n := &incident.Notice{}
	if err := json.Unmarshal(d.Data, n); err != nil {
		return nil, fmt.Errorf("notify: notice %s: %w", id, err)
	}
	return n, nil
}

// noticeFailed records that a target was not told, and when it is tried again: until
// the notice is of no use.
func (w *Worker) noticeFailed(ctx context.Context, s *Settings, in *Integration, l store.Lease, n *incident.Notice, id string, t *told, e *Error) error {
	now := w.store.Now()
	text := Cut(Line(e.Error()), 500)
	if t.Failures++; t.FailedSince.IsZero() {
		t.FailedSince = now
	}
	t.GivenUp = e.Permanent || s.GiveUpAfter > 0 && now.Sub(t.FailedSince) >= s.GiveUpAfter || !n.Until.IsZero() && now.After(n.Until)
	result := "failed"
	if t.GivenUp {
		result = "given_up"
	}
	t.log(Attempt{At: now, Event: Noticed, Result: result, Text: text})
	w.metrics.failed(in, e.Reason, t.GivenUp)
	w.log.ErrorContext(ctx, "not notified", "notice", n.Name, "target", l.Target, "attempt", t.Failures, "reason", e.Reason, "given_up", t.GivenUp, "err", e)
	if overtaken, err := w.keep(ctx, id, t, unlessOvertaken); err != nil || overtaken {
		return err
	}
	if s.Fallback != "" && s.Fallback != in.Receiver && (t.GivenUp || now.Sub(t.FailedSince) >= s.FallbackAfter) {
		if err := w.noticeElsewhere(ctx, s, in, l, text); err != nil {
			return err
		}
	}
	if t.GivenUp {
		return w.store.Done(ctx, l)
	}
	if e.RetryAfter > 0 {
		w.hold(in, now.Add(e.RetryAfter))
	}
	return w.store.Retry(ctx, l, now.Add(max(backoff(t.Failures), e.RetryAfter)), text)
}

// noticeElsewhere tells the fallback receiver in place of a target that does not answer.
func (w *Worker) noticeElsewhere(ctx context.Context, s *Settings, in *Integration, l store.Lease, why string) error {
	key, _ := noticeKey(l)
	var jobs []incident.Job
	for target, other := range s.Integrations {
		if other.Receiver != s.Fallback || other.Pages {
			continue
		}
		id := l.Subject + "/" + target
		t, err := w.told(ctx, id)
		if err != nil {
			return err
		}
		if t.Sent > 0 || t.Tried {
			continue
		}
		t.Remark = fmt.Sprintf("%s of receiver %s is unreachable (%s), so you are told instead", in.Name, in.Receiver, why)
		if err := w.keepOnce(ctx, id, t); err != nil && !errors.Is(err, incident.ErrConflict) {
			return err
		}
		jobs = append(jobs, incident.Job{Subject: l.Subject, Kind: incident.JobNotify, Target: target, Due: w.store.Now(), NoLater: true})
	}
	if len(jobs) == 0 {
		return nil
	}
	return w.store.Update(ctx, []incident.Change{{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) { return incident.Next{Jobs: jobs}, nil }}})
}

// noticeMessage makes the message. It has an alert that says the same, so that what
// knows nothing of notices shows it too.
func noticeMessage(n *incident.Notice, id string, severities incident.Scale, now time.Time) *Message {
	var key incident.Key
	_ = key.UnmarshalText([]byte(id)) // the store gave it out
	severity := ""
	if len(severities) > 0 {
		severity = severities[len(severities)-1]
	}
	title := Line(n.Title)
	i := &incident.Incident{ID: incident.NewID(n.At, [16]byte(key), 0, 0), Title: title, Description: n.Text, State: incident.Open, Phase: incident.Observing,
		Severity: severity, CycleSeverity: severity, Priority: "P4", Impact: "low", Urgency: "low", Level: incident.Levels()[0], OpenedAt: n.At, CycleOpenedAt: n.At,
		Labels: map[string]string{"alertname": title}, Roles: map[string]string{}, Firing: map[string]int{}}
	i.Reference = "NOTICE-" + strings.ToUpper(id[:8])
	m := &Message{Event: Noticed, Incident: i, RouteLabels: map[string]string{}, SentAt: now}
	a := &alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Labels: alert.FromMap(map[string]string{"alertname": title, "severity": severity}),
		Annotations: alert.FromMap(map[string]string{"summary": n.Text})}
	m.Alerts = []Alert{{Alert: a, Fingerprint: alert.Fingerprint(i.ID), Firing: true, Severity: severity, StartsAt: n.At}}
	return m
}

func (m *Message) noticePlain() string {
	var b strings.Builder
	b.WriteString(m.Headline() + "\n")
	if m.Remark != "" {
		b.WriteString(Line(m.Remark) + "\n")
	}
	for line := range strings.Lines(m.Incident.Description) {
		b.WriteString(Line(line) + "\n")
	}
	return b.String()
}
