package e2e

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TestKill kills the gateway under load. The long run:
//
//	go test ./e2e -run Kill -kills 60 -timeout 30m
func TestKill(t *testing.T) {
	withFailpoints, err := failpointBinary()
	if err != nil {
		t.Fatal(err)
	}
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	report, err := Kill(t.Context(), KillOptions{Binary: tocsinBinary, FailpointBinary: withFailpoints, Dir: t.TempDir(), Kills: *kills, Seed: seed, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	for what, all := range map[string][]string{"lost": report.Findings.Lost, "doubled": report.Findings.Doubled, "wrong": report.Findings.Wrong, "surprise": report.Surprises} {
		for i, s := range all {
			if i == 10 {
				t.Errorf("%s: and %d more", what, len(all)-i)
				break
			}
			t.Errorf("%s: %s", what, s)
		}
	}
	if done := report.Random + report.BeforeCommit + report.AfterCommit; done != *kills {
		t.Errorf("kills: got %d, want %d", done, *kills)
	}
	if report.Alerts < 100 {
		t.Errorf("alerts: got %d, too few to show anything", report.Alerts)
	}
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l, err := NewLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_763_700_000_123)
	first := Told{Pod: "a", Service: "service-1", Status: "firing", StartsAt: at}
	second := Told{Pod: "b", Service: "service-2", Status: "firing", Revision: 3, StartsAt: at}
	later := first
	later.Status = "resolved"
	for _, all := range [][]Told{{first, second}, {later}} {
		if err := l.Acknowledged(all); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, lines, err := ReadLedger(path)
	if want := (map[string]Told{"a": later, "b": second}); err != nil || lines != 3 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %d lines, %v, want %v of 3 lines", got, lines, err, want)
	}
	if _, err := NewLedger(path); err == nil {
		t.Error("a ledger that exists was overwritten")
	}
}

func TestCompare(t *testing.T) {
	early, late := time.UnixMilli(1_763_700_000_000), time.UnixMilli(1_763_700_060_000)
	row := func(pod, status string, starts time.Time) Alert {
		return Alert{Status: status, Labels: map[string]string{"pod": pod}, Annotations: map[string]string{"revision": "0"}, StartsAt: starts}
	}
	in := func(id, key, state string, total, firing int) Incident {
		i := Incident{ID: id, Reference: "INC-" + id, Key: jsontext.Value(`"` + key + `"`), State: state}
		i.Alerts.Total, i.Alerts.Firing = total, firing
		return i
	}
	told := func(pod, service, status string, starts time.Time) Told {
		return Told{Pod: pod, Service: service, Status: status, StartsAt: starts}
	}
	one := map[string]Told{"a": told("a", "s", "firing", late)}
	revised := one["a"]
	revised.Revision = 1
	for _, tt := range []struct {
		name      string
		told      map[string]Told
		incidents []Incident
		alerts    map[string][]Alert
		want      string // the first finding holds this; empty: none
		kind      string
	}{
		{"as acknowledged", one, []Incident{in("1", "s", "open", 1, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "", ""},
		{"acknowledged by a person", one, []Incident{in("1", "s", "acknowledged", 1, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "", ""},
		{"an earlier episode in an incident that is over", one,
			[]Incident{in("1", "s", "closed", 1, 0), in("2", "s", "open", 1, 1)},
			map[string][]Alert{"1": {row("a", "resolved", early)}, "2": {row("a", "firing", late)}}, "", ""},
		{"in no incident", one, nil, nil, "is in no incident", "lost"},
		{"only an earlier episode", one, []Incident{in("1", "s", "resolved", 1, 0)}, map[string][]Alert{"1": {row("a", "resolved", early)}}, "acknowledged as firing", "wrong"},
		{"only earlier episodes", one,
			[]Incident{in("1", "s", "resolved", 1, 0), in("2", "s", "closed", 1, 0)},
			map[string][]Alert{"1": {row("a", "resolved", early)}, "2": {row("a", "resolved", early.Add(1))}}, "last episode", "lost"},
		{"a resolve was forgotten", map[string]Told{"a": told("a", "s", "resolved", late)},
			[]Incident{in("1", "s", "open", 1, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "acknowledged as resolved", "wrong"},
		{"an update was forgotten", map[string]Told{"a": revised},
			[]Incident{in("1", "s", "open", 1, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "with revision 1", "wrong"},
		{"twice in one incident", one, []Incident{in("1", "s", "open", 2, 2)},
			map[string][]Alert{"1": {row("a", "firing", late), row("a", "firing", late)}}, "is twice in INC-1", "doubled"},
		{"in two incidents", one, []Incident{in("1", "s", "resolved", 1, 0), in("2", "s", "open", 1, 1)},
			map[string][]Alert{"1": {row("a", "resolved", late)}, "2": {row("a", "firing", late)}}, "in two incidents", "doubled"},
		{"two open incidents of a key", map[string]Told{"a": told("a", "s", "firing", late), "b": told("b", "t", "firing", late)},
			[]Incident{in("1", "s", "open", 1, 1), in("2", "s", "acknowledged", 1, 1)},
			map[string][]Alert{"1": {row("a", "firing", late)}, "2": {row("b", "firing", late)}}, "two open incidents", "doubled"},
		{"a service in two incidents, whatever the keys say", map[string]Told{"a": told("a", "s", "firing", late), "b": told("b", "s", "firing", late)},
			[]Incident{in("1", "x", "open", 1, 1), in("2", "y", "open", 1, 1)},
			map[string][]Alert{"1": {row("a", "firing", late)}, "2": {row("b", "firing", late)}}, "fire in 2 incidents", "doubled"},
		{"an incident listed twice", one, []Incident{in("1", "s", "open", 1, 1), in("1", "s", "open", 1, 1)},
			map[string][]Alert{"1": {row("a", "firing", late)}}, "listed twice", "doubled"},
		{"a header that counts wrong", one, []Incident{in("1", "s", "open", 2, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "counts 2 alerts", "wrong"},
		{"resolved while an alert fires", one, []Incident{in("1", "s", "resolved", 1, 1)}, map[string][]Alert{"1": {row("a", "firing", late)}}, "is resolved while 1", "wrong"},
		{"open while nothing fires", map[string]Told{"a": told("a", "s", "resolved", late)},
			[]Incident{in("1", "s", "open", 1, 0)}, map[string][]Alert{"1": {row("a", "resolved", late)}}, "is open while 0", "wrong"},
		{"an alert that nobody sent", one, []Incident{in("1", "s", "open", 2, 2)},
			map[string][]Alert{"1": {row("a", "firing", late), row("ghost", "firing", late)}}, `"ghost" was never`, "wrong"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Compare(tt.told, tt.incidents, tt.alerts)
			if tt.want == "" {
				if f.Any() {
					t.Errorf("got %+v, want no findings", f)
				}
				return
			}
			got := map[string][]string{"lost": f.Lost, "doubled": f.Doubled, "wrong": f.Wrong}[tt.kind]
			if len(got) == 0 || !strings.Contains(got[0], tt.want) {
				t.Errorf("got %+v, want %s: …%s…", f, tt.kind, tt.want)
			}
		})
	}
}

func TestSubjectTimesAreInOrder(t *testing.T) {
	now := time.UnixMilli(1_763_700_000_000)
	s := &subject{}
	for range 3 { // all within one millisecond
		before := s.ended
		s.apply(fresh, now)
		if !s.told.StartsAt.After(before) {
			t.Errorf("starts: got %s, want after the last end %s", s.told.StartsAt, before)
		}
		s.apply(updated, now)
		s.apply(resolved, now)
		if !s.ended.After(s.told.StartsAt) {
			t.Errorf("ended: got %s, want after the start %s", s.ended, s.told.StartsAt)
		}
	}
	if s.told.Revision != 3 || s.told.Status != "resolved" {
		t.Errorf("got %+v, want revision 3, resolved", s.told)
	}
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name      string
		event     event
		again     bool
		answer    string
		surprises int
		fails     bool
	}{
		{"a new one joined", fresh, false, `{"received":1,"results":[{"verdict":"joined"}]}`, 0, false},
		{"a repeat is a duplicate", repeated, false, `{"received":1,"results":[{"verdict":"duplicate"}]}`, 0, false},
		{"a repeat joined: forgotten", repeated, false, `{"received":1,"results":[{"verdict":"joined"}]}`, 1, false},
		{"a repeat joined, sent again: forgotten too", repeated, true, `{"received":1,"results":[{"verdict":"joined"}]}`, 1, false},
		{"a new one is a duplicate", fresh, false, `{"received":1,"results":[{"verdict":"duplicate"}]}`, 1, false},
		{"a new one, sent again, is a duplicate", fresh, true, `{"received":1,"results":[{"verdict":"duplicate"}]}`, 0, false},
		{"a resolve of something unknown: forgotten", resolved, false, `{"received":1,"results":[{"verdict":"recorded"}]}`, 1, false},
		{"rejected", fresh, false, `{"received":1,"results":[{"verdict":"rejected","reason":"?"}]}`, 1, false},
		{"too few results", fresh, false, `{"received":1,"results":[]}`, 0, true},
		{"no JSON", fresh, false, `fine`, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSender(&killer{}, 0)
			err := s.judge([]event{tt.event}, []*subject{{}}, []byte(tt.answer), tt.again)
			if (err != nil) != tt.fails || len(s.report.Surprises) != tt.surprises {
				t.Errorf("%s: got %v, surprises %q, want error %v, surprises %d", tt.answer, err, s.report.Surprises, tt.fails, tt.surprises)
			}
		})
	}
}
