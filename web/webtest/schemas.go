package webtest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas checks JSON by the schemas of the document, each of which is compiled once:
// that takes longer than all that is done with it.
type schemas struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// documentURL is what the document is called in messages.
const documentURL = "openapi.yaml"

// compiledSchemas are the same for all tests.
var compiledSchemas = sync.OnceValues(func() (*schemas, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("webtest: openapi.yaml: %w", err)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("webtest: openapi.yaml: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(documentURL, tree); err != nil {
		return nil, fmt.Errorf("webtest: openapi.yaml: %w", err)
	}
	return &schemas{compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
})

// check checks a body by the schema of a media type of what stands at a place in the
// document, such as a response.
func (s *schemas) check(place, media string, body []byte) error {
	schema, err := s.at(place + "/content/" + escape(media) + "/schema")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

func (s *schemas) at(place string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.compiled[place]; known != nil {
		return known, nil
	}
	schema, err := s.compiler.Compile(documentURL + place)
	if err != nil {
		return nil, err
	}
	s.compiled[place] = schema
	return schema, nil
}

// place is where something stands in the document: at a reference, or below an
// operation.
func place(reference string, below ...string) string {
	if reference != "" {
		return reference
	}
	out := "#/paths"
	for _, b := range below {
		out += "/" + escape(b)
	}
	return out
}

// escape writes a name in a JSON pointer that is the fragment of a URL (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
}

// isJSON reports whether a media type that is documented has a schema for JSON.
func isJSON(content openapi3.Content, media string) bool {
	m := content[media]
	return m != nil && m.Schema != nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
