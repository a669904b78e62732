package send

import (
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/ingest/nagios"
)

// newMessage makes a message of what JSON can hold.
func newMessage(source string, v any) (Message, error) {
	// Plugins write what they like; U+FFFD stands for what is no UTF-8.
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	return Message{Source: source, ContentType: "application/json", Body: body}, err
}

// Nagios makes a message of the macros that Nagios has put into the environment
// (NAME=value) of a notification command, and of more, by their names. Some of
// them are kept back: arguments of checks hold passwords, and members of groups are
// many.
func Nagios(source string, environ []string, more map[string]string) (Message, error) {
	macros := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if name, ok := strings.CutPrefix(name, "NAGIOS_"); ok && value != "" && wanted(name) {
			macros["NAGIOS_"+name] = value
		}
	}
	for name, value := range more {
		macros["NAGIOS_"+strings.TrimPrefix(strings.ToUpper(name), "NAGIOS_")] = value
	}
	if macros["NAGIOS_HOSTNAME"] == "" {
		return Message{}, errors.New("there is no NAGIOS_HOSTNAME in the environment: set enable_environment_macros=1 in nagios.cfg, or give the macros with --macro")
	}
	return newMessage(source, macros)
}

// wanted reports whether a macro says something about a notification.
func wanted(name string) bool {
	if strings.Contains(name, "CHECKCOMMAND") || strings.Contains(name, "GROUPMEMBER") || strings.HasPrefix(name, "_") && nagios.IsSecret(name) {
		return false
	}
	for _, begin := range []string{"NOTIFICATION", "HOST", "SERVICE", "LASTHOST", "LASTSERVICE", "LONGHOST", "LONGSERVICE", "LONGDATETIME", "TIMET", "_HOST", "_SERVICE"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

// icingaNames are the names of the environment of Icinga's own notification scripts, and
// a few more that deploy/icinga sets, with those of the JSON.
var icingaNames = []struct{ variable, member string }{
	{"NOTIFICATIONTYPE", "type"}, {"NOTIFICATIONAUTHORNAME", "author"}, {"NOTIFICATIONCOMMENT", "comment"},
	{"HOSTNAME", "host"}, {"HOSTDISPLAYNAME", "host_display_name"}, {"HOSTADDRESS", "address"},
	{"SERVICENAME", "service"}, {"SERVICEDESC", "service"}, {"SERVICEDISPLAYNAME", "service_display_name"},
	{"SERVICESTATE", "state"}, {"SERVICEOUTPUT", "output"}, {"HOSTSTATE", "state"}, {"HOSTOUTPUT", "output"},
	{"STATETYPE", "state_type"}, {"LASTSTATECHANGE", "last_state_change"}, {"TIMET", "timet"}, {"LONGDATETIME", "long_date_time"},
}

// Icinga makes a message of the environment (NAME=value) that a NotificationCommand of
// Icinga 2 sets.
func Icinga(source string, environ []string) (Message, error) {
	variables := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	members := map[string]string{}
	for _, n := range icingaNames {
		if v := variables[n.variable]; v != "" && members[n.member] == "" {
			members[n.member] = v
		}
	}
	for _, name := range []string{"HOSTNAME", "NOTIFICATIONTYPE"} {
		if variables[name] == "" {
			return Message{}, errors.New("there is no " + name + " in the environment: the NotificationCommand sets it in env")
		}
	}
	return newMessage(source, members)
}

// Event is one event in our own format.
type Event struct {
	Name        string            `json:"name"`
	Host        string            `json:"host,omitempty"`
	Service     string            `json:"service,omitempty"`
	Severity    string            `json:"severity,omitempty"`
	Status      string            `json:"status"`
	Kind        string            `json:"kind,omitempty"`
	Summary     string            `json:"summary,omitempty"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    string            `json:"starts_at,omitempty"`
	EndsAt      string            `json:"ends_at,omitempty"`
	Identity    string            `json:"identity,omitempty"`
	URL         string            `json:"url,omitempty"`
}

// Message makes a message of an event. One that says no time happened now: it may
// be delivered much later.
func (e Event) Message(source string, now time.Time) (Message, error) {
	stamp := now.UTC().Format(time.RFC3339Nano)
	if e.Status == "resolved" && e.EndsAt == "" {
		e.EndsAt = stamp
	}
	if e.Status == "firing" && e.StartsAt == "" {
		e.StartsAt = stamp
	}
	return newMessage(source, map[string][]Event{"events": {e}})
}
