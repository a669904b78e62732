// Package kibana reads what the rules of Kibana and the watches of Elasticsearch
// send through a webhook. Both send a template of the user's, so names are looked
// up in the ways in which people write them.
package kibana

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is a body made of the variables of rule actions, or of the context of a watch:
// https://www.elastic.co/guide/en/kibana/current/rule-action-variables.html
// https://www.elastic.co/guide/en/elasticsearch/reference/current/actions-webhook.html
var Format = ingest.Format{Name: "kibana", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decode), Volatile: []string{"hits"}}

func decode(r ingest.Request) (ingest.Batch, error) {
	o, flags, err := ingest.Object(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	b := body{}
	b.flatten("", o, 0)
	rule := b.get("rule.name", "alert.name", "rule")
	watch := b.get("watch.id", "watch")
	name := cmp.Or(rule, watch, b.get("alertname", "name", "rule.id"))
	if name == "" {
		return ingest.Batch{}, ingest.Errorf("rule_name", `absent; write "rule_name": "{{rule.name}}" into the body of the action, or "watch_id": "{{ctx.watch_id}}"`)
	}
	a := alert.Alert{Kind: alert.KindAlert, Status: status(b), Flags: flags}
	// The id of an alert is the value that the rule groups by, which mostly is a host.
	id := b.get("alert.id", "alert.instance.id")
	host := b.get("host", "host.name", "host.hostname", "hostname", "context.host", "context.host.name")
	if host == "" && isHost(id) {
		host = id
	}
	a.Identity = cmp.Or(b.get("alert.uuid"), id)
	a.Key = strings.Join([]string{b.get("space", "space.id", "rule.space.id"), cmp.Or(b.get("rule.id"), name), cmp.Or(id, host)}, "!")
	a.Group = b.get("rule.id") // what the rule is called may change, and a recovery has fewer fields
	a.Labels = fields.Labels("alertname", name, "host", host,
		"service", b.get("service", "service.name", "context.service.name"),
		"severity", strings.ToLower(b.get("severity", "context.severity")),
		"space", b.get("space", "space.id", "rule.space.id"))
	text := b.get("reason", "context.reason", "message", "context.message", "text", "context.title")
	a.Annotations = fields.Labels("summary", fields.Line(text), "description", text, "alert_id", id,
		"action_group", b.get("action.group", "alert.action.group", "alert.action.group.name"),
		"rule_type", b.get("rule.type"), "rule_id", b.get("rule.id"), "hits", b.get("hits", "total.hits"), "tags", b.get("tags", "rule.tags"))
	a.GeneratorURL = fields.Link(b.get("url", "rule.url", "context.alert.details.url", "alert.details.url", "link"))
	a.EventAt, _ = fields.Time(b.get("date", "execution.time", "ctx.execution.time", "timestamp", "@timestamp", "context.timestamp", "context.date"))
	if a.Status == alert.Resolved {
		a.EndsAt = a.EventAt
	}
	return ingest.Batch{Alerts: []alert.Alert{a}}, nil
}

// status goes by the group of the action: recovery is one of them. What has
// neither group nor status is sent when there is something to say.
func status(b body) alert.Status {
	for _, name := range []string{"action.group", "alert.action.group", "status", "alert.status", "state", "event.action"} {
		switch strings.ToLower(b.get(name)) {
		case "recovered", "ok", "resolved", "inactive", "close", "closed", "untracked":
			return alert.Resolved
		}
	}
	return alert.Firing
}

// isHost reports whether the id of an alert can be the name of a machine: it is
// * or a sentence if the rule groups by nothing, and a list if by several.
func isHost(id string) bool {
	for _, r := range id {
		if r != '-' && r != '.' && r != '_' && r != ':' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z') {
			return false
		}
	}
	return len(id) <= 253 && !isUUID(id)
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}

// body has the texts of a body by their names without case and separators, so
// that rule_name, ruleName and rule: {name} are the same.
type body map[string]string

func (b body) get(names ...string) string {
	for _, name := range names {
		if v := b[plain(name)]; v != "" {
			return v
		}
	}
	return ""
}

const (
	// levels is how deep in objects names are looked for.
	levels = 4
	// maxName is how long a name may be in bytes, with those around it. It holds the
	// names that get is asked for. All that is in an object repeats the object's
	// name, so that without an end of it what is kept grows with the square of a body.
	maxName = 64
)

func (b body) flatten(prefix string, o fields.Object, depth int) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if len(prefix)+len(name) > 2*maxName { // with as many separators as letters
			continue
		}
		at, v := prefix+plain(name), o[name]
		if len(at) > maxName {
			continue
		}
		if inner, ok := v.(fields.Object); ok && depth < levels {
			b.flatten(at, inner, depth+1)
			continue
		}
		text := fields.Text(v)
		if list, ok := v.([]any); ok {
			text = joined(list)
		}
		if text != "" && b[at] == "" {
			b[at] = text
		}
	}
}

// separators are what stands between the words of a name.
var separators = strings.NewReplacer("_", "", ".", "", "-", "")

func plain(name string) string { return strings.ToLower(separators.Replace(name)) }

func joined(list []any) string {
	var out []string
	for _, v := range list {
		if text := fields.Text(v); text != "" {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}
