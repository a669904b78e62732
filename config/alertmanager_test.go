package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"
)

// TestAlertmanagersOwnFiles loads the files of real Alertmanagers as they are,
// and again with sections of ours before, between and behind theirs.
func TestAlertmanagersOwnFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/alertmanager/*.yml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %d files (%v), want at least 4", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Load(text, file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := amconfig.Load(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if got.Alertmanager.String() != want.String() || len(want.Receivers) < 2 {
				t.Errorf("got\n%s\nwant\n%s", got.Alertmanager, want)
			}
			mixed := mustLoad(t, mixIn(t, string(text)))
			if mixed.Alertmanager.String() != want.String() || mixed.Store.URL != "mem:" || mixed.Correlate.Flapping.Changes != 3 {
				t.Errorf("with our sections: got\n%s\nwant\n%s", mixed.Alertmanager, want)
			}
		})
	}
}

// mixIn puts sections of ours into a file in JSON's style, as the captured ones are.
func mixIn(t *testing.T, text string) string {
	t.Helper()
	begin, between, end := strings.Index(text, "{")+1, strings.Index(text, ` "receivers": [`), strings.LastIndex(text, "}")
	if begin < 1 || between < begin || end < between {
		t.Fatalf("the file has another form than expected: %s", text)
	}
	return text[:begin] + ` "store": {"url": "mem:"}, "web": {},` + text[begin:between] + ` "correlate": {"flapping":
 {"changes": 3}}, ` + text[between:end] + `, "incidents": {"retention": "1d"}` + text[end:]
}

func TestAlertmanagerIsSkippedWithoutRouteAndReceivers(t *testing.T) {
	for _, text := range []string{"", "time_intervals: []\n", "global: {nonsense: 1}\ntemplates: [x]\n"} {
		if got := mustLoad(t, text).Alertmanager; got != nil {
			t.Errorf("%q: got %v, want nil", text, got)
		}
	}
}

// TestAlertmanagerLines makes sure that its messages point at the right line
// wherever our sections are.
func TestAlertmanagerLines(t *testing.T) {
	const bad = "  - {name: a, nonsense: 1}\n"
	for name, text := range map[string]string{
		"ours before":       "store:\n  url: file:data\n\n# ours\nweb:\n\nroute: {receiver: a}\nreceivers:\n" + bad,
		"ours behind":       "route: {receiver: a}\nreceivers:\n" + bad + "store:\n  url: file:data\n",
		"ours between":      "route: {receiver: a}\nstore: {url: 'mem:'} # ours\nreceivers:\n" + bad + "web: {}\n",
		"text over lines":   "route: {receiver: a}\nclassify:\n  rules:\n  - name: |\n      route: x\n      receivers: y\n    suppress: true\nreceivers:\n" + bad,
		"carriage returns":  strings.ReplaceAll("store:\n  url: file:data\nroute: {receiver: a}\nreceivers:\n"+bad, "\n", "\r\n"),
		"indented sections": "  store: {}\n  route: {receiver: a}\n  web: {}\n  receivers:\n  " + bad,
		"many letters":      "{'store': {url: 'file:żółć…'}, route: {receiver: a}, receivers: [\n" + strings.TrimPrefix(bad, "  - ") + "], web: {}}\n",
		"document start":    "---\nstore: {}\nroute: {receiver: a}\nreceivers:\n" + bad + "...\n",
		"byte order mark":   "\ufeffstore: {}\nroute: {receiver: a}\nreceivers:\n" + bad,
	} {
		t.Run(name, func(t *testing.T) {
			want := 1 + strings.Count(text[:strings.Index(text, "nonsense")], "\n")
			got := mistakesOf(t, text, "t.yml")
			if len(got) != 1 || got[0].Line != want || !strings.Contains(got[0].Message, `unknown key "nonsense"`) {
				t.Errorf("got %v, want one in line %d, of:\n%s", got, want, text)
			}
		})
	}
}

// TestMatchersOfBothGrammars: names may be UTF-8, and what only the older
// grammar understands is still understood, as in Alertmanager.
func TestMatchersOfBothGrammars(t *testing.T) {
	c := mustLoad(t, "route:\n  receiver: a\n  routes:\n  - matchers: ['größe=\"x\"']\n  - matchers: ['foo=bar baz']\nreceivers: [{name: a}]\n")
	if got := c.Alertmanager.Route.Routes[0].Matchers[0].Name; got != "größe" {
		t.Errorf("got %q, want größe", got)
	}
	if got := c.Alertmanager.Route.Routes[1].Matchers[0].Value; got != "bar baz" {
		t.Errorf("got %q, want bar baz", got)
	}
}

func TestAlertmanagerPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	c, err := Load([]byte(`
templates: [templates/*.tmpl, /etc/absolute.tmpl]
global: {http_config: {authorization: {credentials_file: global}}}
route: {receiver: a}
receivers:
  - name: a
    webhook_configs:
      - url: http://127.0.0.1/
      - url: http://127.0.0.1/
        http_config: {basic_auth: {username: u, password_file: own}}
      - url: http://127.0.0.1/
`), filepath.Join(dir, "tocsin.yml"))
	if err != nil {
		t.Fatal(err)
	}
	hooks := c.Alertmanager.Receivers[0].WebhookConfigs
	for got, want := range map[string]string{
		c.Alertmanager.Templates[0]:                                    filepath.Join(dir, "templates/*.tmpl"),
		c.Alertmanager.Templates[1]:                                    "/etc/absolute.tmpl",
		hooks[0].HTTPConfig.Authorization.CredentialsFile:              filepath.Join(dir, "global"),
		hooks[1].HTTPConfig.BasicAuth.PasswordFile:                     filepath.Join(dir, "own"),
		hooks[2].HTTPConfig.Authorization.CredentialsFile:              filepath.Join(dir, "global"),
		c.Alertmanager.Global.HTTPConfig.Authorization.CredentialsFile: filepath.Join(dir, "global"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
