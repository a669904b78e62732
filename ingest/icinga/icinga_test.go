package icinga

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

var received = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

func request(body string) ingest.Request {
	return ingest.Request{Source: "icinga", Body: []byte(body), ReceivedAt: received}
}

// summed writes what matters of an alert in one line.
func summed(a alert.Alert) string {
	return fmt.Sprintf("%v %v %s|%s|%s|%s", a.Kind, a.Status, a.Key, a.Name(), a.Service(), a.Severity())
}

// TestMeaning: each kind of message, in one line each.
func TestMeaning(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"the names of the captures", `{"type":"PROBLEM","host":"web-01","service":"load","state":"WARNING"}`,
			"alert firing web-01!load|load|load|warning"},
		{"worse, and still the same", `{"type":"PROBLEM","host":"web-01","service":"load","state":"CRITICAL"}`,
			"alert firing web-01!load|load|load|critical"},
		{"the names of the macros", `{"notification.type":"RECOVERY","host.name":"web-01","service.name":"load","service.state":"OK","host.state":"DOWN"}`,
			"alert resolved web-01!load|load|load|"},
		{"the names of the environment", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=gw-01&HOSTSTATE=DOWN", "alert firing gw-01|Host||critical"},
		{"a number for a state", "type=PROBLEM&host=web-01&service=load&state_id=3", "alert firing web-01!load|load|load|unknown"},
		{"a number for a host's state", "type=PROBLEM&host=web-01&state=1", "alert firing web-01|Host||critical"},
		{"a problem without a state", "type=problem&host=web-01", "alert firing web-01|Host||"},
		{"a state without a type", "host=web-01&service=load&state=CRITICAL", "alert firing web-01!load|load|load|critical"},
		{"a soft state without a type", "host=web-01&service=load&state=CRITICAL&state_type=SOFT", "information firing web-01!load|load|load|critical"},
		{"a good state without a type", "host=web-01&service=load&state=OK", "alert resolved web-01!load|load|load|"},
		{"acknowledged", "type=ACKNOWLEDGEMENT&host=web-01&state=DOWN", "acknowledgement firing web-01|Host||critical"},
		{"a note", "type=CUSTOM&host=web-01&state=DOWN", "note firing web-01|Host||critical"},
		{"flapping ended well", "type=FLAPPINGEND&host=web-01&state=UP", "flapping_ended resolved web-01|Host||"},
		{"flapping ended badly", "type=FLAPPINGEND&host=web-01&state=DOWN", "flapping_ended firing web-01|Host||critical"},
		{"downtime removed", "type=DOWNTIMEREMOVED&host=web-01&state=UP", "maintenance_cancelled resolved web-01|Host||"},
		{"in parts", "--b\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nPROBLEM\r\n--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\nweb-01\r\n--b--\r\n",
			"alert firing web-01|Host||"},
		{"a line break in a form", "type=PROBLEM&host=web-01&state=DOWN&output=a\nb", "alert firing web-01|Host||critical"},
		{"a byte order mark", "\ufeff" + `{"type":"PROBLEM","host":"web-01"}`, "alert firing web-01|Host||"},

		{"a soft state change", `{"type":"StateChange","host":"web-01","service":"load","state":2,"state_type":0}`,
			"information firing web-01!load|load|load|critical"},
		{"a hard state change", `{"type":"StateChange","host":"web-01","service":"load","state":2,"state_type":1}`,
			"alert firing web-01!load|load|load|critical"},
		{"numbers of older versions", `{"type":"StateChange","host":"web-01","service":"load","state":2.0,"state_type":1.0}`,
			"alert firing web-01!load|load|load|critical"},
		{"a state change in a downtime", `{"type":"StateChange","host":"web-01","state":1,"state_type":1,"downtime_depth":1}`,
			"information firing web-01|Host||critical"},
		{"a recovery in a downtime", `{"type":"StateChange","host":"web-01","state":0,"state_type":1,"downtime_depth":1}`,
			"alert resolved web-01|Host||"},
		{"a host's plugin that only warns", `{"type":"Notification","notification_type":"CUSTOM","host":"web-01","check_result":{"state":1}}`,
			"note resolved web-01|Host||"},
		{"a host's plugin that knows nothing", `{"type":"CheckResult","host":"web-01","check_result":{"state":3}}`, "information firing web-01|Host||critical"},
		{"a downtime that ended by itself", `{"type":"DowntimeRemoved","downtime":{"host_name":"web-01","service_name":"load","remove_time":0}}`,
			"maintenance_ended unknown web-01!load|load|load|"},
		{"a downtime that somebody ended", `{"type":"DowntimeRemoved","downtime":{"host_name":"web-01","remove_time":1795226205.2}}`,
			"maintenance_cancelled unknown web-01|Host||"},
		{"a comment on a service", `{"type":"CommentAdded","comment":{"host_name":"web-01","service_name":"load"}}`, "note unknown web-01!load|load||"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Format.Decode(request(c.body))
			if err != nil || len(got.Alerts) != 1 || len(got.Rejected)+len(got.Unparsed) > 0 {
				t.Fatalf("got %+v, %v", got, err)
			}
			if s := summed(got.Alerts[0]); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
			if !got.Alerts[0].PerHost || got.Alerts[0].Flags != 0 {
				t.Errorf("per host %v, flags %v", got.Alerts[0].PerHost, got.Alerts[0].Flags.Names())
			}
		})
	}
}

