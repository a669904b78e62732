package webhook

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/notify"
)

// fill renders every text of a payload that the block has in place of the
// standard one. A text that fails becomes the fallback.
func fill(texts *notify.Texts, own any, fallback string) any {
	switch v := own.(type) {
	case string:
		return structured(v, texts.Text("payload", v, fallback))
	case []any:
		all := make([]any, len(v))
		for n := range v {
			all[n] = fill(texts, v[n], fallback)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, value := range v {
			all[texts.Text("payload", name, name)] = fill(texts, value, fallback)
		}
		return all
	case map[any]any:
		all := make(map[string]any, len(v))
		for name, value := range v {
			all[texts.Text("payload", fmt.Sprint(name), fmt.Sprint(name))] = fill(texts, value, fallback)
		}
		return all
	}
	return own
}

// structured makes a value of what a template wrote, if that is what it is for:
// JSON, such as {{ .Alerts | toJson }} writes, and YAML of several lines. The module
// reads everything as YAML, so that of "[FIRING] disk full" only the list is left;
// here what is not wholly a value stays a text.
func structured(template, text string) any {
	if value := jsontext.Value(text); value.IsValid() && strings.TrimSpace(text) != "" {
		var v any
		if json.Unmarshal(value, &v) == nil {
			return v
		}
	}
	if !strings.Contains(strings.TrimSpace(template), "\n") {
		return text
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	var v, rest any
	if d.Decode(&v) != nil || !errors.Is(d.Decode(&rest), io.EOF) {
		return text
	}
	switch v.(type) {
	case map[string]any, []any:
		if _, err := encode(v); err == nil {
			return v
		}
	}
	return text
}
