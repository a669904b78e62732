package report

import (
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// JSON writes d as JSON with a line's end. Equal documents are equal bytes.
func JSON(w io.Writer, d *Document) error {
	b, err := json.Marshal(d, json.Deterministic(true), jsontext.EscapeForHTML(true))
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}
