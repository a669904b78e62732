package report

import (
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// JSON writes d as JSON with a line's end. Equal documents are equal bytes.
func JSON(w io.Writer, d *Document) error {
	return json.MarshalWrite(w, d, json.Deterministic(true), jsontext.EscapeForHTML(true), jsontext.WithIndent("  "))
}
