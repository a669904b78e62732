package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// mdadm reads the mails of mdadm --monitor about software RAID
// (mdadm(8), MONITOR MODE: https://manpages.debian.org/mdadm.8).
var mdadm = parser{
	name:      "mdadm",
	recognise: func(m *mail) bool { return mdadmSubject.MatchString(m.subject) },
	parse:     parseMdadm,
}

var mdadmSubject = regexp.MustCompile(`^([A-Za-z]{1,30}\d{0,3}) event on (/[^\s:]+):(\S+)$`)

// mdadmNews are the events that are no problems.
var mdadmNews = words("newarray movespare rebuildstarted rebuildfinished")

func parseMdadm(m *mail) []alert.Alert {
	s := mdadmSubject.FindStringSubmatch(m.subject)
	what, device, host := s[1], s[2], s[3]
	summary := m.subject
	for _, l := range m.lines {
		if strings.Contains(l, " event had been detected on ") {
			summary = l
			break
		}
	}
	// An array has one problem at a time, whatever is said about it.
	a := m.alert(summary, "alertname", "RAID "+device, "host", host, "device", device)
	a.PerHost, a.Key = true, hostKey(host, "mdadm!"+device)
	switch lower := strings.ToLower(what); {
	case lower == "testmessage":
		a.Kind, a.Status = alert.KindTest, alert.Unknown
	case lower == "spareactive": // a spare took the place of the disk that failed
		a.Status = alert.Resolved
	case mdadmNews[strings.TrimRight(lower, "0123456789")] || strings.HasPrefix(lower, "rebuild"):
		a.Kind, a.Status = alert.KindInformation, alert.Unknown
	}
	a.Annotations = m.annotations(summary, "event", what)
	return one(a)
}
