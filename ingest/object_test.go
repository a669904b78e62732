package ingest

import (
	"errors"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
)

func TestObject(t *testing.T) {
	for body, want := range map[string]string{
		"": "not JSON: it begins like something else, or is empty", "<a>": "not JSON: it begins like something else, or is empty",
		"null": "the body is null, must be an object", "7": "the body is a number, must be an object", `"a"`: "the body is a string, must be an object",
		"true": "the body is a boolean, must be an object", "[]": "the body is an array, must be an object", `{"a":}`: "a: not JSON: missing value after object name, at byte 5",
	} {
		_, _, err := Object([]byte(body))
		var bad *BodyError
		if !errors.As(err, &bad) || bad.Reason != want || bad.Foreign != (body == "" || body == "<a>") {
			t.Errorf("%q: got %v, want %s", body, err, want)
		}
	}
	o, flags, err := Object([]byte("\ufeff {\"a\":\"\xff\"}"))
	if err != nil || o["a"] != "\ufffd" || flags != alert.FlagInvalidUTF8 {
		t.Errorf("got %v, %v, %v", o, flags, err)
	}
}
