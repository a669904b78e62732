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
	for _, rejected := range got.Rejected {
		reasonable(t, rejected)
		if len(rejected.Raw) == 0 {
			t.Errorf("rejected without the element: %+v", rejected)
		}
	}
	for _, letter := range got.Unparsed {
		reasonable(t, letter)
	}
	return got, err
}

// reasonable fails the test if a dead letter does not say why it is one, or names
// a field elsewhere than at the beginning, where people look for it.
func reasonable(t *testing.T, letter ingest.Rejected) {
	t.Helper()
	named := letter.Field == "" || strings.HasPrefix(letter.Reason, letter.Field+": ")
	if letter.Reason == "" || !named || !utf8.ValidString(letter.Reason) {
		t.Errorf("without a reason: %+v", letter)
	}
}
