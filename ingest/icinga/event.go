package icinga

import (
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// events are the types of events in the stream that we know.
// https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/#event-stream-types
var events map[string]func(fields.Object) (alert.Alert, error)

func init() {
	events = map[string]func(fields.Object) (alert.Alert, error){
		"CheckResult":            checkResult,
		"StateChange":            stateChange,
		"Notification":           notified,
		"AcknowledgementSet":     acknowledgementSet,
		"AcknowledgementCleared": acknowledgementCleared,
		"CommentAdded":           comment,
		"CommentRemoved":         comment,
		"DowntimeAdded":          downtime,
		"DowntimeRemoved":        downtime,
		"DowntimeStarted":        downtime,
		"DowntimeTriggered":      downtime,
		"Flapping":               flapping,
	}
}

// event decodes an event of the stream.
func event(o fields.Object, decode func(fields.Object) (alert.Alert, error)) (alert.Alert, error) {
	a, err := decode(o)
	if err != nil {
		return a, err
	}
	if a.Host() == "" {
		return a, ingest.Errorf("host", "is missing in an event of the type %s", text(o, "type"))
	}
	a.EventAt = epoch(text(o, "timestamp"))
	return a, nil
}

func text(o fields.Object, path ...string) string { return fields.Text(fields.At(o, path...)) }

// thingOf reads what an event is about. State is what it says of the state, a number.
func thingOf(o fields.Object, state string) thing {
	t := thing{host: text(o, "host"), service: text(o, "service"), output: text(o, "check_result", "output")}
	t.state = stateWord(state, t.service != "")
	var values []string
	list, _ := fields.At(o, "check_result", "performance_data").([]any)
	for _, v := range list {
		if s := fields.Text(v); s != "" {
			values = append(values, s)
		}
	}
	t.performance = strings.Join(values, " ")
	return t
}

// checked reads an event whose state stands in the check's result only, which
// for hosts is that of the plugin: a warning is still up.
func checked(o fields.Object) thing {
	state := text(o, "check_result", "state")
	if text(o, "service") == "" {
		if exit := number(state); exit >= 0 && exit <= 1 {
			state = "UP"
		} else if exit >= 0 {
			state = "DOWN"
		}
	}
	return thingOf(o, state)
}

// since is when the check ended that found the state. A state change and the
// notifications about it have the same, so that they are one and the same alert.
func since(o fields.Object) time.Time {
	for _, at := range []string{text(o, "last_hard_state_change"), text(o, "check_result", "execution_end"), text(o, "timestamp")} {
		if t := epoch(at); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func checkResult(o fields.Object) (alert.Alert, error) {
	return checked(o).alert(alert.KindInformation), nil
}

// stateChange is an alert only if the state is hard and nothing says that it is
// expected: in a downtime Icinga would notify nobody either. It notifies when the
// downtime ends and the problem has not.
func stateChange(o fields.Object) (alert.Alert, error) {
	t, kind := thingOf(o, text(o, "state")), alert.KindAlert
	if t.state == "" {
		return alert.Alert{}, ingest.Errorf("state", "%.60q is no state of a service (0 to 3) or host (0, 1)", text(o, "state"))
	}
	if statuses[t.state] == alert.Firing && (text(o, "state_type") == "0" || number(text(o, "downtime_depth")) > 0) {
		kind = alert.KindInformation
	}
	a := t.alert(kind)
	setSince(&a, since(o))
	return a, nil
}

// notified is what a notification object told its users.
func notified(o fields.Object) (alert.Alert, error) {
	said := strings.ToUpper(text(o, "notification_type"))
	kind, known := kinds[said]
	if !known {
		return alert.Alert{}, ingest.Errorf("notification_type", "%.60q is none of Icinga's types of notifications", said)
	}
	a := checked(o).alert(kind)
	switch said {
	case "PROBLEM":
		a.Status = alert.Firing
	case "RECOVERY":
		a.Status = alert.Resolved
	}
	a.Author, a.Comment = text(o, "author"), text(o, "text")
	setSince(&a, since(o))
	return a, nil
}

func acknowledgementSet(o fields.Object) (alert.Alert, error) {
	a := thingOf(o, text(o, "state")).alert(alert.KindAcknowledgement)
	a.Author, a.Comment = text(o, "author"), text(o, "comment")
	sticky := ""
	if text(o, "acknowledgement_type") == "2" {
		sticky = "true"
	}
	annotate(&a, "sticky", sticky, "expires_at", written(text(o, "expiry")))
	return a, nil
}

func acknowledgementCleared(o fields.Object) (alert.Alert, error) {
	return thingOf(o, text(o, "state")).alert(alert.KindAcknowledgementRemoved), nil
}

// comment is the note that somebody left or took away. An acknowledgement leaves
// one too. The key says which service it is of; there is no label service, since
// the event does not name one, but the comment in it.
func comment(o fields.Object) (alert.Alert, error) {
	t := thing{host: text(o, "comment", "host_name"), service: text(o, "comment", "service_name")}
	a := t.alert(alert.KindNote)
	a.Labels = fields.Labels("alertname", a.Name(), "host", t.host)
	a.Author, a.Comment = text(o, "comment", "author"), text(o, "comment", "text")
	if text(o, "type") == "CommentRemoved" {
		a.Comment = "comment removed: " + a.Comment
	}
	of := ""
	if text(o, "comment", "entry_type") == "4" {
		of = "acknowledgement"
		a.Flags |= alert.FlagAccompanies
	}
	annotate(&a, "comment_of", of)
	return identified(a, text(o, "comment", "__name")), nil
}

func downtime(o fields.Object) (alert.Alert, error) {
	t := thing{host: text(o, "downtime", "host_name"), service: text(o, "downtime", "service_name")}
	kind := alert.KindMaintenanceStarted
	switch text(o, "type") {
	case "DowntimeAdded":
		kind = alert.KindMaintenancePlanned
	case "DowntimeRemoved":
		kind = alert.KindMaintenanceCancelled
		if epoch(text(o, "downtime", "remove_time")).IsZero() {
			kind = alert.KindMaintenanceEnded // nobody removed it
		}
	}
	a := t.alert(kind)
	a.Author, a.Comment = text(o, "downtime", "author"), text(o, "downtime", "comment")
	a.StartsAt, a.EndsAt = epoch(text(o, "downtime", "start_time")), epoch(text(o, "downtime", "end_time"))
	return identified(a, text(o, "downtime", "__name")), nil
}

func flapping(o fields.Object) (alert.Alert, error) {
	kind := alert.KindFlappingEnded
	if text(o, "is_flapping") == "true" {
		kind = alert.KindFlappingStarted
	}
	a := thingOf(o, text(o, "state")).alert(kind)
	if kind == alert.KindFlappingEnded {
		setSince(&a, since(o))
	}
	return a, nil
}

// identified sets the name that Icinga has for what a speaks of, if it says one.
func identified(a alert.Alert, name string) alert.Alert {
	if name != "" {
		a.Identity = name
	}
	return a
}

// written is a time in an annotation.
func written(seconds string) string {
	t := epoch(seconds)
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
