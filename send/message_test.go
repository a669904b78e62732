package send

import (
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
)

const captures = "../ingest/formats/testdata/captures/"

// lines are the lines of a captured environment.
func lines(t *testing.T, file, after string) []string {
	t.Helper()
	text, err := os.ReadFile(captures + file)
	if err != nil {
		t.Fatal(err)
	}
	_, environment, ok := strings.Cut(after+string(text), after)
	if !ok {
		t.Fatal("no environment")
	}
	return strings.Split(environment, "\n")
}

func members(t *testing.T, m Message) (out map[string]string) {
	t.Helper()
	if err := json.Unmarshal(m.Body, &out); err != nil {
		t.Fatalf("%s: %v", m.Body, err)
	}
	return out
}

func TestNagios(t *testing.T) {
	environ := append(lines(t, "nagios/environment/006-service-acknowledgement-critical.env", ""),
		"NAGIOS_ARG1=s3cret", "NAGIOS_SERVICECHECKCOMMAND=check!s3cret", "NAGIOS__HOSTSNMPCOMMUNITY=s3cret", "HOME=/root", "NAGIOS_LONGSERVICEOUTPUT=\xff")
	m, err := Nagios("nagios", environ, map[string]string{"_hostteam": "db"})
	if err != nil || m.Source != "nagios" || m.ContentType != "application/json" {
		t.Fatalf("got %+v, %v", m, err)
	}
	got := members(t, m)
	for name := range got {
		if !strings.HasPrefix(name, "NAGIOS_") || strings.HasPrefix(name, "NAGIOS_CONTACT") || strings.HasPrefix(name, "NAGIOS_ADMIN") {
			t.Errorf("%s is sent", name)
		}
	}
	if strings.Contains(string(m.Body), "s3cret") || got["NAGIOS__HOSTTEAM"] != "db" {
		t.Errorf("got %s", m.Body)
	}
	// The gateway understands it as it does the environment itself.
	b, err := nagios.Format.Decode(ingest.Request{Body: m.Body})
	if err != nil || len(b.Alerts) != 1 {
		t.Fatalf("decoded: %+v, %v", b, err)
	}
	if a := b.Alerts[0]; a.Kind != alert.KindAcknowledgement || a.Key != "web-01!Disk /" || a.Author != "alice" || a.Labels.Get("host_team") != "db" {
		t.Errorf("decoded: %+v", a)
	}
	if _, err := Nagios("nagios", []string{"HOSTNAME=shell"}, nil); err == nil || !strings.Contains(err.Error(), "enable_environment_macros") {
		t.Errorf("without macros: %v", err)
	}
}

func TestIcinga(t *testing.T) {
	m, err := Icinga("icinga", append(lines(t, "icinga2/arguments-and-environment/006-service-acknowledgement-critical.txt", "--- environment\n"), "TIMET=1795226179"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"type": "ACKNOWLEDGEMENT", "author": "alice", "comment": "looking into it; ticket OPS-1234", "host": "web-01", "host_display_name": "Web server 01",
		"address": "192.0.2.11", "service": "disk /", "service_display_name": "DISK /", "state": "CRITICAL", "output": "DISK CRITICAL - free space: / 412 MB (2% inode=81%):",
		"timet": "1795226179", "long_date_time": "2026-11-21 01:56:19 +0000"}
	if got := members(t, m); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	m, err = Icinga("icinga", lines(t, "icinga2/arguments-and-environment/022-host-problem-down.txt", "--- environment\n"))
	if got := members(t, m); err != nil || got["state"] != "DOWN" || got["service"] != "" {
		t.Errorf("a host: got %v, %v", got, err)
	}
	if _, err := Icinga("icinga", []string{"HOSTNAME=shell"}); err == nil || !strings.Contains(err.Error(), "NOTIFICATIONTYPE") {
		t.Errorf("without a type: %v", err)
	}
}

func TestEvent(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		event Event
		want  string
	}{
		{Event{Name: "Backup", Status: "firing", Host: "db-1", Labels: map[string]string{"b": "2", "a": "1"}},
			`{"events":[{"name":"Backup","host":"db-1","status":"firing","labels":{"a":"1","b":"2"},"starts_at":"2026-11-21T03:00:00Z"}]}`},
		{Event{Name: "Backup", Status: "resolved", StartsAt: "2026-11-21T02:00:00Z"},
			`{"events":[{"name":"Backup","status":"resolved","starts_at":"2026-11-21T02:00:00Z","ends_at":"2026-11-21T03:00:00Z"}]}`},
	} {
		if m, err := c.event.Message("events", now); err != nil || string(m.Body) != c.want || m.Source != "events" {
			t.Errorf("got %s, %v; want %s", m.Body, err, c.want)
		}
	}
}
