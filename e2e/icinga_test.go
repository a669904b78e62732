package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/ingest/icinga/icingatest"
)

// icingaObjects are a host with a service, and notification commands that send
// JSON with curl, as people write them.
const icingaObjects = `
object User "oncall" {}
template Host "passive" { check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
object Host "web-01" { import "passive"; display_name = "Web server 01" }
object Service "disk /" { host_name = "web-01"; check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
object NotificationCommand "tocsin-service" {
  command = [ %[1]q, "-sS", "-m", "10", "-H", "Content-Type: application/json", %[2]q ]
  arguments = { "-d" = { value = {{
    var m = macro
    Json.encode({ "type" = m("$notification.type$"), "author" = m("$notification.author$"), "comment" = m("$notification.comment$"),
      "host" = m("$host.name$"), "host_display_name" = m("$host.display_name$"), "service" = m("$service.name$"), "state" = m("$service.state$"),
      "output" = m("$service.output$"), "last_state_change" = m("$service.last_state_change$"), "timet" = m("$icinga.timet$") })
  }} } }
}
object NotificationCommand "tocsin-host" {
  command = [ %[1]q, "-sS", "-m", "10", "-H", "Content-Type: application/json", %[2]q ]
  arguments = { "-d" = { value = {{
    var m = macro
    Json.encode({ "type" = m("$notification.type$"), "author" = m("$notification.author$"), "comment" = m("$notification.comment$"),
      "host" = m("$host.name$"), "host_display_name" = m("$host.display_name$"), "state" = m("$host.state$"),
      "output" = m("$host.output$"), "last_state_change" = m("$host.last_state_change$"), "timet" = m("$icinga.timet$") })
  }} } }
}
apply Notification "tocsin" to Host { command = "tocsin-host"; users = [ "oncall" ]; interval = 0; assign where true }
apply Notification "tocsin" to Service { command = "tocsin-service"; users = [ "oncall" ]; interval = 0; assign where true }
`

// TestIcinga: what an Icinga notifies of becomes an incident, and what people do
// there is known here.
func TestIcinga(t *testing.T) {
	curl := program(t, "curl")
	g := gatewayFor(t, t.TempDir(), "127.0.0.1:0")
	i := icingatest.Start(t, fmt.Sprintf(icingaObjects, curl, "http://"+g.addr+"/ingest/icinga"))
	service := func(exit int, output string) {
		i.Do(t, "/v1/actions/process-check-result", fmt.Sprintf(`{"type":"Service","service":"web-01!disk /","exit_status":%d,"plugin_output":%q}`, exit, output))
	}
	host := func(exit int, output string) {
		i.Do(t, "/v1/actions/process-check-result", fmt.Sprintf(`{"type":"Host","host":"web-01","exit_status":%d,"plugin_output":%q}`, exit, output))
	}

	service(1, `"/" is $(nearly) full`+"\n"+`second 'line' \ {}`)
	opened := g.eventuallyOne(t, func(in icingaIncident) bool { return in.State == "open" })
	service(2, "full")
	g.eventuallyOne(t, func(in icingaIncident) bool {
		return in.ID == opened.ID && in.Severity == "critical" && in.Alerts.Total == 1 && in.Alerts.Firing == 1
	})
	alerts, err := g.alerts(t.Context(), opened.ID)
	if err != nil || len(alerts) != 1 || alerts[0].Labels["host"] != "web-01" || alerts[0].Labels["service"] != "disk /" || alerts[0].Annotations["summary"] != "full" {
		t.Errorf("got the alerts %+v, %v", alerts, err)
	}

	i.Do(t, "/v1/actions/acknowledge-problem", `{"type":"Service","service":"web-01!disk /","author":"alice","comment":"ticket OPS-7; mine","notify":true}`)
	g.eventuallyOne(t, func(in icingaIncident) bool { return in.State == "acknowledged" && in.AcknowledgedBy == "alice" })
	g.eventuallySays(t, opened.ID, incident.TimelineEntry{Who: "alice", Text: "ticket OPS-7; mine"})

	service(0, "OK")
	g.eventuallyOne(t, func(in icingaIncident) bool {
		return in.ID == opened.ID && in.State == "resolved" && in.Alerts.Firing == 0
	})

	host(1, "no answer")
	down := g.eventuallyOne(t, func(in icingaIncident) bool { return in.State == "open" && in.Alerts.Firing == 1 })
	i.Do(t, "/v1/actions/schedule-downtime", `{"type":"Host","host":"web-01","author":"bob","comment":"new disk","fixed":true,"start_time":1,"end_time":4102444800}`)
	g.eventuallySays(t, down.ID, incident.TimelineEntry{Who: "bob", Action: "maintenance_started", Text: "new disk"})
	i.Do(t, "/v1/actions/remove-downtime", `{"type":"Host","host":"web-01"}`)
	host(0, "back")
	g.eventuallyOne(t, func(in icingaIncident) bool { return in.ID == down.ID && in.State == "resolved" })
}

