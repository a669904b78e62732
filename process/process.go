// Package process is the team's process as it is configured: which duties an
// incident brings, by when, and what follows if they are not done; who is called;
// what has to be there before an incident may be over. Decisions are pure: an
// incident and the time go in, what to write into its edit comes out. Everything
// that is later is a job in the store, armed by the commit that makes it necessary.
package process

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
	"github.com/tocsin-gateway/tocsin/process/calendar"
	"github.com/tocsin-gateway/tocsin/process/rota"
)

// Config is the section process.
type Config struct {
	// Profile names the duties to begin with: one of Profiles. Duties of the same
	// name in Duties replace those of the profile, everything else stands beside it.
	Profile string `yaml:"profile"`
	// Calendar says when people work, for delays in business days and hours.
	Calendar calendar.Config `yaml:"calendar"`
	// Contacts are people and functions, by the names that everything here uses.
	Contacts []Contact `yaml:"contacts"`
	// Rotas say who is on call, by name.
	Rotas map[string]rota.Config `yaml:"rotas"`
	// Chains are calling chains.
	Chains []Chain `yaml:"chains"`
	// Tiers are the support levels, the first of which has each new incident.
	Tiers []Tier `yaml:"tiers"`
	// Customers are those that incidents affect.
	Customers []Customer `yaml:"customers"`
	// Paths are ways of their own for some incidents.
	Paths  []Path `yaml:"paths"`
	Duties []Duty `yaml:"duties"`
	// Gates say what has to be done before an incident may be over.
	Gates []Gate `yaml:"gates"`
	// Communication says who gets status updates.
	Communication []Plan `yaml:"communication"`
	// MonthlyReport says who is reminded of the pack for the monthly review.
	MonthlyReport MonthlyReport `yaml:"monthly_report"`
}

// MonthlyReport is a reminder, once a month, that the month before is over.
type MonthlyReport struct {
	// Remind are contacts, rotas and receivers; none is nobody.
	Remind []string `yaml:"remind"`
	// BusinessDay is on which business day of the month, at its opening; default 2.
	BusinessDay int `yaml:"business_day"`
}

// Contact is a person, or a function such as account management.
type Contact struct {
	Name string `yaml:"name"`
	// Receiver is the one of the section receivers that reaches them.
	Receiver string `yaml:"receiver"`
	// Area is what they are responsible for, and Note how else they are reached.
	Area string `yaml:"area"`
	Note string `yaml:"note"`
}

// Chain calls one after the other until somebody confirms.
type Chain struct {
	Name string `yaml:"name"`
	// Call are contacts and rotas, in order.
	Call []string `yaml:"call"`
	// Wait is how long each has to answer; default 5m.
	Wait string `yaml:"wait"`
	// Rounds is how often the whole list is called; default 3.
	Rounds int `yaml:"rounds"`
}

// Tier is a support level.
type Tier struct {
	Name string `yaml:"name"`
	// Contacts hear of an incident that is escalated to it.
	Contacts []string `yaml:"contacts"`
}

// Customer is somebody whose services we run.
type Customer struct {
	Name string `yaml:"name"`
	// Contact gets what is said to the customer.
	Contact string `yaml:"contact"`
	// Instructions is the URL of what to know on call.
	Instructions string `yaml:"instructions"`
}

// Path is a way of its own for some incidents, such as vulnerabilities: on it are those
// duties and gates that name it, and no others. An incident is on the first that it
// matches.
type Path struct {
	Name string `yaml:"name"`
	// Match are matchers on the incident.
	Match []string `yaml:"match"`
}

// Plan says who gets the status updates of some incidents, and who signs them.
type Plan struct {
	// Match are matchers on the incident; empty is every one.
	Match []string `yaml:"match"`
	// Audience are contacts and rotas.
	Audience []string `yaml:"audience"`
	// Detail is how much they are told: full, summary (the default) or public.
	Detail string `yaml:"detail"`
	// Signature: somebody else than the author has to sign an update.
	Signature bool `yaml:"signature"`
	// Every is how often they are to get one, for people to read; duties see to it.
	Every string `yaml:"every"`
}

// Rota knows who is on call.
type Rota interface {
	// At are the people on call at a time, by the names of contacts, the first in
	// charge first.
	At(t time.Time) []string
}

// Options are what the rest of the configuration says that a process depends on.
type Options struct {
	// Receivers are the names of the section receivers.
	Receivers []string
	// Severities, worst first.
	Severities incident.Scale
	// Objectives are those of each priority.
	Objectives map[string]incident.Objectives
	// Services are those of the catalogue, by name.
	Services map[string]Service
	// Rotas are those of the configuration at work, by name; one that is missing has
	// nobody on call.
	Rotas map[string]Rota
}

// Guide is a process at work. It implements incident.Guide. Nobody changes it.
type Guide struct {
	calendar   *calendar.Calendar
	contacts   map[string]Contact
	receivers  map[string]bool
	rotas      map[string]Rota
	chains     map[string]chain
	customers  map[string]Customer
	services   map[string]Service
	tiers      []Tier
	paths      []path
	duties     []duty
	gates      []gate
	plans      []plan
	monthly    MonthlyReport
	severities incident.Scale
	objectives map[string]incident.Objectives
}

