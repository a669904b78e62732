// Package ingesttest says in words what a decoder makes of a body, so that tests
// of decoders are tables of texts.
package ingesttest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Received is when the bodies of Say come.
var Received = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// Say decodes a body and writes a line for each alert, for each rejected element
// and for each dead letter of an alert, or one for the error. What is empty is
// left out; of the annotations only the summary is there.
func Say(f ingest.Format, body string) string {
	r := ingest.Request{Source: "s", Body: []byte(body), ReceivedAt: Received}
	if f.Tokens != nil {
		_, r.Body = f.Tokens(r)
	}
	batch, err := f.Decode(r)
	var bad *ingest.BodyError
	if errors.As(err, &bad) {
		if bad.Foreign {
			return "foreign: " + bad.Reason
		}
		return "refused: " + bad.Reason
	}
	var lines []string
	for i := range batch.Alerts {
		lines = append(lines, line(&batch.Alerts[i]))
	}
	for _, rejected := range batch.Rejected {
		lines = append(lines, "rejected: "+rejected.Reason)
	}
	for _, letter := range batch.Unparsed {
		lines = append(lines, "letter: "+letter.Reason)
	}
	return strings.Join(lines, "\n")
}

func line(a *alert.Alert) string {
	out := []string{a.Kind.String() + " " + a.Status.String()}
	add := func(name, value string) {
		if value != "" {
			out = append(out, name+"="+value)
		}
	}
	for _, l := range a.Labels {
		add(l.Name, l.Value)
	}
	add("key", a.Key)
	add("identity", a.Identity)
	for _, t := range []struct {
		name string
		time.Time
	}{{"from", a.StartsAt}, {"to", a.EndsAt}, {"at", a.EventAt}, {"until", a.ValidUntil}} {
		if !t.IsZero() {
			add(t.name, t.Format(time.RFC3339Nano))
		}
	}
	add("by", a.Author)
	add("comment", a.Comment)
	add("link", a.GeneratorURL)
	add("flags", strings.Join(a.Flags.Names(), "+"))
	return strings.Join(out, " ") + " | " + a.Annotations.Get("summary")
}

// Table is bodies and what is to be said of them, with a name for each.
type Table map[string]struct{ Body, Want string }

// Run compares what a format makes of each body with what it should.
func (table Table) Run(t *testing.T, f ingest.Format) {
	t.Helper()
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			if got := Say(f, c.Body); got != c.Want {
				t.Errorf("got\n%s\nwant\n%s\nof %s", got, c.Want, excerpt(c.Body))
			}
		})
	}
}

func excerpt(s string) string { return fmt.Sprintf("%.300s", s) }
