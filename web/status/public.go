package status

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// The states of components, best first.
const (
	Operational      = "operational"
	UnderMaintenance = "maintenance"
	Degraded         = "degraded"
	PartialOutage    = "partial_outage"
	MajorOutage      = "major_outage"
)

var states = []string{Operational, UnderMaintenance, Degraded, PartialOutage, MajorOutage}

func worse(a, b string) string {
	if slices.Index(states, a) < slices.Index(states, b) {
		return b
	}
	return a
}

// resolved is the phase of an incident that is over.
const resolved = "resolved"

// Summary is all that the public may know. It is what /status.json answers.
type Summary struct {
	Title string `json:"title"`
	URL   string `json:"url"`
	// State is the worst of the components'.
	State string `json:"state"`
	// StaleSince is when this was true, if it cannot be known now.
	StaleSince  *time.Time    `json:"stale_since"`
	Components  []Status      `json:"components"`
	Ongoing     []Incident    `json:"ongoing"`
	Maintenance []Maintenance `json:"maintenance"`
	Past        []Incident    `json:"past"`
}

// Status is the state of a component.
type Status struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Group       string `json:"group"`
	State       string `json:"state"`
}

// Incident is what was said of an incident in public.
type Incident struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Title is made of the components and the phase, never of what alerts say.
	Title      string   `json:"title"`
	Components []string `json:"components"`
	// State is what it does to its components, Phase what was said of it last, or
	// resolved.
	State       string     `json:"state"`
	Phase       string     `json:"phase"`
	BeganAt     time.Time  `json:"began_at"`
	EndedAt     *time.Time `json:"ended_at"`
	Restoration *time.Time `json:"restoration"`
	// Updates are the latest first.
	Updates []Update `json:"updates"`
}

// Update is one public update.
type Update struct {
	At          time.Time  `json:"at"`
	Phase       string     `json:"phase"`
	What        string     `json:"what"`
	Forecast    string     `json:"forecast"`
	Restoration *time.Time `json:"restoration"`

	// Anchor names it on the page of its incident.
	Anchor string `json:"-"`
}

// Maintenance is work that was announced.
type Maintenance struct {
	ID         string     `json:"id"`
	Text       string     `json:"text"`
	Components []string   `json:"components"`
	From       time.Time  `json:"from"`
	To         *time.Time `json:"to"`
	UnderWay   bool       `json:"under_way"`

	since time.Time
}

// Planned is a time of maintenance that the public may know of since a moment; To is
// zero if its end is far away.
type Planned struct {
	Text            string
	Components      []string
	Since, From, To time.Time
}

// publicID is a name that does not tell what it is made of.
func publicID(parts ...string) string {
	sum := sha256.Sum256([]byte("tocsin status page\x00" + strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// incident returns what was said of an incident in public; ok is false if that is
// nothing, whatever else is known.
func (c *compiled) incident(i *incident.Incident) (out Incident, ok bool) {
	p, names := i.Proceedings(), c.affected[i.Service]
	if i.Drill || p.Customer != "" || len(names) == 0 {
		return out, false
	}
	for n := range p.Updates {
		if u := &p.Updates[n]; u.Public && !u.Waits() {
			at := u.OutAt()
			out.Updates = append(out.Updates, Update{moment(at), u.Phase, u.What, u.Forecast, someTime(u.Restoration), fmt.Sprintf("at-%d", at.UnixMilli())})
		}
	}
	if len(out.Updates) == 0 {
		return out, false
	}
	slices.Reverse(out.Updates) // the latest first, also within a second
	slices.SortStableFunc(out.Updates, func(a, b Update) int { return b.At.Compare(a.At) })
	last := out.Updates[0]
	out.ID, out.Components = publicID("incident", i.ID.String()), names
	out.URL = c.url("/status/incidents/" + out.ID)
	out.BeganAt, out.EndedAt = out.Updates[len(out.Updates)-1].At, someTime(endOf(i, last.At))
	out.Phase, out.State, out.Restoration = last.Phase, effect(i.Impact, last.Phase), last.Restoration
	if out.EndedAt != nil {
		out.Phase, out.State, out.Restoration = resolved, Operational, nil
		if out.EndedAt.Before(out.BeganAt) { // it was spoken of afterwards
			out.BeganAt = *out.EndedAt
		}
	}
	out.Title = strings.Join(names, ", ") + ": " + out.Phase
	return out, true
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// moment is a time as the page shows it.
func moment(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = moment(t)
	return &t
}

// endOf is when what was said last is over, zero while it is not. An incident that
// was reopened goes on for the public when somebody says so.
func endOf(i *incident.Incident, said time.Time) time.Time {
	if !said.Before(moment(i.CycleOpenedAt)) {
		return i.ResolvedAt
	}
	for _, c := range slices.Backward(i.Cycles) {
		if !said.Before(moment(c.OpenedAt)) {
			return later(c.ResolvedAt, c.OpenedAt)
		}
	}
	return said // so long ago that nobody knows any more
}

// effect is what an incident that goes on does to its components.
func effect(impact, phase string) string {
	switch {
	case phase == incident.Observing || impact == "low":
		return Degraded
	case impact == "high":
		return MajorOutage
	}
	return PartialOutage
}

const (
	// ongoingShown and pastShown bound the incidents on the page, the latest first.
	ongoingShown = 200
	pastShown    = 200
)

// summary is what the public may know at a time: of these incidents and this
// maintenance. Stale is when it was known, zero if it is known now.
func (c *compiled) summary(all []Incident, planned []Planned, now, stale time.Time) *Summary {
	s := &Summary{Title: c.Title, URL: c.url("/status"), State: Operational, StaleSince: someTime(stale)}
	state := map[string]string{}
	for _, i := range all {
		switch {
		case i.EndedAt == nil:
			s.Ongoing = append(s.Ongoing, i)
			for _, name := range i.Components {
				state[name] = worse(state[name], i.State)
			}
		case !i.EndedAt.Before(c.since(now)):
			s.Past = append(s.Past, i)
		}
	}
	for _, p := range planned {
		m := Maintenance{publicID("maintenance", p.Text, fmt.Sprint(p.From.Unix())), p.Text, p.Components, moment(p.From), someTime(p.To), !p.From.After(now), moment(p.Since)}
		s.Maintenance = append(s.Maintenance, m)
		for _, name := range m.Components {
			if m.UnderWay {
				state[name] = worse(state[name], UnderMaintenance)
			}
		}
	}
	for _, one := range c.Components {
		is := cmp.Or(state[one.Name], Operational)
		s.State = worse(s.State, is)
		s.Components = append(s.Components, Status{one.Name, one.Description, one.Group, is})
	}
	slices.SortFunc(s.Ongoing, func(a, b Incident) int {
		return cmp.Or(b.Updates[0].At.Compare(a.Updates[0].At), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(s.Past, func(a, b Incident) int { return cmp.Or(b.EndedAt.Compare(*a.EndedAt), cmp.Compare(a.ID, b.ID)) })
	s.Ongoing, s.Past = s.Ongoing[:min(len(s.Ongoing), ongoingShown)], s.Past[:min(len(s.Past), pastShown)]
	return s
}