type plan struct {
	Plan
	match labels.Matchers
}

// New compiles the section. The error says all that Problems finds.
func New(c Config, o Options) (*Guide, error) {
	g, problems := compile(c, o)
	if len(problems) > 0 {
		return nil, problemsError(problems)
	}
	return g, nil
}

// What is missed without being a duty of the configuration, as metrics name it.
const (
	unansweredChain = "calling_chain"
	overdueAction   = "action"
)

// Names are those of the duties and of what else can be missed, which metrics name.
func (g *Guide) Names() []string {
	names := []string{unansweredChain, overdueAction}
	for n := range g.duties {
		names = append(names, g.duties[n].name)
	}
	return names
}

// OnCall are those on call at a time, by the names of the rotas.
func (g *Guide) OnCall(t time.Time) map[string][]string {
	out := map[string][]string{}
	for name, r := range g.rotas {
		out[name] = r.At(t)
	}
	return out
}

// reach are the receivers of a contact or a rota; empty if nobody is there.
func (g *Guide) reach(name string, now time.Time) []string {
	if r, ok := g.rotas[name]; ok {
		var out []string
		for _, who := range r.At(now) {
			// Names of people may come from a calendar elsewhere: they are contacts only.
			if c := g.contacts[who]; c.Receiver != "" {
				out = append(out, c.Receiver)
			}
		}
		return out
	}
	if c, ok := g.contacts[name]; ok {
		if c.Receiver == "" {
			return nil
		}
		return []string{c.Receiver}
	}
	if g.receivers[name] {
		return []string{name}
	}
	return nil
}

// reachAll are the receivers of several, each once.
func (g *Guide) reachAll(list []string, now time.Time) []string {
	var out []string
	for _, name := range list {
		for _, r := range g.reach(name, now) {
			if !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// Service is what the catalogue says of a service.
type Service struct {
	// Owner is a contact, or a name that only people know.
	Owner string
	// Customers are affected by an incident of it until a person says otherwise.
	Customers []string
	// Instructions is the URL of what to know about it.
	Instructions string
	// Objectives are its own, of each priority.
	Objectives map[string]incident.Objectives
}

// ObjectivesOf are those of an incident: its service's, or else its priority's.
func (g *Guide) ObjectivesOf(i *incident.Incident) incident.Objectives {
	if o, ok := g.services[i.Service].Objectives[i.Priority]; ok {
		return o
	}
	return g.objectives[i.Priority]
}

// SystemOwner is a contact that is somebody else for each service: its owner.
const SystemOwner = "system-owner"

// reachFor is reachAll for an incident, whose service has an owner.
func (g *Guide) reachFor(list []string, i *incident.Incident, now time.Time) []string {
	if owner := g.services[i.Service].Owner; owner != "" && g.contacts[SystemOwner].Name == "" && slices.Contains(list, SystemOwner) {
		list = slices.Clone(list)
		list[slices.Index(list, SystemOwner)] = owner
	}
	return g.reachAll(list, now)
}

// Tier implements incident.Guide.
func (g *Guide) Tier(name string, now time.Time) (receivers []string, ok bool) {
	for _, t := range g.tiers {
		if t.Name == name {
			return g.reachAll(t.Contacts, now), true
		}
	}
	return nil, len(g.tiers) == 0
}

// Tiers are the names of the support levels, the first one first.
func (g *Guide) Tiers() []string {
	var names []string
	for _, t := range g.tiers {
		names = append(names, t.Name)
	}
	return names
}

// Services are the names of those that the configuration describes.
func (g *Guide) Services() []string { return slices.Sorted(maps.Keys(g.services)) }

// Customers are the names of those that the configuration describes.
func (g *Guide) Customers() []string { return slices.Sorted(maps.Keys(g.customers)) }

// Audience implements incident.Guide.
func (g *Guide) Audience(i *incident.Incident, u *incident.Update) (called []incident.Called, sign bool) {
	of := match.Of(i)
	customer := i.Proceedings().Customer
	if c := g.customers[customer].Contact; c != "" {
		for _, r := range g.reach(c, u.At) { // of their own part
			called = append(called, incident.Called{Receiver: r, Why: "status updates", Detail: incident.DetailSummary})
		}
	}
	for n := range g.plans {
		p := &g.plans[n]
		if !of.All(p.match) {
			continue
		}
		sign = sign || p.Signature
		if customer != "" && p.Detail == incident.DetailPublic {
			continue // what is one customer's is not for everybody
		}
		detail := cmp.Or(p.Detail, incident.DetailSummary)
		if detail == "full" {
			detail = ""
		}
		for _, r := range g.reachFor(p.Audience, i, u.At) {
			called = append(called, incident.Called{Receiver: r, Why: "status updates", Detail: detail})
		}
	}
	return called, sign
}

// Contacts are the configured ones, by name.
func (g *Guide) Contacts() []Contact {
	return slices.SortedFunc(maps.Values(g.contacts), func(a, b Contact) int { return cmp.Compare(a.Name, b.Name) })
}
