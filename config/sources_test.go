package config

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/formats"
)

func TestBuiltInSources(t *testing.T) {
	sources := Default().Sources
	for name, f := range formats.All {
		if _, ok := sources[name]; ok == f.NeedsConfig {
			t.Errorf("%s: there is a built-in source: %v, but the format needs a configuration: %v", name, ok, f.NeedsConfig)
		}
	}
}

func TestEverySourceDisabled(t *testing.T) {
	var text strings.Builder
	text.WriteString("sources:\n")
	for name := range Default().Sources {
		text.WriteString("  " + name + ": {disabled: true}\n")
	}
	got := mistakesOf(t, text.String(), "t.yml")
	const want = "t.yml:1:1: sources: every source is disabled: keep one, so that alerts have a way in"
	if len(got) != 1 || got[0].String() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestSourceWithoutFormat(t *testing.T) {
	got := mistakesOf(t, "sources: {site-c: {}}", "t.yml")
	want := "t.yml:1:11: sources.site-c: the source has no format: add format:, one of " + strings.Join(formatNames, ", ")
	if len(got) != 1 || got[0].String() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestSNSMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"{format: sns, sns: {topics: [alerts]}}":                     `1:43: sources.a.sns.topics[0]: "alerts" is not the ARN of a topic: write such as arn:aws:sns:eu-central-1:123456789012:alerts`,
		"{format: sns, sns: {certificate_hosts: ['https://x/y']}}":   `1:54: sources.a.sns.certificate_hosts[0]: "https://x/y" is not the name of a host`,
		"{format: sns, sns: {certificate_file: missing.pem}}":        "1:52: sources.a.sns.certificate_file: stat missing.pem: no such file",
		"{format: sns, sns: {certificate_file: ../go.mod}}":          "1:52: sources.a.sns.certificate_file: ../go.mod: no certificate in it",
		"{format: sns, sns: {certificate_file: /dev/zero}}":          "is not a regular file",
		"{format: prometheus, sns: {confirm: true}}":                 `1:35: sources.a.sns: this is for the format sns, and the source has the format "prometheus": remove it, or write format: sns`,
		"{format: sns, sns: {topic: ['arn:aws:sns:x:1:alerts']}}":    `unknown key "topic": did you mean "topics"?`,
		"{format: sns, disabled: true, sns: {certificate_fil: x}}":   `unknown key "certificate_fil"`,
		"{format: sns, sns: {topics: ['arn:aws:sns:eu:1:al erts']}}": "is not the ARN of a topic",
	} {
		if got := mistakesOf(t, "sources: {a: "+text+"}", "t.yml"); len(got) != 1 || !strings.Contains(got[0].String(), strings.TrimPrefix(want, "1:")) {
			t.Errorf("%s: got %v, want %s", text, got, want)
		}
	}
	c := mustLoad(t, "sources: {a: {format: sns, sns: {confirm: true}}}")
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "topics of theirs") {
		t.Errorf("got warnings %v, want one about topics", c.Warnings)
	}
}

// TestDocumentedMapping loads the example in docs/sources.md.
func TestDocumentedMapping(t *testing.T) {
	text, err := os.ReadFile("../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## mapping\n")
	_, section, _ = strings.Cut(section, "```yaml\n")
	example, _, found := strings.Cut(section, "```")
	if c := mustLoad(t, example); !found || c.Sources["mytool"].Format != "mapping" {
		t.Errorf("got %+v of %q", c.Sources["mytool"], example)
	}
	wrong := strings.Replace(example, "severity: high}", "severity: low}", 1)
	if got := mistakesOf(t, wrong, "t.yml"); len(got) != 1 || got[0].Path != "sources.mytool.mapping.sample_expect[0]" {
		t.Errorf("got %v, want the sample's mistake", got)
	}
}

func TestVolatileAnnotations(t *testing.T) {
	c := mustLoad(t, "sources: {g: {format: grafana, volatile_annotations: [mine]}, prometheus: {volatile_annotations: [mine]}}")
	for source, want := range map[string][]string{"g": append(slices.Clone(formats.All["grafana"].Volatile), "mine"), "prometheus": {"mine"}} {
		if got := c.Settings().Sources[source].VolatileAnnotations; !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}
