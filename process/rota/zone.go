package rota

import (
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

// zones finds time zones by what calendars call them, and remembers them.
type zones struct {
	// aliases are the IANA names that the file itself has for its zones.
	aliases map[string]string
	known   map[string]*time.Location // nil: there is none
}

// find loads a zone: by its IANA name, by the one that the file has for it, by
// Windows' name, or with a vendor's path before it.
func (z *zones) find(id string) *time.Location {
	if zone, ok := z.known[id]; ok {
		return zone
	}
	parts := strings.Split(strings.Trim(id, "/"), "/")
	candidates := []string{id, z.aliases[id], windows[strings.ToLower(id)]}
	for n := 3; n > 0; n-- {
		if n < len(parts) {
			candidates = append(candidates, strings.Join(parts[len(parts)-n:], "/"))
		}
	}
	var found *time.Location
	for _, name := range candidates {
		if zone, err := calendar.Zone(name); err == nil {
			found = zone
			break
		}
	}
	z.known[id] = found
	return found
}

// windows are Windows' names of time zones as Outlook writes them, in lower case,
// as the Unicode CLDR's windowsZones maps them: those in which most people live.
var windows = map[string]string{
	"utc": "UTC", "greenwich standard time": "Atlantic/Reykjavik", "gmt standard time": "Europe/London",
	"w. europe standard time": "Europe/Berlin", "romance standard time": "Europe/Paris",
	"central europe standard time": "Europe/Budapest", "central european standard time": "Europe/Warsaw",
	"gtb standard time": "Europe/Bucharest", "fle standard time": "Europe/Kyiv", "e. europe standard time": "Europe/Chisinau",
	"turkey standard time": "Europe/Istanbul", "russian standard time": "Europe/Moscow", "israel standard time": "Asia/Jerusalem",
	"egypt standard time": "Africa/Cairo", "south africa standard time": "Africa/Johannesburg", "w. central africa standard time": "Africa/Lagos",
	"e. africa standard time": "Africa/Nairobi", "arab standard time": "Asia/Riyadh", "arabian standard time": "Asia/Dubai",
	"iran standard time": "Asia/Tehran", "pakistan standard time": "Asia/Karachi", "india standard time": "Asia/Kolkata",
	"sri lanka standard time": "Asia/Colombo", "nepal standard time": "Asia/Kathmandu", "bangladesh standard time": "Asia/Dhaka",
	"se asia standard time": "Asia/Bangkok", "china standard time": "Asia/Shanghai", "singapore standard time": "Asia/Singapore",
	"taipei standard time": "Asia/Taipei", "tokyo standard time": "Asia/Tokyo", "korea standard time": "Asia/Seoul",
	"w. australia standard time": "Australia/Perth", "aus central standard time": "Australia/Darwin", "cen. australia standard time": "Australia/Adelaide",
	"e. australia standard time": "Australia/Brisbane", "aus eastern standard time": "Australia/Sydney", "tasmania standard time": "Australia/Hobart",
	"new zealand standard time": "Pacific/Auckland", "newfoundland standard time": "America/St_Johns", "atlantic standard time": "America/Halifax",
	"eastern standard time": "America/New_York", "us eastern standard time": "America/Indiana/Indianapolis", "central standard time": "America/Chicago",
	"canada central standard time": "America/Regina", "mountain standard time": "America/Denver", "us mountain standard time": "America/Phoenix",
	"pacific standard time": "America/Los_Angeles", "alaskan standard time": "America/Anchorage", "hawaiian standard time": "Pacific/Honolulu",
	"central standard time (mexico)": "America/Mexico_City", "sa pacific standard time": "America/Bogota", "pacific sa standard time": "America/Santiago",
	"argentina standard time": "America/Argentina/Buenos_Aires", "e. south america standard time": "America/Sao_Paulo",
}
