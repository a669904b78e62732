package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/ingest"
)

const example = "../docs/tocsin.example.yml"

func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load([]byte(text), filepath.Join(t.TempDir(), "tocsin.yml"))
	if err != nil {
		t.Fatalf("Load: %v\nof:\n%s", err, text)
	}
	return c
}

// mistakesOf loads a text that must be wrong.
func mistakesOf(t *testing.T, text, name string) []Mistake {
	t.Helper()
	c, err := Load([]byte(text), name)
	var mistakes *MistakesError
	if !errors.As(err, &mistakes) {
		t.Fatalf("Load: got %v and error %v, want a *MistakesError, of:\n%s", c, err, text)
	}
	return mistakes.Mistakes
}

func TestDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"empty file": "", "only a comment": "# nothing\n", "explicit null": "~\n", "byte order mark": "\ufeff",
		"sections without content": "sources:\nclassify:\ncorrelate:\nincidents:\nstore:\nweb:\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := mustLoad(t, text)
			got.Text, got.Hash = Default().Text, ""
			if want := Default(); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
	c := Default()
	if got := c.Sources["prometheus"]; got.Format != "prometheus" || got.Namespace != "prometheus" || got.Auth != (ingest.AuthConfig{}) {
		t.Errorf("built-in source prometheus: got %+v, want an open one of its own format", got)
	}
	for name, duration := range map[string][2]model.Duration{
		"reopen_window": {c.Correlate.ReopenWindow, model.Duration(30 * time.Minute)},
		"late_window":   {c.Correlate.LateWindow, model.Duration(10 * time.Minute)},
		"close_after":   {c.Correlate.CloseAfter, model.Duration(24 * time.Hour)},
		"still_firing":  {c.Correlate.StillFiringAfter, model.Duration(time.Hour)},
		"retention":     {c.Incidents.Retention, model.Duration(400 * 24 * time.Hour)},
	} {
		if duration[0] != duration[1] {
			t.Errorf("%s: got %s, want %s", name, duration[0], duration[1])
		}
	}
}

// TestExample loads the example, which sets every key that is not an example
// itself to its default.
func TestExample(t *testing.T) {
	c, err := LoadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("got warnings %v, want none", c.Warnings)
	}
	want := Default()
	c.Status.Components = nil
	want.Classify.Categories = append(want.Classify.Categories, "vulnerability") // which the example has a path for
	c.Correlate.Rules, c.Classify.Rules, c.Classify.Teams, c.Classify.SeverityWords = nil, nil, nil, nil
	for section, pair := range map[string][2]any{
		"classify": {c.Classify, want.Classify}, "correlate": {c.Correlate, want.Correlate},
		"incidents": {c.Incidents, want.Incidents}, "store": {c.Store, want.Store}, "spool": {c.Spool, want.Spool}, "recorder": {c.Recorder, want.Recorder}, "notify": {c.Notify, want.Notify},
		"web": {c.Web, want.Web}, "answers": {c.Answers, want.Answers}, "status": {c.Status, want.Status},
		"sources.alertmanager": {c.Sources["alertmanager"], want.Sources["alertmanager"]},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: the example says\n%+v, the default is\n%+v", section, pair[0], pair[1])
		}
	}
	if c.Alertmanager == nil || len(c.Alertmanager.Receivers) != 2 {
		t.Errorf("Alertmanager: got %v, want the example's two receivers", c.Alertmanager)
	}
}

// TestExampleNamesEveryKey fails when a key is added without a word about it.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	collectKeys(reflect.TypeFor[Config](), keys)
	if len(keys) < 50 {
		t.Fatalf("found only %d keys, the search must be wrong: %v", len(keys), keys)
	}
	for key := range keys {
		if !regexp.MustCompile(`(?m)(^|[\s{#-])` + regexp.QuoteMeta(key) + `:(\s|$)`).Match(text) {
			t.Errorf("%s does not mention the key %s:", example, key)
		}
	}
}

func collectKeys(typ reflect.Type, keys map[string]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectKeys(typ.Elem(), keys)
	case reflect.Struct:
		for i := range typ.NumField() {
			if key := tagOf(typ.Field(i)); key != "" {
				keys[key] = true
				collectKeys(typ.Field(i).Type, keys)
			}
		}
	}
}

