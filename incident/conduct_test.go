package incident

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// guide is a process that misses what missing says, knows the levels L2 and L3, and
// has updates signed if sign says so.
type guide struct {
	missing map[string][]Requirement
	sign    bool
	also    []Called
}

func (g *guide) Review(*Edit) {}

func (g *guide) Missing(_ *Incident, action string, _ time.Time) []Requirement {
	if action == ActionAutoClose {
		action = ActionClose
	}
	return g.missing[action]
}

func (g *guide) Tier(name string, _ time.Time) ([]string, bool) {
	return []string{"team-" + name}, name == "L2" || name == "L3"
}

func (g *guide) Audience(*Incident, *Update) ([]Called, bool) { return g.also, g.sign }

// heard has everybody who is told written down in s.jobs under their name.
func (s *story) heard(receivers ...string) *story {
	s.policy.Targets = func(i *Incident) []Target {
		var all []Target
		for _, c := range i.Proceedings().Called {
			all = append(all, Target{Name: c.Receiver + "/slack[0]", Receiver: c.Receiver, Wait: time.Hour})
		}
		for _, r := range receivers {
			all = append(all, Target{Name: r + "/slack[0]", Receiver: r, Wait: time.Hour})
		}
		return all
	}
	return s
}

// last is what the timeline says last.
func (s *story) last() string {
	e := s.timeline[len(s.timeline)-1]
	return e.Action + " " + e.Who + ": " + e.Text
}

// said are the entries since the n-th.
func (s *story) since(n int) (said []string) {
	for _, e := range s.timeline[n:] {
		said = append(said, e.Action+" "+e.Who+": "+e.Text)
	}
	return said
}

// now does edits, of which each has to change something, and wants them to say the texts.
func (s *story) says(minute int, edit func(*Edit) error, want ...string) {
	s.t.Helper()
	n := len(s.timeline)
	s.must(minute, edit)
	if got := s.since(n); !slices.Equal(got, want) {
		s.t.Errorf("minute %d: got\n%q, want\n%q", minute, got, want)
	}
}

// same wants an edit to change nothing.
func (s *story) same(minute int, edits ...func(*Edit) error) {
	s.t.Helper()
	for n, edit := range edits {
		if changed, err := s.do(minute, edit); changed || err != nil {
			s.t.Errorf("minute %d, edit %d: changed %v, error %v; want nothing", minute, n, changed, err)
		}
	}
}

// refuses wants an edit to fail with a text.
func (s *story) refuses(minute int, edit func(*Edit) error, want string) {
	s.t.Helper()
	if changed, err := s.do(minute, edit); err == nil || changed || err.Error() != want {
		s.t.Errorf("minute %d: changed %v, error %v; want %q", minute, changed, err, want)
	}
}

// everything that people do to an incident, once, by its name.
func everything() map[string]func(*Edit) error {
	return map[string]func(*Edit) error{
		"assign": func(e *Edit) error { return e.Assign("ana", RoleLead, "ben", "") },
		"team":   func(e *Edit) error { return e.SetTeam("ana", "db", "") },
		"assess": func(e *Edit) error {
			return e.Assess(Assessment{By: "ana", Impact: High, Urgency: Low, Observations: "slow"}, "")
		},
		"category":   func(e *Edit) error { return e.SetCategory("ana", "network", "") },
		"level":      func(e *Edit) error { return e.SetLevel("ana", "major", "") },
		"work":       func(e *Edit) error { return e.Work("ana", "the disk", "") },
		"rest":       func(e *Edit) error { return e.Rest("eve", "") },
		"customers":  func(e *Edit) error { return e.SetCustomers("ana", []string{"Acme"}, "") },
		"contact at": func(e *Edit) error { return e.SetNextContact("ana", at(90), "") },
		"contacted": func(e *Edit) error {
			return e.Contacted(Contact{By: "ana", Who: "cy", Channel: ChannelPhone, Reached: true})
		},
		"told":     func(e *Edit) error { return e.ToldRestored("ana", "dora", "") },
		"confirm":  func(e *Edit) error { return e.Confirm("ana", "Acme", "") },
		"link":     func(e *Edit) error { return e.AddLink("ana", Link{Name: "logs", URL: "https://logs.example.com"}, "") },
		"escalate": func(e *Edit) error { return e.Escalate("ana", "L3", ReasonComplexity, "") },
		"accept":   func(e *Edit) error { return e.Accept("ben", "") },
		"answer":   func(e *Edit) error { return e.Answer("ben", "") },
		"find":     func(e *Edit) error { return e.Find("ana", Findings{Cause: "a full disk"}, "") },
		"removed":  func(e *Edit) error { return e.RemoveWorkaround("ana", "") },
		"suspect":  func(e *Edit) error { return e.Suspect("ana", "the network", CauseOpen, "") },
		"plan": func(e *Edit) error {
			return e.Plan(Action{By: "ana", Text: "more disks", Owner: "ben", Due: at(999), Kind: "corrective"}, "")
		},
		"complete": func(e *Edit) error { return e.Complete("ana", 1, "") },
		"correct":  func(e *Edit) error { return e.Correct("ana", Corrected{WentDown: at(-3)}, "") },
		"publish":  func(e *Edit) error { return e.Publish(Update{By: "ana", What: "it burns"}, "") },
		"sign":     func(e *Edit) error { return e.Sign("ben", 1, "") },
		"fulfil":   func(e *Edit) error { return e.Fulfil("ana", "first look", at(0), false, "") },
		"snooze":   func(e *Edit) error { return e.Snooze("ana", at(120), "") },
		"unsnooze": func(e *Edit) error { return e.Unsnooze("ana", "") },
		"merge":    func(e *Edit) error { return e.Merge("ana", another(), "") },
		"unmerge":  func(e *Edit) error { return e.Unmerge("ana", "") },
		"customer": func(e *Edit) error { return e.TakeCustomer("ana", "Acme", "") },
	}
}