// TestTimes: the problem and its end have their times from the same clock.
func TestTimes(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	const result = `"check_result":{"state":2,"execution_end":1795226217.899999}`
	for _, c := range []struct {
		name, body           string
		starts, ends, saidAt time.Time
	}{
		{"a state change", `{"type":"StateChange","host":"h","service":"s","state":2,"state_type":1,"timestamp":1795226217.917851,` + result + `}`,
			at(1795226217899), time.Time{}, at(1795226217917)},
		{"the notification about it", `{"type":"Notification","notification_type":"PROBLEM","host":"h","service":"s","timestamp":1795226218.1,` + result + `}`,
			at(1795226217899), time.Time{}, at(1795226218100)},
		{"its end", `{"type":"StateChange","host":"h","service":"s","state":0,"state_type":1,"timestamp":1795226217.917851,` + result + `}`,
			time.Time{}, at(1795226217899), at(1795226217917)},
		{"without a result", `{"type":"StateChange","host":"h","state":1,"state_type":1,"timestamp":1795226217.5}`,
			at(1795226217500), time.Time{}, at(1795226217500)},
		{"the present state", `{"type":"StateChange","host":"h","state":1,"state_type":1,"last_hard_state_change":1795226000,"timestamp":1795226217.5}`,
			at(1795226000000), time.Time{}, at(1795226217500)},
		{"a notification command", `{"type":"PROBLEM","host":"h","last_state_change":1795226172,"timet":1795226179}`,
			at(1795226172000), time.Time{}, at(1795226179000)},
		{"a problem from the first check on", `{"type":"PROBLEM","host":"h","last_state_change":0,"timet":1795226179}`,
			at(1795226179000), time.Time{}, at(1795226179000)},
		{"a long date", "type=RECOVERY&host=h&when=2026-11-21+03:56:12+%2B0200", time.Time{}, time.Time{}, at(1795226172000)},
		{"times that are none", `{"type":"PROBLEM","host":"h","last_state_change":1e300,"timet":"-5","when":"yesterday"}`, time.Time{}, time.Time{}, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Format.Decode(request(c.body))
			if err != nil {
				t.Fatal(err)
			}
			a := got.Alerts[0]
			if !a.StartsAt.Equal(c.starts) || !a.EndsAt.Equal(c.ends) || !a.EventAt.Equal(c.saidAt) {
				t.Errorf("got %v to %v, said at %v; want %v to %v, said at %v", a.StartsAt, a.EndsAt, a.EventAt, c.starts, c.ends, c.saidAt)
			}
		})
	}
}

