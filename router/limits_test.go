package router

import (
	"strings"
	"testing"
)

// What is kept of an alert is bounded, also its key.
func TestKeyIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"events, a key":    `{"name":"a","key":"` + strings.Repeat("k", 8<<20) + `"}`,
		"events, a label":  `{"name":"a","labels":{"x":"` + strings.Repeat("k", 8<<20) + `"}}`,
		"events, identity": `{"name":"a","identity":"` + strings.Repeat("k", 8<<20) + `"}`,
	} {
		g := newGateway(t)
		g.say("events", body)
		c := g.entries()[0].Content
		if n := len(c.Key) + len(c.Identity); n > 64<<10 {
			t.Errorf("%s: key and identity kept: %d KiB", name, n>>10)
		}
	}
}
