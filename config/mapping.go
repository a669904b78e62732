package config

import (
	"errors"
	"reflect"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
)

// ReadMapping returns s with another mapping, which is read from a text with the keys
// that stand below mapping: in the file, and checked as there. The name stands in
// messages. The error is always a *MistakesError.
func ReadMapping(text []byte, name string, s ingest.SourceConfig) (ingest.SourceConfig, error) {
	const section = "mapping"
	d := &decoder{file: name, at: map[string]place{section: {1, 1}}, bad: map[string]bool{}}
	s.Format, s.Mapping = section, ingest.MappingConfig{}
	if root := d.parse(text); root != nil {
		d.value(root, reflect.ValueOf(&s.Mapping).Elem(), slot{path: section})
		_, err := formats.All[section].Configure(s)
		if found := ingest.ConfigMistakes(nil); errors.As(err, &found) {
			for _, m := range found {
				(&checker{decoder: d}).mistake(m.Path, m.Message, m.Suggestion)
			}
		}
	}
	if len(d.mistakes) > 0 {
		return s, &MistakesError{inOrder(d.mistakes)}
	}
	return s, nil
}
