package console

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web"
)

// TestTold shows what each target was told, and why it was not.
func TestTold(t *testing.T) {
	k := &Console{}
	var err error
	if k.files, err = readAssets(); err == nil {
		k.pages, err = k.readPages()
	}
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)
	d := &incidentData{Incident: web.IncidentJSON{Reference: "INC-20261121-7KQ2"}, Told: web.NotificationsJSON{Notifications: []notify.Notification{
		{Target: "ops/slack[0]", ToldAt: at, State: "open", Sent: 3, Attempts: []notify.Attempt{{At: at, Event: "opened", Result: "sent"}, {At: at, Result: "failed", Text: "<i>no answer", Templates: "title"}}},
		{Target: "ops/email[0]", Hidden: &notify.Hidden{By: "silence", Text: "<b>works", Until: at.Add(time.Hour)}},
		{Target: "ops/webhook[0]", Failures: 2},
		{Target: "ops/<pager>[0]", GivenUp: true},
	}}}
	for role, retry := range map[web.Role]bool{web.RoleViewer: false, web.RoleResponder: true} {
		var page bytes.Buffer
		if err := k.pages["incident"].ExecuteTemplate(&page, "content", &view{Data: d, Now: at, Zone: time.UTC, Role: role}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"(3 messages)", "up to date", "opened: sent", "failed, <bdi>&lt;i&gt;no answer</bdi> (templates that failed: title)",
			"not told: silence, <bdi>&lt;b&gt;works</bdi> until <time datetime=\"2026-11-21T05:00:00Z\"", "failed 2 times, is tried again", "<strong>given up</strong>"} {
			if !strings.Contains(page.String(), want) {
				t.Errorf("the page lacks %q:\n%s", want, page.String())
			}
		}
		if got := strings.Contains(page.String(), "/do/retry?target=ops%2f%3cpager%3e%5b0%5d"); got != retry {
			t.Errorf("%s: a link to try again: got %t, want %t\n%s", role, got, retry, page.String())
		}
	}
}
