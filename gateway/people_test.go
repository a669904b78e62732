package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/testbubble"
)

// said sends a command on an incident.
func (o *office) said(reference, command, body string) string {
	o.t.Helper()
	return o.do("POST", "/api/v1/incidents/"+reference+"/"+command, body)
}

// named is the reference of the incident with a title.
func (o *office) named(title string) string {
	o.t.Helper()
	list := o.do("GET", "/api/v1/incidents", "")
	before, _, ok := strings.Cut(list, `"title":"`+title+`"`)
	at := strings.LastIndex(before, `"reference":"`)
	if !ok || at < 0 {
		o.t.Fatalf("no incident %q in %s", title, list)
	}
	name, _, _ := strings.Cut(before[at+len(`"reference":"`):], `"`)
	return name
}

// TestSnooze: nobody is told while it lasts, of nothing; then of what still fires.
func TestSnooze(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		const ops = "ops/webhook[0]"
		o.alert("Disk", "a", "warning", false)
		o.at(31 * time.Second)
		o.heard(ops, "30s opened Disk firing=1")
		o.at(time.Minute)
		ref := o.reference()
		o.said(ref, "snooze", `{"by":"ann","for_seconds":7200}`)
		o.at(10 * time.Minute)
		o.alert("Disk", "b", "critical", false) // worse, but it is snoozed
		o.at(2 * time.Hour)
		o.heard(ops)
		if n := o.do("GET", "/api/v1/incidents/"+ref+"/notifications", ""); !strings.Contains(n, `"by":"snooze","text":"snoozed by ann"`) {
			t.Errorf("nobody can see why it is quiet: %s", n)
		}
		o.at(2*time.Hour + 2*time.Minute)
		o.heard(ops, "2h1m0s updated Disk firing=2") // once
		// Nothing new came during the next one: what still fires is told all the same.
		o.said(ref, "snooze", `{"by":"ann","for_seconds":600}`)
		o.at(2*time.Hour + 13*time.Minute)
		o.heard(ops, "2h12m0s updated Disk firing=2")
		// What began and ended in a snooze was never known; what was known ends after it.
		o.said(ref, "snooze", `{"by":"ann","for_seconds":3600}`)
		o.at(2*time.Hour + 20*time.Minute)
		o.alert("Disk", "a", "warning", true)
		o.alert("Disk", "b", "critical", true)
		o.at(3 * time.Hour)
		o.heard(ops)
		o.at(3*time.Hour + 20*time.Minute)
		o.heard(ops, "3h13m0s resolved Disk firing=0")
	})
}

// TestSnoozedFromTheStart: the first that is heard of it is that it opened, once.
func TestSnoozedFromTheStart(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		o.alert("Disk", "a", "warning", false)
		o.at(10 * time.Second)
		o.said(o.reference(), "snooze", `{"by":"ann","for_seconds":600}`)
		o.at(20 * time.Minute)
		o.heard("ops/webhook[0]", "10m10s opened Disk firing=1")
		o.at(21 * time.Minute)
		o.said(o.reference(), "snooze", `{"by":"ann","for_seconds":600}`)
		o.at(22 * time.Minute)
		o.said(o.reference(), "unsnooze", `{"by":"ann"}`)
		o.at(23 * time.Minute)
		o.heard("ops/webhook[0]", "22m0s updated Disk firing=1")
	})
}

// TestMergedIsToldAsOne: the parent's people hear of the child's alerts, and nobody of
// the child, until it is on its own again or the parent is over.
func TestMergedIsToldAsOne(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		const ops = "ops/webhook[0]"
		o.alert("Core", "a", "warning", false)
		o.at(time.Second)
		o.alert("Switch", "b", "warning", false)
		o.at(40 * time.Second)
		o.heard(ops, "30s opened Core firing=1", "31s opened Switch firing=1")
		core, sw := o.named("Core"), o.named("Switch")
		o.said(sw, "merge", `{"by":"ann","into":"`+core+`"}`)
		o.at(6 * time.Minute)
		o.heard(ops, "5m30s updated Core firing=1")
		o.alert("Switch", "c", "critical", false)
		o.at(8 * time.Minute)
		o.heard(ops, "6m1s updated Core firing=1") // at once: the severity rose
		o.alert("Core", "a", "warning", true)
		o.at(20*time.Minute + 10*time.Second)
		o.heard(ops, "11m1s updated Core firing=0") // it waits for the switch
		o.alert("Switch", "b", "warning", true)
		o.alert("Switch", "c", "critical", true)
		o.at(40 * time.Minute)
		o.heard(ops, "20m31s resolved Switch firing=0", "20m41s resolved Core firing=0") // it was told of both
	})
}

