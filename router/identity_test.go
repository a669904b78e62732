package router

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/dedupe"
)

func TestNewIdentityKeepsWhatKeysDeriveFrom(t *testing.T) {
	id := NewIdentity(
		dedupe.Config{ReopenWindow: 1, CloseAfter: 2, Flapping: dedupe.Flapping{Changes: 3}, Rules: []dedupe.Rule{
			{Name: "a", Matchers: []string{`x="y"`}, By: []string{"b", "a"}, Threshold: dedupe.Threshold{Count: 4}}}},
		Config{Severities: []string{"critical"}, DefaultSeverity: "critical", Categories: []string{"c"}, Teams: []string{"t"}, Rules: []Rule{
			{Name: "only a team", Set: Set{Team: "t", Severity: "critical"}},
			{Name: "service", Set: Set{Team: "t", Service: "s"}},
			{Name: "stop", Stop: true, Set: Set{Labels: map[string]string{}}}}},
		map[string]SourceIdentity{"plain": {Namespace: "plain"}, "am": {Namespace: "site"}, "prom": {Namespace: "prom", IgnoreLabels: []string{"z", "a", "z"}}})
	want := Identity{Version: IdentityVersion,
		Correlate: dedupe.Config{Rules: []dedupe.Rule{{Name: "a", Matchers: []string{`x="y"`}, By: []string{"b", "a"}}}},
		Classify: Config{Severities: []string{"critical"}, DefaultSeverity: "critical",
			Rules: []Rule{{Name: "service", Set: Set{Service: "s"}}, {Name: "stop", Stop: true}}},
		Sources: map[string]SourceIdentity{"am": {Namespace: "site"}, "prom": {"prom", []string{"a", "z"}}},
	}
	if !reflect.DeepEqual(id, want) {
		t.Errorf("got  %+v\nwant %+v", id, want)
	}
	back, err := ParseIdentity(id.Text())
	if err != nil || !reflect.DeepEqual(back, want) {
		t.Errorf("from its text: got %+v (%v)\nwant %+v", back, err, want)
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":         {"x", "identity"},
		"unknown member":  {`{"version":1,"new":true}`, "new"},
		"duplicate":       {`{"version":1,"version":1}`, "duplicate"},
		"no version":      {`{}`, "version 0"},
		"a later version": {`{"version":99}`, "version 99"},
		"too large":       {strings.Repeat(" ", identityLimit+1), "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseIdentity([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v and error %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add([]byte(`{"version":1,"correlate":[{"name":"a","matchers":["x=\"y\""],"by":["b"]}],"sources":{"a":{"namespace":"b","ignore_labels":["c"]}}}`))
	f.Add([]byte(`{"version":1,"classify":[{"name":"a","capture":{"job":"(?P<x>.)"},"service":"${x}","labels":{"a":"b"},"suppress":true,"stop":true}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		id, err := ParseIdentity(text)
		if err != nil {
			return
		}
		again, err := ParseIdentity(id.Text())
		if err != nil || !bytes.Equal(again.Text(), id.Text()) || again.Hash() != id.Hash() {
			t.Errorf("got %s (%v), want %s", again.Text(), err, id.Text())
		}
	})
}
