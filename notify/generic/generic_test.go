package generic

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

const example = `{"text": "{{ .CommonAnnotations.summary }}", "x": "{{ .CommonLabels.x }}", "state": "{{ .RouteLabels.state }}", "count": {{ len .Alerts }}}`

func sender(t *testing.T, server *targettest.Generic, change func(c *Config)) *Sender {
	t.Helper()
	c := &Config{URL: secret.New(server.URL + "/api"), Headers: map[string]secret.String{"Authorization": secret.New(server.Token)}, Body: example}
	if change != nil {
		change(c)
	}
	if p := c.Problems(); len(p) > 0 {
		t.Fatal(p)
	}
	s, err := New(c, targettest.TemplateSet(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSend(t *testing.T) {
	server := targettest.NewGeneric(t)
	s := sender(t, server, func(c *Config) {
		c.Bodies = map[string]string{"resolved": `{"over": true}`}
		c.Events = []string{"opened", "acknowledged", "repeated", "resolved"}
	})
	var memory notify.Memory
	for _, e := range []notify.Event{notify.Opened, notify.Updated, notify.Acknowledged, notify.Unacknowledged, notify.Repeated, notify.Repeated, notify.Resolved} {
		var next notify.Memory
		for range 2 { // nobody recorded the first
			m := targettest.Message(e)
			m.Memory = memory
			var err error
			if next, err = s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		if next != nil {
			memory = next
		}
	}
	want := `[map[count:2 state:open text: x:] map[count:2 state:acknowledged text: x:] map[count:2 state:open text: x:] map[count:2 state:open text: x:] map[over:true]]`
	if got := fmt.Sprint(server.Taken()); got != want {
		t.Errorf("taken %s, want %s", got, want)
	}
}

func TestRequest(t *testing.T) {
	server := targettest.NewGeneric(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(server.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := sender(t, server, func(c *Config) {
		c.Method, c.Headers, c.HeaderFiles = "PUT", nil, map[string]string{"Authorization": file}
		c.URL = secret.New(server.URL + "/teams/{{ .CommonLabels.x }}/alerts?host={{ .CommonLabels.x }}")
		c.Body = ""
	})
	for _, label := range []string{"../../admin?a=b#c", "..", "a&b=c"} {
		m := targettest.Hostile(targettest.Message(notify.Opened), label)
		if _, err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for n, want := range []string{"/teams/../../admin?a=b#c/alerts host=..%2F..%2Fadmin%3Fa%3Db%23c", "/teams/../alerts host=%2E%2E", "/teams/a&b=c/alerts host=a%26b%3Dc"} {
		r := server.Requests()[n]
		if got := r.Path + " " + r.Query; got != want || r.Method != "PUT" {
			t.Errorf("%s %s, want %s", r.Method, got, want)
		}
	}
	if got := server.Taken()[0]; got["reference"] != "INC-20261121-7KQ2" || got["event"] != "opened" || got["key"] == "" {
		t.Errorf("the built-in body is %v", got)
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	for _, body := range []string{`{{ .No.Such }}`, `{"a": {{ .CommonLabels.alertname }}}`, `{"a": 1, "a": 2}`, `hello`, `{"a": 1`} {
		server := targettest.NewGeneric(t)
		m := targettest.Message(notify.Opened)
		if _, err := sender(t, server, func(c *Config) { c.Body = body }).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := server.Taken(); len(got) != 1 || got[0]["summary"] != m.Headline() || len(m.Failed()) != 1 {
			t.Errorf("%s: sent %v, failed %v", body, got, m.Failed())
		}
	}
}

// TestHostileTexts: nobody who writes an alert writes a member of the body.
func TestHostileTexts(t *testing.T) {
	for _, text := range append(targettest.HostileTexts(), `", "state": "resolved`, `\", "state": "resolved`, `\u0022`) {
		server := targettest.NewGeneric(t)
		m := targettest.Hostile(targettest.Message(notify.Opened), text)
		if _, err := sender(t, server, nil).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		got := server.Taken()[0]
		// What is not UTF-8 is replaced; nothing else is changed.
		if want := strings.ToValidUTF8(text, "\uFFFD"); len(got) != 4 || got["text"] != want || got["x"] != want || got["state"] != "open" {
			t.Errorf("%.60q: sent %.500v", text, got)
		}
	}
}

func TestFailures(t *testing.T) {
	targettest.CheckFailures(t, func(t *testing.T) targettest.Trial {
		server := targettest.NewGeneric(t)
		return targettest.Trial{Server: &server.Server, Sender: sender(t, server, nil), AnyAnswer: true, Secrets: []string{"generic-token"}}
	})
}

func TestProblems(t *testing.T) {
	for field, change := range map[string]func(c *Config){
		"":                               func(*Config) {},
		"url":                            func(c *Config) { c.URL = secret.New("https://{{ .CommonLabels.host }}/") },
		"method":                         func(c *Config) { c.Method = "GET" },
		"events":                         func(c *Config) { c.Events = []string{"solved"} },
		"headers.Content-Type":           func(c *Config) { c.Headers = map[string]secret.String{"Content-Type": secret.New("x")} },
		"headers.X-A":                    func(c *Config) { c.Headers = map[string]secret.String{"X-A": secret.New("hunter2\r\nX-B: c")} },
		"headers.X A":                    func(c *Config) { c.Headers = map[string]secret.String{"X A": secret.New("x")} },
		"header_files.transfer-encoding": func(c *Config) { c.HeaderFiles = map[string]string{"transfer-encoding": "x"} },
	} {
		c := &Config{URL: secret.New("https://example.com/x/{{ .Receiver }}")}
		change(c)
		if p := c.Problems(); (field == "") != (len(p) == 0) || field != "" && p[field] == "" || strings.Contains(fmt.Sprint(p), "hunter2") {
			t.Errorf("%q: got %v", field, p)
		}
	}
}
