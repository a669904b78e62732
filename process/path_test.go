package process

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestPaths: an incident is on the first path that it matches, and only what names
// that path concerns it.
func TestPaths(t *testing.T) {
	const text = contacts + `
profile: none
paths:
  - {name: hole, match: ['category="vulnerability"']}
  - {name: rest, match: ['category=~"vulnerability|request"']}
duties:
  - {name: page, after: 10m, text: page, do: {notify: [on-call]}}
  - {name: assess, path: hole, after: 1h, unless: [assessed], text: assess it, do: {notify: [management]}}
  - {name: desk, path: rest, after: 2h, text: to the desk, do: {notify: [management]}}
gates:
  - {before: [close], need: [cause]}
  - {path: hole, before: [close], need: [change_ticket]}
`
	for category, c := range map[string]struct {
		hears   string
		missing string
	}{
		"":              {"10m page: page → ops", "cause"},
		"vulnerability": {"1h assess: assess it → boss", "change_ticket"},
		"request":       {"2h desk: to the desk → boss", ""},
	} {
		t.Run(category, func(t *testing.T) {
			l := begin(t, newGuide(t, text, options()), incident.Opening{Class: incident.Classification{Category: category}}, monday)
			l.until(5 * time.Hour)
			l.hears(c.hears)
			missing := l.g.Missing(l.i, incident.ActionClose, monday.Add(5*time.Hour))
			if got := append(missing, incident.Requirement{})[0].Name; got != c.missing || len(missing) > 1 {
				t.Errorf("missing: got %v, want %q", missing, c.missing)
			}
		})
	}
	problems := Problems(section(t, contacts+`
profile: vshn-like
paths: [{name: a, match: ['x="y"']}, {name: a}, {match: ['x']}, {name: service-desk, match: ['category="ours"']}]
duties: [{name: d, path: servce-desk, text: d}, {name: e, path: vulnerability, text: e}]
gates: [{path: b, before: [close], need: [cause]}]
`), options())
	for _, path := range []string{".paths[1].name", ".paths[1].match", ".paths[2].name", ".paths[2].match[0]", ".duties[0].path", ".gates[0].path"} {
		if problems[path] == "" {
			t.Errorf("nothing is wrong with %s", path)
		}
		delete(problems, path)
	}
	if len(problems) > 0 {
		t.Errorf("more is wrong: %v", problems)
	}
}

// TestContinuity: the level rises as time passes and systems are affected.
func TestContinuity(t *testing.T) {
	g := newGuide(t, "profile: vshn-like\n", options())
	for hosts, want := range map[int]string{3: "major", 4: "continuity"} {
		l := begin(t, g, incident.Opening{}, monday)
		l.at(time.Minute, func(e *incident.Edit) error {
			e.Incident.Hosts = []string{"a", "b", "c", "d"}[:hosts]
			e.Log("ana", "note", "hosts", 0)
			return nil
		})
		l.until(3 * time.Hour)
		if l.i.Level != "major" {
			t.Errorf("%d hosts after three hours: level %s, want major", hosts, l.i.Level)
		}
		l.until(5 * time.Hour)
		if l.i.Level != want {
			t.Errorf("%d hosts after five hours: level %s, want %s", hosts, l.i.Level, want)
		}
	}
}

// TestChangeTicket: a gate waits until a change ticket is linked, as no other link is.
func TestChangeTicket(t *testing.T) {
	l := begin(t, newGuide(t, "profile: none\ngates: [{before: [close], need: [change_ticket]}]\n", options()), incident.Opening{}, monday)
	link := func(kind string) func(e *incident.Edit) error {
		return func(e *incident.Edit) error {
			return e.AddLink("ana", incident.Link{Name: "CHG-7", URL: "https://tickets.example.com/7", Kind: kind}, "")
		}
	}
	missing := func(want int) {
		t.Helper()
		if got := l.g.Missing(l.i, incident.ActionClose, monday.Add(time.Hour)); len(got) != want {
			t.Errorf("missing: got %v, want %d", got, want)
		}
	}
	l.at(time.Minute, link(""))
	missing(1)
	l.at(2*time.Minute, link(incident.LinkChange))
	missing(0)
	if len(l.i.Links) != 1 {
		t.Errorf("got the links %v, want the same one with its kind", l.i.Links)
	}
}