func TestAcknowledgementInTheStream(t *testing.T) {
	got, err := Format.Decode(request(`{"type":"AcknowledgementSet","host":"h","state":1,"author":"alice","comment":"mine","acknowledgement_type":2,"expiry":1795229779.2}`))
	if err != nil {
		t.Fatal(err)
	}
	a := got.Alerts[0]
	if a.Author != "alice" || a.Comment != "mine" || a.Annotations.Get("sticky") != "true" || a.Annotations.Get("expires_at") != "2026-11-21T02:56:19Z" {
		t.Errorf("got %s: %s, %v", a.Author, a.Comment, a.Annotations)
	}
}

// TestRefused: what cannot be understood is refused with words that help.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ body, field, want string }{
		{" \n", "", "empty"},
		{"Object of type 'Function'", "", "NotificationCommand"},
		{`{"type":"PROBLEM"}`, "host", "is missing"},
		{`{"host":"web-01"}`, "type", "is missing"},
		{"type=ESCALATED&host=web-01&state=OK", "type", "ESCALATED"},
		{`{"type":"StateChange","host":"web-01","state":"7"}`, "state", `"7" is no state`},
		{`{"type":"StateChange","state":1}`, "host", "StateChange"},
		{`{"type":"Notification","notification_type":"X","host":"web-01"}`, "notification_type", `"X" is none`},
		{`{"type":`, "", "ends in the middle"},
		{`{"type":"PING","type":"PROBLEM","host":"web-01"}`, "", "duplicate"},
		{`{"type":"PROBLEM","x":` + strings.Repeat("[", 40), "", "deeper than 32"},
		{strings.Repeat("{}\n", maxLines+1), "", "more than 10000 lines"},
		{"A=1\n" + strings.Repeat("B=2\n", 3) + variablesOf(maxVariables+1), "", "more than 1000 arguments"},
		{"<html>", "host", "is missing"},
	} {
		_, err := Format.Decode(request(c.body))
		var bad *ingest.BodyError
		if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(bad.Reason, c.want) {
			t.Errorf("%.80q: got %#v, want the field %q and a reason with %q", c.body, err, c.field, c.want)
		}
	}
}

func variablesOf(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "V%d=x\n", i)
	}
	return out.String()
}

// TestLines: one bad event does not take its neighbours with it.
func TestLines(t *testing.T) {
	good := `{"type":"StateChange","host":"web-01","state":1,"state_type":1}`
	bad := `{"type":"StateChange","host":"web-01","state":9}`
	got, err := Format.Decode(request(good + "\r\n\n" + bad + "\n{\"type\"\n[]\n" + good))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Alerts) != 2 || len(got.Rejected) != 3 {
		t.Fatalf("got %d alerts and %d rejected, want 2 and 3", len(got.Alerts), len(got.Rejected))
	}
	for i, want := range []string{"lines[1].state: ", "lines[2]: ", "lines[3]: want a JSON object"} {
		if r := got.Rejected[i]; !strings.HasPrefix(r.Reason, want) || r.Index != i+1 {
			t.Errorf("got %+v, want the reason %q", r, want)
		}
	}
	again := Format.Wrap([][]byte{got.Rejected[0].Raw, []byte(good)})
	if got, err := Format.Decode(request(string(again))); err != nil || len(got.Alerts) != 1 || len(got.Rejected) != 1 {
		t.Errorf("sent again: %+v, %v", got, err)
	}
	if got, err := Format.Decode(request(bad + "\n" + bad)); err != nil || len(got.Rejected) != 2 {
		t.Errorf("only bad ones: %+v, %v", got, err)
	}
}