// TestMistakes runs one file per typical mistake. What Load must say stands at
// the end of each, after "# want:", as line:column: path: message: suggestion.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d files (%v), want at least 40", len(files), err)
	}
	t.Setenv("TOCSIN_TEST_EMPTY", "")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text, wanted, found := strings.Cut(string(content), "# want:\n")
			if !found {
				t.Fatalf("%s has no line # want:", file)
			}
			var got, want []string
			for _, m := range mistakesOf(t, text, file) {
				got = append(got, strings.TrimPrefix(m.String(), file+":"))
			}
			for line := range strings.Lines(wanted) {
				want = append(want, strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "# "))
			}
			if !slices.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s\nof:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), text)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"size":          {strings.Repeat("#", sizeLimit+1), "larger than 4 MiB"},
		"depth":         {"sources: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "nested more than 64 levels deep"},
		"depth of keys": {"route: " + strings.Repeat("{a: ", 70) + strings.Repeat("}", 70), "nested more than 64 levels deep"},
		"own alias":     {"classify: &a\n  severity_words: *a\n", "expected a text"},
		"regex":         {"correlate: {rules: [{name: a, by: [], matchers: ['a=~\"" + strings.Repeat("x", 1025) + "\"']}]}", "longer than 1024 bytes"},
		"matcher":       {"correlate: {rules: [{name: a, by: [], matchers: ['a=\"" + strings.Repeat("x", 5000) + "\"']}]}", "longer than 4096 bytes"},
		"entries":       {"classify: {categories: [" + strings.Repeat("a,", entryLimit+1) + "]}", "more than 10000 entries"},
		"sections":      {strings.Repeat("x: 1\n", sectionLimit+1), "more than 100 sections"},
		"mistakes":      {"classify: {categories: [" + strings.Repeat("~,", 2000) + "]}", "there are more mistakes"},
		"aliases":       {aliasBomb(), "aliases make more than 10000 values"},
		"merges":        {mergeBomb(), "too much is merged"},
	} {
		t.Run(name, func(t *testing.T) {
			got := mistakesOf(t, c.text, "t.yml")
			if !strings.Contains(fmt.Sprint(got), c.want) {
				t.Errorf("got %v, want a message with %q", got, c.want)
			}
		})
	}
}

// aliasBomb is a list of nine lists of nine lists …
func aliasBomb() string {
	var b strings.Builder
	b.WriteString("classify:\n  categories: &a0 [x]\n")
	b.WriteString("correlate:\n  rules:\n")
	for i := range 12 {
		fmt.Fprintf(&b, "    - {name: r%d, matchers: &m%d [%s]}\n", i, i, strings.Repeat(fmt.Sprintf("*m%d, ", max(i-1, 0)), 9))
	}
	return strings.Replace(b.String(), "&m0 ["+strings.Repeat("*m0, ", 9)+"]", "&m0 [lol]", 1) +
		"    - &r {name: x, by: [" + strings.Repeat("a, ", 2000) + "]}\n" + strings.Repeat("    - *r\n", 20)
}

