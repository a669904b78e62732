package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// planning is a configuration with a window that begins in time for a notice of seven days: the clock of the tests
// begins with the year 2000.
const planning = `
route: {receiver: dba}
receivers:
  - {name: dba, webhook_configs: [{url: "http://localhost/dba"}]}
  - {name: clients, webhook_configs: [{url: "http://localhost/clients"}]}
services:
  - {name: db, populations: [all staff]}
  - {name: shop, depends_on: [db], populations: [customers]}
process:
  profile: none
  contacts: [{name: customers, receiver: clients}]
maintenance:
  - {name: disks, matchers: ['service="db"'], from: 2000-01-08 02:00, to: 2000-01-08 08:00, announce: [customers, dba], owner: ann, comment: both controllers}
`

// TestPlannedDowntimeIsAnnounced: seven days ahead, once for each target, whatever
// restarts, and however many gateways there are.
func TestPlannedDowntimeIsAnnounced(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, planning)
		defer o.stop()
		second := o.begin(planning)
		const week = 7 * 24 * time.Hour
		time.Sleep(59 * time.Minute) // more than seven days and an hour before
		synctest.Wait()
		for target, d := range o.desks {
			if said := d.heard(); len(said) > 0 {
				t.Errorf("%s has heard of it too early: %q", target, said)
			}
		}
		second() // whoever has it is stopped, and another one begins
		third := o.begin(planning)
		defer third()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for target, d := range o.desks {
			if said := d.heard(); len(said) != 1 || !strings.Contains(said[0], " notice Planned downtime: disks, Sat 2000-01-08 02:00 UTC") {
				t.Fatalf("%s: got %q, want one notice", target, said)
			}
			m := d.messages()[0]
			if begins := time.Date(2000, 1, 8, 2, 0, 0, 0, time.UTC); begins.Sub(m.SentAt) < week {
				t.Errorf("%s was told %s ahead", target, begins.Sub(m.SentAt))
			}
			for _, want := range []string{"from Sat 2000-01-08 02:00 to Sat 2000-01-08 08:00 (UTC)", "what for: both controllers", "services: db", "services that depend on them: shop",
				"who uses them: all staff, customers", "who answers for it: ann"} {
				if text := m.Plain(); !strings.Contains(text, want+"\n") {
					t.Errorf("%s: got\n%swithout %q", target, text, want)
				}
			}
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for target, d := range o.desks {
			if said := d.heard(); len(said) > 0 {
				t.Errorf("%s was told again: %q", target, said)
			}
		}
	})
}

// TestLateWindow: what is planned too late is announced at once, and that says so.
func TestLateWindow(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, strings.ReplaceAll(planning, "2000-01-08", "2000-01-07"))
		defer o.stop()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		d := o.desks["clients/webhook[0]"]
		if said := d.heard(); len(said) != 1 {
			t.Fatalf("got %q, want one notice", said)
		}
		if text, want := d.messages()[0].Plain(), "this notice is shorter than the 7 days that were promised"; !strings.Contains(text, want) {
			t.Errorf("got\n%swithout %q", text, want)
		}
		if got := o.do("GET", "/api/v1/notices", ""); !strings.Contains(got, `"short":true`) || strings.Count(got, `"sent":1`) != 2 {
			t.Errorf("notices: got %s, want one that is short and was sent to two", got)
		}
	})
}

// TestNoticeIsTriedAgain: a target that is away is told when it is back, and the
// fallback receiver hears of it meanwhile.
func TestNoticeIsTriedAgain(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, strings.Replace(planning, "[customers, dba]", "[customers]", 1)+"notify: {fallback: dba, fallback_after: 5m}\n")
		defer o.stop()
		clients, dba := o.desks["clients/webhook[0]"], o.desks["dba/webhook[0]"]
		clients.fail(func(context.Context, *notify.Message) error { return errors.New("away") })
		time.Sleep(time.Hour + 10*time.Minute)
		synctest.Wait()
		if said := dba.heard(); len(said) != 1 || !strings.Contains(dba.messages()[0].Plain(), "webhook of receiver clients is unreachable") {
			t.Errorf("the fallback receiver: got %q, want one notice that says why", said)
		}
		clients.fail(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if said := clients.heard(); len(said) != 1 {
			t.Errorf("the target that was away: got %q, want one notice", said)
		}
		if said := dba.heard(); len(said) > 0 {
			t.Errorf("the fallback receiver was told again: %q", said)
		}
	})
}

