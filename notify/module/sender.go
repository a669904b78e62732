package module

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"regexp"
	"strconv"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// sender tells one target through the module.
type sender struct {
	block        *block
	templates    *notify.Templates
	log          *slog.Logger
	caller       *caller
	sendResolved bool
	// unformatted sends without markup what the tool cannot read with it; usually nil.
	unformatted *sender
}

func newSender(b *block, t *notify.Templates, dial outgoing.DialFunc, log *slog.Logger) (*sender, error) {
	c, err := newCaller(func() (*instance, error) { return b.build(t, dial, log) }, log)
	if err != nil {
		return nil, errors.New(b.secrets.in(err.Error()))
	}
	s := &sender{block: b, templates: t, log: log, caller: c, sendResolved: c.instance.sendResolved}
	if b.unformatted != nil {
		if s.unformatted, err = newSender(b.unformatted, t, dial, log); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Send implements notify.Sender. It remembers nothing: none of these notifiers
// keeps anything between two messages, which a test of theirs watches.
func (s *sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	texts, err := s.block.texts(s.templates, m)
	if err != nil {
		var e *notify.Error
		if errors.As(err, &e) {
			return nil, &notify.Error{Reason: e.Reason, Permanent: e.Permanent, Err: err}
		}
		return nil, &notify.Error{Reason: notify.ReasonOther, Err: err}
	}
	if look := notify.CaptureOf(ctx); look != nil {
		return nil, look.Fill("", "text/plain; charset=utf-8", []byte(s.block.secrets.in(s.block.read(texts))))
	}
	e := s.tell(ctx, m, texts)
	if e != nil && s.unformatted != nil && unreadable.MatchString(e.Error()) {
		m.TemplateFailed(s.block.fields[s.block.main].name, e.Err)
		plain := s.unformatted.block
		w := &writing{message: m, escape: plain.escape}
		e = s.unformatted.tell(ctx, m, map[string]string{key(plain.main): w.plain(&plain.fields[plain.main])})
	}
	if e != nil {
		return nil, e
	}
	return nil, nil
}

// unreadable is how Telegram says that it does not understand the markup.
var unreadable = regexp.MustCompile(`^telegram: .*can't parse entities`)

// tell has the module send the texts.
func (s *sender) tell(ctx context.Context, m *notify.Message, texts map[string]string) *notify.Error {
	ctx, alerts := s.context(ctx, m, texts)
	if err := s.caller.call(ctx, alerts); err != nil {
		return failure(err, s.block.secrets)
	}
	return nil
}

// reasons are the module's own for why it notifies; they say what those of the
// templates say.
var reasons = map[notify.Event]amnotify.NotifyReason{notify.Opened: amnotify.ReasonFirstNotification, notify.Updated: amnotify.ReasonNewAlertsInGroup,
	notify.Acknowledged: amnotify.ReasonNewAlertsInGroup, notify.Unacknowledged: amnotify.ReasonNewAlertsInGroup,
	notify.Resolved: amnotify.ReasonAllAlertsResolved, notify.Repeated: amnotify.ReasonRepeatIntervalElapsed}

// context returns what the module wants to know of a message: the alerts, and the
// rest of it in the context.
func (s *sender) context(ctx context.Context, m *notify.Message, texts map[string]string) (context.Context, []*amalert.Alert) {
	ctx = amnotify.WithReceiverName(ctx, m.Receiver)
	ctx = amnotify.WithGroupKey(ctx, s.groupKey(m))
	ctx = amnotify.WithNotificationReason(ctx, reasons[m.Event])
	if !s.block.wholeData {
		return s.with(ctx, m, clean, texts)
	}
	// Texts are cut so far that the data fits, beginning with the longest.
	for longest := longestValue; ; longest /= 4 {
		cut := func(text string) string { return notify.Cut(clean(text), longest) }
		out, alerts := s.with(ctx, m, cut, nil)
		if longest < shortestValue || s.fits(out, alerts) {
			return out, alerts
		}
	}
}

const (
	// longestValue and shortestValue bound what is shown of a label or annotation in
	// the data, and dataLimit what that is as JSON; in bytes. incident.io takes 512 KB.
	longestValue  = 32 << 10
	shortestValue = 128
	dataLimit     = 480 << 10
)

// fits reports whether the data is small enough. The module leaves out all alerts
// but the first if it has to.
func (s *sender) fits(ctx context.Context, alerts []*amalert.Alert) bool {
	data := amnotify.GetTemplateData(ctx, s.templates.Module(), alerts[:1], s.log)
	text, err := json.Marshal(data)
	return err == nil && len(text) <= dataLimit
}

// groupKey is what the tool knows the incident by. SNS's queues drop a message with
// the key of another one for five minutes, so there each has its own; the
// same message sent twice has the same one.
func (s *sender) groupKey(m *notify.Message) string {
	if s.block.keyPerMessage {
		return m.Key() + "/" + string(m.Event) + "/" + strconv.FormatUint(m.Incident.TimelineLength, 10)
	}
	return m.Key()
}

// with adds what the templates of the block see: the same as those of ours, and the
// texts.
func (s *sender) with(ctx context.Context, m *notify.Message, escape func(string) string, texts map[string]string) (context.Context, []*amalert.Alert) {
	data := s.templates.Texts(m, escape).Data
	ctx = amnotify.WithGroupLabels(ctx, labelSet(data.GroupLabels))
	route := maps.Clone(data.RouteLabels)
	maps.Copy(route, texts)
	ctx = amnotify.WithRouteLabels(ctx, labelSet(route))
	return ctx, alerts(m, data, escape)
}

// alerts are those of a message as the module has them. It takes the status from
// them, so there is one that fires as long as the incident is open: the incident
// itself, if no alert of the message does.
func alerts(m *notify.Message, data *template.Data, escape func(string) string) []*amalert.Alert {
	out := make([]*amalert.Alert, 0, len(m.Alerts)+1)
	now := time.Now() // the module compares with this clock
	fires := false
	for n := range m.Alerts {
		a := &m.Alerts[n]
		one := &amalert.Alert{Alert: model.Alert{Labels: labelsOf(a.Labels, escape), Annotations: labelsOf(a.Annotations, escape), StartsAt: a.StartsAt,
			GeneratorURL: escape(notify.WebURL(a.GeneratorURL))}}
		if a.Firing && !m.Resolved() {
			fires = true
		} else {
			one.EndsAt = ended(a.EndsAt, now)
		}
		out = append(out, one)
	}
	if fires || m.Resolved() && len(out) > 0 {
		return out
	}
	i := m.Incident
	itself := &amalert.Alert{Alert: model.Alert{Labels: labelSet(data.GroupLabels), Annotations: model.LabelSet{"summary": model.LabelValue(escape(m.Headline()))}, StartsAt: i.OpenedAt}}
	if m.Resolved() {
		itself.EndsAt = ended(i.ResolvedAt, now)
	}
	return append([]*amalert.Alert{itself}, out...)
}

// ended is a time that has passed, whatever the store's clock says.
func ended(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

func labelsOf(ls alert.Labels, escape func(string) string) model.LabelSet {
	out := make(model.LabelSet, len(ls))
	for _, l := range ls {
		out[model.LabelName(escape(l.Name))] = model.LabelValue(escape(l.Value))
	}
	return out
}

func labelSet(kv map[string]string) model.LabelSet {
	out := make(model.LabelSet, len(kv))
	for name, value := range kv {
		out[model.LabelName(name)] = model.LabelValue(value)
	}
	return out
}
