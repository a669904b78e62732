package web_test

import (
	"context"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web"
)

// notifications stand for who tells people; they break with the store of the server.
type notifications struct {
	s     *server
	tried []string
}

func (n *notifications) Notifications(context.Context, string) ([]notify.Notification, error) {
	return []notify.Notification{{Target: "ops/slack[0]", ToldAt: morning, State: "open", Sent: 1, Hidden: &notify.Hidden{By: "silence", Text: "s", Until: morning.Add(time.Hour)},
		Attempts: []notify.Attempt{{At: morning, Event: notify.Opened, Result: "sent", Took: .5}, {At: morning, Result: "hidden", Text: "silence: s"}}}}, n.s.store.broken()
}

func (n *notifications) Undelivered(_ context.Context, after string, _ int) ([]notify.Undelivered, string, error) {
	if after != "" {
		return nil, "", n.s.store.broken()
	}
	return []notify.Undelivered{{Incident: incident.ID{1}, Reference: "INC-1", Target: "ops/slack[0]", At: morning, Error: "answered 404"}}, "next", n.s.store.broken()
}

func (n *notifications) Again(_ context.Context, _ incident.ID, target string) error {
	if target != "ops/slack[0]" {
		return incident.ErrNotFound
	}
	n.tried = append(n.tried, target)
	return n.s.store.broken()
}

func (n *notifications) Preview(_ context.Context, _, receiver string) ([]notify.Preview, error) {
	if receiver != "ops" {
		return nil, incident.ErrNotFound
	}
	return []notify.Preview{{Target: "ops/slack[0]", Headline: "h", Text: "t", ContentType: "application/json", Body: "{}"}}, n.s.store.broken()
}

func (n *notifications) Test(_ context.Context, receiver, by string) ([]notify.Tested, error) {
	if receiver != "ops" {
		return nil, incident.ErrNotFound
	}
	n.tried = append(n.tried, by)
	return []notify.Tested{{Target: "ops/slack[0]", Sent: true, Took: .1}}, n.s.store.broken()
}

// TestNotifications: what was told, what was not, and how to find out more.
func TestNotifications(t *testing.T) {
	var fake *notifications
	s := newServer(t, func(o *web.Options) { fake = o.Notifications.(*notifications) })
	path := "/api/v1/incidents/" + s.accept(s.firing("DiskFull", "db"))
	list := decode[web.NotificationsJSON](s.send("GET", path+"/notifications", "").want(200))
	if len(list.Notifications) != 1 || list.Notifications[0].Target != "ops/slack[0]" || len(list.Notifications[0].Attempts) != 2 {
		t.Errorf("got %+v", list)
	}
	page := decode[web.UndeliveredJSON](s.send("GET", "/api/v1/undelivered?limit=1", "").want(200))
	if len(page.Undelivered) != 1 || page.NextCursor != "next" {
		t.Errorf("got %+v", page)
	}
	if page = decode[web.UndeliveredJSON](s.send("GET", "/api/v1/undelivered?cursor=next", "").want(200)); len(page.Undelivered) != 0 {
		t.Errorf("got %+v", page)
	}
	s.send("POST", path+"/notifications/retry", `{"by":"ann","target":"ops/slack[0]"}`).want(200)
	s.send("POST", path+"/notifications/retry", `{"by":"ann"}`).problem(400, "target")
	s.send("POST", path+"/notifications/retry", `{"by":"ann","target":"ops/mail[0]"}`).problem(404, "ops/mail[0]")
	s.send("GET", path+"/notifications/preview?receiver=ops", "").want(200)
	s.send("GET", path+"/notifications/preview", "").problem(400, "receiver")
	s.send("GET", path+"/notifications/preview?receiver=nobody", "").problem(404, "nobody")
	s.send("POST", "/api/v1/receivers/ops/test", `{"by":"ann"}`).want(200)
	s.send("POST", "/api/v1/receivers/ops/test", `{}`).problem(400, "by")
	if len(fake.tried) != 2 || fake.tried[1] != "ann" {
		t.Errorf("tried %q", fake.tried)
	}
}

// TestNotificationsWithoutReceivers: where nobody is told, lists are empty and the
// rest says so.
func TestNotificationsWithoutReceivers(t *testing.T) {
	s := newServer(t, func(o *web.Options) { o.Notifications = nil })
	path := "/api/v1/incidents/" + s.accept(s.firing("DiskFull", "db"))
	if list := decode[web.NotificationsJSON](s.send("GET", path+"/notifications", "").want(200)); len(list.Notifications) != 0 {
		t.Errorf("got %+v", list)
	}
	if page := decode[web.UndeliveredJSON](s.send("GET", "/api/v1/undelivered", "").want(200)); len(page.Undelivered) != 0 {
		t.Errorf("got %+v", page)
	}
	s.send("GET", path+"/notifications/preview?receiver=ops", "").problem(404, "no receivers")
	s.send("POST", path+"/notifications/retry", `{"by":"ann","target":"t"}`).problem(404, "no receivers")
	s.send("POST", "/api/v1/receivers/ops/test", `{"by":"ann"}`).problem(404, "no receivers")
}
