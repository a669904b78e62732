package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
)

// shown is all that a gateway shows. Alerts and timelines are by incident's id.
type shown struct {
	incidents []shownIncident
	alerts    map[string][]shownAlert
	timelines map[string][]incident.TimelineEntry
}

type shownIncident struct {
	Incident
	Service        string `json:"service"`
	Version        uint64 `json:"version"`
	Occurrences    uint64 `json:"occurrences"`
	TimelineLength uint64 `json:"timeline_length"`
	TimelineHash   string `json:"timeline_hash"`
}

type shownAlert struct {
	Alert
	EpisodeStartedAt time.Time `json:"episode_started_at"`
	Count            uint64    `json:"count"`
}

// pages reads the list of that name of the API to its end.
func pages[T any](ctx context.Context, address, name string) (all []T, err error) {
	for cursor := ""; ; {
		var page map[string]jsontext.Value
		if err := getJSON(ctx, address+"?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		var rows []T
		if err := json.Unmarshal(page[name], &rows); err != nil {
			return nil, fmt.Errorf("e2e: GET %s: %w", address, err)
		}
		all = append(all, rows...)
		before := cursor
		if err := json.Unmarshal(page["next_cursor"], &cursor); err != nil {
			return nil, fmt.Errorf("e2e: GET %s: %w", address, err)
		}
		if cursor == "" {
			return all, nil
		}
		if cursor == before {
			return nil, fmt.Errorf("e2e: GET %s: the cursor %q leads to itself", address, cursor)
		}
	}
}

// shows asks a gateway for all that it shows.
func (g *gateway) shows(ctx context.Context) (s *shown, err error) {
	base := "http://" + g.addr + "/api/v1/incidents"
	s = &shown{alerts: map[string][]shownAlert{}, timelines: map[string][]incident.TimelineEntry{}}
	if s.incidents, err = pages[shownIncident](ctx, base, "incidents"); err != nil {
		return nil, err
	}
	for _, in := range s.incidents {
		if s.alerts[in.ID], err = pages[shownAlert](ctx, base+"/"+in.ID+"/alerts", "alerts"); err != nil {
			return nil, err
		}
		if s.timelines[in.ID], err = pages[incident.TimelineEntry](ctx, base+"/"+in.ID+"/timeline", "timeline"); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// look is what a gateway shows at one moment: what has changed while it was read is
// read again.
func (g *gateway) look(ctx context.Context) (*shown, error) {
	for {
		s, err := g.shows(ctx)
		if err != nil {
			return nil, err
		}
		after, err := pages[shownIncident](ctx, "http://"+g.addr+"/api/v1/incidents", "incidents")
		if err != nil {
			return nil, err
		}
		if slices.EqualFunc(s.incidents, after, func(a, b shownIncident) bool { return a.ID == b.ID && a.Version == b.Version }) {
			return s, nil
		}
	}
}

// compare compares with a ledger, as after a kill; see Compare.
func (s *shown) compare(told map[string]Told) *Findings {
	incidents := make([]Incident, len(s.incidents))
	alerts := map[string][]Alert{}
	for i, in := range s.incidents {
		incidents[i] = in.Incident
		for _, a := range s.alerts[in.ID] {
			alerts[in.ID] = append(alerts[in.ID], a.Alert)
		}
	}
	return Compare(told, incidents, alerts)
}

// contradictions are sentences about what cannot be, whatever was told: an
// incident that does not count what it lists, a second open one of a key, an episode
// in two incidents, a reference twice, a timeline that does not verify or in
// which something happens that cannot happen in that state.
func (s *shown) contradictions() (found []string) {
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	names, open, episodes := map[string]bool{}, map[string]string{}, map[string]string{}
	for _, in := range s.incidents {
		if in.Reference == "" || names[in.Reference] || names[in.ID] {
			say("incident %s: the reference %q or the id is another's too", in.ID, in.Reference)
		}
		names[in.Reference], names[in.ID] = true, true
		firing := 0
		for _, a := range s.alerts[in.ID] {
			if a.Status == "firing" {
				firing++
			}
			episode := a.Fingerprint + " since " + a.EpisodeStartedAt.UTC().Format(time.RFC3339Nano)
			if other, twice := episodes[episode]; twice {
				say("the episode of %s (%s) is in %s and in %s", a.Labels["pod"], episode, other, in.Reference)
			}
			episodes[episode] = in.Reference
		}
		if in.Alerts.Total != len(s.alerts[in.ID]) || in.Alerts.Firing != firing {
			say("%s counts %+v, but lists %d alerts of which %d fire", in.Reference, in.Alerts, len(s.alerts[in.ID]), firing)
		}
		if over(in.State) != (firing == 0) {
			say("%s is %s while %d alerts fire", in.Reference, in.State, firing)
		}
		if !over(in.State) {
			if other, twice := open[string(in.Key)]; twice {
				say("key %s has two open incidents, %s and %s", in.Key, other, in.Reference)
			}
			open[string(in.Key)] = in.Reference
		}
		found = append(found, s.timeline(&in)...)
	}
	return found
}

// timeline verifies the timeline of an incident that no person has touched.
func (s *shown) timeline(in *shownIncident) (found []string) {
	say := func(format string, args ...any) {
		found = append(found, in.Reference+": "+fmt.Sprintf(format, args...))
	}
	id, err := incident.ParseID(in.ID)
	if err != nil {
		return []string{err.Error()}
	}
	entries := s.timelines[in.ID]
	for i := range entries {
		entries[i].Incident = id // the API does not repeat it
	}
	if broken, ok := incident.VerifyTimeline(entries); !ok {
		say("its timeline breaks at entry %d", broken)
	}
	if n := len(entries); n == 0 || uint64(n) != in.TimelineLength || entries[n-1].Hash != in.TimelineHash {
		say("its timeline has %d entries and does not end as the incident says, with %d and %s", n, in.TimelineLength, in.TimelineHash)
	}
	state := ""
	after := map[string][]string{"opened": {""}, "resolved": {"opened", "reopened"}, "reopened": {"resolved"}, "closed": {"resolved"}}
	for _, e := range entries {
		from, ok := after[e.Action]
		if !ok {
			continue
		}
		if !slices.Contains(from, state) {
			say("entry %d: %s after %q", e.Seq, e.Action, state)
		}
		state = e.Action
	}
	if want := map[string]string{"opened": "open", "reopened": "open", "resolved": "resolved", "closed": "closed"}[state]; in.State != want {
		say("is %s, but its timeline ends with %s", in.State, state)
	}
	return found
}

// said sums what the timelines say: how many alerts each kind of entry is
// about, or, for those that are not about alerts, how many there are.
func (s *shown) said() map[string]int {
	sums := map[string]int{}
	for _, entries := range s.timelines {
		for _, e := range entries {
			sums[e.Action] += max(e.Count, 1)
		}
	}
	return sums
}

// firing says where an alert fires: the references of incidents by its pod.
func (s *shown) firing() map[string][]string {
	places := map[string][]string{}
	for _, in := range s.incidents {
		for _, a := range s.alerts[in.ID] {
			if a.Status == "firing" {
				places[a.Labels["pod"]] = append(places[a.Labels["pod"]], in.Reference)
			}
		}
	}
	return places
}

// collisions sums how often a member had to decide again because another was
// faster, and how often one took a key for a moment because of that.
func (f fleet) collisions(t *testing.T) (conflicts, leases float64) {
	t.Helper()
	for _, m := range f {
		n, err := m.running.Load().series(t.Context(), "tocsin_store_redis_")
		if err != nil {
			t.Fatal(err)
		}
		conflicts += sumOf(n, "tocsin_store_redis_conflicts_total")
		leases += sumOf(n, "tocsin_store_redis_leases_total")
	}
	return conflicts, leases
}

// complain fails the test with the first few findings.
func complain(t *testing.T, what string, found []string) {
	t.Helper()
	for i, f := range found {
		if i == 8 {
			t.Errorf("%s: and %d more", what, len(found)-i)
			return
		}
		t.Errorf("%s: %s", what, f)
	}
}

// agrees wants all members to show the same, and each of them to have counted all
// that it answered; it returns what they show. Exact says that no member was
// killed, so that what they have answered is all that they have done.
func (f fleet) agrees(t *testing.T, exact bool) *shown {
	t.Helper()
	ctx := t.Context()
	var first *shown
	var firstStored map[string]float64
	answered := map[string]int{}
	for i, m := range f {
		g := m.running.Load()
		s, err := g.shows(ctx)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := g.series(ctx, "tocsin_incident")
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first, firstStored = s, stored
			complain(t, "contradiction", s.contradictions())
		}
		for n := range s.incidents {
			if len(s.incidents) != len(first.incidents) || s.incidents[n].ID != first.incidents[n].ID || s.incidents[n].Version != first.incidents[n].Version {
				t.Errorf("gateways 1 and %d show other incidents: %+v and %+v", i+1, first.incidents, s.incidents)
				break
			}
		}
		if !maps.Equal(stored, firstStored) {
			t.Errorf("gateways 1 and %d read other metrics from the store:\n%v\n%v", i+1, firstStored, stored)
		}
		g.conserves(t, i+1, answered)
	}
	byState := map[string]float64{}
	for _, in := range first.incidents {
		byState[in.State]++
	}
	for _, state := range []string{"open", "acknowledged", "resolved", "closed"} {
		if got := sumOf(firstStored, "tocsin_incidents{", `state="`+state+`"`); got != byState[state] {
			t.Errorf("tocsin_incidents of state %s: got %v, want %v as listed", state, got, byState[state])
		}
	}
	if got := sumOf(firstStored, "tocsin_incidents_opened_total"); got != float64(len(first.incidents)) {
		t.Errorf("tocsin_incidents_opened_total: got %v, want %d as listed", got, len(first.incidents))
	}
	said := first.said()
	for _, c := range []struct {
		action   string
		verdicts int
	}{{"opened", answered["opened"]}, {"joined", answered["joined"] + answered["reopened"]}, {"updated", answered["updated"]}, {"alerts_resolved", answered["resolved"]}} {
		if exact && said[c.action] != c.verdicts || said[c.action] < c.verdicts {
			t.Errorf("the timelines say %s of %d alerts, the answers of %d: %v", c.action, said[c.action], c.verdicts, answered)
		}
	}
	return first
}

// conserves wants the process to have counted what it answered, and adds that to sums.
func (g *answering) conserves(t *testing.T, number int, sums map[string]int) {
	t.Helper()
	counted, err := g.series(t.Context(), "tocsin_alerts_")
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	total := 0
	for verdict, n := range g.verdicts {
		total += n
		sums[verdict] += n
		if got := sumOf(counted, "tocsin_alerts_total", `verdict="`+verdict+`"`); got != float64(n) {
			t.Errorf("gateway %d: tocsin_alerts_total of verdict %s: got %v, want %d as answered", number, verdict, got, n)
		}
	}
	received, all, failed := sumOf(counted, "tocsin_alerts_received_total"), sumOf(counted, "tocsin_alerts_total"), sumOf(counted, "tocsin_alerts_total", `verdict="failed"`)
	if received != all || all-failed != float64(total) {
		t.Errorf("gateway %d: received %v, sum of verdicts %v, %v of them refused, want both %d as answered and what was refused", number, received, all, failed, total)
	}
}

// sumOf sums the samples that have a name and label pairs.
func sumOf(series map[string]float64, name string, pairs ...string) (sum float64) {
next:
	for s, v := range series {
		if !strings.HasPrefix(s, name) {
			continue
		}
		for _, pair := range pairs {
			if !strings.Contains(s, pair) {
				continue next
			}
		}
		sum += v
	}
	return sum
}
