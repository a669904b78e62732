package ingest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/alert/alerttest"
)

// expectation is a NAME.expect.json beside a capture: what a correct receiver
// understands of it. Absent members are not checked.
type expectation struct {
	Origin     string
	Source     string
	ReceivedAt time.Time `json:"received_at"`
	// Recognised is nil where the file does not say.
	Recognised *bool
	GroupState string `json:"group_state"`
	GroupKey   string `json:"group_key"`
	Receiver   string
	Reason     string
	Counts     *struct {
		Alerts, Firing, Resolved int
		LeftOut                  int `json:"left_out"`
	}
	Alerts             []expectedAlert
	AlertsSample       []expectedAlert `json:"alerts_sample"`
	DistinctIdentities int             `json:"distinct_identities"`
	Severities         map[string]int
}

// expectedAlert is one alert of an expectation. Where null means "none", the
// pointer is nil.
type expectedAlert struct {
	Name, Host, Severity, Identity *string
	State                          string
	StartedAt                      *time.Time `json:"started_at"`
	EndedAt                        *time.Time `json:"ended_at"`
	ValidUntil                     *time.Time `json:"valid_until"`
	Labels, Annotations            map[string]string
}

func readExpectation(t *testing.T, file string) expectation {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e expectation
	if err := json.Unmarshal(text, &e, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if e.ReceivedAt.IsZero() {
		t.Fatalf("%s: no received_at", file)
	}
	return e
}

// understood reports whether the request is expected to be understood. Files
// that do not say so list the alerts, or belong to a request without a body.
func (e expectation) understood(body []byte) bool {
	if e.Recognised != nil {
		return *e.Recognised
	}
	return len(body) > 0
}

// check compares what was decoded with all that is expected.
func (e expectation) check(t *testing.T, got Batch) {
	t.Helper()
	for _, r := range got.Rejected {
		t.Errorf("rejected: %s", r.Reason)
	}
	compare(t, "receiver", got.Group.Receiver, e.Receiver, e.Receiver != "")
	compare(t, "group_state", got.Group.Status, e.GroupState, e.GroupState != "")
	compare(t, "group_key", got.Group.Key, e.GroupKey, e.GroupKey != "")
	compare(t, "reason", got.Group.Reason, e.Reason, e.Reason != "")
	if len(got.Alerts) == 0 {
		t.Error("understood, but without an alert")
	}
	states, severities, identities := map[string]int{}, map[string]int{}, map[string]bool{}
	for i := range got.Alerts {
		a := &got.Alerts[i]
		states[a.Status.String()]++
		severities[a.Severity()]++
		identities[a.Identity] = true
	}
	if e.Counts != nil {
		compare(t, "counts.alerts", len(got.Alerts), e.Counts.Alerts, true)
		compare(t, "counts.firing", states["firing"], e.Counts.Firing, true)
		compare(t, "counts.resolved", states["resolved"], e.Counts.Resolved, true)
		for i := range got.Alerts {
			compare(t, "counts.left_out", got.Alerts[i].LeftOut, e.Counts.LeftOut, true)
		}
	}
	compare(t, "distinct_identities", len(identities), e.DistinctIdentities, e.DistinctIdentities > 0)
	for severity, n := range e.Severities {
		compare(t, "severities."+severity, severities[severity], n, true)
	}
	if e.Alerts != nil {
		compare(t, "alerts", len(got.Alerts), len(e.Alerts), true)
	}
	e.checkAlerts(t, "alerts", e.Alerts, got.Alerts)
	e.checkAlerts(t, "alerts_sample", e.AlertsSample, got.Alerts)
}

func (e expectation) checkAlerts(t *testing.T, list string, want []expectedAlert, got []alert.Alert) {
	t.Helper()
	for i, w := range want {
		if i >= len(got) {
			t.Errorf("%s[%d]: missing", list, i)
			return
		}
		w.check(t, fmt.Sprintf("%s[%d]", list, i), &got[i], e.ReceivedAt)
	}
}

func (w expectedAlert) check(t *testing.T, at string, got *alert.Alert, received time.Time) {
	t.Helper()
	compare(t, at+".kind", got.Kind, alert.KindAlert, true)
	compare(t, at+".state", got.Status.String(), w.State, true)
	compare(t, at+".name", got.Name(), value(w.Name), true)
	compare(t, at+".host", got.Host(), value(w.Host), true)
	compare(t, at+".severity", got.Severity(), value(w.Severity), true)
	compare(t, at+".identity", got.Identity, value(w.Identity), true)
	compare(t, at+".started_at", got.StartsAt, value(w.StartedAt), true)
	compare(t, at+".ended_at", got.EndsAt, value(w.EndedAt), true)
	compare(t, at+".valid_until", got.ValidUntil, value(w.ValidUntil), true)
	compare(t, at+".received_at", got.ReceivedAt, received, true)
	checkLabels(t, at+".labels", got.Labels, w.Labels)
	checkLabels(t, at+".annotations", got.Annotations, w.Annotations)
	checkWellFormed(t, got)
}

func checkLabels(t *testing.T, at string, got alert.Labels, want map[string]string) {
	t.Helper()
	compare(t, at, len(got), len(want), true)
	for name, text := range want {
		if start, length, ok := abbreviated(text); ok {
			v := got.Get(name)
			if !strings.HasPrefix(v, start) || utf8.RuneCountInString(v) != length {
				t.Errorf("%s.%s: got %d characters, want %d, beginning %q", at, name, utf8.RuneCountInString(v), length, start)
			}
			continue
		}
		compare(t, at+"."+name, got.Get(name), text, true)
	}
}

// abbreviated recognises "the beginning… (53100 characters)".
func abbreviated(text string) (start string, length int, ok bool) {
	start, rest, ok := strings.Cut(text, "… (")
	if !ok {
		return "", 0, false
	}
	length, err := strconv.Atoi(strings.TrimSuffix(rest, " characters)"))
	return start, length, err == nil
}

func compare[T comparable](t *testing.T, at string, got, want T, stated bool) {
	t.Helper()
	if stated && got != want {
		t.Errorf("%s: got %v, want %v", at, got, want)
	}
}

func value[T any](p *T) T {
	var none T
	if p == nil {
		return none
	}
	return *p
}

// checkWellFormed checks what holds for every alert of a format that always says
// whether the problem exists.
func checkWellFormed(t *testing.T, a *alert.Alert) {
	t.Helper()
	if a.Status != alert.Firing && a.Status != alert.Resolved {
		t.Errorf("status %v", a.Status)
	}
	alerttest.WellFormed(t, a, a.Source, a.ReceivedAt)
}
