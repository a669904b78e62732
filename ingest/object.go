package ingest

import (
	"errors"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Object reads a body that must be a JSON object. The error is a *BodyError.
func Object(body []byte) (fields.Object, alert.Flag, error) {
	v, flags, err := fields.JSON(body)
	if err != nil {
		return nil, 0, NotJSON(err)
	}
	o, ok := v.(fields.Object)
	if !ok {
		return nil, 0, Errorf("", "the body is %s, must be an object", fields.Kind(v))
	}
	return o, flags, nil
}

// NotJSON makes an error of fields.JSON the *BodyError of a whole body.
func NotJSON(err error) error {
	if errors.Is(err, fields.ErrNotJSON) {
		return Foreignf("not JSON: it begins like something else, or is empty")
	}
	return Errorf("", "%s", err.Error())
}
