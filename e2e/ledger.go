package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Told is what a gateway has acknowledged last about one alert.
type Told struct {
	// Pod identifies the alert: a label that no other alert has.
	Pod string
	// Service, with nothing else, decides the alert's key.
	Service string
	// Status is firing or resolved.
	Status string
	// Revision counts the contents; it is sent as an annotation.
	Revision int
	// StartsAt is when the current episode began, in whole milliseconds.
	StartsAt time.Time
}

// Ledger records, outside the gateway, what it answered with 2xx: one line per
// alert in a file that is only ever appended to. Its methods may be called by
// many goroutines, but what is recorded about one alert must be in order.
type Ledger struct {
	mu   sync.Mutex
	file *os.File
}

// NewLedger makes an empty ledger; the file must not exist.
func NewLedger(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("e2e: ledger: %w", err)
	}
	return &Ledger{file: f}, nil
}

// Acknowledged records that the gateway has answered 2xx to all of these.
func (l *Ledger) Acknowledged(all []Told) error {
	var b bytes.Buffer
	for _, t := range all {
		fmt.Fprintf(&b, "%s %s %s %d %d\n", t.Pod, t.Service, t.Status, t.Revision, t.StartsAt.UnixMilli())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("e2e: ledger: %w", err)
	}
	return nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }

// ReadLedger returns the last line about each alert, by pod, and the number of all lines.
func ReadLedger(path string) (last map[string]Told, lines int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("e2e: ledger: %w", err)
	}
	defer f.Close()
	last = map[string]Told{}
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		lines++
		t, err := parseTold(scanner.Text())
		if err != nil {
			return nil, 0, err
		}
		last[t.Pod] = t
	}
	return last, lines, scanner.Err()
}

func parseTold(line string) (Told, error) {
	f := strings.Fields(line)
	if len(f) != 5 {
		return Told{}, fmt.Errorf("e2e: ledger line %q does not have 5 fields", line)
	}
	revision, err := strconv.Atoi(f[3])
	if err != nil {
		return Told{}, fmt.Errorf("e2e: ledger line %q: %w", line, err)
	}
	ms, err := strconv.ParseInt(f[4], 10, 64)
	if err != nil {
		return Told{}, fmt.Errorf("e2e: ledger line %q: %w", line, err)
	}
	return Told{Pod: f[0], Service: f[1], Status: f[2], Revision: revision, StartsAt: time.UnixMilli(ms)}, nil
}

// Findings are the differences between a ledger and what a gateway shows, one
// sentence each. All empty means that the gateway kept its promises.
type Findings struct {
	// Lost: acknowledged, and not there (or not its last episode).
	Lost []string
	// Doubled: there more than once, or more than one open incident for a key.
	Doubled []string
	// Wrong: there, but not as acknowledged.
	Wrong []string
	// Archived counts entries of earlier episodes in incidents that are over,
	// which is as it should be when a new incident was opened for an alert.
	Archived int
}

// Any reports whether something was found.
func (f *Findings) Any() bool { return len(f.Lost)+len(f.Doubled)+len(f.Wrong) > 0 }

// place is one row of …/alerts and the incident that it is in.
type place struct {
	incident *Incident
	alert    Alert
}

func (p place) String() string {
	return fmt.Sprintf("%s (%s) has it %s since %s with revision %s", p.incident.Reference, p.incident.State, p.alert.Status,
		p.alert.StartsAt.UTC().Format(time.RFC3339Nano), p.alert.Annotations["revision"])
}

func over(state string) bool { return state == "resolved" || state == "closed" }