// TestOdd: what is not quite understood, but is a problem, is an alert all the same.
func TestOdd(t *testing.T) {
	for _, c := range []struct{ name, body, want, summary string }{
		{"an unknown type", `{"type":"ESCALATED","host":"web-01","state":"DOWN","output":"dead"}`, "alert firing web-01|Host||critical", "dead"},
		{"JSON that quotes broke", `{"type":"PROBLEM","host":"web-01","service":"http","state":"CRITICAL","output":"got "x", want "y" {}"}`,
			"alert firing web-01!http|http|http|critical", `got "x", want "y" {}`},
		{"JSON that a line break broke", "{\n \"type\": \"PROBLEM\",\n \"host\": \"web-01\",\n \"output\": \"one\ntwo\"\n}", "alert firing web-01|Host||", "one"},
		{"its end, broken too", `{"type":"RECOVERY","host":"web-01","state":"UP","output":"now "up""}`, "alert resolved web-01|Host||", `now "up"`},
		{"a plugin that would speak for another host", `{"type":"PROBLEM","host":"web-01","output":"a","host":"web-02"}`, "alert firing web-01|Host||", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Format.Decode(request(c.body))
			if err != nil || len(got.Alerts) != 1 || len(got.Unparsed) != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			a := got.Alerts[0]
			if s := summed(a); s != c.want || a.Annotations.Get("summary") != c.summary || a.Flags != alert.FlagUnparsed {
				t.Errorf("got %s %q %v, want %s %q and the flag", s, a.Annotations.Get("summary"), a.Flags.Names(), c.want, c.summary)
			}
			if u := got.Unparsed[0]; u.Reason == "" || string(u.Raw) != c.body {
				t.Errorf("the dead letter: %+v", u)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct{ name, body, want, description string }{
		{"lines of a plugin", "HOSTNAME=web-01\nNOTIFICATIONTYPE=PROBLEM\nSERVICEDESC=http\nSERVICEOUTPUT=one\nused=80%\n\nthree\nSERVICESTATE=WARNING\n",
			"alert firing web-01!http|http|http|warning", "one\nused=80%\n\nthree"},
		{"lines that would speak for another host", "HOSTNAME=web-01\nHOSTOUTPUT=one\nHOSTNAME=web-02\nNOTIFICATIONTYPE=PROBLEM\n",
			"alert firing web-01|Host||", ""},
		{"arguments alone", "arg[0]=-l\narg[1]=web-01\narg[2]=-t\narg[3]=PROBLEM\narg[4]=-o\narg[5]=$'a\\nb'\n", "alert firing web-01|Host||", "a\nb"},
		{"arguments rule", "arg[0]=-l\narg[1]=web-01\narg[2]=-t\narg[3]=PROBLEM\n--- environment\nHOSTNAME=box\nNOTIFICATIONTYPE=CUSTOM\n",
			"alert firing web-01|Host||", ""},
		{"a value that is an option", "arg[0]=-e\narg[1]=-l\narg[2]=-l\narg[3]=web-01\narg[4]=-t\narg[5]=PROBLEM", "alert firing web-01!-l|-l|-l|", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Format.Decode(request(c.body))
			if err != nil || len(got.Alerts) != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			a := got.Alerts[0]
			if s := summed(a); s != c.want || a.Annotations.Get("description") != c.description {
				t.Errorf("got %s %q, want %s %q", s, a.Annotations.Get("description"), c.want, c.description)
			}
		})
	}
}

func TestUnquote(t *testing.T) {
	for in, want := range map[string]string{
		"''": "", "load": "load", `a\ b\;c`: "a b;c", `$'a\nb\'c\\d'`: "a\nb'c\\d", `$'\303\274'`: "ü", `Zürich`: "Zürich",
		`\`: `\`, `$'`: `$'`, `$'\400'`: "\ufffd", `'a b'`: "a b",
	} {
		if got := unquote(in); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

func TestLink(t *testing.T) {
	for in, want := range map[string]string{"https://icinga.example.com/x": "https://icinga.example.com/x", "javascript:alert(1)": "", "//x/y": "", "": "", "http://": ""} {
		got, err := Format.Decode(request(`{"type":"PROBLEM","host":"h","url":"` + in + `"}`))
		if err != nil || got.Alerts[0].GeneratorURL != want {
			t.Errorf("%q: got %+v, %v", in, got, err)
		}
	}
}

const captures = "../formats/testdata/captures/icinga2"

// bodies are those of the captures in the folders.
func bodies(tb testing.TB, folders ...string) (all [][]byte) {
	tb.Helper()
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(captures, folder, "*"))
		if err != nil || len(files) == 0 {
			tb.Fatal(folder, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, ".expect.json") {
				continue
			}
			body, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			if strings.HasSuffix(name, ".http") {
				if _, body, err = ingest.ReadHTTP(bytes.NewReader(body), ingest.MiB); err != nil {
					tb.Fatal(err)
				}
			}
			all = append(all, body)
		}
	}
	return all
}

// TestSameKeys: whatever shape a message comes in, it is about the same thing.
func TestSameKeys(t *testing.T) {
	keys := map[string]map[string]bool{}
	for _, folder := range []string{"form", "json", "arguments-and-environment", "event-stream"} {
		keys[folder] = map[string]bool{}
		for _, body := range bodies(t, folder) {
			got, err := Format.Decode(request(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			keys[folder][got.Alerts[0].Key] = true
		}
	}
	if !reflect.DeepEqual(keys["form"], keys["json"]) || !reflect.DeepEqual(keys["form"], keys["arguments-and-environment"]) {
		t.Errorf("got %v", keys)
	}
	for key := range keys["event-stream"] {
		if !keys["form"][key] {
			t.Errorf("only the stream knows %s", key)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range bodies(f, "form", "json", "arguments-and-environment", "event-stream", "misconfigured") {
		f.Add(body)
	}
	f.Add([]byte(`{"type":"PROBLEM","host":"a","output":"b "c" d"}`))
	f.Add([]byte("{\"type\":\"StateChange\"}\n{\"host\":\"\xff\",\"type\":\"Flapping\"}\n{"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ingesttest.Check(t, Format, request(string(body)))
		if err != nil {
			return
		}
		for _, a := range got.Alerts {
			if a.Host() == "" || a.Name() == "" || a.Key == "" {
				t.Errorf("got %+v", a)
			}
		}
		if n := got.Len(); n == 0 {
			t.Error("neither an alert nor a rejected element nor an error")
		}
	})
}

func benchmark(b *testing.B, body []byte, n int) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		got, err := Format.Decode(ingest.Request{Source: "icinga", Body: body, ReceivedAt: received})
		if err != nil || len(got.Alerts) != n {
			b.Fatal(err, len(got.Alerts))
		}
	}
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "alerts/s")
}

func BenchmarkJSON(b *testing.B)        { benchmark(b, bodies(b, "json")[0], 1) }
func BenchmarkForm(b *testing.B)        { benchmark(b, bodies(b, "form")[0], 1) }
func BenchmarkEnvironment(b *testing.B) { benchmark(b, bodies(b, "arguments-and-environment")[0], 1) }

// BenchmarkStream is all that the captured stream said, as one body.
func BenchmarkStream(b *testing.B) {
	lines := bodies(b, "event-stream")
	benchmark(b, Format.Wrap(lines), len(lines))
}

// BenchmarkHostile are bodies as large as are let in that could be slow to read.
func BenchmarkHostile(b *testing.B) {
	fill := func(s string) []byte { return []byte(strings.Repeat(s, int(Format.BodyLimit)/len(s))) }
	for name, body := range map[string][]byte{
		"quotes":    append([]byte(`{"type":"`), fill(`"`)...),
		"members":   append([]byte(`{"x`), fill(`"a":"`)...),
		"ends":      append([]byte(`{"a":"`), fill(`",   "`)...),
		"variables": append([]byte("HOSTNAME=a\n"), fill("\n")...),
		"arguments": append([]byte("arg[0]=$'\n"), fill(`\1`)...),
		"pairs":     fill("a&"),
		"objects":   fill("{}\n"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_, _ = Format.Decode(ingest.Request{Body: body, ReceivedAt: received})
			}
		})
	}
}
