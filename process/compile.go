package process

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process/calendar"
	"github.com/tocsin-gateway/tocsin/process/rota"
)

// Problems says what is wrong with the section, by path, such as .duties[0].after.
func Problems(c Config, o Options) map[string]string {
	_, problems := compile(c, o)
	return problems
}

// shortestEvery is the shortest time between two firings of a duty.
const shortestEvery = time.Minute

// compiler turns a Config into a Guide and gathers what is wrong.
type compiler struct {
	c        Config
	o        Options
	g        *Guide
	problems map[string]string
}

func compile(c Config, o Options) (*Guide, map[string]string) {
	k := &compiler{c: c, o: o, problems: map[string]string{}, g: &Guide{contacts: map[string]Contact{}, receivers: map[string]bool{}, rotas: o.Rotas,
		chains: map[string]chain{}, customers: map[string]Customer{}, services: o.Services, severities: o.Severities, objectives: o.Objectives}}
	for _, r := range o.Receivers {
		k.g.receivers[r] = true
	}
	for path, problem := range calendar.Problems(c.Calendar) {
		k.problems[join(".calendar", path)] = problem
	}
	var err error
	if k.g.calendar, err = calendar.New(c.Calendar); err != nil {
		k.g.calendar, _ = calendar.New(calendar.Config{}) // what is wrong with it has been said
	}
	k.contacts()
	k.rotas()
	k.tiers()
	k.chains()
	k.customers()
	k.paths()
	k.duties()
	k.gates()
	k.plans()
	k.monthly()
	return k.g, k.problems
}

func (k *compiler) wrong(path, format string, args ...any) {
	k.problems[path] = fmt.Sprintf(format, args...)
}

func join(path, part string) string {
	if part != "" && !strings.HasPrefix(part, "[") && !strings.HasPrefix(part, ".") {
		part = "." + part
	}
	return path + part
}

func at(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

func (k *compiler) contacts() {
	for n, c := range k.c.Contacts {
		path := at(".contacts", n)
		switch {
		case c.Name == "":
			k.wrong(path+".name", "the contact has no name; add name:")
			continue
		case k.g.contacts[c.Name].Name != "":
			k.wrong(path+".name", "there is a contact %q already; give each one a name of its own", c.Name)
			continue
		case k.isRota(c.Name):
			k.wrong(path+".name", "a rota is called %q too; give the contact another name", c.Name)
		}
		if c.Receiver != "" && !k.g.receivers[c.Receiver] {
			k.wrong(path+".receiver", "there is no receiver %q; %s", c.Receiver, k.receiverHelp(c.Receiver))
		}
		k.g.contacts[c.Name] = c
	}
}

func (k *compiler) receiverHelp(name string) string {
	return suggest(name, k.o.Receivers, "add it to receivers:")
}

// suggest says what was meant, or without any known word what to do.
func suggest(word string, known []string, otherwise string) string {
	if len(known) == 0 {
		return otherwise
	}
	return nearest.Suggest(word, known)
}

// known are all names that can be told something.
func (k *compiler) known() []string {
	list := slices.Concat(slices.Collect(maps.Keys(k.g.contacts)), slices.Collect(maps.Keys(k.c.Rotas)), k.o.Receivers)
	slices.Sort(list)
	return list
}

// reaches checks names of contacts, rotas and receivers.
func (k *compiler) reaches(path string, list []string) {
	for n, name := range list {
		if !slices.Contains(k.known(), name) && (name != SystemOwner || len(k.o.Services) == 0) {
			k.wrong(at(path, n), "there is no contact, rota or receiver %q; %s", name, suggest(name, k.known(), "add it to process.contacts"))
		}
	}
}

func (k *compiler) isRota(name string) bool {
	_, ok := k.c.Rotas[name]
	return ok
}

func (k *compiler) rotas() {
	for _, name := range slices.Sorted(maps.Keys(k.c.Rotas)) {
		c := k.c.Rotas[name]
		path := ".rotas." + name
		for part, problem := range rota.Problems(c) {
			k.problems[join(path, part)] = problem
		}
		person := func(path, who string) {
			if who != "" && k.g.contacts[who].Name == "" {
				k.wrong(path, "there is no contact %q; %s", who, suggest(who, slices.Collect(maps.Keys(k.g.contacts)), "add it to process.contacts"))
			}
		}
		for n, s := range c.Shifts {
			for m, who := range s.People {
				person(at(at(path+".shifts", n)+".people", m), who)
			}
		}
		for n, o := range c.Overrides {
			person(at(path+".overrides", n)+".who", o.Who)
		}
	}
}

func (k *compiler) tiers() {
	for n, t := range k.c.Tiers {
		path := at(".tiers", n)
		if t.Name == "" {
			k.wrong(path+".name", "the support level has no name; add name:, such as L2")
		}
		if slices.ContainsFunc(k.c.Tiers[:n], func(o Tier) bool { return o.Name == t.Name }) {
			k.wrong(path+".name", "there is a support level %q already; describe each one once", t.Name)
		}
		k.reaches(path+".contacts", t.Contacts)
	}
	k.g.tiers = k.c.Tiers
}

func (k *compiler) chains() {
	for n, c := range k.c.Chains {
		path := at(".chains", n)
		if c.Name == "" {
			k.wrong(path+".name", "the calling chain has no name; add name:")
		}
		if _, twice := k.g.chains[c.Name]; twice {
			k.wrong(path+".name", "there is a calling chain %q already; give each one a name of its own", c.Name)
		}
		if len(c.Call) == 0 {
			k.wrong(path+".call", "nobody is called; list contacts or rotas")
		}
		k.reaches(path+".call", c.Call)
		wait, err := parseDelay(cmp.Or(c.Wait, "5m"))
		switch {
		case err != nil:
			k.wrong(path+".wait", "%v; write 5m", err)
		case wait.clock < 30*time.Second:
			k.wrong(path+".wait", "nobody can answer so quickly; write at least 30s, without business hours")
		}
		if c.Rounds < 0 || c.Rounds > 100 {
			k.wrong(path+".rounds", "%d rounds are not between 1 and 100; write 3", c.Rounds)
		}
		k.g.chains[c.Name] = chain{call: c.Call, wait: wait.clock, rounds: cmp.Or(c.Rounds, 3)}
	}
}

func (k *compiler) customers() {
	for n, c := range k.c.Customers {
		path := at(".customers", n)
		if c.Name == "" {
			k.wrong(path+".name", "the customer has no name; add name:")
		}
		k.g.customers[c.Name] = c
		if slices.ContainsFunc(k.c.Customers[:n], func(o Customer) bool { return o.Name == c.Name }) {
			k.wrong(path+".name", "there is a customer %q already; describe each one once", c.Name)
		}
		if c.Contact != "" && !slices.Contains(k.known(), c.Contact) {
			k.wrong(path+".contact", "there is no contact, rota or receiver %q; %s", c.Contact, suggest(c.Contact, k.known(), "add it to process.contacts"))
		}
		if u, err := url.Parse(c.Instructions); c.Instructions != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			k.wrong(path+".instructions", "%q is none of http or https; write a URL", c.Instructions)
		}
	}
}

