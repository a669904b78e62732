package ingest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

var received = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// webhook frames elements as Alertmanager does.
func webhook(elements ...string) string {
	return `{"receiver":"r","status":"firing","alerts":[` + strings.Join(elements, ",") +
		`],"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://am","version":"4","groupKey":"{}:{}","truncatedAlerts":0}`
}

// good is an element of a webhook that nothing is wrong with.
func good(name string) string {
	return `{"status":"firing","labels":{"alertname":"` + name + `"},"annotations":{},"startsAt":"2026-11-21T11:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"0123456789abcdef"}`
}

func TestOneBadElementHarmsNoNeighbour(t *testing.T) {
	tests := []struct {
		name, element string
		field, reason string // reason follows field and ": "
	}{
		{"time in words", `{"status":"firing","labels":{"a":"b"},"startsAt":"yesterday"}`, ".startsAt", `"yesterday" is not RFC 3339`},
		{"month 13", `{"status":"firing","labels":{"a":"b"},"startsAt":"2026-13-01T00:00:00Z"}`, ".startsAt", `"2026-13-01T00:00:00Z" is not RFC 3339`},
		{"February 30", `{"status":"firing","labels":{"a":"b"},"endsAt":"2026-02-30T00:00:00Z"}`, ".endsAt", `"2026-02-30T00:00:00Z" is not RFC 3339`},
		{"year 10000", `{"status":"firing","labels":{"a":"b"},"startsAt":"10000-01-01T00:00:00Z"}`, ".startsAt", `"10000-01-01T00:00:00Z" is not RFC 3339`},
		{"year 10000 in UTC", `{"status":"firing","labels":{"a":"b"},"startsAt":"9999-12-31T23:59:59-01:00"}`, ".startsAt", `"9999-12-31T23:59:59-01:00" is not RFC 3339`},
		{"time without a zone", `{"status":"firing","labels":{"a":"b"},"startsAt":"2026-11-21T11:00:00"}`, ".startsAt", `"2026-11-21T11:00:00" is not RFC 3339`},
		{"empty time", `{"status":"firing","labels":{"a":"b"},"startsAt":""}`, ".startsAt", `"" is not RFC 3339`},
		{"time as a number", `{"status":"firing","labels":{"a":"b"},"startsAt":1763722800}`, ".startsAt", "a number, must be a string"},
		{"label value a number", `{"status":"firing","labels":{"severity":1}}`, ".labels.severity", "a number, must be a string"},
		{"label value null", `{"status":"firing","labels":{"severity":null}}`, ".labels.severity", "null, must be a string"},
		{"label value nested", `{"status":"firing","labels":{"a":"b","severity":{"x":"y"}}}`, ".labels.severity", "an object, must be a string"},
		{"label of odd name", `{"status":"firing","labels":{"a b\n":true}}`, `.labels["a b\n"]`, "a boolean, must be a string"},
		{"label of long name", `{"status":"firing","labels":{"` + strings.Repeat("n", 1000) + `":1}}`, `.labels["` + strings.Repeat("n", 64) + `"…]`, "a number, must be a string"},
		{"annotation a list", `{"status":"firing","labels":{"a":"b"},"annotations":{"summary":["x"]}}`, ".annotations.summary", "an array, must be a string"},
		{"annotations a list", `{"status":"firing","labels":{"a":"b"},"annotations":[]}`, ".annotations", "an array, must be an object of strings"},
		{"labels a string", `{"status":"firing","labels":"a=b"}`, ".labels", "a string, must be an object of strings"},
		{"labels absent", `{"status":"firing"}`, ".labels", "none; an alert without labels cannot be told apart from others"},
		{"labels null", `{"status":"firing","labels":null}`, ".labels", "none; an alert without labels cannot be told apart from others"},
		{"labels all empty", `{"status":"firing","labels":{"a":"","b":""}}`, ".labels", "none; an alert without labels cannot be told apart from others"},
		{"label twice", `{"status":"firing","labels":{"a":"1","b":"2","a":"3"}}`, ".labels.a", "occurs twice"},
		{"label twice, once empty", `{"status":"firing","labels":{"a":"","a":"3"}}`, ".labels.a", "occurs twice"},
		{"label twice by an escape", `{"status":"firing","labels":{"a":"1","\u0061":"3"}}`, ".labels.a", "occurs twice"},
		{"annotation twice", `{"status":"firing","labels":{"a":"1"},"annotations":{"s":"","s":""}}`, ".annotations.s", "occurs twice"},
		{"member twice", `{"status":"firing","labels":{"a":"1"},"status":"resolved"}`, ".status", "occurs twice"},
		{"unknown member twice", `{"status":"firing","labels":{"a":"1"},"x":1,"x":2}`, ".x", "occurs twice"},
		{"twice within an unknown member", `{"status":"firing","labels":{"a":"1"},"x":[{"y":1,"y":2}]}`, ".x[0].y", "occurs twice"},
		{"equal once cleaned", "{\"status\":\"firing\",\"labels\":{\"a\\u0000\":\"1\",\"a\uFFFD\":\"2\"}}", `.labels["a` + "\uFFFD" + `"]`, "occurs twice"},
		{"status unknown", `{"status":"FIRING","labels":{"a":"b"}}`, ".status", `"FIRING" is neither firing nor resolved`},
		{"status absent", `{"labels":{"a":"b"}}`, ".status", "absent, must be firing or resolved"},
		{"status a number", `{"status":1,"labels":{"a":"b"}}`, ".status", "a number, must be a string"},
		{"not an object", `"firing"`, "", "a string, must be an object"},
		{"null", `null`, "", "null, must be an object"},
		{"too many members", `{"status":"firing","labels":{` + manyLabels(maxMembers) + `}}`, "", fmt.Sprintf("%d members, at most %d are read", maxMembers+2, maxMembers-1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// Neighbours on both sides, and the bad one in each place.
			got, err := Alertmanager.Decode(Request{Source: "s", Body: []byte(webhook(good("A"), test.element, good("B"), test.element)), ReceivedAt: received})
			if err != nil {
				t.Fatalf("the whole body was refused: %v", err)
			}
			if len(got.Alerts) != 2 || got.Alerts[0].Name() != "A" || got.Alerts[1].Name() != "B" {
				t.Errorf("neighbours: got %d alerts, want A and B", len(got.Alerts))
			}
			if len(got.Rejected) != 2 {
				t.Fatalf("rejected: got %+v, want 2", got.Rejected)
			}
			for i, index := range []int{1, 3} {
				r := got.Rejected[i]
				field := fmt.Sprintf("alerts[%d]%s", index, test.field)
				if r.Index != index || r.Field != field || r.Suffix != test.field || r.Reason != field+": "+test.reason || string(r.Raw) != test.element {
					t.Errorf("got  %d, %s\nwant %d, %s", r.Index, r.Reason, index, field+": "+test.reason)
				}
			}
		})
	}
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"l%06d":"v"`, i)
	}
	return b.String()
}

func TestBodyThatCannotBeUnderstood(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	inField := func(value string) string {
		return `{"alerts":[` + good("A") + `,{"status":"firing","labels":{"a":"b"},"x":` + value + `}]}`
	}
	tests := []struct {
		name, format, body string
		field, reason      string
	}{
		{"empty", "alertmanager", "", "", "the body is empty"},
		{"blank", "prometheus", " \r\n", "", "the body is empty"},
		{"not JSON", "alertmanager", "hello", "", "not JSON: invalid character 'h' at start of value, at byte 0"},
		{"HTML", "prometheus", "<html>", "", "not JSON: invalid character '<' at start of value, at byte 0"},
		{"NaN", "alertmanager", inField("NaN"), "alerts[1].x", "alerts[1].x: not JSON: invalid character 'N' at start of value, at byte 234"},
		{"an array", "alertmanager", `[]`, "", `the body is an array, must be an object with an array "alerts"`},
		{"an object", "prometheus", `{}`, "", "the body is an object, must be an array of alerts"},
		{"a string", "prometheus", `"x"`, "", "the body is a string, must be an array of alerts"},
		{"no alerts", "alertmanager", `{"count":1}`, "alerts", "alerts: absent; this is not a webhook of Alertmanager (version 4)"},
		{"alerts null", "alertmanager", `{"alerts":null}`, "alerts", "alerts: null, must be an array"},
		{"alerts an object", "alertmanager", `{"alerts":{}}`, "alerts", "alerts: an object, must be an array"},
		{"member twice", "alertmanager", `{"alerts":[],"status":"x","status":"y"}`, "status", "status: occurs twice"},
		{"alerts twice", "alertmanager", `{"alerts":[],"alerts":[]}`, "alerts", "alerts: occurs twice"},
		{"alerts twice by an escape", "alertmanager", `{"alerts":[],"\u0061lerts":[]}`, "alerts", "alerts: occurs twice"},
		{"odd member twice", "alertmanager", `{"alerts":[],"a b":1,"a b":2}`, `"a b"]`, ""},
		{"truncated", "alertmanager", webhook(good("A"))[:200], "alerts[0]", "alerts[0]: not JSON: the body ends in the middle, at byte 200"},
		{"truncated array", "prometheus", `[{"labels":{"a":"b"}},`, "", "not JSON: the body ends in the middle, at byte 22"},
		{"no value for alerts", "alertmanager", `{"alerts":}`, "alerts", "alerts: not JSON: invalid character '}' at start of value, at byte 10"},
		{"trailing garbage", "alertmanager", webhook(good("A")) + "x", "", ""},
		{"a second body", "prometheus", `[] []`, "", "not JSON: there is something after the end, at byte 2"},
		{"control character", "prometheus", "[{\"labels\":{\"a\":\"b\nc\"}}]", "[0].labels.a", ""},
		{"deep, unclosed", "prometheus", strings.Repeat("[", 2_000_000), "", "nested deeper than 32"},
		{"deep, closed", "alertmanager", deep(1_000_000), "", "nested deeper than 32"},
		{"deep in an element", "alertmanager", inField(deep(30)), "alerts[1]", "alerts[1]: nested deeper than 32"},
		{"deep in a member", "alertmanager", `{"alerts":[],"x":` + deep(32) + `}`, "x", "x: nested deeper than 32"},
		{"very deep in an element", "alertmanager", inField(deep(1_000_000)), "", "nested deeper than 32"},
		{"too many members", "alertmanager", `{"alerts":[],` + manyLabels(maxFields) + `}`, "", fmt.Sprintf("more than %d members in the outermost object", maxFields)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, padding := range []int{0, onePass} { // decoded in one pass, and checked before
				body := strings.Repeat(" ", padding) + test.body
				start := time.Now()
				got, err := testFormats[test.format].Decode(Request{Body: []byte(body), ReceivedAt: received})
				took := time.Since(start)
				var bad *BodyError
				if !errors.As(err, &bad) {
					t.Fatalf("got %d alerts and error %v, want a *BodyError", got.Len(), err)
				}
				if padding == 0 && test.reason != "" && (bad.Reason != test.reason || bad.Field != test.field) {
					t.Errorf("got  %q, %q\nwant %q, %q", bad.Field, bad.Reason, test.field, test.reason)
				}
				if bad.Reason == "" || !strings.HasPrefix(bad.Reason, bad.Field) {
					t.Errorf("the reason %q does not start with the field %q", bad.Reason, bad.Field)
				}
				if limit := time.Minute; took > limit { // BenchmarkBrackets measures 10 ms; what is not linear takes many minutes
					t.Errorf("took %v, want at most %v", took, limit)
				}
			}
		})
	}
}

func TestDepthThatIsAllowed(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for format, body := range map[string]string{
		"alertmanager": `{"alerts":[{"status":"firing","labels":{"a":"b"},"x":` + nested(29) + `}]}`,
		"prometheus":   `[{"labels":{"a":"b"},"x":` + nested(30) + `}]`,
	} {
		got, err := testFormats[format].Decode(Request{Body: []byte(body), ReceivedAt: received})
		if err != nil || len(got.Alerts) != 1 {
			t.Errorf("%s: 32 levels: got %d alerts, error %v; want 1", format, len(got.Alerts), err)
		}
	}
}

func TestTextIsNeverLost(t *testing.T) {
	tests := []struct {
		name, value, want string
		flags             alert.Flag
	}{
		{"HTML", `<b>\u003cscript\u003e</b>`, "<b><script></b>", 0},
		{"CRLF", `a\r\nX-Header: b`, "a\r\nX-Header: b", 0},
		{"escaped quote at the end", `a\\\"`, `a\"`, 0},
		{"backslash at the end", `a\\`, `a\`, 0},
		{"surrogate pair", `\ud83d\ude00`, "😀", 0},
		{"the sender's own U+FFFD", "a\uFFFD", "a\uFFFD", 0},
		{"invalid byte", "a\xffb", "a\uFFFDb", alert.FlagInvalidUTF8},
		{"cut-off character", "a\xc3", "a\uFFFD", alert.FlagInvalidUTF8},
		{"lone high surrogate", `a\ud83d`, "a\uFFFD", alert.FlagInvalidUTF8},
		{"lone low surrogate", `a\ude00b`, "a\uFFFDb", alert.FlagInvalidUTF8},
		{"NUL", `a\u0000b`, "a\uFFFDb", alert.FlagInvalidUTF8},
	}
	places := map[string]func(*alert.Alert) string{
		`{"status":"firing","labels":{"x":"%s"}}`:                            func(a *alert.Alert) string { return a.Labels.Get("x") },
		`{"status":"firing","labels":{"%s":"x"}}`:                            func(a *alert.Alert) string { return a.Labels[0].Name },
		`{"status":"firing","labels":{"a":"b"},"annotations":{"x":"%s"}}`:    func(a *alert.Alert) string { return a.Annotations.Get("x") },
		`{"status":"firing","labels":{"a":"b"},"generatorURL":"%s"}`:         func(a *alert.Alert) string { return a.GeneratorURL },
		`{"status":"firing","labels":{"a":"b"},"fingerprint":"%s"}`:          func(a *alert.Alert) string { return a.Identity },
		` { "status" : "firing" , "labels" : { "x" : "%s" } , "new":[{}] } `: func(a *alert.Alert) string { return a.Labels.Get("x") },
	}
	for _, test := range tests {
		for place, text := range places {
			body := webhook(good("A"), strings.Replace(place, "%s", test.value, 1))
			got, err := Alertmanager.Decode(Request{Body: []byte(body), ReceivedAt: received})
			if err != nil || len(got.Alerts) != 2 {
				t.Errorf("%s in %s: %d alerts, error %v, rejected %+v; want 2", test.name, place, len(got.Alerts), err, got.Rejected)
				continue
			}
			a := &got.Alerts[1]
			if text(a) != test.want || a.Flags != test.flags || got.Alerts[0].Flags != 0 {
				t.Errorf("%s in %s: got %q, flags %v; want %q, flags %v", test.name, place, text(a), a.Flags.Names(), test.want, test.flags.Names())
			}
			checkWellFormed(t, a)
		}
	}
}

func TestAlertmanagerMeaning(t *testing.T) {
	at := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	tests := []struct {
		name, element          string
		status                 alert.Status
		startsAt, endsAt       time.Time
		labels, annotations, n int
	}{
		{name: "firing has no end", element: `{"status":"firing","labels":{"a":"b"},"startsAt":"2026-11-21T11:00:00Z","endsAt":"0001-01-01T00:00:00Z"}`, status: alert.Firing, startsAt: at, labels: 1},
		{name: "firing has no end, whatever is said", element: `{"status":"firing","labels":{"a":"b"},"endsAt":"2036-11-21T11:00:00Z"}`, status: alert.Firing, labels: 1},
		{name: "resolved", element: `{"status":"resolved","labels":{"a":"b"},"endsAt":"2026-11-21T13:00:00+02:00"}`, status: alert.Resolved, endsAt: at, labels: 1},
		{name: "resolved at a time unknown", element: `{"status":"resolved","labels":{"a":"b"},"endsAt":null}`, status: alert.Resolved, labels: 1},
		{name: "empty labels are none, empty annotations are some", element: `{"status":"firing","labels":{"a":"","b":"c","d":""},"annotations":{"x":"","y":""}}`, status: alert.Firing, labels: 1, annotations: 2},
		{name: "nulls are absent", element: `{"status":"firing","labels":{"b":"c"},"annotations":null,"startsAt":null,"endsAt":null,"generatorURL":null,"fingerprint":null}`, status: alert.Firing, labels: 1},
		{name: "unknown members", element: `{"new":{"labels":{}},"status":"firing","labels":{"b":"c"}}`, status: alert.Firing, labels: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Alertmanager.Decode(Request{Source: "s", Body: []byte(webhook(test.element)), ReceivedAt: received})
			if err != nil || len(got.Alerts) != 1 {
				t.Fatalf("got %d alerts, rejected %+v, error %v; want 1", len(got.Alerts), got.Rejected, err)
			}
			a := &got.Alerts[0]
			checkWellFormed(t, a)
			if a.Status != test.status || !a.StartsAt.Equal(test.startsAt) || !a.EndsAt.Equal(test.endsAt) || !a.ValidUntil.IsZero() {
				t.Errorf("got %v, %v to %v, valid until %v; want %v, %v to %v", a.Status, a.StartsAt, a.EndsAt, a.ValidUntil, test.status, test.startsAt, test.endsAt)
			}
			if len(a.Labels) != test.labels || len(a.Annotations) != test.annotations {
				t.Errorf("got %d labels and %d annotations, want %d and %d", len(a.Labels), len(a.Annotations), test.labels, test.annotations)
			}
			if a.Source != "s" || !a.ReceivedAt.Equal(received) || a.Kind != alert.KindAlert {
				t.Errorf("got source %q, received %v, kind %v", a.Source, a.ReceivedAt, a.Kind)
			}
		})
	}
}

func TestPrometheusMeaning(t *testing.T) {
	tests := []struct {
		name, endsAt       string
		status             alert.Status
		endsAtGot, validTo time.Time
	}{
		{"no end", `null`, alert.Firing, time.Time{}, time.Time{}},
		{"zero end", `"0001-01-01T00:00:00Z"`, alert.Firing, time.Time{}, time.Time{}},
		{"a nanosecond ahead", `"2026-11-21T12:00:00.000000001Z"`, alert.Firing, time.Time{}, received.Add(1)},
		{"now", `"2026-11-21T12:00:00Z"`, alert.Resolved, received, time.Time{}},
		{"now, elsewhere", `"2026-11-21T17:45:00.000+05:45"`, alert.Resolved, received, time.Time{}},
		{"past", `"1970-01-01T00:00:00Z"`, alert.Resolved, time.Unix(0, 0).UTC(), time.Time{}},
		{"year 9999", `"9999-12-31T23:59:59Z"`, alert.Firing, time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// status and fingerprint mean nothing in this format.
			body := `[{"status":{"state":"active"},"fingerprint":1,"labels":{"a":"b"},"endsAt":` + test.endsAt + `}]`
			got, err := Prometheus.Decode(Request{Body: []byte(body), ReceivedAt: received})
			if err != nil || len(got.Alerts) != 1 {
				t.Fatalf("got %d alerts, rejected %+v, error %v; want 1", len(got.Alerts), got.Rejected, err)
			}
			a := &got.Alerts[0]
			checkWellFormed(t, a)
			if a.Status != test.status || a.EndsAt != test.endsAtGot || a.ValidUntil != test.validTo || a.Identity != "" {
				t.Errorf("got %v, ends %v, valid until %v; want %v, %v, %v", a.Status, a.EndsAt, a.ValidUntil, test.status, test.endsAtGot, test.validTo)
			}
		})
	}
}

func TestGroupIsKeptAndNeverInTheWay(t *testing.T) {
	element := good("A")
	tests := []struct {
		members string
		want    Group
	}{
		{`"receiver":"r","status":"firing","groupKey":"k","notification_reason":"n","truncatedAlerts":7`, Group{Receiver: "r", Status: "firing", Key: "k", Reason: "n", LeftOut: 7}},
		{`"receiver":1,"status":null,"groupKey":{},"notification_reason":[],"truncatedAlerts":"7"`, Group{}},
		{`"truncatedAlerts":-1`, Group{}},
		{`"truncatedAlerts":1.5`, Group{}},
		{`"truncatedAlerts":99999999999999999999`, Group{}},
		{`"commonLabels":{"a":"1","a":"2"},"x":"` + "\xff" + `"`, Group{}},
	}
	for _, test := range tests {
		for _, body := range []string{`{` + test.members + `,"alerts":[` + element + `]}`, `{"alerts":[` + element + `],` + test.members + `}`} {
			got, err := Alertmanager.Decode(Request{Body: []byte(body), ReceivedAt: received})
			if err != nil || len(got.Alerts) != 1 || got.Group != test.want || got.Alerts[0].LeftOut != test.want.LeftOut {
				t.Errorf("%s: got %d alerts, %+v, error %v; want %+v", body, len(got.Alerts), got.Group, err, test.want)
			}
		}
	}
}

// TestLargeBodyComesInBatches compares a body that is decoded batch by batch
// with the same alerts decoded one by one.
func TestLargeBodyComesInBatches(t *testing.T) {
	const n = 3*BatchSize + 7
	var elements []string
	for i := range n {
		element := strings.Replace(good("A"), `"annotations":{}`, fmt.Sprintf(`"annotations":{"n":"%d","pad":"%s"}`, i, strings.Repeat("p", 400)), 1)
		if i%500 == 499 {
			element = `{"status":"firing"}`
		}
		elements = append(elements, element)
	}
	body := []byte(strings.Replace(webhook(elements...), `"truncatedAlerts":0`, `"truncatedAlerts":5`, 1))
	if len(body) <= onePass {
		t.Fatalf("the body of %d bytes is not a large one", len(body))
	}
	batches, err := Alertmanager.Batches(Request{Source: "s", Body: body, ReceivedAt: received})
	if err != nil {
		t.Fatal(err)
	}
	next, rejected := 0, 0
	for b := range batches {
		if b.First != next || b.Len() > BatchSize || b.Group.LeftOut != 5 {
			t.Errorf("batch: first %d of %d elements, left out %d; want first %d, at most %d, 5", b.First, b.Len(), b.Group.LeftOut, next, BatchSize)
		}
		alerts, bad := b.Alerts, b.Rejected
		for i := range b.Len() {
			if len(bad) > 0 && bad[0].Index == next+i {
				bad, rejected = bad[1:], rejected+1
				continue
			}
			alone, err := Alertmanager.Decode(Request{Source: "s", Body: []byte(`{"alerts":[` + elements[next+i] + `],"truncatedAlerts":5}`), ReceivedAt: received})
			if err != nil || !reflect.DeepEqual(alone.Alerts[0], alerts[0]) {
				t.Fatalf("element %d: got %+v, want %+v (%v)", next+i, alerts[0], alone.Alerts, err)
			}
			alerts = alerts[1:]
		}
		next += b.Len()
	}
	if next != n || rejected != n/500 {
		t.Errorf("got %d elements, %d rejected; want %d and %d", next, rejected, n, n/500)
	}
	first := 0
	for range batches { // a reader may stop
		if first++; first == 2 {
			break
		}
	}
}

func TestOddBodies(t *testing.T) {
	for name, test := range map[string]struct {
		format, body string
		alerts       int
	}{
		"no alert":              {"prometheus", `[]`, 0},
		"no alert of a group":   {"alertmanager", webhook(), 0},
		"white space":           {"prometheus", " [ \r\n\t{ \"labels\" : { \"a\" : \"b\" , \"c\" : \"d\" } } ] \n", 1},
		"10,000 labels":         {"prometheus", `[{"labels":{` + manyLabels(10_000) + `}},{"labels":{"a":"b"}}]`, 2},
		"labels in no order":    {"prometheus", `[{"labels":{"c":"3","a":"1","b":"2"}}]`, 1},
		"an empty name":         {"prometheus", `[{"labels":{"":"x"}}]`, 1},
		"annotation of 1 MiB":   {"prometheus", `[{"labels":{"a":"b"},"annotations":{"x":"` + strings.Repeat("é", 1<<19) + `"}}]`, 1},
		"the year 1, not zero":  {"prometheus", `[{"labels":{"a":"b"},"startsAt":"0001-01-01T00:00:00.000000001Z"}]`, 1},
		"year 0":                {"prometheus", `[{"labels":{"a":"b"},"startsAt":"0000-01-01T00:00:00Z"}]`, 1},
		"an unknown version":    {"alertmanager", `{"version":"9","alerts":[` + good("A") + `]}`, 1},
		"an escaped field name": {"alertmanager", `{"\u0061lerts":[{"st\u0061tus":"firing","labels":{"a":"b"}}]}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := testFormats[test.format].Decode(Request{Body: []byte(test.body), ReceivedAt: received})
			if err != nil || len(got.Alerts) != test.alerts || len(got.Rejected) != 0 {
				t.Fatalf("got %d alerts, %d rejected, error %v; want %d alerts", len(got.Alerts), len(got.Rejected), err, test.alerts)
			}
			for i := range got.Alerts {
				checkWellFormed(t, &got.Alerts[i])
			}
		})
	}
}
