package nagios

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// types are the types of notifications. Those of Nagios are all there are in
// $NOTIFICATIONTYPE$; the others are what its relatives call the same.
var types = map[string]alert.Kind{
	"PROBLEM":           alert.KindAlert,
	"RECOVERY":          alert.KindAlert,
	"ACKNOWLEDGEMENT":   alert.KindAcknowledgement,
	"FLAPPINGSTART":     alert.KindFlappingStarted,
	"FLAPPINGSTOP":      alert.KindFlappingEnded,
	"FLAPPINGDISABLED":  alert.KindFlappingEnded,
	"FLAPPINGEND":       alert.KindFlappingEnded,
	"DOWNTIMESTART":     alert.KindMaintenanceStarted,
	"DOWNTIMEEND":       alert.KindMaintenanceEnded,
	"DOWNTIMECANCELLED": alert.KindMaintenanceCancelled,
	"DOWNTIMEREMOVED":   alert.KindMaintenanceCancelled,
	"CUSTOM":            alert.KindNote,
}

// Notification makes an alert of the macros of a notification, by their names in
// the manual. The error, always an *ingest.BodyError, names the macro that is missing.
func Notification(values map[string]string) (alert.Alert, error) {
	a, err := newMacros(0).setAll(values).alert()
	if err != nil {
		return a, err
	}
	return a, nil
}

// alert makes an alert of the macros.
func (m *macros) alert() (alert.Alert, *ingest.BodyError) {
	host, service := m.values["HOSTNAME"], m.values["SERVICEDESC"]
	state := m.state()
	switch {
	case !m.known():
		return alert.Alert{}, ingest.Foreignf("not a notification of Nagios; a form with fields such as HOSTNAME, SERVICESTATE and NOTIFICATIONTYPE, JSON with such names, or lines such as NAGIOS_HOSTNAME=web-01 would be one")
	case host == "":
		return alert.Alert{}, ingest.Errorf("HOSTNAME", "absent; a notification says there which host it is about")
	case state == "" && m.values["NOTIFICATIONTYPE"] == "":
		return alert.Alert{}, ingest.Errorf("NOTIFICATIONTYPE", "absent, and so is the state; PROBLEM or RECOVERY is expected here, or CRITICAL or OK in SERVICESTATE or HOSTSTATE")
	}
	a := alert.Alert{
		Identity: key(host, service),
		Key:      key(host, service),
		PerHost:  true,
		Flags:    m.flags,
		EventAt:  m.seconds("TIMET"),
	}
	m.judge(&a, state)
	bad := severity(state)
	if a.Status == alert.Resolved {
		bad = ""
		a.EndsAt = m.since()
		if a.EndsAt.IsZero() && a.Kind == alert.KindAlert {
			a.EndsAt = a.EventAt
		}
	} else {
		a.StartsAt = m.since()
	}
	a.Labels = fields.Labels(append([]string{
		"alertname", name(service),
		"host", host,
		"service", service,
		"severity", bad,
		"hostgroups", m.values["HOSTGROUPNAMES"],
		"servicegroups", m.values["SERVICEGROUPNAMES"],
	}, m.custom()...)...)
	m.describe(&a, state)
	return a, nil
}

