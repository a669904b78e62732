package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// nagios reads the mails of the commands notify-host-by-email and
// notify-service-by-email that Nagios Core ships
// (https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/notifications.html,
// macros: https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/macrolist.html),
// also as a table and without a subject.
var nagios = parser{
	name: "nagios",
	recognise: func(m *mail) bool {
		return nagiosSubject.MatchString(m.subject) || nagiosEvents[strings.ToUpper(valueIn(m.nagiosFields(), "Notification Type"))].begins
	},
	parse: parseNagios,
}

var nagiosSubject = regexp.MustCompile(`^\*\* (?:([A-Z]+) )?(Host|Service) Alert: (.+) is ([A-Z]+) \*\*$`)

// event is what a type of notification means.
type event struct {
	begins bool // it is a type at all
	kind   alert.Kind
}

var nagiosEvents = map[string]event{
	"PROBLEM":           {true, alert.KindAlert},
	"RECOVERY":          {true, alert.KindAlert},
	"ACKNOWLEDGEMENT":   {true, alert.KindAcknowledgement},
	"FLAPPINGSTART":     {true, alert.KindFlappingStarted},
	"FLAPPINGSTOP":      {true, alert.KindFlappingEnded},
	"FLAPPINGEND":       {true, alert.KindFlappingEnded}, // Icinga 2
	"FLAPPINGDISABLED":  {true, alert.KindFlappingEnded},
	"DOWNTIMESTART":     {true, alert.KindMaintenanceStarted},
	"DOWNTIMEEND":       {true, alert.KindMaintenanceEnded},
	"DOWNTIMECANCELLED": {true, alert.KindMaintenanceCancelled},
	"DOWNTIMEREMOVED":   {true, alert.KindMaintenanceCancelled}, // Icinga 2
	"CUSTOM":            {true, alert.KindNote},
}

// nagiosFields are the lines above what the check said, which may look like fields too.
func (m *mail) nagiosFields() []string {
	for i, l := range m.lines {
		if strings.HasPrefix(strings.TrimSpace(l), "Additional Info") {
			return m.lines[:i]
		}
	}
	return m.lines
}

func parseNagios(m *mail) []alert.Alert {
	above := m.nagiosFields()
	typ, host, service, state := strings.ToUpper(valueIn(above, "Notification Type")), valueIn(above, "Host"), valueIn(above, "Service"), valueIn(above, "State")
	if s := nagiosSubject.FindStringSubmatch(m.subject); s != nil {
		if typ == "" {
			typ = s[1]
		}
		if state == "" {
			state = s[4]
		}
		if host == "" {
			host = s[3]
			if s[2] == "Service" {
				host, service, _ = strings.Cut(s[3], "/")
			}
		}
	}
	e := nagiosEvents[typ]
	if host == "" || state == "" || !e.begins {
		return nil
	}
	summary := valueIn(above, "Info")
	if summary == "" {
		summary = m.textBelow("Additional Info:")
	}
	a := m.checkResult(e, host, service, state, summary)
	if address := valueIn(above, "Address"); address != "" {
		a.Annotations = m.annotations(summary, "address", address)
	}
	return one(a)
}

// textBelow returns the first line with something on it below the one that begins so.
func (m *mail) textBelow(title string) string {
	for i, l := range m.lines {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(l), title); ok {
			for _, l := range append([]string{rest}, m.lines[i+1:]...) {
				if l = strings.TrimSpace(l); l != "" {
					return l
				}
			}
		}
	}
	return ""
}

// checkResult makes an alert of what Nagios and Icinga say about a check.
func (m *mail) checkResult(e event, host, service, state, summary string) alert.Alert {
	name := service
	if name == "" {
		name = "Host"
	}
	status, severity := checkState(state)
	a := m.alert(summary, "alertname", name, "host", host, "service", service, "severity", severity)
	a.Kind, a.Status, a.Key, a.PerHost = e.kind, status, hostKey(host, service), true
	return a
}

// checkState is what a check's state means; good ones have no severity.
func checkState(state string) (alert.Status, string) {
	switch strings.ToUpper(state) {
	case "OK", "UP":
		return alert.Resolved, ""
	case "DOWN", "UNREACHABLE":
		return alert.Firing, "critical"
	}
	return alert.Firing, strings.ToLower(state)
}
