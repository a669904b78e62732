// Package alerttest says what holds for every alert, whatever it came from, so
// that the tests of all decoders ask for the same.
package alerttest

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert"
)

// WellFormed fails the test if something does not hold for an alert that a decoder
// made of a request of the source, received at a moment.
func WellFormed(t testing.TB, a *alert.Alert, source string, received time.Time) {
	t.Helper()
	texts := []string{a.Identity, a.Key, a.GeneratorURL, a.Author, a.Comment}
	for _, ls := range []alert.Labels{a.Labels, a.Annotations} {
		for i, l := range ls {
			texts = append(texts, l.Name, l.Value)
			if i > 0 && ls[i-1].Name >= l.Name {
				t.Errorf("labels not in order: %q before %q", ls[i-1].Name, l.Name)
			}
		}
	}
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			t.Errorf("not a clean text: %q", s)
		}
	}
	for _, l := range a.Labels {
		if l.Value == "" {
			t.Errorf("label %q has no value", l.Name)
		}
	}
	for _, when := range []time.Time{a.StartsAt, a.EndsAt, a.ValidUntil, a.EventAt} {
		if _, err := when.MarshalJSON(); err != nil {
			t.Errorf("a time that cannot be written: %v", err)
		}
	}
	if a.Source != source || !a.ReceivedAt.Equal(received) {
		t.Errorf("source %q, received at %v; want %q, %v", a.Source, a.ReceivedAt, source, received)
	}
	switch {
	case a.Kind == alert.KindAlert && len(a.Labels) == 0:
		t.Error("an alert without labels")
	case a.Status == alert.Firing && !a.EndsAt.IsZero():
		t.Errorf("a firing alert that ended at %v", a.EndsAt)
	case a.Status == alert.Resolved && !a.ValidUntil.IsZero():
		t.Errorf("a resolved alert that is valid until %v", a.ValidUntil)
	}
}
