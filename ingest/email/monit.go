package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// monit reads the mails of Monit's default format
// (https://mmonit.com/monit/documentation/monit.html#MESSAGE-FORMAT).
var monit = parser{
	name: "monit",
	recognise: func(m *mail) bool {
		return strings.HasPrefix(m.subject, "monit alert --") || monitMailer.MatchString(m.head.get("X-Mailer")) && m.value("Action") != ""
	},
	parse: parseMonit,
}

var (
	monitMailer = regexp.MustCompile(`^Monit \d`)
	monitFirst  = regexp.MustCompile(`^(.+) Service (.+)$`)
)

// monitKinds are the kinds of events by what their names begin with, as the format
// monit calls them, so that a mail and what is posted are about the same thing.
var monitKinds = map[string]string{
	"action": "action", "checksum": "checksum", "connection": "connection", "content": "content", "data access": "data",
	"download bytes": "bytein", "download packets": "packetin", "execution": "exec", "existence": "nonexist", "filesystem flags": "fsflags",
	"gid": "gid", "heartbeat": "heartbeat", "icmp": "icmp", "link": "link", "monit instance": "instance", "permission": "permission",
	"pid": "pid", "ping": "icmp", "ppid": "ppid", "resource limit": "resource", "saturation": "saturation", "size": "size", "speed": "speed",
	"status": "status", "timeout": "timeout", "timestamp": "timestamp", "type": "invalid", "uid": "uid", "upload bytes": "byteout",
	"upload packets": "packetout", "uptime": "uptime",
}

// monitWords are the names that are made otherwise.
var monitWords = map[string]struct {
	kind string
	over bool
}{
	"invalid type":  {"invalid", false},
	"content match": {"content", false}, "content doesn't match": {"content", true},
	"does not exist": {"nonexist", false}, "exists": {"nonexist", true},
	"does exist": {"exist", false}, "exists not": {"exist", true},
}

// monitStates end the names of events.
var monitStates = []struct {
	word string
	over bool
}{
	{"not changed", true}, {"changed", false}, {"succeeded", true}, {"failed", false}, {"ok", true}, {"exceeded", false}, {"recovery", true},
	{"matched", false}, {"up", true}, {"down", false}, {"error", false}, {"done", false},
}

// monitEvent is the kind of an event, and whether it ends a problem. A name that is
// not known is its own kind.
func monitEvent(name string) (kind string, over bool) {
	name = strings.ToLower(name)
	if w, ok := monitWords[name]; ok {
		return w.kind, w.over
	}
	for _, s := range monitStates {
		if aspect, ok := strings.CutSuffix(name, " "+s.word); ok {
			name, over = aspect, s.over
			break
		}
	}
	if kind = monitKinds[name]; kind == "" {
		kind = name
	}
	return kind, over
}

func parseMonit(m *mail) []alert.Alert {
	s := monitFirst.FindStringSubmatch(m.firstLine())
	host, summary := m.value("Host"), m.value("Description")
	if s == nil || host == "" {
		return nil
	}
	what, service := s[1], s[2]
	kind, over := monitEvent(what)
	a := m.alert(summary, "alertname", service, "host", host, "service", service, "event", kind)
	a.PerHost, a.Key = true, hostKey(host, service)+"!"+kind
	switch {
	case kind == "instance" || kind == "action": // Monit was started, or told something
		a.Kind, a.Status = alert.KindInformation, alert.Unknown
	case over:
		a.Status = alert.Resolved
	}
	a.Annotations = m.annotations(summary, "event", what, "action", m.value("Action"))
	return one(a)
}
