package report_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// renderers are the ways to write a document.
var renderers = map[string]func(io.Writer, *report.Document) error{"html": report.HTML, "md": report.Markdown, "json": report.JSON, "csv": report.CSV}

func golden(t *testing.T, name string, d *report.Document, formats ...string) {
	t.Helper()
	for _, format := range formats {
		var got bytes.Buffer
		if err := renderers[format](&got, d); err != nil {
			t.Fatalf("%s.%s: %v", name, format, err)
		}
		file := filepath.Join("testdata", name+"."+format)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got.Bytes(), want)
		}
	}
}

func TestGolden(t *testing.T) {
	later := report.View{Now: night.Add(26 * time.Hour), Zone: zurich, By: "ann"}
	during := report.View{Now: night.Add(60 * time.Minute), Zone: zurich, By: "ann"}
	utc := report.View{Now: night.Add(60 * time.Minute)}
	golden(t, "disruption", report.Disruption(shopOver(t), later), "html", "md", "json", "csv")
	golden(t, "closure", report.Closure(shopOver(t), later), "html", "md", "json")
	golden(t, "handover", report.Handover(shop(t), during), "html", "md", "json")
	golden(t, "shift", report.Shift(watch(t), during), "html", "md", "json")
	golden(t, "monthly", report.Monthly(month(t), report.View{Now: night.AddDate(0, 0, 12), Zone: zurich}), "html", "md", "json", "csv")
	golden(t, "bare-disruption", report.Disruption(bare(t), utc), "html", "md", "json", "csv")
	golden(t, "bare-closure", report.Closure(bare(t), utc), "html", "md", "json")
	golden(t, "bare-handover", report.Handover(bare(t), utc), "html", "md", "json")
	golden(t, "bare-shift", report.Shift(report.Watch{Since: night, NoProcess: true}, utc), "html", "md", "json")
	golden(t, "bare-monthly", report.Monthly(report.Month{From: night, To: night, SilencesUnknown: true}, utc), "html", "md", "json", "csv")
}
