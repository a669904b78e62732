// Package sns reads what Amazon SNS posts to a subscription by HTTP or HTTPS:
// alarms of CloudWatch, and any other text. It checks signatures and confirms
// subscriptions if the source wants that.
package sns

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is documented in
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
var Format = func() ingest.Format {
	f := plain
	f.Configure = configure
	return f
}()

// plain is the format without what a source wants.
var plain = ingest.Format{Name: "sns", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decoder{}.decode), Reply: reply}

// The types of messages.
const (
	notification = "Notification"
	confirmation = "SubscriptionConfirmation"
	goodbye      = "UnsubscribeConfirmation"
)

// envelope is a message of SNS. All its members are texts.
type envelope struct {
	fields.Object
	flags alert.Flag
}

func (e envelope) text(name string) string { return fields.Text(e.Object[name]) }

// parse reads a message. With raw message delivery the type is not there, and the
// body is what was published.
func parse(body []byte) (envelope, error) {
	o, flags, err := ingest.Object(body)
	if err != nil {
		return envelope{}, err
	}
	e := envelope{o, flags}
	switch e.text("Type") {
	case notification, confirmation, goodbye:
		return e, nil
	case "":
		if alarmIn(o) != nil {
			return e, nil
		}
		return e, ingest.Errorf("Type", "absent; this is not a message of SNS")
	}
	return e, ingest.Errorf("Type", "%q is not %s, %s or %s", alert.CutText(e.text("Type"), 64), notification, confirmation, goodbye)
}

// decoder decodes for one source.
type decoder struct {
	// confirms: subscriptions are confirmed before it is asked.
	confirms bool
}

func (d decoder) decode(r ingest.Request) (ingest.Batch, error) {
	e, err := parse(r.Body)
	if err != nil {
		return ingest.Batch{}, err
	}
	a := e.alert()
	a.Flags |= e.flags
	batch := ingest.Batch{Alerts: []alert.Alert{a}}
	if e.text("Type") == confirmation && !d.confirms {
		// Information is not kept, but somebody has to find the link.
		batch.Unparsed = []ingest.Rejected{ingest.Reject(0, "SubscribeURL", "", "to confirm the subscription of "+alert.CutText(e.text("TopicArn"), 300)+", open this link", r.Body)}
	}
	return batch, nil
}

func (e envelope) alert() alert.Alert {
	if e.text("Type") == "" {
		return alarm(alarmIn(e.Object))
	}
	a := e.information()
	if e.text("Type") == notification {
		if v, flags, err := fields.JSON([]byte(e.text("Message"))); err == nil && alarmIn(v) != nil {
			a = alarm(alarmIn(v))
			a.Flags |= flags
		}
	}
	a.EventAt, _ = fields.Time(e.text("Timestamp"))
	return a
}

// information is a message that is no alarm: it may say anything, also that all
// is well, so it opens nothing.
func (e envelope) information() alert.Alert {
	topic, text := e.text("TopicArn"), e.text("Message")
	a := alert.Alert{Kind: alert.KindInformation, Identity: e.text("MessageId")}
	a.Labels = fields.Labels("alertname", cmp.Or(topic[strings.LastIndexByte(topic, ':')+1:], "SNS"), "topic", topic)
	summary := cmp.Or(e.text("Subject"), fields.Line(text))
	link := ""
	switch e.text("Type") {
	case confirmation:
		summary, link = "SNS asks to confirm the subscription of "+topic, e.text("SubscribeURL")
	case goodbye:
		summary, link = "The subscription of "+topic+" was ended; the link takes it back", e.text("SubscribeURL")
	}
	if link != "" && isSNS(link) {
		a.GeneratorURL = link
	}
	a.Comment = summary
	a.Annotations = fields.Labels("summary", summary, "description", text)
	return a
}

// alarmIn returns the message of a CloudWatch alarm: v itself, or as what comes by
// EventBridge would say it. It is nil if v is neither.
func alarmIn(v any) fields.Object {
	o, _ := v.(fields.Object)
	if fields.Text(o["detail-type"]) == "CloudWatch Alarm State Change" {
		o = bridged(o)
	}
	if fields.Text(o["AlarmName"]) == "" || fields.Text(o["NewStateValue"]) == "" {
		return nil
	}
	return o
}

