package ingest

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

func FuzzAlertmanager(f *testing.F) {
	fuzzFormat(f, Alertmanager, alertmanagerWire, webhook)
}

func FuzzPrometheus(f *testing.F) {
	fuzzFormat(f, Prometheus, prometheusWire, func(elements ...string) string { return "[" + strings.Join(elements, ",") + "]" })
}

// fuzzFormat checks what holds for any body of a format.
func fuzzFormat(f *testing.F, format Format, w *wire, frame func(...string) string) {
	for _, c := range listCaptures(f) {
		if body := c.body(f); c.format == format.Name && len(body) < 8<<10 {
			f.Add(body)
		}
	}
	for _, element := range []string{
		`{"status":"firing","labels":{"a":"","b":"\u0000\ud83d"},"startsAt":"2026-11-21T03:25:59.5+02:00"}`,
		"{\"status\":\"resolved\",\"labels\":{\"b\":\"\xff\",\"a\":\"1\"},\"annotations\":null,\"new\":[{}]}",
		`{"labels":{"a":"1","a":"2"}}`, `{"labels":{"a":1}}`, `[[[[]]]]`, `null`, `{"startsAt":"x"}`,
	} {
		f.Add([]byte(frame(element)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := Request{Source: "s", Body: body, ReceivedAt: received}
		got, err := format.Decode(r)
		again, errAgain := format.Decode(r)
		if !reflect.DeepEqual(got, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("twice the same body, but %+v (%v) and %+v (%v)", got, err, again, errAgain)
		}
		checkTwoPasses(t, w, r, got, err)
		var bad *BodyError
		if err != nil {
			if !errors.As(err, &bad) || bad.Reason == "" || !strings.HasPrefix(bad.Reason, bad.Field) {
				t.Fatalf("error %#v of the wrong kind, or without a reason", err)
			}
			return
		}
		for i := range got.Alerts {
			checkWellFormed(t, &got.Alerts[i])
			checkOrder(t, format, frame, &got.Alerts[i])
		}
		for _, rejected := range got.Rejected {
			if !strings.HasPrefix(rejected.Reason, rejected.Field+": ") || len(rejected.Raw) == 0 {
				t.Errorf("rejected without a reason, or without the element: %+v", rejected)
			}
		}
		checkBothWays(t, w, r)
	})
}

// checkTwoPasses decodes a body as if it were a large one.
func checkTwoPasses(t *testing.T, w *wire, r Request, want Batch, wantErr error) {
	t.Helper()
	b := &body{wire: w, Request: r}
	if err := b.walk(b.check); err != nil || wantErr != nil {
		if !reflect.DeepEqual(err, wantErr) {
			t.Fatalf("checked before: error %v, want %v", err, wantErr)
		}
		return
	}
	var got Batch
	for batch := range b.stream {
		got.Group = batch.Group
		got.Alerts = append(got.Alerts, batch.Alerts...)
		got.Rejected = append(got.Rejected, batch.Rejected...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("checked before: %+v, want %+v", got, want)
	}
}

// checkBothWays compares the quick and the careful way for each element.
func checkBothWays(t *testing.T, w *wire, r Request) {
	t.Helper()
	b := &body{wire: w, Request: r}
	d := elements{known: w.known, depth: w.depth(), left: len(r.Body)}
	err := b.walk(func(i int, raw []byte) error {
		var quick, careful element
		if !d.quick(raw, &quick) {
			return nil
		}
		if p := d.careful(raw, &careful); p != nil {
			t.Errorf("element %d: quick accepts what careful refuses (%+v): %q", i, p, raw)
		}
		if !sameElement(quick, careful) {
			t.Errorf("element %d: quick %+v, careful %+v: %q", i, quick, careful, raw)
		}
		return nil
	})
	if err != nil {
		t.Errorf("walk again: %v", err)
	}
}

// sameElement compares elements; no labels and an empty list of them are the same.
func sameElement(a, b element) bool {
	same := slices.Equal(a.labels, b.labels) && slices.Equal(a.annotations, b.annotations)
	a.labels, a.annotations, b.labels, b.annotations = nil, nil, nil, nil
	return same && reflect.DeepEqual(a, b)
}

// checkOrder writes the alert's labels in the opposite order and decodes that.
func checkOrder(t *testing.T, format Format, frame func(...string) string, a *alert.Alert) {
	t.Helper()
	element := `{"annotations":` + backwards(a.Annotations) + `,"labels":` + backwards(a.Labels) + `,"status":"` + a.Status.String() + `"}`
	got, err := format.Decode(Request{Source: "s", Body: []byte(frame(element)), ReceivedAt: received})
	if err != nil || len(got.Alerts) != 1 {
		t.Fatalf("%s: error %v, rejected %+v", element, err, got.Rejected)
	}
	if b := &got.Alerts[0]; !slices.Equal(a.Labels, b.Labels) || !slices.Equal(a.Annotations, b.Annotations) {
		t.Errorf("order matters: got %v %v, want %v %v", b.Labels, b.Annotations, a.Labels, a.Annotations)
	}
}

func backwards(ls alert.Labels) string {
	out := []byte{'{'}
	for i := len(ls) - 1; i >= 0; i-- {
		out, _ = jsontext.AppendQuote(out, ls[i].Name)
		out = append(out, ':')
		out, _ = jsontext.AppendQuote(out, ls[i].Value)
		if i > 0 {
			out = append(out, ',')
		}
	}
	return string(append(out, '}'))
}