// another incident, which can have children.
func another() *Incident {
	return &Incident{ID: ID{2}, Reference: "INC-2", Title: "the other", State: Open, Severity: "warning"}
}

// TestProcessInEveryState: what a person may do when. What is not said is done.
func TestProcessInEveryState(t *testing.T) {
	reach := map[string][]func(*Edit) error{Open: nil, Resolved: {resolve}, Closed: {resolve, closeIt}}
	only := map[string]string{ // state error; the rest have no business with the state
		"team": Open, "work": Open, "escalate": Open, "accept": Open, "snooze": Open, "merge": Open, "customer": Open,
		"assign": Resolved, "assess": Resolved, "category": Resolved, "level": Resolved, "customers": Resolved, "contact at": Resolved, "confirm": Resolved,
		"answer": Resolved, "correct": Resolved, "publish": Resolved, "sign": Resolved,
	}
	// nothing: of an incident to which nothing was done before, these change nothing or say so.
	nothing := []string{"rest", "answer", "unsnooze", "unmerge"}
	none := []string{"accept", "removed", "complete", "sign", "told"}
	for name, edit := range everything() {
		for _, state := range []string{Open, Resolved, Closed} {
			s := begin(t, Opening{})
			s.must(1, reach[state]...)
			changed, err := s.do(2, edit)
			wrong := errors.As(err, new(*StateError))
			want := state == Closed && only[name] != "" || state == Resolved && only[name] == Open || name == "told" && state == Open
			switch {
			case wrong != want:
				t.Errorf("%s when %s: got %v, want a StateError: %v", name, state, err, want)
			case wrong:
			case slices.Contains(nothing, name) && (changed || err != nil), slices.Contains(none, name) && err == nil:
				t.Errorf("%s when %s: changed %v, %v; want nothing to be done", name, state, changed, err)
			case !slices.Contains(nothing, name) && !slices.Contains(none, name) && (!changed || err != nil):
				t.Errorf("%s when %s: changed %v, %v; want it done", name, state, changed, err)
			case changed:
				s.same(2, edit)
			}
		}
	}
}

// TestEditsOfTheProcessLeaveTheOriginalAlone, also if two begin with the same one.
func TestEditsOfTheProcessLeaveTheOriginalAlone(t *testing.T) {
	s := begin(t, Opening{})
	s.must(1, everything()["escalate"], everything()["publish"], everything()["contacted"], everything()["plan"], everything()["suspect"], everything()["work"])
	s.must(1, func(e *Edit) error { e.StartCall(System, "night", "nobody answers"); return nil })
	was := fmt.Sprintf("%+v", *s.incident.Process)
	for name, edit := range everything() {
		one, two := s.policy.Change(s.incident, at(5)), s.policy.Change(s.incident, at(6))
		_, _ = edit(one), edit(two)
		if got := fmt.Sprintf("%+v", *s.incident.Process); got != was {
			t.Fatalf("%s changed the original: got %s, want %s", name, got, was)
		}
	}
	one, two := s.policy.Change(s.incident, at(5)).Process(), s.policy.Change(s.incident, at(6)).Process()
	one.Calls[0].Called, two.Calls[0].Called = append(one.Calls[0].Called, "one"), append(two.Calls[0].Called, "two")
	one.Openings, two.Openings = append(one.Openings, at(1)), append(two.Openings, at(2))
	if one.Calls[0].Called[0] != "one" || !one.Openings[0].Equal(at(1)) {
		t.Error("two edits share the room of a list")
	}
}

func TestRoles(t *testing.T) {
	s := begin(t, Opening{})
	give := func(role, who, comment string) func(*Edit) error {
		return func(e *Edit) error { return e.Assign("ana", role, who, comment) }
	}
	s.same(1, give(RoleManager, "", ""))
	s.says(1, acknowledge, "acknowledged ana: acknowledged: on it")
	s.same(2, give(RoleManager, "ana", ""))
	s.says(3, give(RoleManager, "ben", "his shift"), "assigned ana: incident manager: ben, was ana: his shift")
	s.refuses(4, give(RoleManager, "", ""), "who: there is always an incident manager; name the person who takes over")
	s.says(5, give(RoleCommunications, "ben", ""), "assigned ana: communications manager: ben")
	s.says(6, give(RoleCommunications, "", ""), "assigned ana: communications manager: nobody any more, was ben")
	s.says(7, give(RoleHelp, "cy", ""), "assigned ana: technical help: cy")
	if got := fmt.Sprint(s.incident.Roles, s.incident.Process.Participants); got != "map[incident_manager:ben technical_help:cy] [ben cy]" {
		t.Errorf("got %s", got)
	}
}

func TestTeam(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	give := func(team string) func(*Edit) error { return func(e *Edit) error { return e.SetTeam("ana", team, "") } }
	s.says(1, give("db"), "team ana: team none → db")
	if !s.jobs[JobNotify].Equal(at(1)) {
		t.Errorf("a new team is told at %v, want at once", s.jobs[JobNotify])
	}
	s.says(2, give(""), "team ana: team db → none")
}

