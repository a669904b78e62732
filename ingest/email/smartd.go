package email

import (
	"regexp"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// smartd reads the warnings of smartd about disks (smartd_warning.sh,
// https://www.smartmontools.org/browser/trunk/smartmontools/smartd_warning.sh.in). It
// repeats them, but never says that they are over.
var smartd = parser{
	name:      "smartd",
	recognise: func(m *mail) bool { return smartdSubject.MatchString(m.subject) },
	parse:     parseSmartd,
}

var (
	smartdSubject = regexp.MustCompile(`^SMART error \(([A-Za-z]{1,50})\) detected on host: (\S+)$`)
	smartdDevice  = regexp.MustCompile(`(?i)\bdevice: (/[^\s,]+)`)
)

func parseSmartd(m *mail) []alert.Alert {
	s := smartdSubject.FindStringSubmatch(m.subject)
	what, host := s[1], s[2]
	device := ""
	for _, l := range m.lines {
		if d := smartdDevice.FindStringSubmatch(l); d != nil {
			device = d[1]
			break
		}
	}
	summary := strings.TrimSpace(m.textBelow("The following warning/error was logged by the smartd daemon:"))
	a := m.alert(summary, "alertname", what, "host", host, "device", device)
	a.PerHost, a.Key = true, hostKey(host, "smartd!"+device+"!"+what)
	if what == "EmailTest" {
		a.Kind, a.Status = alert.KindTest, alert.Unknown
	}
	return one(a)
}