func (k *compiler) matchers(path string, texts []string) labels.Matchers {
	var out labels.Matchers
	for n, text := range texts {
		ms, err := parse.Matchers(text)
		if err != nil {
			k.wrong(at(path, n), "%q is no matcher; write one such as 'severity=\"critical\"'", text)
			continue
		}
		out = append(out, ms...)
	}
	return out
}

func (k *compiler) conditions(path string, texts []string) []condition {
	var out []condition
	for n, text := range texts {
		c, err := parseCondition(text, k.g)
		if err != nil {
			problem := err.Error()
			if !strings.Contains(problem, "; ") {
				problem += `; write one such as "not acknowledged"`
			}
			k.wrong(at(path, n), "%s", problem)
			continue
		}
		out = append(out, c)
	}
	return out
}

func (k *compiler) duties() {
	base, ok := profiles()[cmp.Or(k.c.Profile, ProfileLight)]
	if !ok {
		k.wrong(".profile", "there is no profile %q; %s", k.c.Profile, nearest.Suggest(k.c.Profile, Profiles()))
	}
	own := map[string]bool{}
	for _, d := range k.c.Duties {
		own[d.Name] = true
	}
	lenient := &compiler{c: k.c, o: k.o, g: k.g, problems: map[string]string{}}
	for _, d := range base.Duties {
		if own[d.Name] {
			continue
		}
		// A profile names contacts that a team may not have; then nobody is told.
		compiled := lenient.duty("", d, true)
		if c := d.Do.Call; c != "" && k.g.chains[c].call == nil {
			compiled.do.Call = ""
		}
		if x := d.Do.Escalate; x.To != "" && !slices.ContainsFunc(k.c.Tiers, func(t Tier) bool { return t.Name == x.To }) {
			compiled.do.Escalate = Escalate{}
		}
		k.g.duties = append(k.g.duties, compiled)
	}
	k.objectives()
	for n, d := range k.c.Duties {
		path := at(".duties", n)
		switch {
		case d.Name == "":
			k.wrong(path+".name", "the duty has no name; add name:")
		case !validName(d.Name):
			k.wrong(path+".name", "%q is no name for a metric's label; use letters, digits, - and _, at most 60", d.Name)
		case slices.ContainsFunc(k.c.Duties[:n], func(o Duty) bool { return o.Name == d.Name }):
			k.wrong(path+".name", "there is a duty %q already; give each one a name of its own", d.Name)
		case slices.ContainsFunc(k.g.duties, func(o duty) bool { return o.name == d.Name }):
			k.wrong(path+".name", "%q is made of the objectives in incidents.priorities; give it another name", d.Name)
		}
		if d.Disabled {
			if !slices.ContainsFunc(base.Duties, func(o Duty) bool { return o.Name == d.Name }) && d.Name != "" {
				k.wrong(path+".disabled", "the profile has no duty %q; remove it", d.Name)
			}
			continue
		}
		k.g.duties = append(k.g.duties, k.duty(path, d, false))
	}
	if len(k.g.duties) > dutiesAtMost {
		k.wrong(".duties", "there are %d duties; no more than %d can be kept", len(k.g.duties), dutiesAtMost)
	}
}

