package events

import (
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	const full = `{"name":"DiskFull","host":"web-01","service":"shop","severity":"Critical","status":"firing","summary":"full","description":"d",` +
		`"labels":{"mount":"/","n":1,"empty":"","none":null},"annotations":{"x":"y"},"starts_at":"2026-11-21T02:00:00+01:00","event_at":"2026-11-21T01:00:01Z",` +
		`"identity":"i","url":"https://h/x","author":"a","comment":"c"}`
	const line = `alert firing alertname=DiskFull host=web-01 mount=/ n=1 service=shop severity=critical key="alertname"="DiskFull" "host"="web-01" "mount"="/" "n"="1" "service"="shop"  ` +
		`identity=i from=2026-11-21T01:00:00Z at=2026-11-21T01:00:01Z by=a comment=c link=https://h/x | full`
	const a = `alert firing alertname=A key="alertname"="A"  | `
	ingesttest.Table{
		"one":                       {full, line},
		"an array":                  {"[" + full + "]", line},
		"an object":                 {`{"events":[` + full + "]}", line},
		"none":                      {"[]", ""},
		"a BOM":                     {"\ufeff" + `[{"name":"A"}]`, a},
		"resolved":                  {`{"name":"A","status":"resolved","ends_at":"2026-11-21T01:00:00Z","key":"k"}`, "alert resolved alertname=A key=k to=2026-11-21T01:00:00Z | "},
		"a note":                    {`{"name":"A","kind":"note","comment":"c"}`, `note unknown alertname=A key="alertname"="A"  comment=c | `},
		"an end":                    {`{"name":"A","kind":"flapping_ended","status":"resolved"}`, `flapping_ended resolved alertname=A key="alertname"="A"  | `},
		"a label of a field's name": {`{"name":"A","labels":{"alertname":"B","severity":"low"}}`, `alert firing alertname=A severity=low key="alertname"="A"  | `},
		"named by a label":          {`{"labels":{"alertname":"A"}}`, a},
		"each its own verdict": {`[{"name":"A"},{"name":"A","sevrity":"x"},7,{"name":"A","name":"B"},{"name":"A"}]`,
			a + "\n" + a + "\nrejected: events[1].sevrity: there is no such member; did you mean \"severity\"?\nrejected: events[2]: a number, must be an object\n" +
				"rejected: events[3]: name: not JSON: duplicate object member name, at byte 12"},
		"not UTF-8":           {"{\"name\":\"A\xff\"}", "alert firing alertname=A\ufffd key=\"alertname\"=\"A\ufffd\"  flags=invalid_utf8 | "},
		"a member far off":    {`{"name":"A","zzzzzzzzzz":1}`, "rejected: events[0].zzzzzzzzzz: there is no such member; known are annotations, author, comment, description, ends_at, event_at, host, identity, key, kind, labels, name, service, severity, starts_at, status, summary, url"},
		"no name":             {`{"host":"a"}`, "rejected: events[0].name: absent; it is what the alert is called, such as DiskFull"},
		"a name that is none": {`{"name":{}}`, "rejected: events[0].name: an object, must be a string"},
		"no status":           {`{"name":"A","status":" "}`, `rejected: events[0].status: empty; write firing or resolved, or leave it out, which means firing`},
		"status":              {`{"name":"A","status":"fireing"}`, `rejected: events[0].status: "fireing" is neither firing nor resolved; did you mean "firing"?`},
		"kind":                {`{"name":"A","kind":"acknowledgment"}`, `rejected: events[0].kind: "acknowledgment" is none that there is; did you mean "acknowledgement"?`},
		"time":                {`{"name":"A","starts_at":"yesterday"}`, `rejected: events[0].starts_at: "yesterday" is not a time of RFC 3339 such as 2026-11-21T02:00:00Z`},
		"an end while firing": {`{"name":"A","ends_at":"2026-11-21T01:00:00Z"}`, "rejected: events[0].ends_at: an end, but the status is firing; leave it out, or write status: resolved"},
		"link":                {`{"name":"A","url":"javascript:x"}`, `rejected: events[0].url: "javascript:x" is not a link with http or https`},
		"labels":              {`{"name":"A","labels":["a"]}`, "rejected: events[0].labels: an array, must be an object of strings"},
		"a label":             {`{"name":"A","labels":{"a":[]}}`, "rejected: events[0].labels.a: an array, must be a string"},
		"beside events":       {`{"event":1,"events":[]}`, `refused: event: there is no such member beside events; did you mean "events"?`},
		"events twice":        {`{"events":[],"events":[]}`, "refused: events: occurs twice"},
		"events are none":     {`{"events":{}}`, "refused: events: must be an array of events"},
		"too many":            {"[" + strings.Repeat("7,", 50_000) + "7]", "refused: events: more than 50000; send them in several requests"},
		"too deep":            {`{"name":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`, "rejected: events[0]: nested deeper than 32, at byte 40"},
		"breaks off":          {`[{"name":"A"`, "refused: 0: not JSON: it ends in the middle"},
		"something behind":    {`{"name":"A"}x`, "refused: not JSON: invalid character 'x' at start of value, at byte 12"},
		"brackets":            {strings.Repeat("[", 2_000_000), "refused: " + strings.Repeat("0.", 100) + "…: not JSON: exceeded max depth, at byte 10000"},
		"a text":              {`"x"`, `refused: the body must be an object with an array "events", an array of events, or one event`},
		"no JSON":             {"<name>", "foreign: not JSON: it begins like something else, or is empty"},
		"two of them":         {"{} {}", "refused: not JSON: there is something after the end"},
		"empty":               {"", "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}

// TestSeverityIsNoIdentity: an alert that became worse is the same alert, and a
// source can say what else is.
func TestSeverityIsNoIdentity(t *testing.T) {
	f, err := Format.Configure(ingest.SourceConfig{IgnoreLabels: []string{"replica"}})
	if err != nil {
		t.Fatal(err)
	}
	key := func(body string) string {
		t.Helper()
		b, err := f.Decode(ingest.Request{Body: []byte(body)})
		if err != nil || len(b.Alerts) != 1 {
			t.Fatalf("%s: %v, %v", body, err, b.Rejected)
		}
		return b.Alerts[0].Key
	}
	first := key(`{"name":"A","severity":"warning","labels":{"replica":"a","x":"1"}}`)
	if again := key(`{"name":"A","severity":"critical","labels":{"x":"1","replica":"b"}}`); again != first {
		t.Errorf("got %s and %s, want the same", first, again)
	}
	if other := key(`{"name":"A","labels":{"x":"2"}}`); other == first {
		t.Errorf("got %s for both", other)
	}
	if a, b := key(`{"name":"A","labels":{"x":"1\" \"y\"=\"2"}}`), key(`{"name":"A","labels":{"x":"1","y":"2"}}`); a == b {
		t.Errorf("got %s for both", a)
	}
}

// TestDeadLettersCanBeSentAgain: what Wrap makes has the same mistake.
func TestDeadLettersCanBeSentAgain(t *testing.T) {
	b, err := Format.Decode(ingest.Request{Body: []byte(`[{"name":"A"},{"x":1},{"y":2}]`)})
	if err != nil || len(b.Rejected) != 2 {
		t.Fatal(err, b.Rejected)
	}
	again, err := Format.Decode(ingest.Request{Body: Format.Wrap([][]byte{b.Rejected[0].Raw, b.Rejected[1].Raw})})
	if err != nil || len(again.Rejected) != 2 || again.Rejected[0].Suffix != b.Rejected[0].Suffix || again.Rejected[1].Field != "events[1].y" {
		t.Errorf("got %+v (%v)", again.Rejected, err)
	}
}

// BenchmarkDecode decodes 100 events in a body.
func BenchmarkDecode(b *testing.B) {
	const event = `{"name":"DiskFull","host":"web-01","service":"shop","severity":"critical","summary":"3 % left on /var",` +
		`"labels":{"mount":"/var","region":"eu"},"annotations":{"runbook":"https://h/x"},"starts_at":"2026-11-21T02:00:00Z"}`
	r := ingest.Request{Body: []byte("[" + strings.Repeat(event+",", 99) + event + "]")}
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batch, err := Format.Decode(r)
		if err != nil {
			b.Fatal(err)
		}
		n += len(batch.Alerts)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
}
