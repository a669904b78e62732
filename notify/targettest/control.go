package targettest

import (
	"context"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
)

// Control is what a notifier of the Alertmanager module is run with, so that a
// server is not only our own opinion of a tool.
type Control struct {
	Templates *template.Template
	Log       *slog.Logger
}

// NewControl returns one with the module's own templates.
func NewControl(t testing.TB) *Control {
	t.Helper()
	all, err := template.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if all.ExternalURL, err = url.Parse("https://alertmanager.example.com"); err != nil {
		t.Fatal(err)
	}
	return &Control{Templates: all, Log: slog.New(slog.DiscardHandler)}
}

// Notify says with the module's notifier what m says.
func (c *Control) Notify(t testing.TB, n amnotify.Notifier, m *notify.Message) {
	t.Helper()
	ctx := amnotify.WithGroupKey(t.Context(), "incident/"+m.Incident.ID.String())
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull"})
	ctx = amnotify.WithReceiverName(ctx, m.Receiver)
	ctx = amnotify.WithNotificationReason(ctx, amnotify.ReasonFirstNotification)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := n.Notify(ctx, ModuleAlerts(m)...); err != nil {
		t.Fatalf("the module's notifier at %s: %v", m.Event, err)
	}
}

// ModuleAlerts are the alerts of m as the module has them.
func ModuleAlerts(m *notify.Message) (out []*alert.Alert) {
	for n := range m.Alerts {
		a := &m.Alerts[n]
		one := &alert.Alert{Alert: model.Alert{Labels: labelSet(a, true), Annotations: labelSet(a, false), StartsAt: a.StartsAt, EndsAt: time.Now().Add(time.Hour), GeneratorURL: a.GeneratorURL}}
		if !a.Firing {
			one.EndsAt = time.Now().Add(-time.Minute)
			one.StartsAt = one.EndsAt.Add(-time.Hour)
		}
		out = append(out, one)
	}
	return out
}

func labelSet(a *notify.Alert, labels bool) model.LabelSet {
	from, set := a.Annotations, model.LabelSet{}
	if labels {
		from = a.Labels
	}
	for _, l := range from {
		set[model.LabelName(l.Name)] = model.LabelValue(l.Value)
	}
	return set
}
