package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

// TestAnnouncement: what is read aloud of an incident, and what is not.
func TestAnnouncement(t *testing.T) {
	zone := time.FixedZone("two hours east", 2*60*60)
	opened := time.Date(2026, 11, 20, 22, 30, 0, 0, time.UTC) // 00:30 on Saturday there
	now := opened.Add(90 * time.Minute)
	say := func(public bool, what string, restoration time.Duration) incident.Update {
		u := incident.Update{ID: 1, At: opened, Phase: incident.Investigating, What: what, Analysis: "the SAN of rack 3", Public: public}
		if restoration != 0 {
			u.Restoration = now.Add(restoration)
		}
		return u
	}
	unsigned := say(true, "Nobody has signed this", 0)
	unsigned.NeedsSignature = true
	long := strings.Repeat("Some customers cannot pay. ", 20)
	for name, c := range map[string]struct {
		change func(i *incident.Incident)
		want   string
	}{
		"nothing is public": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(false, "the database is gone", 0)}}
		},
			"There is a disruption of the service shop, since 00:30. We are working on it. This message is of 02:00."},
		"an update": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "Payments fail", time.Hour), say(false, "a secret", 0), unsigned}}
		}, "There is a disruption of the service shop, since 00:30. Payments fail. We expect it to be over by 03:00. This message is of 02:00."},
		"an estimate that has passed": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "Payments fail!", -time.Hour)}}
		},
			"There is a disruption of the service shop, since 00:30. Payments fail! This message is of 02:00."},
		"what cannot be spoken": {func(i *incident.Incident) {
			i.Service = "shop\u202e\x07"
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "**Payments** fail,\nsee https://status.example.com/1?x=<b>\nfor `more`", 0)}}
		}, "There is a disruption of the service shop, since 00:30. Payments fail, see for more. This message is of 02:00."},
		"nothing that can be spoken": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "https://status.example.com", 0)}}
		},
			"There is a disruption of the service shop, since 00:30. This message is of 02:00."},
		"too long": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(true, long, 0)}}
		},
			"There is a disruption of the service shop, since 00:30. " + strings.TrimSpace(long[:27*11]) + " This message is of 02:00."},
		"one long sentence": {func(i *incident.Incident) {
			i.Process = &incident.Process{Updates: []incident.Update{say(true, strings.Repeat("and so, ", 100), 0)}}
		},
			"There is a disruption of the service shop, since 00:30. " + strings.TrimSuffix(strings.Repeat("and so, ", 40), ", ") + ". This message is of 02:00."},
		"over, and an exercise": {func(i *incident.Incident) {
			i.State, i.ResolvedAt, i.Drill, i.Service = incident.Resolved, now.Add(-10*time.Minute), true, ""
			i.OpenedAt = opened.Add(-time.Hour)
		}, "This is an exercise. There was a disruption, since Friday 20 November, 23:30. It is over since 01:50. This message is of 02:00."},
		"it has come back": {func(i *incident.Incident) {
			i.CycleOpenedAt = opened.Add(time.Hour)
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "All is well again", 0)}}
		}, "There is a disruption of the service shop, since 00:30. We are working on it. This message is of 02:00."},
		"over, and nobody said so": {func(i *incident.Incident) {
			i.State, i.ResolvedAt = incident.Resolved, now.Add(-10*time.Minute)
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "Payments fail", 0)}}
		}, "There was a disruption of the service shop, since 00:30. It is over since 01:50. This message is of 02:00."},
		"over, and somebody said so": {func(i *incident.Incident) {
			i.State, i.ResolvedAt = incident.Resolved, now.Add(-10*time.Minute)
			i.Process = &incident.Process{Updates: []incident.Update{say(true, "You can pay again", 0)}}
			i.Process.Updates[0].At = now
		}, "There was a disruption of the service shop, since 00:30. It is over since 01:50. You can pay again. This message is of 02:00."},
	} {
		i := &incident.Incident{State: incident.Open, Title: "SAN rack 3", Service: "shop", OpenedAt: opened}
		c.change(i)
		if got := report.Announcement(i, now, zone); got != c.want {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", name, got, c.want)
		}
	}
}