// judge sets what kind of message it is, and how things are.
//
// Nagios notifies of hard states only. So what has a type of its own is meant,
// whatever the state's type is. Without one it comes from an event handler, which
// also runs for each attempt before a state is hard: such a problem is only
// information, because Nagios itself is not sure of it yet. If it is
// real a hard state follows.
func (m *macros) judge(a *alert.Alert, state string) {
	a.Status = status(state)
	kind, known := types[m.kind()]
	a.Kind = kind
	switch {
	case known && kind != alert.KindAlert:
	case m.kind() == "PROBLEM":
		a.Status = alert.Firing
	case known: // RECOVERY
		a.Status = alert.Resolved
	case m.kind() != "":
		// Of a type that nobody knows, a word of somebody's own: what it says of the
		// state counts. OK is the end, and all that is not is a problem.
		switch a.Flags |= alert.FlagUnparsed; {
		case state == "PENDING":
			a.Kind = alert.KindInformation
		case a.Status == alert.Unknown:
			a.Status = alert.Firing
		}
	case a.Status == alert.Firing && strings.EqualFold(m.of("@STATETYPE"), "SOFT"), state == "PENDING":
		a.Kind = alert.KindInformation
	case a.Status == alert.Unknown:
		a.Status, a.Flags = alert.Firing, a.Flags|alert.FlagUnparsed
	}
	if a.Kind != alert.KindAlert {
		a.Author, a.Comment = m.values["NOTIFICATIONAUTHOR"], m.values["NOTIFICATIONCOMMENT"]
	}
	if a.Kind == alert.KindAcknowledgement {
		a.Author, a.Comment = cmp.Or(a.Author, m.of("@ACKAUTHOR")), cmp.Or(a.Comment, m.of("@ACKCOMMENT"))
	}
}

// describe sets the annotations. What is another at each repetition, such as its
// number, or for each contact, is not among them: it would look like news.
func (m *macros) describe(a *alert.Alert, state string) {
	summary := m.of("@OUTPUT")
	description := ""
	if long := inLines.Replace(m.of("LONG@OUTPUT")); long != "" {
		description = strings.TrimSpace(summary + "\n" + long)
	}
	alias := m.values["HOSTALIAS"]
	if alias == m.values["HOSTNAME"] {
		alias = ""
	}
	a.Annotations = fields.Labels(
		"summary", summary,
		"description", description,
		"state", strings.ToLower(state),
		"host_alias", alias,
		"address", m.values["HOSTADDRESS"],
		"notes_url", link(m.of("@NOTESURL")),
	)
	a.GeneratorURL = cmp.Or(link(m.of("@INFOURL")), link(m.of("@ACTIONURL")))
}

// isProblem reports whether somebody is told of a problem.
func (m *macros) isProblem() bool {
	return m.kind() == "PROBLEM" || m.kind() == "" && status(m.state()) == alert.Firing
}

// kind is the type of the notification, as types has it.
func (m *macros) kind() string {
	return strings.ToUpper(withoutGaps.Replace(m.values["NOTIFICATIONTYPE"]))
}

// state is the word for the object's state. Some write its number.
func (m *macros) state() string {
	state, states := strings.ToUpper(m.of("@STATE")), statesOf(m.values["SERVICEDESC"])
	if n, err := strconv.Atoi(state); err == nil && 0 <= n && n < len(states) {
		return states[n]
	}
	return state
}

// key names an object. Messages about the same one belong together by it: the ids
// of problems do not tell, they are 0 in the recovery of a host and when one
// goes from UNREACHABLE to DOWN. An exclamation mark is in no name of Nagios.
func key(host, service string) string {
	if service == "" {
		return host
	}
	return host + "!" + service
}

// name is what the check of an object is called.
func name(service string) string { return cmp.Or(service, "Host") }

// status says what a state is to us.
func status(state string) alert.Status {
	switch state {
	case "OK", "UP":
		return alert.Resolved
	case "WARNING", "CRITICAL", "UNKNOWN", "DOWN", "UNREACHABLE":
		return alert.Firing
	}
	return alert.Unknown
}

// severity is a state as a severity: of hosts there is one that is bad.
func severity(state string) string {
	switch state {
	case "OK", "UP", "PENDING":
		return ""
	case "DOWN", "UNREACHABLE":
		return "critical"
	}
	return strings.ToLower(state)
}

// link returns what a browser can open, of what there is.
func link(s string) string {
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		return s
	}
	return ""
}

// inLines makes lines of long output, which Nagios writes in one with \n between
// them. A backslash with an n that the plugin wrote has another before it, but
// only in the environment.
var inLines = strings.NewReplacer(`\\n`, `\n`, `\n`, "\n")
