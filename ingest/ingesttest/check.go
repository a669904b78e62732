package ingesttest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert/alerttest"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Check decodes a request and fails the test if something does not hold for what
// any format makes of any body: the same twice, alerts that are well-formed, and
// reasons for what is refused. It returns what was decoded; for fuzz targets.
func Check(t *testing.T, f ingest.Format, r ingest.Request) (ingest.Batch, error) {
	t.Helper()
	if f.Tokens != nil {
		_, r.Body = f.Tokens(r)
	}
	got, err := f.Decode(r)
	again, errAgain := f.Decode(r)
	if !reflect.DeepEqual(got, again) || !reflect.DeepEqual(err, errAgain) {
		t.Fatalf("twice the same body, but %+v (%v) and %+v (%v)", got, err, again, errAgain)
	}
	var bad *ingest.BodyError
	if err != nil && (!errors.As(err, &bad) || bad.Reason == "" || !strings.HasPrefix(bad.Reason, bad.Field) || !utf8.ValidString(bad.Reason)) {
		t.Fatalf("error %#v of the wrong kind, or without a reason", err)
	}
	for i := range got.Alerts {
		alerttest.WellFormed(t, &got.Alerts[i], r.Source, r.ReceivedAt)
	}
	for _, rejected := range append(got.Rejected, got.Unparsed...) {
		if !strings.HasPrefix(rejected.Reason, rejected.Field+": ") || !utf8.ValidString(rejected.Reason) {
			t.Errorf("rejected without a reason: %+v", rejected)
		}
	}
	return got, err
}
