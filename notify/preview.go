package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Capture takes what a sender would send, so that it can be looked at.
type Capture struct {
	// Method and ContentType are those of the request, the method empty if it is none
	// of HTTP; Body is what would be sent.
	Method, ContentType string
	Body                []byte
}

type captureKey struct{}

// WithCapture makes senders fill in c in place of sending.
func WithCapture(ctx context.Context, c *Capture) context.Context {
	return context.WithValue(ctx, captureKey{}, c)
}

// CaptureOf returns what a sender has to fill in, nil if it has to send.
func CaptureOf(ctx context.Context) *Capture {
	c, _ := ctx.Value(captureKey{}).(*Capture)
	return c
}

// ErrCaptured: nothing was sent, as the caller wished.
var ErrCaptured = errors.New("captured, not sent")

// CapturedError is an ErrCaptured with what would have been sent, from which
// whoever hands it on may take secrets away.
type CapturedError struct{ Capture *Capture }

func (e *CapturedError) Error() string { return ErrCaptured.Error() }

// Is makes it an ErrCaptured.
func (e *CapturedError) Is(target error) bool { return target == ErrCaptured }

// Fill fills it in, and returns what a sender returns then.
func (c *Capture) Fill(method, contentType string, body []byte) error {
	c.Method, c.ContentType, c.Body = method, contentType, body
	return &Error{Reason: ReasonOther, Permanent: true, Err: &CapturedError{c}}
}

// Preview is what a target would be told.
type Preview struct {
	Target   string `json:"target"`
	Headline string `json:"headline"`
	// Text is the built-in text, which stands in for a template that fails.
	Text string `json:"text"`
	// ContentType and Body are of the first request to the target; empty if it is
	// not told over HTTP.
	ContentType string `json:"content_type,omitzero"`
	Body        string `json:"body,omitzero"`
	// Error is what would keep the message from being sent, or templates that fail.
	Error string `json:"error,omitzero"`
}

// Preview says what a receiver would be told of an incident now, and sends nothing.
func (w *Worker) Preview(ctx context.Context, name, receiver string) ([]Preview, error) {
	s := w.settings.Load()
	i, err := w.store.Incident(ctx, name)
	if err != nil {
		return nil, err
	}
	targets, err := s.targetsOf(receiver)
	if err != nil {
		return nil, err
	}
	out := []Preview{}
	for _, in := range targets {
		t, err := w.told(ctx, toldID(i.ID, in.Target()))
		if err != nil {
			return nil, err
		}
		news, err := w.store.Timeline(ctx, i.ID, t.Seq, newsRead)
		if err != nil {
			return nil, err
		}
		e := Opened
		switch {
		case !i.IsOpen():
			e = Resolved
		case !t.fresh():
			e = Updated
		}
		m, err := w.message(ctx, s, in, i, t, s.Timing(i, receiver), e, news, w.store.Now())
		if err != nil {
			return nil, err
		}
		out = append(out, preview(ctx, in, m))
	}
	return out, nil
}

func preview(ctx context.Context, in *Integration, m *Message) Preview {
	// What a sender remembers of earlier messages would only hide the text.
	m.Memory = nil
	p := Preview{Target: in.Target(), Headline: m.Headline(), Text: m.Plain()}
	var c Capture
	ctx, cancel := context.WithTimeout(WithCapture(ctx, &c), sendTime)
	defer cancel()
	_, err := guarded(ctx, in.Sender, m)
	p.ContentType, p.Body = c.ContentType, string(c.Body)
	if failed := m.ErrTemplates(); failed != nil {
		p.Error = failed.Error()
	} else if err != nil && !errors.Is(err, ErrCaptured) {
		p.Error = err.Error()
	}
	return p
}

// targetsOf are the integrations of a receiver, in the order of their names.
func (s *Settings) targetsOf(receiver string) ([]*Integration, error) {
	var out []*Integration
	for _, in := range s.Integrations {
		if in.Receiver == receiver {
			out = append(out, in)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("receiver %q: %w", receiver, incident.ErrNotFound)
	}
	slices.SortFunc(out, func(a, b *Integration) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Index-b.Index)
	})
	return out, nil
}

// Tested is how a test message went.
type Tested struct {
	Target string `json:"target"`
	// Sent: the target took both messages.
	Sent  bool   `json:"sent"`
	Error string `json:"error,omitzero"`
	// Took is how long it took, in seconds.
	Took float64 `json:"took_seconds"`
}

// Test tells all integrations of a receiver of an incident that is marked as a
// drill, and then that it is over. Nothing of it is stored.
func (w *Worker) Test(ctx context.Context, receiver, by string) ([]Tested, error) {
	s := w.settings.Load()
	targets, err := s.targetsOf(receiver)
	if err != nil {
		return nil, err
	}
	now := w.store.Now()
	out := []Tested{}
	for _, in := range targets {
		began := time.Now()
		err := w.try(ctx, s, in, now, by)
		r := Tested{Target: in.Target(), Sent: err == nil, Took: time.Since(began).Seconds()}
		if err != nil {
			r.Error = Line(err.Error())
		}
		w.log.InfoContext(ctx, "test message", "target", r.Target, "by", by, "sent", r.Sent, "err", r.Error)
		out = append(out, r)
	}
	return out, nil
}

func (w *Worker) try(ctx context.Context, s *Settings, in *Integration, now time.Time, by string) error {
	var memory Memory
	events := []Event{Opened}
	if in.SendResolved {
		events = append(events, Resolved)
	}
	for _, e := range events {
		m := testMessage(in, e, now, by)
		m.Memory = memory
		one, cancel := context.WithTimeout(ctx, sendTime)
		got, err := guarded(one, in.Sender, m)
		cancel()
		if err != nil {
			return asError(err)
		}
		if failed := m.ErrTemplates(); failed != nil {
			return fmt.Errorf("it was sent, but a template failed: %w", failed)
		}
		memory = got
	}
	return nil
}

// testMessage is about an incident that does not exist.
func testMessage(in *Integration, e Event, now time.Time, by string) *Message {
	const title = "Test of a receiver"
	labels := map[string]string{"alertname": title, "severity": "info"}
	i := &incident.Incident{ID: incident.ID{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x70}, Reference: "INC-TEST", Title: title, State: incident.Open, Phase: incident.Investigating,
		Severity: "info", Priority: "P4", Impact: "low", Urgency: "low", Level: incident.Levels()[0], Drill: true, Labels: labels, Roles: map[string]string{},
		OpenedAt: now, CycleOpenedAt: now, StartedAt: now, CycleSeverity: "info", Alerts: incident.Counts{Total: 1, Firing: 1}, Firing: map[string]int{"info": 1},
		Description: "Nothing is wrong: " + by + " tests whether messages arrive.", Occurrences: 1}
	a := Alert{Alert: &alert.Alert{Kind: alert.KindAlert, Status: alert.Firing, Source: "tocsin", Labels: alert.FromMap(labels),
		Annotations: alert.FromMap(map[string]string{"summary": i.Description})}, Fingerprint: alert.Fingerprint{1}, Firing: true, Severity: "info", StartsAt: now}
	m := &Message{Event: e, Incident: i, Receiver: in.Receiver, SentAt: now, RouteLabels: map[string]string{}}
	if e == Resolved {
		i.State, i.ResolvedAt, i.ResolvedBy, i.Alerts.Firing, i.Firing = incident.Resolved, now, incident.System, 0, map[string]int{}
		a.Firing, a.EndsAt = false, now
	}
	m.Alerts = []Alert{a}
	return m
}
