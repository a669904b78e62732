// Package similar says which earlier incidents are like a new one, why, and how
// often it has come lately. It reads nothing: whoever has the incidents gives them.
package similar

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// What two incidents can have in common, and how much each counts. All of it
// together is 1.
const (
	weightKey     = 0.35
	weightAlerts  = 0.20
	weightName    = 0.15
	weightService = 0.10
	weightHosts   = 0.10
	weightText    = 0.10
)

const (
	// enough is the score from which on an incident is similar: the same service alone
	// is not, with a common host it is.
	enough = 0.20
	// wordsKept bounds the words of a text that are compared, textKept its bytes.
	wordsKept, textKept = 64, 2000
)

// The windows in which recurrences are counted, and what makes one recurring.
const (
	recurringCount  = 3
	recurringWindow = 48 * time.Hour
)

// Windows lists the windows in which recurrences are counted.
func Windows() []time.Duration {
	return []time.Duration{24 * time.Hour, recurringWindow, 7 * 24 * time.Hour, 30 * 24 * time.Hour}
}

// Reason is one thing that two incidents have in common.
type Reason struct {
	// What is key, alerts, alert_name, service, hosts or text.
	What string
	// Text says it in words, and Score is what it adds.
	Text  string
	Score float64
}

// Match is an earlier incident that is like the one in question.
type Match struct {
	Incident *incident.Incident
	// Score is from 0 to 1.
	Score float64
	// Reasons are those that count most first.
	Reasons []Reason
}

// Find returns those of the earlier incidents that are like i, the most similar
// first, of equal ones the latest; at most limit. Alerts are not looked at: see Alerts.
func Find(i *incident.Incident, earlier []*incident.Incident, limit int) []Match {
	said := words(i)
	var out []Match
	seen := map[incident.ID]bool{i.ID: true}
	for _, e := range earlier {
		if seen[e.ID] || !before(e, i) {
			continue
		}
		seen[e.ID] = true
		m := Match{Incident: e}
		m.compare(i, said)
		if m.Score >= enough {
			out = append(out, m)
		}
	}
	order(out)
	return out[:min(len(out), limit)]
}

// before reports whether e is an earlier incident than i that is not part of it.
func before(e, i *incident.Incident) bool {
	return e.OpenedAt.Before(i.OpenedAt) && e.Parent != i.ID && i.Parent != e.ID
}

func order(list []Match) {
	slices.SortStableFunc(list, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), b.Incident.OpenedAt.Compare(a.Incident.OpenedAt), strings.Compare(a.Incident.Reference, b.Incident.Reference))
	})
}

func (m *Match) compare(i *incident.Incident, said map[string]bool) {
	e := m.Incident
	if e.Key == i.Key && !i.Key.IsZero() {
		m.because("key", "the same rule and labels", weightKey)
	}
	if name := i.Labels["alertname"]; name != "" && name == e.Labels["alertname"] {
		m.because("alert_name", "the same alert "+name, weightName)
	}
	if i.Service != "" && i.Service == e.Service {
		m.because("service", "the same service "+i.Service, weightService)
	}
	if common := shared(i.Hosts, e.Hosts); common > 0 {
		m.because("hosts", fmt.Sprintf("%d of %d hosts are the same", common, len(i.Hosts)), weightHosts*float64(common)/float64(len(i.Hosts)))
	}
	if alike := overlap(said, words(e)); alike > 0.3 {
		m.because("text", fmt.Sprintf("%.0f %% of the words are the same", 100*alike), weightText*alike)
	}
}

func (m *Match) because(what, text string, score float64) {
	m.Reasons = append(m.Reasons, Reason{what, text, score})
	slices.SortStableFunc(m.Reasons, func(a, b Reason) int { return cmp.Compare(b.Score, a.Score) })
	m.Score = 0
	for _, r := range m.Reasons {
		m.Score += r.Score
	}
	m.Score = math.Round(m.Score*1000) / 1000
}

// Alerts adds to a list what the alerts of the incidents have in common, and puts
// it in order again. Mine are those of the incident in question; theirs are in the
// order of the list.
func Alerts(list []Match, mine []alert.Fingerprint, theirs [][]alert.Fingerprint) {
	for n := range list {
		if common := shared(mine, theirs[n]); common > 0 {
			list[n].because("alerts", fmt.Sprintf("%d of %d alerts are the same", common, len(mine)), weightAlerts*float64(common)/float64(len(mine)))
		}
	}
	order(list)
}

// shared counts what of a is in b as well.
func shared[T comparable](a, b []T) (n int) {
	in := make(map[T]bool, len(b))
	for _, v := range b {
		in[v] = true
	}
	for _, v := range a {
		if in[v] {
			n++
		}
	}
	return n
}

// words are those of an incident's texts that say something, lower case.
func words(i *incident.Incident) map[string]bool {
	out := map[string]bool{}
	for _, text := range [...]string{i.Title, i.Description} {
		text = text[:min(len(text), textKept)]
		for w := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if len(w) > 2 && len(out) < wordsKept {
				out[w] = true
			}
		}
	}
	return out
}

// overlap is the share of all words of two texts that both have.
func overlap(a, b map[string]bool) float64 {
	common := shared(slices.Collect(maps.Keys(a)), slices.Collect(maps.Keys(b)))
	if common == 0 {
		return 0
	}
	return float64(common) / float64(len(a)+len(b)-common)
}

// Recurrence is how often the same has come lately.
type Recurrence struct {
	// Counts are the openings of the key within each of Windows, the latest of i
	// included. A reopening is an opening.
	Counts []int
	// Recurring: it is the third time, or more, within 48 hours.
	Recurring bool
}

// Recur counts the openings of i's key up to the latest one of i, as far as i and
// the earlier incidents tell.
func Recur(i *incident.Incident, earlier []*incident.Incident) Recurrence {
	at := map[int64]bool{}
	for _, e := range append([]*incident.Incident{i}, earlier...) {
		if e.ID != i.ID && (e.Key != i.Key || i.Key.IsZero() || e.Drill != i.Drill) {
			continue
		}
		for _, t := range openings(e) {
			at[t.UnixMilli()] = true // the precision in which both stores keep the order of openings
		}
	}
	latest := i.CycleOpenedAt.UnixMilli()
	r := Recurrence{Counts: make([]int, len(Windows()))}
	for t := range at {
		for n, w := range Windows() {
			if t <= latest && t > latest-w.Milliseconds() {
				r.Counts[n]++
			}
		}
	}
	r.Recurring = r.Counts[slices.Index(Windows(), recurringWindow)] >= recurringCount
	return r
}

// openings are the times at which an incident, and what it knows of before it, opened.
func openings(i *incident.Incident) []time.Time {
	out := []time.Time{i.OpenedAt, i.CycleOpenedAt}
	for _, c := range i.Cycles {
		out = append(out, c.OpenedAt)
	}
	return append(out, i.Proceedings().Openings...)
}
