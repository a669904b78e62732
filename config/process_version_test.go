package config

import (
	"os"
	"testing"

	"github.com/tocsin-gateway/tocsin/process"
)

// TestExampleProcessHasAVersion: everything that can be written into the section process.
func TestExampleProcessHasAVersion(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, string(text))
	if _, err := process.Version(c.Process, c.ProcessOptions()); err != nil {
		t.Error(err)
	}
}
