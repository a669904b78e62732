package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportCommands(t *testing.T) {
	f := newFixture(t, "")
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db-1:9100", "summary": "95 % full"})
	db := f.reference("db")
	var out bytes.Buffer
	f.run(&out, 0, "incident", "ack", db, "-m", "on it")
	f.run(&out, 0, "report", "disruption", db, "--tz=Europe/Zurich")
	f.run(&out, 0, "report", "disruption", db, "--format=csv")
	f.run(&out, 0, "report", "handover", db, "--by=bob")
	f.run(&out, 1, "report", "closure", db, "--format=csv")
	f.run(&out, 1, "report", "closure", "INC-1")
	f.run(&out, 1, "report", "shift", "--since=2027-01-01T00:00:00Z")
	f.run(&out, 1, "report", "monthly", "--month=november")
	f.run(&out, 1, "report", "monthly", "--tz=Mars/Olympus")
	f.run(&out, 2, "report", "shift", "--since=yesterday")
	text := strings.ReplaceAll(f.stable(out.String()), "\r\n", "\n")
	file := filepath.Join("testdata", "report.golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != text {
		t.Errorf("%s, %v: got\n%s\nwant\n%s", file, err, text, want)
	}
}

// TestReportFiles: a file's name says what is in it.
func TestReportFiles(t *testing.T) {
	f := newFixture(t, "")
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical"})
	dir := t.TempDir()
	for name, begins := range map[string]string{"x.html": "<!doctype html>", "x.HTM": "<!doctype html>", "x.json": `{"kind":"monthly"`, "x.csv": `"reference"`, "x.md": "# Monthly", "x": "# Monthly"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("what was there"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out := f.run(nil, 0, "report", "monthly", "--month=2026-11", "-o", file); out != "" {
			t.Errorf("%s: it also says %q", name, out)
		}
		if b, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(b), begins) {
			t.Errorf("%s: got %.40q, %v; want %q", name, b, err, begins)
		}
	}
	if out := f.run(nil, 0, "report", "closure", f.reference("db"), "-o", "-", "-f", "json"); !strings.HasPrefix(out, `{"kind":"closure"`) {
		t.Errorf("to standard output: got %.60q", out)
	}
	f.run(nil, 1, "report", "monthly", "-o", filepath.Join(dir, "no", "folder.md"))
	if left, err := filepath.Glob(filepath.Join(dir, ".tocsin-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
