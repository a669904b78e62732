// Package elastalert reads what the alerters of ElastAlert and ElastAlert 2 post:
// the matching document itself (HTTP POST), or the bodies of Alerta, PagerDuty
// and Slack. ElastAlert itself never says that it is over.
package elastalert

import (
	"cmp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is what https://elastalert2.readthedocs.io/en/latest/alerts.html describes.
var Format = ingest.Format{Name: "elastalert", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decode),
	Volatile: []string{"document", "index", "hits", "matches"},
	Tokens:   func(r ingest.Request) ([]string, []byte) { return tokens(r.Body) }}

func decode(r ingest.Request) (ingest.Batch, error) {
	o, flags, err := ingest.Object(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	if len(o) == 0 {
		return ingest.Batch{}, ingest.Errorf("", "the body is an empty object")
	}
	var a alert.Alert
	switch {
	case o["rawData"] != nil && o["event"] != nil:
		a = alerta(o)
	case o["event_action"] != nil && o["payload"] != nil:
		a = pagerduty(o)
	case has(o, "service_key") && fields.Text(o["event_type"]) != "":
		a = pagerduty1(o)
	case o["attachments"] != nil:
		a = slack(o)
	default:
		a = match(o)
	}
	a.Flags |= flags
	return ingest.Batch{Alerts: []alert.Alert{a}}, nil
}

// has reports whether a member is there: tokens leaves null.
func has(o fields.Object, name string) bool {
	_, ok := o[name]
	return ok
}

// match is the matching document, with what http_post_static_payload and
// http_post_payload add or rename. Only they can say the name of the rule.
func match(o fields.Object) alert.Alert {
	d := document{o}
	text := d.first("text", "message", "alert_text")
	name := d.first("rule", "rule_name", "alertname", "alert_name", "rule.name")
	return d.alert(name, d.host(), d.first("severity"), text)
}

// alerta is the body for Alerta: https://docs.alerta.io/api/reference.html
func alerta(o fields.Object) alert.Alert {
	shown := document{o}
	text := shown.first("rawData")
	name := cmp.Or(fields.Line(text), shown.first("event"))
	return read(text).alert(name, cmp.Or(shown.first("resource"), read(text).host()), shown.first("severity"), text)
}

// pagerduty is an event of https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
func pagerduty(o fields.Object) alert.Alert {
	shown := document{o}
	text := shown.first("payload.custom_details.information")
	d := read(text)
	a := d.alert(shown.first("payload.summary"), d.host(), shown.first("payload.severity"), text)
	if at, ok := fields.Time(shown.first("payload.timestamp")); ok {
		a.EventAt = at
	}
	return paged(a, shown.first("dedup_key"), shown.first("event_action"))
}

// pagerduty1 is one of https://developer.pagerduty.com/docs/events-api-v1/trigger-events/
func pagerduty1(o fields.Object) alert.Alert {
	shown := document{o}
	text := shown.first("details.information")
	d := read(text)
	return paged(d.alert(shown.first("description"), d.host(), "", text), shown.first("incident_key"), shown.first("event_type"))
}

// paged is an alert of PagerDuty's, where a key, if there is one, says which events
// are about the same problem, whatever else they say.
func paged(a alert.Alert, key, action string) alert.Alert {
	if key != "" {
		a.Identity, a.Key = key, "key!"+key
		a.Group = a.Key
	}
	switch action {
	case "resolve":
		a.Status, a.EndsAt = alert.Resolved, a.EventAt
	case "acknowledge":
		a.Kind = alert.KindAcknowledgement
	}
	return a
}

// slack is the body of an incoming webhook: https://api.slack.com/reference/messaging/attachments
func slack(o fields.Object) alert.Alert {
	shown := document{fields.Object{}}
	if list, ok := o["attachments"].([]any); ok && len(list) > 0 {
		shown.v = list[0]
	}
	text := cmp.Or(shown.first("text"), shown.first("fallback"), document{o}.first("text"))
	d := read(text)
	return d.alert(cmp.Or(shown.first("title"), fields.Line(text)), d.host(), "", text)
}

// document is the document that a rule found.
type document struct{ v any }

// first returns the text at the first of the paths where there is one. A name
// with dots in it stands in documents in both ways.
func (d document) first(paths ...string) string {
	for _, path := range paths {
		if text := fields.Text(fields.At(d.v, strings.Split(path, ".")...)); text != "" {
			return text
		}
		if text := fields.Text(fields.At(d.v, path)); text != "" {
			return text
		}
	}
	return ""
}

func (d document) host() string {
	return d.first("host.name", "host.hostname", "host", "hostname", "agent.hostname", "beat.hostname", "beat.name")
}

func (d document) alert(name, host, severity, text string) alert.Alert {
	service := d.first("service.name", "service")
	if name == "" && host == "" && service == "" {
		name = "ElastAlert" // nothing in it says what it is about
	}
	a := alert.Alert{
		Kind:   alert.KindAlert,
		Status: alert.Firing,
		Labels: fields.Labels("alertname", name, "host", host, "service", service, "severity", strings.ToLower(severity)),
		Annotations: fields.Labels("summary", fields.Line(cmp.Or(d.first("message"), text)), "description", text,
			"document", d.first("_id"), "index", d.first("_index"), "hits", d.first("num_hits"), "matches", d.first("num_matches")),
		GeneratorURL: fields.Link(d.first("kibana_url", "kibana_discover_url", "url_kibana")),
	}
	a.EventAt, _ = fields.Time(d.first("@timestamp", "when", "timestamp"))
	if name != "" {
		a.Key = strings.Join([]string{name, host, service}, "!")
	}
	return a
}

// textLines is how many lines of a text are looked at.
const textLines = 1000

// read finds the document in the text that ElastAlert makes of it: a line "name:
// value" for each member, where an object goes over several lines.
func read(text string) document {
	o := fields.Object{}
	lines := strings.SplitN(text, "\n", textLines)
	for i := 0; i < len(lines); i++ {
		name, value, found := strings.Cut(lines[i], ": ")
		if !found || strings.HasPrefix(name, " ") || o[name] != nil {
			continue
		}
		if value != "{" {
			o[name] = value
			continue
		}
		end := i + 1
		for end < len(lines) && lines[end] != "}" {
			end++
		}
		if end < len(lines) {
			if v, _, err := fields.JSON([]byte(strings.Join(lines[i:end+1], "\n")[len(name)+2:])); err == nil {
				o[name] = v
			}
			i = end
		}
	}
	return document{o}
}
