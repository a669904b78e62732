package email

import "testing"

// TestSubjectName: what is different in each mail about the same thing is no part
// of its name, and what tells two things apart is.
func TestSubjectName(t *testing.T) {
	for subject, want := range map[string]string{
		// Names.
		"VM 101 is DOWN":                        "VM 101",
		"101 is DOWN":                           "101",
		"[VM 101] DOWN":                         "VM 101",
		"[web-01] is DOWN":                      "web-01",
		"[WEB-01] is DOWN":                      "WEB-01",
		"[Rack #3] temperature CRITICAL":        "Rack #3 temperature",
		"sun is DOWN":                           "sun",
		"sun mar may: down":                     "sun mar may",
		"Port 1/0/12 down on switch":            "Port 1/0/12 on switch",
		"Port Gi1/0/12 is down":                 "Port Gi1/0/12",
		"PCI 03:00.0 failed":                    "PCI 03:00.0 failed",
		"Disk 50014ee2b5c0a1f3 failed":          "Disk 50014ee2b5c0a1f3 failed",
		"Room 3c too warm":                      "Room 3c too warm",
		"Link 00:11:22:33:44:55 lost":           "Link 00:11:22:33:44:55 lost",
		"Site 201234 unreachable":               "Site 201234",
		"Host 10.0.0.1 is DOWN":                 "Host 10.0.0.1",
		"Container 5f3a9c4d1e2b is unhealthy":   "Container 5f3a9c4d1e2b is unhealthy",
		"[example.com #1234] Printer on fire":   "Printer on fire",
		"[INC0012345] Printer on fire":          "Printer on fire",
		"[Ticket 7] Printer on fire":            "Printer on fire",
		"Disk usage 93% on web-01 at 03:14":     "Disk usage on web-01",
		"Disk usage 93 % on web-01":             "Disk usage on web-01",
		"Disk free 5.5 GB on web-01":            "Disk free on web-01",
		"Disk free 512MB of 2TB on web-01":      "Disk free of on web-01",
		"Certificate of a.example: 7 days left": "Certificate of a.example left",
		"Temperature 45.5C in rack 7":           "Temperature in rack 7",
		"Load high for 1h30m on web-01":         "Load high for on web-01",
		"3 messages in the queue of mx-1":       "messages in the queue of mx-1",
		// Dates and times.
		"Backup 2026-11-21 01:30 late":            "Backup late",
		"Backup 2026-11-21T01:30:00Z late":        "Backup late",
		"Backup 20261121 late":                    "Backup late",
		"Backup 21.11.2026 late":                  "Backup late",
		"Backup of Nov 21 late":                   "Backup of late",
		"Backup of 21 Nov 2026 late":              "Backup of late",
		"Backup Sat, Nov 21st 2026 3 pm late":     "Backup late",
		"Backup Sat Nov 21 03:14:07 UTC 2026 bad": "Backup bad",
		"Backup at 03:14 +0100 late":              "Backup at late",
		// Nothing else is left.
		"03:14 OK": "03:14",
		"OK":       "(no subject)",
		"":         "(no subject)",
	} {
		got, _, _ := subjectName(subject)
		if got != want {
			t.Errorf("%s: got %q, want %q", subject, got, want)
		}
	}
}