// mergeBomb merges each mapping eight times into the next.
func mergeBomb() string {
	var b strings.Builder
	b.WriteString("sources:\n  s0: &s0 {format: prometheus}\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "  s%d: &s%d\n    <<: [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*s%d, ", i-1), 8), ", "))
	}
	return b.String()
}

func TestMapsAddToDefaultsAndListsReplace(t *testing.T) {
	c := mustLoad(t, `
sources:
  site-b: {format: alertmanager, namespace: shared}
  prometheus: {disabled: true}
classify: {categories: [power]}
incidents:
  priorities: {P1: {response: 5m}}
  priority_matrix: {low: {low: P3}}
correlate: {flapping: {changes: 9}}
`)
	if _, ok := c.Sources["prometheus"]; ok || len(c.Sources) != len(Default().Sources) || c.Sources["site-b"].Namespace != "shared" || c.Sources["site-b"].OnStoreFailure != "refuse" {
		t.Errorf("sources: got %v, want site-b in place of prometheus", c.Sources)
	}
	if got := c.Classify.Categories; !slices.Equal(got, []string{"power"}) {
		t.Errorf("categories: got %v, want [power]", got)
	}
	if got, want := c.Incidents.Priorities["P1"], Default().Incidents.Priorities["P1"]; got.Response != minutes(5) || got.Resolution != want.Resolution {
		t.Errorf("P1: got %+v, want a response of 5m and the default resolution", got)
	}
	if m := c.Incidents.Matrix; m["low"]["low"] != "P3" || m["low"]["high"] != "P3" || m["high"]["high"] != "P1" {
		t.Errorf("matrix: got %v, want the default with low/low P3", m)
	}
	if f := c.Correlate.Flapping; f.Changes != 9 || f.Window != minutes(15) {
		t.Errorf("flapping: got %+v, want 9 in 15m", f)
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	c := mustLoad(t, `
sources:
  a: &base {format: prometheus, ignore_labels: &ignored [replica], resolve_after: 5m}
  b:
    <<: *base
    resolve_after: 7m
  c: {format: alertmanager, ignore_labels: *ignored}
`)
	if b := c.Sources["b"]; b.Format != "prometheus" || b.ResolveAfter != minutes(7) || !slices.Equal(b.IgnoreLabels, []string{"replica"}) {
		t.Errorf("b: got %+v, want a with resolve_after 7m", b)
	}
	if got := c.Sources["c"].IgnoreLabels; !slices.Equal(got, []string{"replica"}) {
		t.Errorf("c.ignore_labels: got %v, want [replica]", got)
	}
}

func TestTextAndHash(t *testing.T) {
	const text = "store: {url: 'mem:'}\n"
	c := mustLoad(t, text)
	sum := sha256.Sum256([]byte(text))
	if got, want := c.Hash, hex.EncodeToString(sum[:]); got != want || c.Text.Reveal() != text {
		t.Errorf("got hash %s of %q, want %s of %q", got, c.Text.Reveal(), want, text)
	}
}

func TestDumpShowsNoSecret(t *testing.T) {
	const planted = "pl4nted-s3cret"
	t.Setenv("TOCSIN_TEST_SECRET", planted)
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(planted+"-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]byte(`
sources:
  a: {format: prometheus, auth: {bearer_token: '${TOCSIN_TEST_SECRET}-env', username: u, password: `+planted+`-text}}
  b: {format: prometheus, auth: {bearer_token_file: token}}
web: {admin_token: `+planted+`-admin}
smtp: {listen: '127.0.0.1:2525', recipients: {a@example.com: email}, users: [{username: u, password: `+planted+`-mail}]}
imap: [{server: 'imap.example.com:993', username: u, password: `+planted+`-imap}]
answers: {slack: {signing_secrets: [`+planted+`-slack, `+planted+`-old]}, call: {auth_tokens_file: token}}
store: {url: 'redis-sentinel://tocsin:`+planted+`@h/m?sentinel_password=`+planted+`'}
global: {slack_api_url: 'https://hooks.example.com/`+planted+`'}
route: {receiver: r}
receivers:
  - name: r
    slack_configs: [{channel: x}]
    webhook_configs:
      - url: 'http://example.com/`+planted+`'
        http_config: {basic_auth: {username: u, password: `+planted+`}}
`), filepath.Join(dir, "tocsin.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Store.URL.String(), "redis-sentinel://tocsin:xxxxx@h/m?sentinel_password=xxxxx"; got != want {
		t.Errorf("URL of the store: got %s, want %s", got, want)
	}
	if got := c.Sources["a"].Auth.BearerToken.Reveal() + c.Sources["b"].Auth.BearerToken.Reveal(); got != planted+"-env"+planted+"-file" {
		t.Errorf("the secrets themselves: got %q", got)
	}
	asJSON, err := stdjson.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]string{
		"%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v %#v", c, *c), "value": fmt.Sprintf("%v %+v", *c, *c),
		"sources": fmt.Sprintf("%+v", c.Sources), "JSON": string(asJSON), "YAML": string(asYAML), "String": c.String(),
		"identity": string(c.Identity().Text()), "summary": c.summary(),
	} {
		if strings.Contains(shown, planted) {
			t.Errorf("%s shows a secret: %s", name, shown)
		}
	}
	if got := c.String(); !strings.Contains(got, "bearer_token: <secret>") || !strings.Contains(got, "slack_api_url: <secret>") {
		t.Errorf("String: got %s, want <secret> in ours and in Alertmanager's part", got)
	}
}

// TestMistakesShowNoSecret plants secrets where they cause a mistake.
func TestMistakesShowNoSecret(t *testing.T) {
	const planted = "pl4nted-s3cret"
	for name, text := range map[string]string{
		"in the wrong key":      "sources: {a: {format: prometheus, auth: {query_token: " + planted + "}}}",
		"instead of the keys":   "sources: {a: {format: prometheus, auth: " + planted + "}}",
		"as a list":             "web: {admin_token: [" + planted + "]}",
		"broken variable":       "web: {admin_token: '${" + planted + "'}",
		"looks like an alias":   "web: {admin_token: *" + planted + "}",
		"store URL":             "store: {url: 'redis://user:" + planted + "@example.com', timeout: 1ms}",
		"store URL, slash":      "store: {url: 'redis://user:" + planted + "/x@example.com'}",
		"store URL, question":   "store: {url: 'redis://user:" + planted + "?" + planted + "@example.com'}",
		"store URL, percent":    "store: {url: 'redis://user:" + planted + "%zz@example.com'}",
		"store URL, no host":    "store: {url: 'redis://user:" + planted + "'}",
		"store URL, no slashes": "store: {url: 'redis:user:" + planted + "@example.com'}",
		"store URL, option":     "store: {url: 'redis-sentinel://h/m?sentinel_password=" + planted + "&x=y'}",
		"store password":        "store: {url: 'redis://u@h', username: x, password: " + planted + "}",
		"store password, file":  "store: {url: 'file:data', password: " + planted + "}",
		"store URL, wrong":      "store: {url: 'postgres://user:" + planted + "@example.com'}",
		"Alertmanager password": "route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n  - url: http://x\n    http_config: {basic_auth: " + planted + "}\n",
		"Alertmanager URL":      "route: {receiver: r}\nreceivers:\n- name: r\n  slack_configs:\n  - api_url: 'ftp://h/" + planted + "'\n    channel: x\n",
		"Alertmanager webhook":  "route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n  - url: 'ht tp://" + planted + "/%zz'\n",
	} {
		t.Run(name, func(t *testing.T) {
			got := fmt.Sprint(mistakesOf(t, text, "t.yml"))
			if strings.Contains(got, planted) || strings.Contains(got, planted[:7]) {
				t.Errorf("got %s, want a message without the secret, of:\n%s", got, text)
			}
		})
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("good", "value\r\n", 0o600)
	write("open", "value", 0o644)
	write("empty", "\n", 0o600)
	write("large", strings.Repeat("x", secretFileLimit+1), 0o600)
	for name, c := range map[string]struct{ file, mistake, warning string }{
		"good":            {file: "good"},
		"absolute":        {file: filepath.Join(dir, "good")},
		"open to all":     {file: "open", warning: "can be read by every user"},
		"missing":         {file: "missing", mistake: "no such file"},
		"empty":           {file: "empty", mistake: "is empty"},
		"too large":       {file: "large", mistake: "is larger than 65536 bytes"},
		"a folder":        {file: ".", mistake: "is not a regular file"},
		"a device":        {file: "/dev/zero", mistake: "is not a regular file"},
		"both are there":  {file: "good, admin_token: x", mistake: "admin_token and admin_token_file are both there"},
		"both, one empty": {file: "good, admin_token: ", mistake: "has no value"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Load([]byte("web: {admin_token_file: "+c.file+"}"), filepath.Join(dir, "tocsin.yml"))
			if c.mistake != "" {
				if err == nil || !strings.Contains(err.Error(), c.mistake) || !strings.Contains(err.Error(), "tocsin.yml:1:") {
					t.Errorf("got error %v, want one in line 1 with %q", err, c.mistake)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Web.AdminToken.Reveal() != "value" {
				t.Errorf("got %q, want the file's value", got.Web.AdminToken.Reveal())
			}
			if warned := fmt.Sprint(got.Warnings); c.warning == "" && len(got.Warnings) > 0 || !strings.Contains(warned, c.warning) {
				t.Errorf("got warnings %s, want %q", warned, c.warning)
			}
		})
	}
}

// TestSecretLists: a file can have several secrets, one in each line.
func TestSecretLists(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte("first-long-enough-secret\r\n\n  second-long-enough-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]byte("answers: {jira: {secrets_file: list}, pagerduty: {secrets: [third-long-enough-secret, fourth-long-enough-secret]}}"), filepath.Join(dir, "tocsin.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range append(c.Answers.Jira.Secrets, c.Answers.PagerDuty.Secrets...) {
		got = append(got, s.Reveal())
	}
	if want := "[first-long-enough-secret second-long-enough-secret third-long-enough-secret fourth-long-enough-secret]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestSecretVariables(t *testing.T) {
	t.Setenv("TOCSIN_TEST_A", "x$y")
	for text, want := range map[string]string{
		"plain": "plain", "${TOCSIN_TEST_A}": "x$y", "a${TOCSIN_TEST_A}b${TOCSIN_TEST_A}": "ax$ybx$y",
		"$${TOCSIN_TEST_A}": "${TOCSIN_TEST_A}", "$$": "$", "$": "$", "a$b": "a$b", "cost$": "cost$",
	} {
		if got := mustLoad(t, "web: {admin_token: '"+text+"'}").Web.AdminToken.Reveal(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	// Only secrets are expanded.
	if got := mustLoad(t, "classify: {rules: [{name: a, set: {runbook: '$${source}'}}]}").Classify.Rules[0].Set.Runbook; got != "$${source}" {
		t.Errorf("outside of secrets: got %q, want it unchanged", got)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	text, err := os.ReadFile("testdata/mistakes/everything.yml")
	if err != nil {
		t.Fatal(err)
	}
	got := mistakesOf(t, string(text), "t.yml")
	if len(got) < 15 {
		t.Errorf("got %d mistakes, want at least 15 of one file: %v", len(got), got)
	}
	if !slices.IsSortedFunc(got, func(a, b Mistake) int { return a.Line - b.Line }) {
		t.Errorf("the mistakes are not in the order of the file: %v", got)
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"idle rule":        {"classify: {rules: [{name: a}]}", "the rule does nothing"},
		"unreachable rule": {"correlate: {rules: [{name: a, by: []}, {name: b, by: []}]}", "matches every alert"},
		"templated team":   {"classify: {rules: [{name: a, set: {team: '${label:t}'}}]}", "have no metrics of their own"},
		"password in URL":  {"store: {url: 'redis://u:p@h'}", "the URL holds a password"},
		"only for Redis":   {"store: {timeout: 1s}", "this is for Redis, and the file names none"},
		"path of nothing":  {"classify: {categories: [vulnerability]}\nprocess: {profile: vshn-like}", `for the category "service request", which is not among them`},
		"any certificate":  {"store: {url: 'rediss://h', tls: {insecure_skip_verify: true}}", "whoever answers in the place of Redis is believed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustLoad(t, c.text).Warnings
			if len(got) != 1 || !strings.Contains(got[0].String(), c.want) || got[0].Line != 1 {
				t.Errorf("got %v, want one in line 1 with %q", got, c.want)
			}
		})
	}
}

// TestCategoriesOfPaths: what the paths of the process are for can be said of an incident.
func TestCategoriesOfPaths(t *testing.T) {
	usual := Default().Classify.Categories
	for text, more := range map[string][]string{
		"":                              nil,
		"process: {profile: vshn-like}": {"vulnerability", "service request"},
		"process: {paths: [{name: p, match: ['category=\"security\"', 'team!=\"x\"']}, {name: q, match: ['category=\"move\"', 'category=~\"any.*\"']}]}": {"move"},
	} {
		if got, want := mustLoad(t, text).Classify.Categories, slices.Concat(usual, more); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var out bytes.Buffer
	good := file("good.yml", "classify: {rules: [{name: idle}]}\nroute: {receiver: r, routes: [{receiver: r}]}\nreceivers: [{name: r}]\n")
	if err := Check(good, &out); err != nil {
		t.Errorf("good file: %v", err)
	}
	builtIn := slices.Sorted(maps.Keys(Default().Sources))
	sources := fmt.Sprintf("%d sources (%s)", len(builtIn), strings.Join(builtIn, ", "))
	want := good + ":1:20: classify.rules[0]: the rule does nothing: add set:, suppress: or stop: (warning)\n" +
		good + ": good: " + sources + ", 1 classify rule, 0 correlate rules, 1 receiver, 2 routes\n"
	if out.String() != want {
		t.Errorf("good file: got\n%swant\n%s", &out, want)
	}

	out.Reset()
	bad := file("bad.yml", "strore: {}\nweb: {admin_tokn: x}\n")
	err := Check(bad, &out)
	want = bad + ":1:1: unknown section \"strore\": did you mean \"store\"?\n" +
		bad + ":2:7: web: unknown key \"admin_tokn\": did you mean \"admin_token\"?\n"
	if err == nil || !strings.Contains(err.Error(), "2 mistakes") || out.String() != want {
		t.Errorf("bad file: got error %v and\n%swant 2 mistakes and\n%s", err, &out, want)
	}

	out.Reset()
	if err := Check(filepath.Join(dir, "missing.yml"), &out); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing.yml") || out.Len() > 0 {
		t.Errorf("missing file: got error %v and %q, want os.ErrNotExist with the file's name, once", err, &out)
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, example) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(aliasBomb()))
	f.Add([]byte(mergeBomb()))
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("_file")) {
			t.Skip("would read files of this machine")
		}
		c, err := Load(text, "fuzz.yml")
		if err == nil {
			// What was accepted can be used.
			id := c.Identity()
			if id.Hash() == [8]byte{} || c.String() == "" {
				t.Error("no identity or no dump")
			}
			return
		}
		var mistakes *MistakesError
		if !errors.As(err, &mistakes) || len(mistakes.Mistakes) == 0 {
			t.Fatalf("got error %#v, want mistakes", err)
		}
		lines := 1 + len(lineStarts(string(text)))
		for _, m := range mistakes.Mistakes {
			if m.Line > lines || m.Message == "" {
				t.Errorf("got mistake %q in a file of %d lines", m, lines)
			}
		}
	})
}
