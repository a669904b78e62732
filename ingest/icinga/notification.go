package icinga

import (
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// kinds are the types of notifications, and what they are in our words. Nagios'
// words for the same are here too: scripts that serve both say them.
var kinds = map[string]alert.Kind{
	"PROBLEM": alert.KindAlert, "RECOVERY": alert.KindAlert,
	"ACKNOWLEDGEMENT": alert.KindAcknowledgement, "CUSTOM": alert.KindNote,
	"FLAPPINGSTART": alert.KindFlappingStarted, "FLAPPINGEND": alert.KindFlappingEnded, "FLAPPINGSTOP": alert.KindFlappingEnded,
	"FLAPPINGDISABLED": alert.KindFlappingEnded, "DOWNTIMESTART": alert.KindMaintenanceStarted, "DOWNTIMEEND": alert.KindMaintenanceEnded,
	"DOWNTIMEREMOVED": alert.KindMaintenanceCancelled, "DOWNTIMECANCELLED": alert.KindMaintenanceCancelled,
}

// notification holds what a notification command sent, by the names below.
type notification map[string]string

// names are what the fields are called: as in the documentation's commands, as
// the macros are, and as people call them. Case, dots and underscores are not
// looked at. The first that is there counts.
var names = map[string][]string{
	"type":           {"notificationtype", "type"},
	"host":           {"hostname", "host"},
	"service":        {"servicename", "servicedesc", "service"},
	"service_state":  {"servicestate", "state", "servicestateid", "stateid"},
	"host_state":     {"state", "hoststate", "hoststateid", "stateid"},
	"service_output": {"serviceoutput", "output"},
	"host_output":    {"output", "hostoutput"},
	"author":         {"notificationauthorname", "notificationauthor", "author"},
	"comment":        {"notificationcomment", "comment"},
	"service_since":  {"servicelaststatechange", "laststatechange"},
	"host_since":     {"laststatechange", "hostlaststatechange"},
	"time":           {"icingatimet", "timet", "icingalongdatetime", "longdatetime", "when"},
	"service_perf":   {"serviceperfdata", "perfdata"},
	"host_perf":      {"perfdata", "hostperfdata"},
	"state_type":     {"servicestatetype", "statetype", "hoststatetype"},
	"address":        {"hostaddress", "address"},
	"address6":       {"hostaddress6", "address6"},
	"host_display":   {"hostdisplayname"}, "service_display": {"servicedisplayname"},
	"url": {"notificationurl", "url", "link"},
}

// notificationOf takes what has a meaning out of a form, an object or an environment.
func notificationOf(texts map[string]string) notification {
	plain := make(map[string]string, len(texts))
	for name, value := range texts {
		// Two names that become one: which of them counts must not be a matter of chance.
		if name = plainName(name); value > plain[name] {
			plain[name] = value
		}
	}
	n := notification{}
	for ours, theirs := range names {
		for _, name := range theirs {
			if value := plain[name]; value != "" {
				n[ours] = value
				break
			}
		}
	}
	return n
}

var plainer = strings.NewReplacer("_", "", ".", "", "-", "", "$", "")

func plainName(name string) string {
	if len(name) > 64 {
		return ""
	}
	return plainer.Replace(strings.ToLower(name))
}

// alert makes the alert. Odd says that the type is none that we know, while the
// state is a problem: that becomes an alert all the same.
func (n notification) alert() (a alert.Alert, odd string, err error) {
	if n["host"] == "" {
		return a, "", ingest.Errorf("host", "is missing, and nothing else says what this is about; a notification has at least host, type and state")
	}
	t := thing{host: n["host"], service: n["service"], output: n["service_output"], performance: n["service_perf"]}
	stated, since := n["service_state"], n["service_since"]
	if t.service == "" {
		t.output, t.performance = n["host_output"], n["host_perf"]
		stated, since = n["host_state"], n["host_since"]
	}
	t.state = stateWord(stated, t.service != "")
	said := strings.ToUpper(strings.TrimSpace(n["type"]))
	kind, known := kinds[said]
	switch {
	case said == "" && t.state == "":
		return a, "", ingest.Errorf("type", "is missing, and so is the state; want PROBLEM, RECOVERY or another of Icinga's types of notifications")
	case said != "" && !known && statuses[t.state] != alert.Firing:
		return a, "", ingest.Errorf("type", "%.60q is none of Icinga's types of notifications, such as PROBLEM and RECOVERY, and there is no problem in it", said)
	}
	a = t.alert(kind)
	switch {
	case said == "PROBLEM":
		a.Status = alert.Firing
	case said == "RECOVERY":
		a.Status = alert.Resolved
	case said != "" && !known:
		a.Flags |= alert.FlagUnparsed
		odd = "is none of Icinga's types of notifications; taken as PROBLEM"
	case said == "" && strings.EqualFold(n["state_type"], "SOFT") && a.Status == alert.Firing:
		a.Kind = alert.KindInformation // nobody was to be notified yet
	}
	a.Author, a.Comment = n["author"], n["comment"]
	a.GeneratorURL = link(n["url"])
	a.EventAt = moment(n["time"])
	setSince(&a, moment(since))
	annotate(&a, "address", n["address"], "address6", n["address6"], "host_display_name", n["host_display"], "service_display_name", n["service_display"])
	return a, odd, nil
}

// setSince says since when the state of a is what it is. A problem always gets a
// time by Icinga's clock, if need be that of its message (what is down from the
// first check on has no last change): its end has one, in whole seconds, and would
// be before a start by our clock.
func setSince(a *alert.Alert, since time.Time) {
	switch {
	case a.Status == alert.Firing && since.IsZero():
		a.StartsAt = a.EventAt
	case a.Status == alert.Firing:
		a.StartsAt = since
	case a.Status == alert.Resolved && (a.Kind == alert.KindAlert || a.Kind == alert.KindFlappingEnded):
		a.EndsAt = since
	}
}