// Compare says where what a gateway shows differs from what it has
// acknowledged. Alerts holds the rows of each incident by its id. No person
// may have touched the incidents.
func Compare(told map[string]Told, incidents []Incident, alerts map[string][]Alert) *Findings {
	f := &Findings{}
	places := map[string][]place{}
	ids, openKeys := map[string]bool{}, map[string]*Incident{}
	for i := range incidents {
		in := &incidents[i]
		if ids[in.ID] {
			f.Doubled = append(f.Doubled, fmt.Sprintf("incident %s is listed twice", in.ID))
			continue
		}
		ids[in.ID] = true
		if other := openKeys[string(in.Key)]; other != nil && !over(in.State) {
			f.Doubled = append(f.Doubled, fmt.Sprintf("key %s has two open incidents, %s and %s", in.Key, other.Reference, in.Reference))
		}
		if !over(in.State) {
			openKeys[string(in.Key)] = in
		}
		f.incident(in, alerts[in.ID])
		for _, a := range alerts[in.ID] {
			places[a.Labels["pod"]] = append(places[a.Labels["pod"]], place{in, a})
		}
	}
	for _, pod := range slices.Sorted(maps.Keys(told)) {
		f.alert(told[pod], places[pod])
	}
	for _, pod := range slices.Sorted(maps.Keys(places)) {
		if _, known := told[pod]; !known {
			f.Wrong = append(f.Wrong, fmt.Sprintf("alert %q was never acknowledged, but %s", pod, places[pod][0]))
		}
	}
	f.services(told, places)
	return f
}

// incident checks that an incident agrees with its own alerts.
func (f *Findings) incident(in *Incident, rows []Alert) {
	firing := 0
	for _, a := range rows {
		if a.Status == "firing" {
			firing++
		}
	}
	if in.Alerts.Total != len(rows) || in.Alerts.Firing != firing {
		f.Wrong = append(f.Wrong, fmt.Sprintf("%s counts %d alerts of which %d fire, but lists %d of which %d fire",
			in.Reference, in.Alerts.Total, in.Alerts.Firing, len(rows), firing))
	}
	if over(in.State) != (firing == 0) {
		f.Wrong = append(f.Wrong, fmt.Sprintf("%s is %s while %d alerts fire", in.Reference, in.State, firing))
	}
}

// alert checks one alert. All its places but the one of its last episode must
// be in incidents that are over, with other episodes.
func (f *Findings) alert(t Told, places []place) {
	if len(places) == 0 {
		f.Lost = append(f.Lost, fmt.Sprintf("alert %s, acknowledged as %s, is in no incident", t.Pod, t.Status))
		return
	}
	var current []place
	seen := map[string]bool{}
	for _, p := range places {
		if seen[p.incident.ID] {
			f.Doubled = append(f.Doubled, fmt.Sprintf("alert %s is twice in %s", t.Pod, p.incident.Reference))
			return
		}
		seen[p.incident.ID] = true
		switch {
		case p.alert.StartsAt.UnixMilli() == t.StartsAt.UnixMilli():
			current = append(current, p)
		case p.alert.StartsAt.Before(t.StartsAt) && p.alert.Status == "resolved" && over(p.incident.State) && len(places) > 1:
			f.Archived++
		default:
			f.Wrong = append(f.Wrong, fmt.Sprintf("alert %s, acknowledged as %s since %s: %s", t.Pod, t.Status, t.StartsAt.UTC().Format(time.RFC3339Nano), p))
			return
		}
	}
	switch {
	case len(current) == 0:
		f.Lost = append(f.Lost, fmt.Sprintf("the last episode of alert %s, %s, is in no incident: %s", t.Pod, t.Status, places[0]))
	case len(current) > 1:
		f.Doubled = append(f.Doubled, fmt.Sprintf("one episode of alert %s is in two incidents: %s; %s", t.Pod, current[0], current[1]))
	case current[0].alert.Status != t.Status || current[0].alert.Annotations["revision"] != strconv.Itoa(t.Revision):
		f.Wrong = append(f.Wrong, fmt.Sprintf("alert %s, acknowledged as %s with revision %d: %s", t.Pod, t.Status, t.Revision, current[0]))
	}
}

// services checks, without believing the API's keys, that what fires in one
// service is in one incident.
func (f *Findings) services(told map[string]Told, places map[string][]place) {
	of := map[string]map[string]bool{}
	for pod, t := range told {
		for _, p := range places[pod] {
			if p.alert.Status == "firing" {
				if of[t.Service] == nil {
					of[t.Service] = map[string]bool{}
				}
				of[t.Service][p.incident.Reference] = true
			}
		}
	}
	for service, references := range of {
		if len(references) > 1 {
			f.Doubled = append(f.Doubled, fmt.Sprintf("alerts of %s fire in %d incidents: %v", service, len(references), slices.Sorted(maps.Keys(references))))
		}
	}
}