// TestAssessment gives the priority, which what alerts say later makes no better.
func TestAssessment(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	assess := func(by, impact, urgency, seen string) func(*Edit) error {
		return func(e *Edit) error {
			return e.Assess(Assessment{By: by, Impact: impact, Urgency: urgency, Observations: seen}, "")
		}
	}
	s.says(1, assess("ana", Medium, Medium, "only one"), "assessed ana: impact medium, urgency medium: priority P3: only one")
	if !s.jobs[JobNotify].IsZero() {
		t.Errorf("nothing became worse, but people are told at %v", s.jobs[JobNotify])
	}
	s.same(2, assess("ana", Medium, Medium, "only one"))
	s.says(3, assess("ben", High, High, "all of them"), "assessed ben: impact high, urgency high: priority P1, was P3: all of them")
	if !s.jobs[JobNotify].Equal(at(3)) || s.incident.Process.Assessment.By != "ben" || !s.incident.Process.Assessment.At.Equal(at(3)) {
		t.Errorf("told at %v, assessed %+v", s.jobs[JobNotify], s.incident.Process.Assessment)
	}
	s.must(4, func(e *Edit) error {
		e.Join(member("a", "error", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	if i := s.incident; i.Severity != "error" || i.Priority != "P1" {
		t.Errorf("a worse alert made it %s, %s; want error, P1 as assessed", i.Severity, i.Priority)
	}
	// Less severe is not more urgent: error says P2, and so does the assessment.
	s.must(5, assess("ana", High, Medium, "one of three"))
	s.must(5, func(e *Edit) error { return e.SetSeverity("ana", "error", "really") })
	if i := s.incident; i.Priority != "P2" || i.Impact != High || i.Urgency != Medium {
		t.Errorf("got %s, impact %s, urgency %s; want what was assessed", i.Priority, i.Impact, i.Urgency)
	}
	s.must(5, assess("ana", Low, Low, "it is nothing"))
	s.must(6, func(e *Edit) error { e.RaiseSeverity("critical", "for 2 h"); return nil })
	if s.last() != "severity tocsin: severity rose from error to critical: for 2 h" || s.incident.Priority != "P1" {
		t.Errorf("got %q, %s", s.last(), s.incident.Priority)
	}
	s.same(7, func(e *Edit) error { e.RaiseSeverity("warning", "x"); return nil })
}

func TestLevels(t *testing.T) {
	s := begin(t, Opening{})
	s.says(1, func(e *Edit) error { e.RaiseLevel("major", "over 2 h"); return nil }, "level tocsin: level rose from trivial to major: over 2 h")
	s.same(2, func(e *Edit) error { e.RaiseLevel("minor", ""); e.RaiseLevel("odd", ""); return nil })
	s.says(3, func(e *Edit) error { return e.SetLevel("ana", "minor", "not so bad") }, "level ana: level major → minor: not so bad")
	if LevelRank("odd") != -1 || LevelRank("trivial") != 0 {
		t.Error("levels are out of order")
	}
	s.says(4, func(e *Edit) error { return e.SetCategory("ana", "network", "") }, "category ana: category none → network")
}

// TestCycleKeepsItsFirstAcknowledgement: a cycle that is over says what was observed of it.
func TestCycleKeepsItsFirstAcknowledgement(t *testing.T) {
	s := begin(t, Opening{})
	by := func(who string) func(*Edit) error { return func(e *Edit) error { return e.Acknowledge(who, "") } }
	s.must(3, by("ana"))
	s.must(4, func(e *Edit) error { return e.Unacknowledge("ana", "") })
	s.must(30, by("ben"), resolve)
	s.must(40, func(e *Edit) error { return e.Reopen("ana", "") })
	if c := s.incident.Cycles[0]; !c.AcknowledgedAt.Equal(at(3)) || c.AcknowledgedBy != "" {
		t.Errorf("got %+v, want it acknowledged at %s, by nobody who is known", c, at(3))
	}
	s.must(45, by("cy"), resolve, func(e *Edit) error { return e.Reopen("ana", "") })
	if c := s.incident.Cycles[1]; !c.AcknowledgedAt.Equal(at(45)) || c.AcknowledgedBy != "cy" {
		t.Errorf("got %+v, want it acknowledged by cy", c)
	}
}

func TestWorking(t *testing.T) {
	s := begin(t, Opening{})
	on := func(who, what string) func(*Edit) error { return func(e *Edit) error { return e.Work(who, what, "") } }
	s.says(1, on("ana", "the disk"), "working ana: works on it: the disk")
	s.says(2, on("ben", ""), "working ben: works on it")
	s.says(3, on("ana", "the network"), "working ana: works on it: the network")
	if w := s.incident.Process.Working; len(w) != 2 || w[0].On != "the network" || !w[0].Since.Equal(at(1)) {
		t.Errorf("got %+v", w)
	}
	s.says(4, func(e *Edit) error { return e.Rest("ana", "lunch") }, "resting ana: does not work on it any more: lunch")
	for n := range workingKept - 1 {
		s.must(5, on(fmt.Sprint("p", n), ""))
	}
	s.refuses(6, on("one more", ""), "by: 20 people work on it already")
	s.must(7, resolve, closeIt)
	if len(s.incident.Process.Working) != 0 {
		t.Errorf("people work on a closed incident: %+v", s.incident.Process.Working)
	}
	if got := len(s.incident.Process.Participants); got != 21 {
		t.Errorf("got %d participants, want all 21 who worked on it", got)
	}
}

func TestCustomers(t *testing.T) {
	s := begin(t, Opening{})
	set := func(customers ...string) func(*Edit) error {
		return func(e *Edit) error { return e.SetCustomers("ana", customers, "") }
	}
	s.says(1, set("Beta", "Acme", "Beta"), "customers ana: affected: Acme, Beta")
	s.same(2, set("Acme", "Beta"))
	s.says(3, set(), "customers ana: affected: no customer")
	var many []string
	for n := range customersKept + 1 {
		many = append(many, fmt.Sprint("c", n))
	}
	s.refuses(4, set(many...), "customers: more than 100")
	s.must(5, set(many[1:]...))
	s.refuses(6, func(e *Edit) error { return e.TakeCustomer("ana", "c0", "") }, "customers: more than 100")
	next := func(at time.Time) func(*Edit) error {
		return func(e *Edit) error { return e.SetNextContact("ana", at, "as promised") }
	}
	s.says(7, next(at(37)), "next_contact ana: next contact at 2026-11-21T03:37:00Z: as promised")
	s.says(8, next(time.Time{}), "next_contact ana: no next contact: as promised")
	s.must(9, next(at(60)), resolve, closeIt)
	if !s.incident.Process.NextContact.IsZero() {
		t.Error("the customers of a closed incident wait for a contact")
	}
}

// TestContacts: only who answered was reached, and all of them hear that it is over.
func TestContacts(t *testing.T) {
	s := begin(t, Opening{})
	call := func(who, channel string, reached bool, note string) func(*Edit) error {
		return func(e *Edit) error {
			return e.Contacted(Contact{By: "ana", Who: who, Channel: channel, Reached: reached, Note: note, ToldRestored: at(1)})
		}
	}
	over := func(who string) func(*Edit) error {
		return func(e *Edit) error { return e.ToldRestored("ana", who, "by phone") }
	}
	s.says(1, call("Mr Li", ChannelPhone, true, "he looks"), "contacted ana: Mr Li by phone: he looks")
	s.same(1, call("Mr Li", ChannelPhone, true, "he looks"))
	s.says(2, call("Mr Li", ChannelPhone, true, "he looks"), "contacted ana: Mr Li by phone: he looks") // called again
	s.says(3, call("Ms Wu", ChannelVoicemail, false, ""), "contacted ana: Ms Wu by voicemail, not reached")
	for _, channel := range []string{ChannelVoicemail, ChannelEmail, ChannelTicket} {
		s.refuses(4, call("Ms Wu", channel, true, ""), "reached: by "+channel+" nobody is reached; write down when they answer, and how")
	}
	s.refuses(5, over("Mr Li"), "cannot tell anybody of the end of an incident that is open")
	s.must(6, resolve)
	s.says(7, over("Mr Li"), "followed_up ana: Mr Li knows that it is over: by phone")
	s.same(8, over("Mr Li"))
	s.refuses(8, over("Ms Ho"), `who: "Ms Ho" was not contacted`)
	if c := s.incident.Process.Contacts; len(c) != 3 || !c[0].ToldRestored.Equal(at(7)) || !c[1].ToldRestored.Equal(at(7)) || !c[2].ToldRestored.IsZero() {
		t.Errorf("got %+v", c)
	}
	s.must(9, reopen)
	if c := s.incident.Process.Contacts; !c[0].ToldRestored.IsZero() {
		t.Error("it is not over after all, but they count as told that it is")
	}
	for n := range contactsKept + 5 {
		s.must(10, call(fmt.Sprint("p", n), ChannelChat, true, ""))
	}
	if c := s.incident.Process.Contacts; len(c) != contactsKept || c[0].Who != "p5" {
		t.Errorf("%d are kept, from %s; want the latest 100", len(c), c[0].Who)
	}
}

func TestConfirmation(t *testing.T) {
	s := begin(t, Opening{})
	confirm := func(customer string) func(*Edit) error {
		return func(e *Edit) error { return e.Confirm("ana", customer, "") }
	}
	s.says(1, confirm(""), "confirmed ana: the service is back")
	s.says(2, confirm("Acme"), "confirmed ana: the service is back, says Acme")
	s.same(3, confirm("Acme"))
	join := func(e *Edit) error { e.Join(member("b", "warning", at(3)), false); return nil }
	s.says(3, join, "unconfirmed tocsin: the confirmation counts no more: A fires")
	if s.incident.Process.Confirmed != nil {
		t.Error("it is confirmed, though an alert fires that nobody spoke of")
	}
	s.must(4, confirm(""), resolve, reopen)
	if s.incident.Process.Confirmed != nil {
		t.Error("a new cycle begins confirmed")
	}
}

func TestLinks(t *testing.T) {
	s := begin(t, Opening{})
	add := func(n int) func(*Edit) error {
		return func(e *Edit) error {
			return e.AddLink("ana", Link{Name: fmt.Sprint("logs ", n), URL: "https://logs.example.com"}, "")
		}
	}
	s.says(1, add(0), "link ana: logs 0: https://logs.example.com")
	for n := range linksKept - 1 {
		s.must(2, add(n+1))
	}
	s.same(3, add(7))
	s.refuses(3, add(50), "links: it has 50 already")
}

// TestHandover: who had it takes part further on, and the level is told at once.
func TestHandover(t *testing.T) {
	s := begin(t, Opening{}).heard()
	g := &guide{missing: map[string][]Requirement{ActionEscalate: {{"assessment", "assess it first"}, {"help", "ask somebody"}}}}
	s.policy.Guide = g
	up := func(by, to, reason string) func(*Edit) error {
		return func(e *Edit) error { return e.Escalate(by, to, reason, "too odd") }
	}
	accept := func(by string) func(*Edit) error { return func(e *Edit) error { return e.Accept(by, "") } }
	s.must(1, acknowledge)
	s.refuses(2, accept("ben"), "cannot accept what was not escalated")
	s.refuses(2, up("ana", "L3", ReasonComplexity), "cannot escalate it yet: assess it first; ask somebody")
	s.refuses(2, up("ana", "L9", ReasonComplexity), `to: there is no support level "L9"`)
	s.says(3, up(System, "L2", ReasonRecurring), "escalated tocsin: nobody → L2, recurring: too odd")
	if !s.jobs[JobNotify].Equal(at(3)) {
		t.Errorf("the level is told at %v, want at once", s.jobs[JobNotify])
	}
	g.missing = nil
	s.same(4, up("ana", "L2", ReasonComplexity))
	s.says(5, up("cy", "L3", ReasonTimeSensitive), "escalated cy: L2 → L3, time sensitive: too odd")
	if p := s.incident.Process; p.Tier != "L3" || !slices.Equal(p.Participants, []string{"ana", "cy"}) || len(p.Called) != 2 || p.Called[1].Receiver != "team-L3" || p.Called[1].Why != "escalated to L3" {
		t.Errorf("got %+v", p)
	}
	s.says(6, accept("dora"), "accepted dora: took it over from L2")
	s.same(7, accept("dora"))
	s.refuses(7, accept("ben"), "dora has accepted it already")
	if h := s.incident.Process.Handovers; len(h) != 2 || h[1].AcceptedBy != "dora" || !h[1].AcceptedAt.Equal(at(6)) || h[1].From != "L2" || h[1].By != "cy" {
		t.Errorf("got %+v", h)
	}
	for n := range handoversKept + 3 {
		s.must(8+n, up("ana", []string{"L2", "L3"}[n%2], ReasonComplexity))
	}
	if h := s.incident.Process.Handovers; len(h) != handoversKept {
		t.Errorf("%d handovers are kept, want %d", len(h), handoversKept)
	}
}

// TestGates: what is missing keeps people from it, and the last alert's end is no end.
func TestGates(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	g := &guide{missing: map[string][]Requirement{ActionResolve: {{"confirmation", "have the customer confirm it"}}, ActionClose: {{"cause", "say what caused it"}}}}
	s.policy.Guide = g
	var gate *GateError
	if _, err := s.do(1, resolve); !errors.As(err, &gate) || gate.Action != ActionResolve || len(gate.Missing) != 1 || gate.Missing[0].Name != "confirmation" {
		t.Errorf("got %v, want what is missing", err)
	}
	system := func(e *Edit) error { return e.Resolve(System, "its last alert ended") }
	s.says(2, system, "recovered tocsin: nothing fires any more; cannot resolve it yet: have the customer confirm it")
	if s.incident.State != Open || s.incident.Phase != Observing {
		t.Errorf("got %s, %s", s.incident.State, s.incident.Phase)
	}
	s.same(3, system)
	g.missing[ActionResolve] = nil
	s.must(4, system)
	s.refuses(5, closeIt, "cannot close it yet: say what caused it")
	if changed, err := s.do(6, func(e *Edit) error { return e.Close(System, "") }); changed || err != nil {
		t.Errorf("closing by itself: changed %v, %v; want it put off", changed, err)
	}
}

func TestCalls(t *testing.T) {
	s := begin(t, Opening{})
	start := func(e *Edit) error { e.StartCall(System, "night", "nobody answers"); return nil }
	answer := func(by string) func(*Edit) error { return func(e *Edit) error { return e.Answer(by, "on my way") } }
	s.same(1, answer("ben"))
	s.says(2, start, "calling tocsin: calls night: nobody answers")
	s.same(3, start)
	s.says(4, answer("ben"), "answered ben: answered the call: on my way")
	s.same(5, answer("cy"))
	if c := s.incident.Process.Calls; len(c) != 1 || c[0].ConfirmedBy != "ben" || !c[0].Over() {
		t.Errorf("got %+v", c)
	}
	s.must(6, start)
	if c := s.incident.Process.Calls; len(c) != 2 {
		t.Errorf("an answered chain is not called again: %+v", c)
	}
}

// TestCallIn: who is called in twice knows the most that was said, and why.
func TestCallIn(t *testing.T) {
	s := begin(t, Opening{}).heard()
	in := func(why, detail string) func(*Edit) error {
		return func(e *Edit) error {
			e.CallIn("bosses", why, detail)
			e.Log(System, "note", why, 0)
			return nil
		}
	}
	for n, step := range []struct{ why, detail, wantWhy, wantDetail string }{
		{"public", DetailPublic, "public", DetailPublic}, {"summary", DetailSummary, "summary", DetailSummary}, {"all", "", "all", ""},
		{"summary again", DetailSummary, "all", ""}, {"public again", DetailPublic, "all", ""}, {"all again", "", "all again", ""},
	} {
		s.must(n+1, in(step.why, step.detail))
		if c := s.incident.Process.Called; len(c) != 1 || c[0].Why != step.wantWhy || c[0].Detail != step.wantDetail {
			t.Errorf("step %d: got %+v, want %q, %q", n, c, step.wantWhy, step.wantDetail)
		}
		if !s.jobs[JobNotify].Equal(at(n + 1)) {
			t.Errorf("step %d: told at %v, want at once", n, s.jobs[JobNotify])
		}
	}
}

// TestALargeAudience: an update reaches all that a plan of communication names, of whom none
// is forgotten for another.
func TestALargeAudience(t *testing.T) {
	s := begin(t, Opening{}).heard()
	g := &guide{}
	for n := range 40 {
		g.also = append(g.also, Called{Receiver: fmt.Sprint("unit ", n), Detail: DetailPublic})
	}
	s.policy.Guide = g
	s.must(1, func(e *Edit) error { return e.Publish(Update{By: "ana", What: "the shop is slow"}, "") })
	if c := s.incident.Process.Called; len(c) != 40 || c[0].Receiver != "unit 0" {
		t.Errorf("%d of 40 are told", len(c))
	}
}

// TestDuties: done in time, late, or not needed; counted once.
func TestDuties(t *testing.T) {
	for name, c := range map[string]struct {
		fired         int
		waive         bool
		comment       string
		said, counted string
	}{
		"in time":      {0, false, "", "duty_kept ana: done: look", "look kept"},
		"late":         {2, false, "sorry", "duty_missed ana: done late: look: sorry", ""},
		"not needed":   {0, true, "it is a test", "duty_waived ana: not needed: look: it is a test", "look waived"},
		"not any more": {1, true, "it is a test", "duty_waived ana: not needed: look: it is a test", ""},
	} {
		s := begin(t, Opening{})
		s.must(1, note, func(e *Edit) error {
			e.Process().SetDuty(Duty{Name: "look", Base: at(0), Fired: c.fired})
			e.Log(System, "x", "", 0)
			return nil
		})
		done := func(e *Edit) error { return e.Fulfil("ana", "look", at(0), c.waive, c.comment) }
		e := s.policy.Change(s.incident, at(2))
		var next Next
		if err := done(e); err != nil {
			t.Fatal(err)
		}
		e.Into(&next)
		counted := ""
		for _, d := range next.Duties {
			counted += d.Duty + " " + d.Outcome
		}
		if counted != c.counted {
			t.Errorf("%s: counted %q, want %q", name, counted, c.counted)
		}
		s.says(2, done, c.said)
		s.same(3, done)
	}
	s := begin(t, Opening{})
	s.refuses(1, func(e *Edit) error { return e.Fulfil("ana", "look", at(0), true, "") }, "comment: say why it need not be done")
}

func TestFindings(t *testing.T) {
	s := begin(t, Opening{})
	find := func(f Findings) func(*Edit) error { return func(e *Edit) error { return e.Find("ana", f, "") } }
	s.says(1, find(Findings{Cause: "a full disk", FollowUp: "https://tickets.example.com/1", Whys: []string{"no alert", "no rule"}}),
		"found ana: cause: a full disk\nfollow up: https://tickets.example.com/1\nwhy: no alert ← no rule")
	s.same(2, find(Findings{Cause: "a full disk", Whys: []string{"no alert", "no rule"}}), find(Findings{}))
	s.says(3, find(Findings{Workaround: "a restart"}), "found ana: workaround: a restart")
	gone := func(e *Edit) error { return e.RemoveWorkaround("ana", "") }
	s.says(4, gone, "workaround_removed ana: the workaround is removed")
	s.same(5, gone, find(Findings{Workaround: "a restart"}))
	s.must(6, find(Findings{Workaround: "another restart"}))
	if f := s.incident.Process.Findings; !f.WorkaroundRemoved.IsZero() || f.Cause != "a full disk" || len(f.Whys) != 2 {
		t.Errorf("another workaround counts as removed, or the rest is lost: %+v", f)
	}
	s.refuses(7, find(Findings{Whys: make([]string, whysKept+1)}), "whys: more than 5")

	suspect := func(text, state string) func(*Edit) error {
		return func(e *Edit) error { return e.Suspect("ana", text, state, "") }
	}
	s.says(8, suspect("network", CauseOpen), "cause ana: open: network")
	s.same(9, suspect("network", CauseOpen))
	s.says(9, suspect("network", CauseRuledOut), "cause ana: ruled out: network")
	for n := range causesKept - 1 {
		s.must(10, suspect(fmt.Sprint("cause ", n), CauseVerified))
	}
	s.refuses(11, suspect("one more", CauseOpen), "text: it has 30 likely causes already")
	s.must(11, suspect("network", CauseOpen))
}

func TestActionsAfterwards(t *testing.T) {
	s := begin(t, Opening{})
	plan := func(text string) func(*Edit) error {
		return func(e *Edit) error {
			return e.Plan(Action{By: "ana", Text: text, Owner: "ben", Due: at(999), Kind: "corrective", DoneBy: "nobody", ID: 7}, "")
		}
	}
	done := func(id uint64) func(*Edit) error {
		return func(e *Edit) error { return e.Complete("cy", id, "at last") }
	}
	s.says(1, plan("more disks"), "action ana: action 1 for ben until 2026-11-21T19:39:00Z: more disks")
	s.same(2, plan("more disks"))
	s.must(3, plan("less data"), resolve, closeIt)
	s.says(4, done(2), "action_done cy: action 2 is done: less data: at last")
	s.same(5, done(2))
	s.refuses(6, done(3), "action: there is no action 3")
	if a := s.incident.Process.Actions; len(a) != 2 || a[0].DoneBy != "" || a[1].DoneBy != "cy" || !a[1].DoneAt.Equal(at(4)) {
		t.Errorf("got %+v", a)
	}
	for n := range actionsKept - 2 {
		s.must(7, plan(fmt.Sprint(n)))
	}
	s.refuses(8, plan("x"), "text: it has 50 actions already")
}

// TestCorrections: a person knows better when it was down, within reason.
func TestCorrections(t *testing.T) {
	s := begin(t, Opening{StartedAt: at(-5)})
	correct := func(down, restored time.Time) func(*Edit) error {
		return func(e *Edit) error { return e.Correct("ana", Corrected{down, restored}, "") }
	}
	none := time.Time{}
	s.same(1, correct(none, none))
	s.refuses(1, correct(at(2), none), "went_down: lies in the future")
	s.refuses(1, correct(none, at(2)), "restored: lies in the future")
	s.refuses(1, correct(at(-367*24*60), none), "went_down: is more than a year before it was opened, at 2026-11-21T03:00:00Z")
	s.refuses(1, correct(none, at(-6)), "restored: is before it went down, at 2026-11-21T02:55:00Z")
	s.refuses(1, correct(at(-2), at(-3)), "restored: is before it went down, at 2026-11-21T02:58:00Z")
	s.says(2, correct(at(-10), none), "corrected ana: went down at 2026-11-21T02:50:00Z")
	s.same(3, correct(at(-10), none))
	s.must(20, resolve)
	if d, _ := s.incident.Outage(); d != 30*time.Minute {
		t.Errorf("the outage is %v, want 30m", d)
	}
	s.refuses(25, correct(at(21), none), "went_down: is after it was resolved, at 2026-11-21T03:20:00Z")
	s.says(30, correct(none, at(10)), "corrected ana: restored at 2026-11-21T03:10:00Z")
	if d, _ := s.incident.Outage(); d != 20*time.Minute {
		t.Errorf("the outage is %v, want 20m", d)
	}
	s.must(40, reopen)
	s.must(50, resolve)
	if d, _ := s.incident.Outage(); d != 60*time.Minute {
		t.Errorf("after it came back the outage is %v, want 1h: what was corrected before was no end", d)
	}
}

// TestUpdates go to everybody at once, unless they wait for a signature: then not a
// word of them stands where messages would quote it.
// TestPublicUpdatesStay: what stands on a status page is not pushed out of the list by
// what only we know.
func TestPublicUpdatesStay(t *testing.T) {
	var list []Update
	for n := range uint64(3 * updatesKept) {
		list = keepUpdates(append(list, Update{ID: n, Public: n < 2}))
	}
	if len(list) != updatesKept || list[0].ID != 0 || list[1].ID != 1 || list[updatesKept-1].ID != 3*updatesKept-1 {
		t.Errorf("got %+v", list)
	}
	for n := range uint64(2 * updatesKept) {
		list = keepUpdates(append(list, Update{ID: 100 + n, Public: true}))
	}
	list = keepUpdates(append(list, Update{ID: 200}))
	if len(list) != updatesKept || list[0].ID != 101+updatesKept || list[updatesKept-1].ID != 200 {
		t.Errorf("public ones only, and a new one that is not: got %+v", list)
	}
}

func TestUpdates(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	g := &guide{also: []Called{{Receiver: "page", Why: "status page", Detail: DetailPublic}}}
	s.policy.Guide = g
	say := func(u Update) func(*Edit) error {
		return func(e *Edit) error { u.By = "ana"; return e.Publish(u, "") }
	}
	full := Update{What: "the shop is slow", Analysis: "a disk", Progress: "ordered one", Forecast: "2 h", Contact: "the desk", Restoration: at(120), Phase: Mitigating, For: []string{"bosses"}, ID: 9, SignedBy: "me"}
	s.says(1, say(full), "phase ana: phase investigating → mitigating", "update ana: mitigating: the shop is slow\nanalysis: a disk\nprogress: ordered one\nforecast: 2 h\ncontact: the desk\nrestoration expected at 2026-11-21 05:00 UTC")
	p := s.incident.Process
	if u := p.LastUpdate(); u == nil || u.ID != 1 || u.SignedBy != "" || !u.At.Equal(at(1)) || u.Phase != Mitigating {
		t.Errorf("got %+v", u)
	}
	if len(p.Called) != 2 || p.Called[0] != (Called{"page", "status page", at(1), DetailPublic}) || p.Called[1] != (Called{"bosses", "status updates", at(1), DetailSummary}) {
		t.Errorf("called in: %+v", p.Called)
	}
	if !s.jobs[JobNotify].Equal(at(1)) {
		t.Errorf("told at %v, want at once", s.jobs[JobNotify])
	}
	s.same(1, say(full))
	s.must(31, say(full)) // half an hour later there may be nothing new

	g.sign = true
	delete(s.jobs, JobNotify)
	s.says(40, say(Update{What: "secret until signed"}), "update_drafted ana: update 3 waits for a signature")
	if !s.jobs[JobNotify].IsZero() {
		t.Error("people are told of an update that waits for a signature")
	}
	if u := s.incident.Process.LastUpdate(); u.ID != 2 {
		t.Errorf("the last update is %d, want 2: the other is not out", u.ID)
	}
	sign := func(by string, id uint64) func(*Edit) error {
		return func(e *Edit) error { return e.Sign(by, id, "good") }
	}
	s.refuses(41, sign("ana", 3), "by: who wrote an update cannot sign it")
	s.refuses(41, sign("ben", 4), "update: there is no update 4")
	s.same(41, sign("ben", 1))
	s.says(42, sign("ben", 3), "signed ben: signed update 3: good", "update ana: mitigating: secret until signed")
	s.same(43, sign("cy", 3))
	if u := s.incident.Process.LastUpdate(); u.ID != 3 || u.SignedBy != "ben" || !u.SignedAt.Equal(at(42)) || !s.jobs[JobNotify].Equal(at(42)) {
		t.Errorf("got %+v, told at %v", u, s.jobs[JobNotify])
	}
	for n := range updatesKept + 1 {
		s.must(50+2*n, say(Update{What: fmt.Sprint(n)}))
	}
	if u := s.incident.Process.Updates; len(u) != updatesKept || u[updatesKept-1].ID != 24 {
		t.Errorf("%d are kept, the last is %d", len(u), u[len(u)-1].ID)
	}
	s.must(200, resolve)
	s.says(201, say(Update{What: "it is over", Phase: Observing}), "update_drafted ana: update 25 waits for a signature")
}

// TestAnUnsignedPhase: the phase of an update goes out with the update, since a status page
// shows it; what somebody says meanwhile stands.
func TestAnUnsignedPhase(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	s.policy.Guide = &guide{sign: true}
	say := func(what, phase string) func(*Edit) error {
		return func(e *Edit) error { return e.Publish(Update{By: "ana", What: what, Phase: phase}, "") }
	}
	sign := func(id uint64) func(*Edit) error { return func(e *Edit) error { return e.Sign("ben", id, "") } }
	s.says(1, say("it should be over", Observing), "update_drafted ana: update 1 waits for a signature")
	if s.incident.Phase != Investigating {
		t.Errorf("unsigned: %s", s.incident.Phase)
	}
	s.says(2, sign(1), "signed ben: signed update 1", "phase ana: phase investigating → observing", "update ana: observing: it should be over")
	s.must(3, say("it is back", Mitigating))
	s.must(4, func(e *Edit) error { return e.SetPhase("cy", Investigating, "") })
	s.must(5, sign(2))
	if s.incident.Phase != Investigating {
		t.Errorf("got %s, want what cy said", s.incident.Phase)
	}
	s.must(6, say("a", Mitigating))
	s.must(7, say("b", Observing))
	s.must(8, sign(4))
	s.must(9, sign(3))
	if s.incident.Phase != Observing {
		t.Errorf("got %s, want that of the latest", s.incident.Phase)
	}
}

// TestSnooze hides for a time, and what there is to tell is told when it ends.
func TestSnooze(t *testing.T) {
	s := begin(t, Opening{}).heard("ops")
	snooze := func(until time.Time) func(*Edit) error {
		return func(e *Edit) error { return e.Snooze("ana", until, "known") }
	}
	end := func(e *Edit) error { e.EndSnooze(); return nil }
	s.same(1, end)
	s.refuses(1, snooze(at(1)), "until: is not in the future")
	s.refuses(1, snooze(at(1).Add(SnoozeAtMost+1)), "until: is more than 30 days away")
	s.says(1, snooze(at(60)), "snoozed ana: nobody is told before 2026-11-21 04:00:00 UTC: known")
	s.same(2, snooze(at(60)))
	if !s.jobs[JobSnooze].Equal(at(60)) || !s.jobs[JobNotify].IsZero() {
		t.Errorf("jobs %v", s.jobs)
	}
	for minute, want := range map[int]bool{2: true, 59: true, 60: true, 61: false} {
		if _, got := s.incident.Snoozed(at(minute)); got != want {
			t.Errorf("minute %d: snoozed %v, want %v", minute, got, want)
		}
	}
	s.same(59, end)
	s.must(59, func(e *Edit) error {
		e.Join(member("a", "warning", epoch), false)
		e.Log(System, "joined", "", 1)
		return nil
	})
	s.says(60, end, "snooze_over tocsin: the snooze is over; firing: 1")
	if _, hidden := s.incident.Snoozed(at(60)); hidden || !s.jobs[JobNotify].Equal(at(60)) {
		t.Errorf("hidden %v, told at %v; want it told now", hidden, s.jobs[JobNotify])
	}
	s.must(70, func(e *Edit) error { return e.SnoozeFor("ana", time.Hour, "") })
	s.same(70, func(e *Edit) error { return e.SnoozeFor("ana", time.Hour, "") })
	s.must(71, func(e *Edit) error { return e.SnoozeFor("ana", time.Hour, "") }, func(e *Edit) error { return e.SnoozeFor("ana", time.Minute, "") })
	if !s.jobs[JobSnooze].Equal(at(72)) {
		t.Errorf("the snooze ends at %v, want at minute 72, as said last", s.jobs[JobSnooze])
	}
	s.says(71, func(e *Edit) error { return e.Unsnooze("ben", "no") }, "snooze_over ben: the snooze is taken back: no; firing: 1")
	if _, armed := s.jobs[JobSnooze]; armed {
		t.Error("its end is still armed")
	}
}

// TestTextsAreOneOfAKind: every action of the timeline is a word.
func TestTextsAreOneOfAKind(t *testing.T) {
	s := begin(t, Opening{})
	for _, edit := range everything() {
		_, _ = s.do(1, edit)
	}
	for _, e := range s.timeline {
		if e.Action == "" || strings.ContainsAny(e.Action, " -") || strings.ToLower(e.Action) != e.Action || e.Text == "" {
			t.Errorf("got action %q, text %q", e.Action, e.Text)
		}
	}
}