// bridged takes the names of the direct message for what stands in an event of
// EventBridge, so that both are the same alarm:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
func bridged(event fields.Object) fields.Object {
	at := func(path ...string) any { return fields.At(event["detail"], path...) }
	o := fields.Object{"AlarmName": at("alarmName"), "NewStateValue": at("state", "value"), "NewStateReason": at("state", "reason"),
		"StateChangeTime": at("state", "timestamp"), "OldStateValue": at("previousState", "value"),
		"AlarmDescription": at("configuration", "description"), "AWSAccountId": event["account"], "Region": event["region"]}
	if arns, ok := event["resources"].([]any); ok && len(arns) > 0 {
		o["AlarmArn"] = arns[0]
	}
	metrics, _ := at("configuration", "metrics").([]any)
	for _, m := range metrics[:min(len(metrics), alert.MaxLabels)] {
		metric, ok := fields.At(m, "metricStat", "metric").(fields.Object)
		if !ok {
			continue
		}
		var dimensions []any
		pairs, _ := metric["dimensions"].(fields.Object)
		for _, name := range slices.Sorted(maps.Keys(pairs)) {
			dimensions = append(dimensions, fields.Object{"name": name, "value": pairs[name]})
		}
		o["Trigger"] = fields.Object{"Namespace": metric["namespace"], "MetricName": metric["name"], "Dimensions": dimensions}
		break
	}
	return o
}

// cloudWatchTime is how CloudWatch writes times: no colon in the zone.
const cloudWatchTime = "2006-01-02T15:04:05.999-0700"

func alarm(v any) alert.Alert {
	text := func(path ...string) string { return fields.Text(fields.At(v, path...)) }
	name, arn := text("AlarmName"), text("AlarmArn")
	a := alert.Alert{Kind: alert.KindAlert, Identity: arn}
	a.Key = cmp.Or(arn, text("AWSAccountId")+"!"+text("Region")+"!"+name)
	changed, _ := fields.Time(text("StateChangeTime"), cloudWatchTime)
	switch text("NewStateValue") {
	case "ALARM":
		a.Status, a.StartsAt = alert.Firing, changed
	case "OK":
		a.Status, a.EndsAt = alert.Resolved, changed
	default: // INSUFFICIENT_DATA: it does not know either
		a.Status = alert.Unknown
	}
	region := text("Region")
	if parts := strings.SplitN(arn, ":", 7); len(parts) == 7 {
		region = parts[3]
	}
	pairs := []string{"alertname", name, "account", text("AWSAccountId"), "region", region}
	resource := ""
	if list, ok := fields.At(v, "Trigger", "Dimensions").([]any); ok {
		for _, d := range list[:min(len(list), alert.MaxLabels)] {
			dimension, value := fields.Text(fields.At(d, "name")), fields.Text(fields.At(d, "value"))
			pairs = append(pairs, dimension, value)
			resource = cmp.Or(resource, value)
			if dimension == "InstanceId" {
				pairs = append(pairs, "host", value)
			}
		}
	}
	a.Labels = fields.Labels(pairs...)
	reason := text("NewStateReason")
	a.Annotations = fields.Labels("summary", cmp.Or(fields.Line(text("AlarmDescription")), fields.Line(reason)), "description", reason,
		"alarm_description", text("AlarmDescription"), "state", text("NewStateValue"), "old_state", text("OldStateValue"), "state_changed", text("StateChangeTime"),
		"resource", resource, "metric", strings.TrimSpace(text("Trigger", "Namespace")+" "+text("Trigger", "MetricName")),
		"threshold", strings.TrimSpace(text("Trigger", "ComparisonOperator")+" "+text("Trigger", "Threshold")))
	return a
}

// reply is a line of text: SNS looks at the status only, and writes the rest to the
// log of deliveries.
func reply(code, _ int, reason string) ingest.Reply {
	if code < http.StatusMultipleChoices {
		reason = "accepted"
	}
	return ingest.Reply{ContentType: "text/plain; charset=utf-8", Body: []byte(reason + "\n")}
}
