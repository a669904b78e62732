package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
)

// TestSendNagios: what is sent is what the gateway's format understands.
func TestSendNagios(t *testing.T) {
	var got []alert.Alert
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/ingest/nagios" {
			t.Errorf("got %s, %v", r.URL, err)
		}
		b, err := formats.All["nagios"].Decode(ingest.Request{Body: body})
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		got = append(got, b.Alerts...)
	}))
	defer gateway.Close()
	for name, value := range map[string]string{"TOCSIN_TOKEN": "", "TOCSIN_TOKEN_FILE": "", "NAGIOS_NOTIFICATIONTYPE": "PROBLEM", "NAGIOS_HOSTNAME": "web-01",
		"NAGIOS_SERVICEDESC": "CPU load", "NAGIOS_SERVICESTATE": "CRITICAL"} {
		t.Setenv(name, value)
	}
	for _, args := range [][]string{{"--spool=" + t.TempDir()}, {"--macro=NOTIFICATIONTYPE=RECOVERY", "--macro=SERVICESTATE=OK"}} {
		var out bytes.Buffer
		if code := run(context.Background(), append([]string{"send", "nagios", "--url=" + gateway.URL}, args...), strings.NewReader(""), &out, &out); code != exitOK || out.Len() > 0 {
			t.Errorf("exit %d: %s", code, &out)
		}
	}
	if len(got) != 2 || got[0].Status != alert.Firing || got[1].Status != alert.Resolved || got[0].Key != "web-01!CPU load" || got[1].Key != got[0].Key {
		t.Errorf("got %+v", got)
	}
}

// TestSendCodes are the exit codes that --help promises, and what is said with them.
func TestSendCodes(t *testing.T) {
	code := http.StatusOK
	var got []string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body) // it is short
		if got = append(got, r.URL.Path+" "+body.String()); r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("the token is %q", r.Header.Get("Authorization"))
		}
		w.WriteHeader(code)
	}))
	defer gateway.Close()
	t.Setenv("TOCSIN_TOKEN", "s3cret")
	t.Setenv("TOCSIN_URL", gateway.URL)
	spool := "--spool=" + filepath.Join(t.TempDir(), "spool")
	event := []string{"send", "event", "--timeout=20s", "--name=Backup", "--starts-at=2026-11-21T03:00:00Z"}
	for _, c := range []struct {
		name, in string
		answer   int
		args     []string
		want     int
		says     string
	}{
		{"delivered", "", 200, append(event, "--label=a=b=c", "--link=http://example.com"), 0, ""},
		{"a description", "long\ntext", 200, append(event, "--description=-"), 0, ""},
		{"JSON", `{"events":[]}`, 200, []string{"send", "event", "--json", "--source=mine"}, 0, ""},
		{"refused", "", 400, event, 1, "refused: the gateway answered 400"},
		{"lost", "", 503, []string{"send", "event", "--timeout=3s", "--name=Backup"}, 3, "answered 503; the message is lost"},
		{"spooled", "", 503, append(event, spool), 0, "1 messages wait"},
		{"waits", "", 503, []string{"send", "flush", spool, "--timeout=20s"}, 3, "1 messages wait"},
		{"flushed", "", 200, []string{"send", "flush", spool}, 0, ""},
		{"nothing to flush", "", 200, []string{"send", "flush", spool + "x"}, 0, ""},
		{"no folder", "", 200, []string{"send", "flush"}, 2, "--spool is missing"},
		{"no name", "", 200, []string{"send", "event"}, 2, "--name is missing"},
		{"no label", "", 200, append(event, "--label=a"), 2, `"a" is not NAME=VALUE`},
		{"no time", "", 200, []string{"send", "event", "--name=a", "--ends-at=now"}, 2, `--ends-at: "now" is not RFC 3339`},
		{"no JSON", "{", 200, []string{"send", "event", "--json"}, 2, "not JSON"},
		{"no macros", "", 200, []string{"send", "nagios"}, 2, "enable_environment_macros=1"},
		{"no address", "", 200, append(event, "--url=example.com"), 2, "--url: not an address"},
		{"no time at all", "", 200, []string{"send", "event", "--name=a", "--timeout=0s"}, 2, "--timeout: must be"},
		{"help", "", 200, []string{"send", "--help"}, 0, "3 neither delivered nor spooled"},
	} {
		code = c.answer
		var out, errOut bytes.Buffer
		if got := run(context.Background(), c.args, strings.NewReader(c.in), &out, &errOut); got != c.want {
			t.Errorf("%s: exit %d, want %d: %s", c.name, got, c.want, &errOut)
		}
		if said := strings.Join(strings.Fields(out.String()+errOut.String()), " "); !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: says %q, want %q", c.name, said, c.says)
		}
	}
	for i, want := range []string{`/ingest/events {"events":[{"name":"Backup","status":"firing","labels":{"a":"b=c"},"starts_at":"2026-11-21T03:00:00Z","url":"http://example.com"}]}`,
		`/ingest/events {"events":[{"name":"Backup","status":"firing","description":"long\ntext","starts_at":"2026-11-21T03:00:00Z"}]}`, `/ingest/mine {"events":[]}`} {
		if got[i] != want {
			t.Errorf("got %s, want %s", got[i], want)
		}
	}
}
