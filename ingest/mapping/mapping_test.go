package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

type ex = ingest.Expression

func configured(tb testing.TB, c ingest.MappingConfig) ingest.Format {
	tb.Helper()
	f, err := Format.Configure(ingest.SourceConfig{Mapping: c})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// batch is a mapping with all that there is.
var batch = ingest.MappingConfig{
	Alerts: "data.items", Name: ex{Path: "check.title"}, Host: ex{Template: "{{check.node}}.{{ $.site }}"}, Service: ex{Value: "shop"},
	Severity: ex{Path: "labels", Regex: "severity:(?P<word>[a-zA-Z]+)", Default: "warning"},
	Status:   ex{Path: "state", Map: map[string]string{"ok": "resolved", "alerting": "firing"}},
	Summary:  ex{Template: "{{check.title}} is {{ state }}{{nothing}}!"}, Description: ex{Path: "tags"}, Identity: ex{Path: "id"}, Key: ex{Path: "check.id"},
	StartsAt: ex{Path: "since"}, EndsAt: ex{Path: "ended"}, EventAt: ex{Path: "$.sent"}, URL: ex{Path: "link"},
	Labels:      map[string]ex{"region": {Path: "$.region"}, "first": {Path: "tags[0]"}, "odd": {Path: `["a.b"][1].c`}},
	Annotations: map[string]ex{"x": {Path: "x"}}, TimeFormat: "unix",
}

func TestDecode(t *testing.T) {
	f := configured(t, batch)
	ingesttest.Table{
		"all of it": {`{"site":"ams","region":"eu","sent":1795222810.25,"data":{"items":[{"id":7,"state":"alerting","labels":"a severity:High b","since":1795222800,"ended":1795230000,
			"link":"https://u:p@h/x","tags":["a","b"],"a.b":[0,{"c":"deep"}],"check":{"id":"c1","title":"Checkout","node":"web-01"}}]}}`,
			"alert firing alertname=Checkout first=a host=web-01.ams odd=deep region=eu service=shop severity=high key=c1 identity=7 from=2026-11-21T01:00:00Z at=2026-11-21T01:00:10.25Z link=https://h/x | Checkout is alerting!"},
		"resolved": {`{"data":{"items":[{"state":"ok","ended":1795222800,"check":{"title":"A"}}]}}`,
			`alert resolved alertname=A host=. service=shop severity=warning key="alertname"="A" "host"="." "service"="shop"  to=2026-11-21T01:00:00Z | A is ok!`},
		"each its own verdict": {`{"data":{"items":[{"state":"ok"},{"state":"odd","check":{"title":"A"}},7,{"state":"ok","since":"soon","check":{"title":"A"}}]}}`,
			"rejected: data.items[0].name: nothing there; the source's mapping takes it from check.title\n" +
				"rejected: data.items[1].status: \"odd\" is neither firing nor resolved; add it to map in the source's mapping, or write a default\n" +
				"rejected: data.items[2].name: nothing there; the source's mapping takes it from check.title\n" +
				"rejected: data.items[3].starts_at: \"soon\" is not a time as time_format says: unix"},
		"none":        {`{"data":{"items":[]}}`, ""},
		"no list":     {`{"data":{"items":{}}}`, "refused: data.items: an object, must be an array of alerts"},
		"not there":   {`[]`, "refused: data.items: null, must be an array of alerts"},
		"broken":      {`{"data":`, "refused: data: not JSON: it ends in the middle"},
		"a form":      {`a=b`, "refused: data.items: null, must be an array of alerts"},
		"nothing":     {``, "foreign: neither JSON nor a form"},
		"only a word": {`hello`, "foreign: neither JSON nor a form"},
		"many parts":  {strings.Repeat("a=b&", 1001), "refused: neither JSON nor a form: more than 1000 fields"},
	}.Run(t, f)

	one := configured(t, ingest.MappingConfig{Name: ex{Path: "title", Default: "Shop"}, Host: ex{Path: "host", Regex: "^(?P<h>[a-z0-9-]+)"}})
	const shop = `alert firing alertname=Shop key="alertname"="Shop"  | `
	ingesttest.Table{
		"a form":            {"title=Disk+full&host=web-01.example.com", `alert firing alertname=Disk full host=web-01 key="alertname"="Disk full" "host"="web-01"  | `},
		"a form in parts":   {"--B\r\nContent-Disposition: form-data; name=title\r\n\r\nX\r\n--B--\r\n", `alert firing alertname=X key="alertname"="X"  | `},
		"an object":         {`{"title":"X","host":"?"}`, `alert firing alertname=X key="alertname"="X"  | `},
		"an array is one":   {`[{"title":"X"}]`, shop},
		"a path to a list":  {`{"title":["a","b",null,{"c":1}]}`, `alert firing alertname=a, b key="alertname"="a, b"  | `},
		"a path to nothing": {`{"title":{"a":1}}`, shop},
		"not UTF-8":         {"{\"title\":\"\xff\"}", "alert firing alertname=\ufffd key=\"alertname\"=\"\ufffd\"  flags=invalid_utf8 | "},
	}.Run(t, one)

	list := configured(t, ingest.MappingConfig{Alerts: ".", Name: ex{Path: "a"}, Status: ex{Path: "s", Map: map[string]string{"1": "resolved"}, Default: "firing"}})
	ingesttest.Table{"an array": {`[{"a":"A","s":1},{"a":"B","s":2}]`, `alert resolved alertname=A key="alertname"="A"  | ` + "\n" + `alert firing alertname=B key="alertname"="B"  | `}}.Run(t, list)
	ingesttest.Table{"no source": {`{}`, "refused: there is no mapping; give the name of a source that has one"}}.Run(t, Format)
}

func TestTimes(t *testing.T) {
	for _, c := range []struct{ layout, text, want string }{
		{"", "2026-11-21T02:00:00+01:00", "2026-11-21T01:00:00Z"}, {"rfc3339", "2026-11-21 02:00:00", "no"}, {"unix", "1795222800", "2026-11-21T01:00:00Z"},
		{"unix", "1e400", "no"}, {"unix", "NaN", "no"}, {"unix", "-1", "no"}, {"unix", "999999999999", "no"}, {"unix_ms", "1795222800500", "2026-11-21T01:00:00.5Z"},
		{"2006-01-02 15:04:05", "2026-11-21 01:00:00", "2026-11-21T01:00:00Z"}, {"02.01.2006 15:04 -0700", "21.11.2026 02:00 +0100", "2026-11-21T01:00:00Z"},
		{"2006-01-02 15:04:05", "21.11.2026", "no"},
	} {
		m := mapping{layout: c.layout}
		got := "no"
		if at, ok := m.time(c.text); ok {
			got = at.Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if got != c.want {
			t.Errorf("%s as %s: got %s, want %s", c.text, c.layout, got, c.want)
		}
	}
}

func TestPaths(t *testing.T) {
	for text, want := range map[string]path{
		"a": {steps: []step{{name: "a"}}}, "a.b-c d.e": {steps: []step{{name: "a"}, {name: "b-c d"}, {name: "e"}}}, "a[0][12].b": {steps: []step{{name: "a"}, {index: 0}, {index: 12}, {name: "b"}}},
		`["a.b"]["\""]`: {steps: []step{{name: "a.b"}, {name: `"`}}}, "$": {body: true}, "$.a": {body: true, steps: []step{{name: "a"}}}, "$[0]": {body: true, steps: []step{{}}}, ".": {},
		"@timestamp": {steps: []step{{name: "@timestamp"}}},
	} {
		want.text = text
		if got, err := parsePath(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v (%v), want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".a", "a.", "a..b", "a[", "a[]", "a[-1]", "a[x]", "a[99999]", "a]", `a["b]`, `a["b"`, `[""]`, "$a", "$.", "$..a", "a.[0]", "a[0]b", "a.*", "{{a}}", strings.Repeat("a.", 16) + "a"} {
		if got, err := parsePath(text); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}

func TestMistakes(t *testing.T) {
	named := func(c ingest.MappingConfig) ingest.MappingConfig {
		c.Name = ex{Path: "a"}
		return c
	}
	for name, c := range map[string]struct {
		config ingest.MappingConfig
		want   string
	}{
		"nothing":           {ingest.MappingConfig{}, "mapping: it does not say what the alert is called"},
		"alerts":            {named(ingest.MappingConfig{Alerts: "a..b"}), `mapping.alerts: "a..b": not a path`},
		"path":              {named(ingest.MappingConfig{Host: ex{Path: "a["}}), `mapping.host.path: "a[": not a path`},
		"two of them":       {named(ingest.MappingConfig{Host: ex{Path: "a", Value: "b"}}), "mapping.host: more than one of path, value and template"},
		"none of them":      {named(ingest.MappingConfig{Host: ex{Default: "b"}}), "mapping.host: the expression does not say what to take"},
		"none, for a label": {named(ingest.MappingConfig{Labels: map[string]ex{"x": {}}}), "mapping.labels.x: the expression does not say what to take"},
		"a label's path":    {named(ingest.MappingConfig{Labels: map[string]ex{"x": {Path: "."}, "y": {Path: ".."}}}), `mapping.labels.y.path: "..": not a path`},
		"no name":           {named(ingest.MappingConfig{Annotations: map[string]ex{"": {Path: "a"}}}), "mapping.annotations: a name is empty"},
		"template":          {named(ingest.MappingConfig{Host: ex{Template: "a {{ b"}}), "mapping.host.template: {{ without }}"},
		"path in template":  {named(ingest.MappingConfig{Host: ex{Template: "{{ b. }}"}}), `mapping.host.template: "b.": not a path`},
		"empty in template": {named(ingest.MappingConfig{Host: ex{Template: "{{}}"}}), `mapping.host.template: "": not a path`},
		"long template":     {named(ingest.MappingConfig{Host: ex{Template: strings.Repeat("{{a}}", 33)}}), "mapping.host.template: more than 32 paths"},
		"regex":             {named(ingest.MappingConfig{Host: ex{Path: "a", Regex: "("}}), "mapping.host.regex: not a regular expression: missing closing ): `(`"},
		"no group":          {named(ingest.MappingConfig{Host: ex{Path: "a", Regex: "(a)"}}), "mapping.host.regex: 0 named groups; the one is what is taken"},
		"two groups":        {named(ingest.MappingConfig{Host: ex{Path: "a", Regex: "(?P<a>a)(?P<b>b)"}}), "mapping.host.regex: 2 named groups; the one is what is taken"},
		"large regex":       {named(ingest.MappingConfig{Host: ex{Path: "a", Regex: "(?P<a>(.?){1000})"}}), "mapping.host.regex: the regular expression is too large: it has more than 2000 steps"},
		"long regex":        {named(ingest.MappingConfig{Host: ex{Path: "a", Regex: strings.Repeat("a", 1025)}}), "mapping.host.regex: the regular expression is longer than 1024 bytes"},
		"status in map":     {named(ingest.MappingConfig{Status: ex{Path: "a", Map: map[string]string{"x": "bad"}}}), `mapping.status.map.x: "bad" is no status`},
		"status by default": {named(ingest.MappingConfig{Status: ex{Path: "a", Default: "bad"}}), `mapping.status.default: "bad" is no status`},
		"status itself":     {named(ingest.MappingConfig{Status: ex{Value: "bad"}}), `mapping.status.value: "bad" is no status`},
		"time":              {named(ingest.MappingConfig{TimeFormat: "YYYY-MM-DD"}), `mapping.time_format: "YYYY-MM-DD" does not say the date and the time`},
		"date only":         {named(ingest.MappingConfig{TimeFormat: "2006-01-02"}), `mapping.time_format: "2006-01-02" does not say the date and the time`},
		"sample":            {named(ingest.MappingConfig{Sample: "{"}), "mapping.sample: it cannot be understood: not JSON: it ends in the middle"},
		"sample, no name":   {named(ingest.MappingConfig{Sample: "{}"}), "mapping.sample: body.name: nothing there; the source's mapping takes it from a"},
		"sample, no alert":  {named(ingest.MappingConfig{Sample: "[]", Alerts: "."}), "mapping.sample: there is no alert in it"},
		"expected, count":   {named(ingest.MappingConfig{Sample: `{"a":"x"}`, SampleExpect: []map[string]string{{}, {}}}), "mapping.sample_expect: the sample gives 1 alerts, expected are 2"},
		"expected, another": {named(ingest.MappingConfig{Sample: `{"a":"x"}`, SampleExpect: []map[string]string{{"name": "y"}}}), `mapping.sample_expect[0]: name: the sample gives "x", expected is "y"`},
		"expected, part":    {named(ingest.MappingConfig{Sample: `{"a":"x"}`, SampleExpect: []map[string]string{{"nam": "x"}}}), `mapping.sample_expect[0]: there is no part "nam" of an alert`},
		"expected, label":   {named(ingest.MappingConfig{Sample: `{"a":"x"}`, SampleExpect: []map[string]string{{"labels.b": "y"}}}), `mapping.sample_expect[0]: labels.b: the sample gives "", expected is "y"`},
		"expected, alone":   {named(ingest.MappingConfig{SampleExpect: []map[string]string{{"name": "x"}}}), "mapping.sample_expect: there is no sample"},
	} {
		_, err := Format.Configure(ingest.SourceConfig{Mapping: c.config})
		var mistakes ingest.ConfigMistakes
		if !errors.As(err, &mistakes) || len(mistakes) != 1 || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	// Several at once, in the same order each time.
	config := ingest.MappingConfig{Name: ex{Path: "."}, Host: ex{Path: ".."}, Service: ex{Path: ".."}, Status: ex{Value: "x"}, TimeFormat: "x"}
	_, first := Format.Configure(ingest.SourceConfig{Mapping: config})
	for range 20 {
		if _, again := Format.Configure(ingest.SourceConfig{Mapping: config}); fmt.Sprint(again) != fmt.Sprint(first) || strings.Count(fmt.Sprint(first), ";") != 3 {
			t.Fatalf("got %v and %v, want the same four mistakes", first, again)
		}
	}
}

// TestIgnoredLabelsAreNotInTheKey, nor is the severity.
func TestIgnoredLabelsAreNotInTheKey(t *testing.T) {
	f, err := Format.Configure(ingest.SourceConfig{IgnoreLabels: []string{"replica"}, Mapping: ingest.MappingConfig{Name: ex{Path: "a"}, Severity: ex{Path: "s"},
		Labels: map[string]ex{"replica": {Path: "r"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, body := range []string{`{"a":"A","s":"low","r":"1"}`, `{"a":"A","s":"high","r":"2"}`} {
		b, err := f.Decode(ingest.Request{Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, b.Alerts[0].Key)
	}
	if keys[0] != keys[1] {
		t.Errorf("got %q, want the same twice", keys)
	}
}

// TestLongTextsInEachAlert: a body cannot become far more than it is.
func TestLongTextsInEachAlert(t *testing.T) {
	f := configured(t, ingest.MappingConfig{Alerts: "list", Name: ex{Value: "A"}, Summary: ex{Template: "{{ $.text }}{{ $.text }}"}, Description: ex{Path: "$.text", Regex: "(?P<all>.*)x"}})
	body := `{"text":"` + strings.Repeat("y", alert.MaxText) + `","list":[` + strings.Repeat("0,", 90_000) + `0]}`
	if got := ingesttest.Say(f, body); !strings.Contains(got, "the mapping repeats too much of the body in each alert") {
		t.Errorf("got %.300s", got)
	}
}

// TestManyRegexes: they have a limit together, which is reached before all are compiled.
func TestManyRegexes(t *testing.T) {
	c := ingest.MappingConfig{Name: ex{Path: "a"}, Labels: map[string]ex{}}
	for n := range 60 {
		c.Labels[fmt.Sprintf("l%02d", n)] = ex{Path: "a", Regex: "(?P<a>.{1000}.{900})"}
	}
	_, err := Format.Configure(ingest.SourceConfig{Mapping: c})
	var mistakes ingest.ConfigMistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 7 || mistakes[6].Message != "the regular expressions of the mapping have more than 100000 steps together" {
		t.Errorf("got %v, want that there are too many", err)
	}
}

// TestRegexesThatTakeLong: what one body may cost has an end.
func TestRegexesThatTakeLong(t *testing.T) {
	var c compiler
	m := c.mapping(ingest.MappingConfig{Alerts: ".", Name: ex{Path: "a", Regex: "(?P<a>(.?){300})x", Default: "A"}})
	m.work = 100_000
	if got, err := m.decode(ingest.Request{Body: []byte(`[{"a":"yy"}]`)}); err != nil || len(got.Alerts) != 1 {
		t.Errorf("got %+v (%v), want an alert", got, err)
	}
	_, err := m.decode(ingest.Request{Body: []byte(`[{"a":"yy"},{"a":"` + strings.Repeat("y", 100) + `"}]`)})
	if err == nil || !strings.Contains(err.Error(), "the regular expressions of the mapping take too long for this body") {
		t.Errorf("got %v, want that it takes too long", err)
	}
}

func FuzzMapping(f *testing.F) {
	format := configured(f, batch)
	f.Add([]byte(`{"site":"ams","data":{"items":[{"id":7,"state":"ok","labels":"severity:x","since":1,"tags":["a"],"a.b":[0,{"c":1}],"check":{"title":"C"}},{}]}}`))
	f.Add([]byte("a=b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := ingest.Request{Source: "s", Body: body, ReceivedAt: ingesttest.Received}
		got, err := format.Decode(r)
		again, errAgain := format.Decode(r)
		if !reflect.DeepEqual(got, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("got %+v (%v) and then %+v (%v)", got, err, again, errAgain)
		}
		for i := range got.Alerts {
			for _, ls := range []alert.Labels{got.Alerts[i].Labels, got.Alerts[i].Annotations} {
				for j, l := range ls {
					if l.Name == "" || l.Value == "" || j > 0 && ls[j-1].Name >= l.Name {
						t.Errorf("not in order, or empty: %q", ls)
					}
				}
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, text := range []string{"a.b[0]", `["x"].y`, "$", "."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePath(text)
		if err == nil {
			p.find(map[string]any{"a": []any{"b"}}, []any{})
		}
	})
}

func BenchmarkMapping(b *testing.B) {
	format := configured(b, batch)
	const element = `{"id":7,"state":"alerting","labels":"team:web severity:critical","since":1795222800,"tags":["a","b"],"check":{"id":"c1","title":"Checkout","node":"web-01"}}`
	r := ingest.Request{Body: []byte(`{"site":"ams","region":"eu","sent":1795222810,"data":{"items":[` + strings.Repeat(element+",", 99) + element + `]}}`)}
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch, err := format.Decode(r)
		if err != nil {
			b.Fatal(err)
		}
		n += len(batch.Alerts)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
}
