package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

var uuidText = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func TestSilenceCommands(t *testing.T) {
	f := newFixture(t, "")
	var out bytes.Buffer
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1:9100"},
		map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db2:9100"})
	f.now = f.now.Add(time.Second) // so that the incidents have an order
	f.accept(map[string]string{"alertname": "Slow", "service": "shop", "severity": "warning", "instance": "web1:9100"})
	ids := map[string]string{}
	number := func() string {
		return uuidText.ReplaceAllStringFunc(out.String(), func(id string) string {
			if ids[id] == "" {
				ids[id] = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(ids)+1)
			}
			return ids[id]
		})
	}
	f.run(&out, 0, "silence", "query")
	first := strings.TrimSpace(f.run(&out, 0, "silence", "add", "DiskFull", "--comment=new disks come at noon", "--duration=8h"))
	f.run(&out, 0, "silence", "add", `instance=~"db1.*"`, "severity!=warning", "-c", "one of two", "-a", "bob", "-y")
	f.run(&out, 0, "silence", "add", "service=office", "--comment=later", "--start=2026-11-21T08:00:00Z", "--end=2026-11-21T10:00:00+01:00", "-o", "json")
	f.run(&out, 0, "silence", "query")
	f.run(&out, 0, "silence", "query", "DiskFull", "-q")
	f.run(&out, 0, "silence", "query", `instance=~"db1.*"`, "severity!=warning")
	f.run(&out, 0, "silence", "query", "--created-by=bob", "-q")
	f.run(&out, 0, "silence", "query", "--within=2h", "-q")
	f.now = f.now.Add(time.Minute)
	f.run(&out, 0, "silence", "expire", first)
	f.run(&out, 0, "silence", "query", "--expired")
	f.run(&out, 0, "silence", "query", "--expired", "--within=30s", "-q")
	f.run(&out, 0, "silence", "query", "-o", "json", "--created-by=bob")
	f.run(&out, 1, "silence", "expire", "nonsense")
	f.run(&out, 1, "silence", "add", "a=~(", "-c", "x")
	f.run(&out, 1, "silence", "add", "a=", "-c", "x")
	f.run(&out, 1, "silence", "add", "a=b", "-c", "x", "--end=2026-11-20T03:00:00Z")
	f.run(&out, 2, "silence", "add", "a=b")
	f.run(&out, 2, "silence", "add", "-c", "x")
	f.run(&out, 2, "silence", "add", "a=b", "-c", "x", "-d", "soon")
	f.run(&out, 2, "silence", "add", "a=b", "-c", "x", "--start=tomorrow")
	f.golden("silence.golden", bytes.NewBufferString(number()))
}

// TestSilenceByTheGatewaysClock: ours may be years off.
func TestSilenceByTheGatewaysClock(t *testing.T) {
	f := newFixture(t, "")
	f.run(nil, 0, "silence", "add", "a=b", "-c", "x")
	var list []silenceJSON
	if err := json.Unmarshal([]byte(f.run(nil, 0, "silence", "query", "-o", "json")), &list); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if one := list[0]; !one.StartsAt.Equal(f.now) || !one.EndsAt.Equal(f.now.Add(time.Hour)) || one.Status.State != "active" || one.CreatedBy != "ann" {
		t.Errorf("got %+v, want an hour from %s", one, f.now)
	}
}

// TestSilenceAsks on a terminal only, which a pipe and /dev/null are not.
func TestSilenceAsks(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }() // it was only read
	if isTerminal(null) || isTerminal(strings.NewReader("y\n")) {
		t.Error("what is no terminal is taken for one")
	}
	for typed, want := range map[string]bool{"y\n": true, " YES \n": true, "yes": true, "\n": false, "": false, "n\n": false, "why\n": false} {
		var asked bytes.Buffer
		c := &silenceCommands{client: &client{streams: streams{in: strings.NewReader(typed), err: &asked}}}
		if got := c.agreed(); got != want || !strings.Contains(asked.String(), "[y/N]") {
			t.Errorf("typed %q: got %v, want %v; asked %q", typed, got, want, &asked)
		}
	}
}

func TestHostileSilenceInATerminal(t *testing.T) {
	f := newFixture(t, "")
	hostile := "x\x1b[2J\u202e\u009b31m"
	f.accept(map[string]string{"alertname": hostile, "service": hostile, "severity": "critical"})
	var out bytes.Buffer
	f.run(&out, 0, "silence", "add", "severity=critical", "-c", hostile)
	f.run(&out, 0, "silence", "query")
	f.run(&out, 0, "silence", "query", "-o", "json")
	text := strings.ReplaceAll(out.String(), "-c "+hostile, "")
	for line := range strings.Lines(text) {
		if strings.ContainsFunc(strings.TrimRight(line, "\n"), odd) {
			t.Errorf("a line holds what a terminal does not simply print: %q", line)
		}
	}
}

const routesFile = `route:
  receiver: ops
  routes:
    - matchers: [team="dba"]
      receiver: dba
      routes:
        - matchers: [severity="critical"]
          receiver: dba-page
          continue: true
        - matchers: [severity=~"critical|error"]
          receiver: dba-chat
    - matchers: [priority="P1"]
      receiver: boss
receivers: [{name: ops}, {name: dba}, {name: dba-page}, {name: dba-chat}, {name: boss}]
`

func TestRoutes(t *testing.T) {
	f := newFixture(t, "")
	file := filepath.Join(t.TempDir(), "tocsin.yml")
	if err := os.WriteFile(file, []byte(routesFile), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yml")
	if err := os.WriteFile(broken, []byte("route: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f.run(&out, 0, "routes", "test", "--config.file="+file)
	f.run(&out, 0, "routes", "test", "--config.file="+file, "team=dba")
	f.run(&out, 0, "routes", "test", "--config.file="+file, "--tree", "team=dba", "severity=critical")
	f.run(&out, 0, "routes", "test", "--config.file="+file, "--tree", "priority=P1", "--verify.receivers=boss")
	f.run(&out, 0, "routes", "test", "--config.file="+file, "--tree", "a=b")
	f.run(&out, 1, "routes", "test", "--config.file="+file, "a=b", "--verify.receivers=boss")
	f.run(&out, 1, "routes", "test", "--config.file="+file, "a=~b")
	f.run(&out, 1, "routes", "test", "--config.file="+file, "a")
	f.run(&out, 1, "routes", "test", "--config.file="+broken, "a=b")
	f.run(&out, 1, "routes", "test", "a=b")
	text := strings.NewReplacer(file, "tocsin.yml", broken, "broken.yml").Replace(out.String())
	f.golden("routes.golden", bytes.NewBufferString(text))
}