// TestCustomersAreToldApart: what is told of a customer's incident holds nothing of
// the parent, and of no other customer.
func TestCustomersAreToldApart(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, `
route:
  receiver: ops
  group_wait: 30s
  routes:
    - {matchers: ['customer="Acme"'], receiver: acme}
    - {matchers: ['customer="Beta"'], receiver: beta}
receivers:
  - {name: ops, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
  - {name: acme, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
  - {name: beta, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
`)
		defer o.stop()
		o.alert("SecretDisk", "secrethost", "critical", false)
		o.at(31 * time.Second)
		parent := o.reference()
		o.heard("ops/webhook[0]", "30s opened SecretDisk firing=1")
		o.said(parent, "note", `{"by":"ann","text":"a secret note"}`)
		for _, c := range []string{"Acme", "Beta"} {
			o.said(parent, "children", fmt.Sprintf(`{"by":"ann","customer":%q,"title":"Mail of %s is slow","description":"since nine"}`, c, c))
		}
		o.at(2 * time.Minute)
		acme := o.desks["acme/webhook[0]"]
		o.heard("acme/webhook[0]", "31s opened Mail of Acme is slow firing=0")
		o.heard("beta/webhook[0]", "31s opened Mail of Beta is slow firing=0")
		o.said(o.named("Mail of Acme is slow"), "update", `{"by":"ann","what":"it gets better"}`)
		o.at(3 * time.Minute)
		o.heard("acme/webhook[0]", "2m0s updated Mail of Acme is slow firing=0")
		o.heard("beta/webhook[0]")
		o.heard("ops/webhook[0]")
		for _, m := range acme.got {
			for _, secret := range []string{"ecret", "Beta", parent} {
				if text := m.Headline() + m.Plain() + fmt.Sprintf("%+v %+v", m.Incident, m.News); strings.Contains(text, secret) {
					t.Errorf("Acme is told of %q: %s", secret, text)
				}
			}
		}
		if len(acme.got) != 2 || !strings.Contains(acme.got[1].Plain(), "it gets better") {
			t.Errorf("got %d messages", len(acme.got))
		}
		// The customers' are not held back because the parent is open, and outlive it.
		o.said(parent, "resolve", `{"by":"ann"}`)
		o.at(4 * time.Minute)
		o.heard("ops/webhook[0]", "3m0s resolved SecretDisk firing=1")
		o.said(o.named("Mail of Acme is slow"), "resolve", `{"by":"ann"}`)
		o.at(5 * time.Minute)
		o.heard("acme/webhook[0]", "4m0s resolved Mail of Acme is slow firing=0")
	})
}

// TestNewDuties: after a reload a duty that is due before anything was, is done in
// time, and those whom it calls in hear of it.
func TestNewDuties(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk+"process: {profile: none}\nincidents: {priorities: {}}\n")
		defer o.stop()
		o.alert("Disk", "a", "warning", false)
		o.at(time.Minute)
		o.heard("ops/webhook[0]", "30s opened Disk firing=1")
		o.next = oneDesk + "incidents: {priorities: {}}\nprocess: {profile: none, duties: [{name: look, after: 5m, text: look at it, do: {notify: [ops]}}]}\n"
		o.do("POST", "/-/reload", "")
		o.at(4 * time.Minute)
		o.heard("ops/webhook[0]")
		o.at(6 * time.Minute)
		o.heard("ops/webhook[0]", "5m0s updated Disk firing=1")
		if timeline := o.do("GET", "/api/v1/incidents/"+o.reference()+"/timeline", ""); strings.Count(timeline, `look: look at it`) != 1 {
			t.Errorf("timeline: %s", timeline)
		}
	})
}