// icingaIncident is an incident with who acknowledged it.
type icingaIncident struct {
	Incident
	AcknowledgedBy string `json:"acknowledged_by"`
}

// eventuallyOne waits until there is an incident of which ok is true.
func (g *gateway) eventuallyOne(t *testing.T, ok func(icingaIncident) bool) (found icingaIncident) {
	t.Helper()
	eventually(t, soon, func(ctx context.Context) error {
		all, err := pages[icingaIncident](ctx, "http://"+g.addr+"/api/v1/incidents", "incidents")
		if err != nil {
			return err
		}
		for _, in := range all {
			if ok(in) {
				found = in
				return nil
			}
		}
		return fmt.Errorf("the incidents are %+v", all)
	})
	return found
}

// eventuallySays waits until the timeline has an entry of want's author and, if
// it names one, action, whose text has want's in it.
func (g *gateway) eventuallySays(t *testing.T, id string, want incident.TimelineEntry) {
	t.Helper()
	eventually(t, soon, func(ctx context.Context) error {
		all, err := pages[incident.TimelineEntry](ctx, "http://"+g.addr+"/api/v1/incidents/"+id+"/timeline", "timeline")
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Who == want.Who && (want.Action == "" || e.Action == want.Action) && strings.Contains(e.Text, want.Text) {
				return nil
			}
		}
		return fmt.Errorf("the timeline is %+v, want %+v in it", all, want)
	})
}

// TestIcingaByItsAPI: without a notification there, events come over the stream,
// and what people do here is said there, once, and does not come back.
func TestIcingaByItsAPI(t *testing.T) {
	i := icingatest.Start(t, `
template Host "passive" { check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
object Host "web-01" { import "passive" }
object Service "disk /" { host_name = "web-01"; check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
`)
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", fmt.Sprintf("sources:\n  icinga:\n    api: {url: %q, username: %q, password: %q, ca_file: %q, server_name: %q, stream: true, write_back: true, reconcile: 10s}\n",
		i.URL, icingatest.User, icingatest.Password, i.CAFile, icingatest.Node))
	result := func(exit int, output string) {
		i.Do(t, "/v1/actions/process-check-result", fmt.Sprintf(`{"type":"Service","service":"web-01!disk /","exit_status":%d,"plugin_output":%q}`, exit, output))
	}
	says := func(path, want string) {
		t.Helper()
		eventually(t, soon, func(context.Context) error {
			if got := i.Query(t, path); !strings.Contains(got, want) {
				return fmt.Errorf("Icinga says %s, want %s in it", got, want)
			}
			return nil
		})
	}
	result(2, "full")
	opened := g.eventuallyOne(t, func(in icingaIncident) bool { return in.State == "open" && in.Severity == "critical" })

	post(t, "http://"+g.addr+"/api/v1/incidents/"+opened.ID+"/acknowledge", []byte(`{"by":"ann","comment":"on it"}`))
	says("/v1/objects/services/web-01!disk%20%2F?attrs=acknowledgement", `"acknowledgement":2`)
	post(t, "http://"+g.addr+"/api/v1/incidents/"+opened.ID+"/note", []byte(`{"by":"ann","text":"the log has grown"}`))
	says("/v1/objects/comments?attrs=text&attrs=author", "the log has grown")
	says("/v1/objects/comments?attrs=text&attrs=author", `"author":"ann"`)

	result(0, "fine")
	over := g.eventuallyOne(t, func(in icingaIncident) bool { return in.ID == opened.ID && in.State == "resolved" })
	entries, err := g.timeline(t.Context(), over.ID)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]int{}
	for _, e := range entries {
		said[e.Action]++
	}
	if said["acknowledged"] != 1 || said["note"] != 1 || said["acknowledgement"] != 0 {
		t.Errorf("what was said here came back: %+v", entries)
	}
}
