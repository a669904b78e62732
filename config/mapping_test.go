package config

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest"
)

// TestReadMapping: a mapping by itself is what it is in a file, and so are its mistakes.
func TestReadMapping(t *testing.T) {
	s, err := ReadMapping([]byte("      name: {path: title}\n      status: {path: state, map: {ok: resolved}, default: firing}\n"), "mapping", ingest.SourceConfig{Namespace: "n", IgnoreLabels: []string{"replica"}})
	if err != nil || s.Format != "mapping" || s.Namespace != "n" || len(s.IgnoreLabels) != 1 || s.Mapping.Name.Path != "title" || s.Mapping.Status.Map["ok"] != "resolved" {
		t.Errorf("got %+v, %v", s, err)
	}
	for text, want := range map[string][]string{
		"nam: {path: title}": {`mapping:1:1: mapping: unknown key "nam": did you mean "name"?`,
			"mapping:1:1: mapping: it does not say what the alert is called: add name: {path: …}, name: {template: …} or name: {value: …}"},
		"name: {path: title}\nseverity: {path: level, regex: '(x'}\ntime_format: noon": {"mapping:2:32: mapping.severity.regex: ", `mapping:3:14: mapping.time_format: "noon" does not say the date and the time`},
		"name: {path: title}\nsample: '{\"a\": 1}'":                                    {"mapping:2:9: mapping.sample: body.name: nothing there"},
		"name: [":                               {"mapping:1:1: not YAML: "},
		"- name":                                {"mapping:1:1: expected sections"},
		"":                                      {"mapping:1:1: mapping: it does not say what the alert is called"},
		"name: {path: t}\n---\nname: {path: u}": {"mapping:2:1: the file has a second document"},
	} {
		_, err := ReadMapping([]byte(text), "mapping", ingest.SourceConfig{})
		found := (*MistakesError)(nil)
		if !errors.As(err, &found) {
			t.Errorf("%q: got %v, want mistakes", text, err)
			continue
		}
		if got := strings.Split(found.Error(), "\n"); !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// FuzzReadMapping: whatever somebody writes into a form is a mapping or has mistakes.
func FuzzReadMapping(f *testing.F) {
	text, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "\n    mapping:\n")
	mapping, _, _ := strings.Cut(after, "\n# --- classify")
	f.Add([]byte(mapping))
	f.Add([]byte("name: {template: '{{ a'}\nlabels: {x: {value: y}}"))
	f.Add([]byte(aliasBomb()))
	f.Fuzz(func(t *testing.T, text []byte) {
		found := (*MistakesError)(nil)
		if _, err := ReadMapping(text, "mapping", ingest.SourceConfig{}); err != nil && (!errors.As(err, &found) || len(found.Mistakes) == 0) {
			t.Fatalf("got %#v, want mistakes", err)
		}
	})
}
