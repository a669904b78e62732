// Package grafana reads the webhooks of Grafana Alerting, and what it sends to
// Grafana OnCall, which is the same: Alertmanager's webhook with more in it.
package grafana

import (
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is what Grafana sends, as documented in
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
var Format = format()

func format() ingest.Format {
	f := ingest.Webhook("grafana", ingest.Extension{
		Absent:  "this is not a webhook of Grafana; for a payload of your own write a source with format: mapping",
		Element: element,
		Group:   group,
	})
	// The values of now, and links and texts with the time of now.
	f.Volatile = []string{"values", "value_string", "image_url", "title", "message"}
	return f
}

// element adds what Grafana says of an alert besides.
func element(raw []byte, a *alert.Alert) {
	v, flags, err := fields.JSON(raw)
	if err != nil {
		return // too many members; the alert itself could be read
	}
	a.Flags |= flags
	text := func(name string) string { return fields.Text(fields.At(v, name)) }
	a.Annotations = fields.With(a.Annotations,
		"values", values(fields.At(v, "values")),
		"value_string", text("valueString"),
		"dashboard_url", lasting(text("dashboardURL")),
		"panel_url", lasting(text("panelURL")),
		"silence_url", fields.Link(text("silenceURL")),
		"image_url", fields.Link(text("imageURL")),
		"rule_uid", text("ruleUID"),
		"org_id", text("orgId"),
		"summary", stateless(a))
}

// stateless says what an alert about a rule that could not be judged is about:
// its name is the same for all rules.
func stateless(a *alert.Alert) string {
	rule := a.Labels.Get("rulename")
	switch name := a.Name(); {
	case rule == "":
	case name == "DatasourceNoData":
		return "No data for the rule " + rule
	case name == "DatasourceError":
		return "The rule " + rule + " cannot be evaluated"
	}
	return ""
}

// values writes what the queries of the rule returned: A=93.1, B=90.
func values(v any) string {
	o, _ := v.(fields.Object)
	out := make([]string, 0, len(o))
	for name, value := range o {
		out = append(out, name+"="+fields.Text(value))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// lasting takes the end of the time range out of a link. It is the time of the
// message, which would make news of every repetition; without it the dashboard
// shows what is up to now.
func lasting(link string) string {
	link = fields.Link(link)
	before, query, found := strings.Cut(link, "?")
	if !found {
		return link
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		return err == nil && name == "to"
	})
	return before + "?" + strings.Join(kept, "&")
}

// group adds the texts of the notification. The message tells of all alerts in
// it, so it is only repeated in the one that it is about.
func group(g ingest.Group, only bool, a *alert.Alert) {
	message := ""
	if only {
		message = g.Message
	}
	if g.Title != "" || message != "" {
		a.Annotations = fields.With(a.Annotations, "title", g.Title, "message", message)
	}
}