// dutiesAtMost bounds the duties of a process: an incident keeps what became of each.
const dutiesAtMost = 80

func validName(name string) bool {
	return name != "" && len(name) <= 60 && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

func (k *compiler) duty(path string, d Duty, fromProfile bool) duty {
	k.onPath(path+".path", d.Path)
	out := duty{name: d.Name, path: d.Path, text: d.Text, times: d.Times, do: d.Do, match: k.matchers(path+".match", d.Match),
		while: k.conditions(path+".while", d.While), unless: k.conditions(path+".unless", d.Unless)}
	if len(d.On) == 0 {
		d.On = []string{"opened"}
	}
	for n, name := range d.On {
		if out.on = append(out.on, since(name)...); events[name] == nil {
			k.wrong(at(path+".on", n), "there is no event %q; %s", name, nearest.Suggest(name, Events()))
		}
	}
	var err error
	if out.after, err = parseDelay(d.After); err != nil {
		k.wrong(path+".after", "%v; %s", err, delayHelp)
	}
	switch out.every, err = parseDelay(d.Every); {
	case err != nil:
		k.wrong(path+".every", "%v; %s", err, delayHelp)
	case d.Every != "" && out.every.days == 0 && out.every.business+out.every.clock < shortestEvery:
		k.wrong(path+".every", "%s is too often; write at least %s", d.Every, model.Duration(shortestEvery))
	}
	switch {
	case d.Times < 0:
		k.wrong(path+".times", "%d times is less than none; write a number above 0", d.Times)
	case d.Times > 1 && out.every.isZero():
		k.wrong(path+".times", "it does not say after how long it is due again; add every:")
	case out.every.isZero():
		out.times = 1
	}
	for n := range out.unless {
		if back := takenBack[out.unless[n].text]; back != nil {
			out.anew = append(out.anew, back)
		}
	}
	out.deadline = len(d.Unless) > 0 || d.Do.Require != "" || !d.Do.does()
	k.do(path+".do", &d, fromProfile)
	return out
}

// does reports whether something happens by itself.
func (d *Do) does() bool {
	return len(d.Notify) > 0 || d.Webhook != "" || d.Call != "" || d.Escalate.To != "" || d.Raise != (Raise{}) || d.Suggest || d.Unacknowledge
}

func (k *compiler) do(path string, d *Duty, fromProfile bool) {
	do := &d.Do
	if !fromProfile {
		k.reaches(path+".notify", do.Notify)
		if do.Webhook != "" && !k.g.receivers[do.Webhook] {
			k.wrong(path+".webhook", "there is no receiver %q; %s", do.Webhook, k.receiverHelp(do.Webhook))
		}
		if _, ok := k.g.chains[do.Call]; do.Call != "" && !ok {
			k.wrong(path+".call", "there is no calling chain %q; %s", do.Call, suggest(do.Call, slices.Collect(maps.Keys(k.g.chains)), "add it to process.chains"))
		}
	}
	k.word(path+".detail", "detail", do.Detail, []string{"full", incident.DetailSummary, incident.DetailPublic})
	k.word(path+".require", "action", do.Require, []string{incident.ActionResolve, incident.ActionClose, incident.ActionEscalate})
	if x := do.Escalate; x != (Escalate{}) {
		var names []string
		for _, t := range k.c.Tiers {
			if t.Name != "" {
				names = append(names, t.Name)
			}
		}
		if !fromProfile && !slices.Contains(names, x.To) {
			k.wrong(path+".escalate.to", "there is no support level %q; %s", x.To, suggest(x.To, names, "add it to process.tiers"))
		}
		if x.Reason == "" {
			k.wrong(path+".escalate.reason", "it does not say why; write one of %s", strings.Join(incident.Reasons(), ", "))
		}
		k.word(path+".escalate.reason", "reason", x.Reason, incident.Reasons())
		if len(d.On) == 1 && d.On[0] == "escalated" && d.After == "" {
			k.wrong(path+".escalate", "what an escalation leads to at once cannot be an escalation; add after:")
		}
	}
	if r := do.Raise; r != (Raise{}) {
		k.word(path+".raise.severity", "severity", r.Severity, k.o.Severities)
		k.word(path+".raise.level", "level", r.Level, incident.Levels())
	}
}

// word checks a word that may be left out.
func (k *compiler) word(path, what, word string, list []string) {
	if word != "" && !slices.Contains(list, word) {
		k.wrong(path, "there is no %s %q; %s", what, word, nearest.Suggest(word, list))
	}
}

func (k *compiler) gates() {
	for n, gt := range k.c.Gates {
		path := at(".gates", n)
		if len(gt.Before) == 0 {
			k.wrong(path+".before", "the gate does not say what it holds back; write [resolve], or close or escalate")
		}
		for m, action := range gt.Before {
			k.word(at(path+".before", m), "action", action, []string{incident.ActionResolve, incident.ActionClose, incident.ActionEscalate})
		}
		if len(gt.Need) == 0 {
			k.wrong(path+".need", "the gate needs nothing; write conditions such as [confirmed, cause]")
		}
		k.onPath(path+".path", gt.Path)
		k.g.gates = append(k.g.gates, gate{path: gt.Path, match: k.matchers(path+".match", gt.Match), before: gt.Before, need: k.conditions(path+".need", gt.Need)})
	}
	for _, gt := range profiles()[k.c.Profile].Gates {
		k.g.gates = append(k.g.gates, gate{path: gt.Path, match: k.matchers("", gt.Match), before: gt.Before, need: k.conditions("", gt.Need)})
	}
}

func (k *compiler) plans() {
	for n, p := range k.c.Communication {
		path := at(".communication", n)
		k.word(path+".detail", "detail", p.Detail, []string{"full", incident.DetailSummary, incident.DetailPublic})
		k.reaches(path+".audience", p.Audience)
		if _, err := parseDelay(p.Every); err != nil {
			k.wrong(path+".every", "%v; %s", err, delayHelp)
		}
		k.g.plans = append(k.g.plans, plan{Plan: p, match: k.matchers(path+".match", p.Match)})
	}
}

// objectives adds the duties that the objectives of the priorities make.
func (k *compiler) objectives() {
	of := func(which func(incident.Objectives) model.Duration, part float64) func(view) time.Duration {
		return func(v view) time.Duration {
			return time.Duration(part * float64(which(v.g.ObjectivesOf(v.i))))
		}
	}
	response := func(o incident.Objectives) model.Duration { return o.Response }
	resolution := func(o incident.Objectives) model.Duration { return o.Resolution }
	must := func(text string) []condition {
		c, err := parseCondition(text, k.g)
		if err != nil {
			panic(err) // a programmer's mistake
		}
		return []condition{c}
	}
	any := func(which func(incident.Objectives) model.Duration) bool {
		some := func(of map[string]incident.Objectives) bool {
			for _, o := range of {
				if which(o) > 0 {
					return true
				}
			}
			return false
		}
		for _, s := range k.o.Services {
			if some(s.Objectives) {
				return true
			}
		}
		return some(k.o.Objectives)
	}
	for _, o := range [...]struct {
		name, unless, text string
		which              func(incident.Objectives) model.Duration
	}{{"response", "acknowledged", "acknowledge it", response}, {"resolution", "resolved", "resolve it", resolution}} {
		if !any(o.which) {
			continue
		}
		k.g.duties = append(k.g.duties,
			duty{name: o.name + "-objective-near", on: since("opened"), times: 1, unless: must(o.unless), of: of(o.which, nearBreach), ends: true,
				text: "four fifths of the time to " + o.text + " have passed", do: Do{Suggest: true}},
			duty{name: o.name + "-objective", on: since("opened"), times: 1, unless: must(o.unless), of: of(o.which, 1), deadline: true, objective: o.name,
				text: o.text + " within the objective of its priority"})
	}
}

// nearBreach is the part of an objective after which a breach is near.
const nearBreach = 0.8

func problemsError(problems map[string]string) error {
	var lines []string
	for path, problem := range problems {
		lines = append(lines, "process"+path+": "+problem)
	}
	slices.Sort(lines)
	return fmt.Errorf("process: %s", strings.Join(lines, "; "))
}