// TestMonthlyReminder: on its business day, once, also with a gateway that begins later.
func TestMonthlyReminder(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		text := strings.Replace(planning, "profile: none", "profile: none\n  monthly_report: {remind: [customers], business_day: 1}\n  calendar: {workdays: [\"monday:sunday\"], hours: [\"01:00-02:00\"]}", 1)
		text = text[:strings.Index(text, "maintenance:")]
		o := newOffice(t, text)
		defer o.stop()
		d := o.desks["clients/webhook[0]"]
		heard := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var titles []string
			for _, m := range d.messages() {
				titles = append(titles, m.SentAt.Format("01-02 15:04 ")+m.Incident.Title)
			}
			if !slices.Equal(titles, want) {
				t.Errorf("got %q, want %q", titles, want)
			}
		}
		time.Sleep(59 * time.Minute)
		heard()
		time.Sleep(2 * time.Minute)
		heard("01-01 01:00 Monthly report of 1999-12 is due")
		if text := d.messages()[0].Plain(); !strings.Contains(text, "tocsin report monthly --month=1999-12\nhttps://tocsin.example.com/api/v1/reports/monthly?month=1999-12&format=html\n") {
			t.Errorf("got\n%s", text)
		}
		second := o.begin(text)
		defer second()
		time.Sleep(2 * time.Hour)
		heard("01-01 01:00 Monthly report of 1999-12 is due")
	})
}

// TestNoticesOfTwoGatewaysOnRedis: two gateways that find what is to be announced at the
// same time, again and again, tell each target once of each.
func TestNoticesOfTwoGatewaysOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	const windows = 12
	var b strings.Builder
	begins := time.Now().UTC().Add(72 * time.Hour) // that is late: they are told at once
	b.WriteString(planning[:strings.Index(planning, "maintenance:")] + "maintenance:\n")
	for n := range windows {
		from := begins.Add(time.Duration(n) * time.Hour)
		fmt.Fprintf(&b, "  - {name: w%d, matchers: ['service=\"db\"'], from: %q, to: %q, announce: [customers, dba]}\n", n, from.Format(time.RFC3339), from.Add(time.Minute).Format(time.RFC3339))
	}
	text := b.String()
	o := &office{t: t, desks: map[string]*desk{}, start: time.Now(), next: text}
	var gateways []*gateway.Gateway
	var ends []func()
	for range 2 {
		o.st = shared(t, server)
		ends = append(ends, o.begin(text))
		gateways = append(gateways, o.g)
	}
	// missing is what some target was not told of.
	missing := func() string {
		for target, d := range o.desks {
			heard := map[string]bool{}
			for _, m := range d.messages() {
				heard[m.Incident.Title] = true
			}
			if len(heard) < windows {
				return fmt.Sprintf("%s was told of %d, want %d", target, len(heard), windows)
			}
		}
		return ""
	}
	for deadline := time.Now().Add(time.Minute); missing() != ""; {
		if time.Now().After(deadline) {
			t.Fatal(missing())
		}
		var both sync.WaitGroup
		for _, g := range gateways { // each looks at all of them again
			both.Go(func() {
				if err := g.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	for _, end := range ends {
		end()
	}
	for target, d := range o.desks {
		times := map[string]int{}
		for _, m := range d.messages() {
			if times[m.Incident.Title]++; times[m.Incident.Title] > 1 {
				t.Errorf("%s was told %d times: %s", target, times[m.Incident.Title], m.Incident.Title)
			}
		}
	}
}
