package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/web"
)

// command is what a responder can do to an incident: a form, and the request to the
// API that it becomes. All of them take a name, where nobody signed in, and a comment.
type command struct {
	// Name is what it is called in addresses of the console; Path stands after the
	// incident in those of the API, {n} for the field of this name.
	Name, Path string
	// Title is what to do, Done what is said when it is done.
	Title, Done string
	Help        string
	// Group is under which heading the page of an incident offers it; empty where it
	// stands beside what it is about.
	Group  string
	Fields []field
	// Silent: there is no comment beside the fields.
	Silent bool
	// Gate is the action that the process may want something before, if it is one.
	Gate string
	// Shown reports whether it makes sense now; nil means always.
	Shown func(i *web.IncidentJSON) bool
}

// The headings under which commands are offered.
const (
	groupWork  = "Work on it"
	groupJudge = "Judge it"
	groupTell  = "Tell people"
	groupFind  = "Find out"
	groupOther = "Other incidents"
	groupEnd   = "End it"
)

func isOpen(i *web.IncidentJSON) bool    { return i.State == "open" || i.State == "acknowledged" }
func notClosed(i *web.IncidentJSON) bool { return i.State != "closed" }
func state(s string) func(*web.IncidentJSON) bool {
	return func(i *web.IncidentJSON) bool { return i.State == s }
}

// choose makes the options of a field from the words that the API has for it.
func choose(of func(c *web.ChoicesJSON) []string) func(f *facts) []option {
	return func(f *facts) []option { return options(of(&f.Choices)) }
}

// suggest makes the suggestions of a field.
func suggest(of func(c *web.ChoicesJSON) []string) func(f *facts) []string {
	return func(f *facts) []string { return of(&f.Choices) }
}

// now is what the incident has in a field.
func now(of func(i *web.IncidentJSON) string) func(f *facts) string {
	return func(f *facts) string { return of(&f.Incident) }
}

var (
	grades    = choose(func(c *web.ChoicesJSON) []string { return c.Grades })
	customers = suggest(func(c *web.ChoicesJSON) []string { return c.Customers })
)

// involved are the people that the incident names.
func involved(f *facts) []string {
	i := &f.Incident
	list := append([]string{i.AcknowledgedBy}, i.Participants...)
	for _, who := range i.Roles {
		list = append(list, who)
	}
	for _, w := range i.Working {
		list = append(list, w.Who)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// commands are all of them, in the order in which pages offer them.
var commands = []*command{
	{Name: "acknowledge", Path: "acknowledge", Title: "Acknowledge", Done: "Acknowledged.", Help: "Say that you work on it. Nobody else is called any more.", Group: groupWork, Shown: state("open")},
	{Name: "unacknowledge", Path: "unacknowledge", Title: "Take back the acknowledgement", Done: "The acknowledgement is taken back.", Help: "Say that nobody works on it any more. People are called again.", Group: groupWork, Shown: state("acknowledged")},
	{Name: "work", Path: "work", Title: "Say what you work on", Done: "You work on it.", Help: "So that no two people do the same unaware of each other.", Group: groupWork, Shown: isOpen,
		Fields: []field{{Name: "on", Label: "What you work on", Kind: line, Help: "Such as: the restart of the database."}}},
	{Name: "rest", Path: "rest", Title: "Stop working on it", Done: "You do not work on it any more.", Group: groupWork, Shown: func(i *web.IncidentJSON) bool { return len(i.Working) > 0 }},
	{Name: "assign", Path: "assign", Title: "Assign a role", Done: "Assigned.", Group: groupWork, Shown: notClosed, Fields: []field{
		{Name: "role", Label: "Role", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Roles })},
		{Name: "who", Label: "Who takes it", Kind: line, Suggest: involved, Clears: true, Help: "Empty: nobody has the role any more."}}},
	{Name: "team", Path: "assign", Title: "Give it to a team", Done: "It has another team now.", Group: groupWork, Shown: notClosed, Fields: []field{
		{Name: "team", Label: "Team", Kind: line, Clears: true, Suggest: suggest(func(c *web.ChoicesJSON) []string { return c.Teams }), Value: now(func(i *web.IncidentJSON) string { return i.Team })}}},
	{Name: "note", Path: "note", Title: "Write a note", Done: "Noted.", Group: groupWork, Silent: true, Fields: []field{
		{Name: "text", Label: "Note", Kind: area, Required: true},
		{Name: "at", Label: "When it happened", Kind: moment, Help: "Empty: now. An earlier time makes it a late entry."}}},
	{Name: "link", Path: "link", Title: "Add a link", Done: "The link is added.", Help: "Such as to logs, a ticket or a conference.", Group: groupWork, Shown: notClosed, Fields: []field{
		{Name: "name", Label: "What it leads to", Kind: line, Required: true},
		{Name: "url", Label: "Address", Kind: line, Required: true, Help: "It begins with https:// or http://."},
		{Name: "kind", Label: "Kind", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.LinkKinds }), Help: "What the process may ask for before it is closed."}}},
	{Name: "snooze", Path: "snooze", Title: "Snooze", Done: "Nobody is told of it for a time.", Help: "Tell nobody of it for a time. It stays on the board.", Group: groupWork, Shown: isOpen, Fields: []field{
		{Name: "for_seconds", Label: "For how long", Kind: number, Options: func(*facts) []option {
			return []option{{"900", "15 minutes"}, {"1800", "30 minutes"}, {"3600", "1 hour"}, {"7200", "2 hours"}, {"14400", "4 hours"}, {"28800", "8 hours"}, {"86400", "1 day"}, {"604800", "7 days"}}
		}},
		{Name: "until", Label: "Or until when", Kind: moment}}},
	{Name: "unsnooze", Path: "unsnooze", Title: "End the snooze", Done: "People are told of it again.", Group: groupWork, Shown: func(i *web.IncidentJSON) bool { return i.SnoozedUntil != nil }},

	{Name: "assess", Path: "assess", Title: "Assess", Done: "Assessed.", Help: "The first look: how many or how much is affected, and how soon it matters.", Group: groupJudge, Shown: notClosed, Fields: []field{
		{Name: "impact", Label: "Impact", Kind: line, Required: true, Options: grades, Value: now(func(i *web.IncidentJSON) string { return i.Impact }), Help: "High: many people, or what the business lives of. Low: one person, or a detail."},
		{Name: "urgency", Label: "Urgency", Kind: line, Required: true, Options: grades, Value: now(func(i *web.IncidentJSON) string { return i.Urgency }), Help: "High: it gets worse every minute. Low: it can wait for days."},
		{Name: "observations", Label: "What is seen", Kind: area, Required: true, Help: "Symptoms, errors, since when, what still works."},
		{Name: "category", Label: "Category", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.Categories }), Value: now(func(i *web.IncidentJSON) string { return i.Category })}}},
	{Name: "severity", Path: "severity", Title: "Set the severity", Done: "The severity is set.", Help: "Alerts do not change it any more after that.", Group: groupJudge, Shown: notClosed, Fields: []field{
		{Name: "severity", Label: "Severity", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Severities }), Value: now(func(i *web.IncidentJSON) string { return i.Severity })}}},
	{Name: "phase", Path: "phase", Title: "Set the phase", Done: "The phase is set.", Help: "How far people are.", Group: groupJudge, Shown: isOpen, Fields: []field{
		{Name: "phase", Label: "Phase", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Phases }), Value: now(func(i *web.IncidentJSON) string { return i.Phase })}}},
	{Name: "level", Path: "level", Title: "Set the level", Done: "The level is set.", Help: "How severe the disruption is.", Group: groupJudge, Shown: notClosed, Fields: []field{
		{Name: "level", Label: "Level", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Levels }), Value: now(func(i *web.IncidentJSON) string { return i.Level })}}},
	{Name: "category", Path: "category", Title: "Set the category", Done: "The category is set.", Group: groupJudge, Shown: notClosed, Fields: []field{
		{Name: "category", Label: "Category", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Categories }), Value: now(func(i *web.IncidentJSON) string { return i.Category })}}},
	{Name: "customers", Path: "customers", Title: "Say which customers it affects", Done: "The customers are written down.", Group: groupJudge, Shown: notClosed, Fields: []field{
		{Name: "customers", Label: "Customers", Kind: lines, Clears: true, Suggest: customers, Help: "All of them; none if the field is empty.", Value: now(func(i *web.IncidentJSON) string { return strings.Join(i.Customers, "\n") })}}},

	{Name: "update", Path: "update", Title: "Write a status update", Done: "The update is written.", Help: "To the stakeholders. Where the process wants it, somebody else has to sign it before it goes out.", Group: groupTell, Fields: []field{
		{Name: "what", Label: "What happened", Kind: area, Required: true},
		{Name: "phase", Label: "Phase", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.Phases }), Help: "Empty: it stays as it is."},
		{Name: "analysis", Label: "What the analysis says", Kind: area},
		{Name: "progress", Label: "What was done", Kind: area},
		{Name: "forecast", Label: "How long it will take", Kind: line},
		{Name: "restoration", Label: "When the service is expected back", Kind: moment},
		{Name: "contact", Label: "Whom to ask", Kind: line, Suggest: involved},
		{Name: "public", Label: "It may stand on the status page", Kind: yes},
		{Name: "for", Label: "Receivers that it goes to as well", Kind: lines, Suggest: suggest(func(c *web.ChoicesJSON) []string { return c.Receivers })}}},
	{Name: "sign", Path: "updates/{n}/sign", Title: "Sign a status update", Done: "Signed; it goes out.", Fields: []field{
		{Name: "n", Label: "Update", Kind: line, Required: true, InPath: true, Options: func(f *facts) (out []option) {
			for _, u := range f.Incident.Updates {
				if u.NeedsSignature && u.SignedBy == "" {
					out = append(out, option{fmt.Sprint(u.ID), fmt.Sprintf("%d, by %s: %s", u.ID, u.By, cut(u.What, 80))})
				}
			}
			return out
		}}}},
	{Name: "contacted", Path: "contacts", Title: "Write down a contact", Done: "The contact is written down.", Help: "Who is on this list is to hear when it is over.", Group: groupTell, Silent: true, Fields: []field{
		{Name: "who", Label: "Who", Kind: line, Required: true},
		{Name: "channel", Label: "How", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.ContactChannels })},
		{Name: "reached", Label: "They answered", Kind: yes, Help: "A mail, a ticket or a message on a machine reaches nobody."},
		{Name: "note", Label: "What they said", Kind: line}}},
	{Name: "followed-up", Path: "contacts/followed-up", Title: "Say that somebody knows that it is over", Done: "They know that it is over.", Fields: []field{
		{Name: "who", Label: "Who", Kind: line, Required: true, Options: func(f *facts) (out []option) {
			for _, c := range f.Incident.Contacts {
				if o := (option{c.Who, c.Who}); c.ToldRestored == nil && !slices.Contains(out, o) {
					out = append(out, o)
				}
			}
			return out
		}}}},
	{Name: "next-contact", Path: "next-contact", Title: "Say when customers hear from us next", Done: "The next contact is set.", Group: groupTell, Shown: notClosed, Fields: []field{
		{Name: "at", Label: "When", Kind: moment, Clears: true, Help: "Empty: they need not hear from us.", Value: func(f *facts) string { return writeTime(f.Incident.NextContact, f.Zone) }}}},
	{Name: "escalate", Path: "escalate", Title: "Escalate", Done: "Escalated.", Help: "Hand it to another support level, which has to accept it.", Group: groupTell, Gate: "escalate", Shown: isOpen, Fields: []field{
		{Name: "to", Label: "To which support level", Kind: line, Required: true, Help: "Such as L3.", Options: choose(func(c *web.ChoicesJSON) []string { return c.Tiers })},
		{Name: "reason", Label: "Why", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.Reasons })}}},
	{Name: "accept", Path: "accept", Title: "Accept the hand-over", Done: "You took it over.", Help: "It was explained to you, and you take it.", Group: groupTell, Shown: waitsForAcceptance},
	{Name: "answer", Path: "answer", Title: "Answer the call", Done: "The call is answered.", Help: "You heard of it; nobody else of the chain is called.", Group: groupTell, Shown: calls},
	{Name: "retry", Path: "notifications/retry", Title: "Try a message again", Done: "The message is tried again.", Fields: []field{
		{Name: "target", Label: "Target", Kind: line, Required: true}}},

	{Name: "findings", Path: "findings", Title: "Write down what was found out", Done: "It is written down.", Help: "What is empty stays as it was.", Group: groupFind, Fields: findings()},
	{Name: "cause", Path: "causes", Title: "Write down a likely cause", Done: "The cause is written down.", Group: groupFind, Fields: []field{
		{Name: "text", Label: "Cause", Kind: line, Required: true, Help: "The same text again changes what became of it.", Suggest: func(f *facts) (out []string) {
			for _, c := range f.Incident.Findings.Causes {
				out = append(out, c.Text)
			}
			return out
		}},
		{Name: "state", Label: "What became of it", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.CauseStates })}}},
	{Name: "workaround-removed", Path: "workaround-removed", Title: "Say that the workaround is removed", Done: "The workaround is removed.", Group: groupFind, Shown: func(i *web.IncidentJSON) bool {
		return i.Findings.Workaround != "" && i.Findings.WorkaroundRemoved == nil
	}},
	{Name: "action", Path: "actions", Title: "Plan an action", Done: "The action is planned.", Help: "So that it does not come again.", Group: groupFind, Fields: []field{
		{Name: "text", Label: "What is to be done", Kind: line, Required: true},
		{Name: "owner", Label: "Who does it", Kind: line, Required: true, Suggest: involved},
		{Name: "due", Label: "By when", Kind: moment, Help: "Only a task may do without."},
		{Name: "kind", Label: "Kind", Kind: line, Required: true, Options: choose(func(c *web.ChoicesJSON) []string { return c.ActionKinds })}}},
	{Name: "action-done", Path: "actions/{n}/done", Title: "Say that an action is done", Done: "The action is done.", Fields: []field{
		{Name: "n", Label: "Action", Kind: line, Required: true, InPath: true, Options: func(f *facts) (out []option) {
			for _, a := range f.Incident.Actions {
				if a.DoneAt == nil {
					out = append(out, option{fmt.Sprint(a.ID), fmt.Sprintf("%d, of %s: %s", a.ID, a.Owner, cut(a.Text, 80))})
				}
			}
			return out
		}}}},
	{Name: "correct", Path: "correct", Title: "Correct the times of the outage", Done: "The times are corrected.", Help: "What is empty stays as it was.", Group: groupFind, Fields: []field{
		{Name: "went_down", Label: "When it went down", Kind: moment, Value: func(f *facts) string { return writeTime(f.Incident.Corrected.WentDown, f.Zone) }},
		{Name: "restored", Label: "When it was back", Kind: moment, Value: func(f *facts) string { return writeTime(f.Incident.Corrected.Restored, f.Zone) }}}},

	{Name: "merge", Path: "merge", Title: "Merge into another incident", Done: "Merged.", Help: "It becomes a part of the other one; people hear of that alone.", Group: groupOther, Shown: func(i *web.IncidentJSON) bool { return isOpen(i) && i.MergedInto == nil }, Fields: []field{
		{Name: "into", Label: "Into which", Kind: line, Required: true, Help: "Its reference, such as INC-20261121-7KQ2. On the board several can be chosen and merged without one."}}},
	{Name: "unmerge", Path: "unmerge", Title: "Separate it again", Done: "It is an incident of its own again.", Group: groupOther, Shown: func(i *web.IncidentJSON) bool { return i.MergedInto != nil && notClosed(i) }},
	{Name: "child", Path: "children", Title: "Open an incident for one customer", Done: "The customer's incident is open.", Help: "It says nothing of other customers.", Group: groupOther, Shown: isOpen, Fields: []field{
		{Name: "customer", Label: "Customer", Kind: line, Required: true, Suggest: customers},
		{Name: "title", Label: "Title", Kind: line, Help: "Empty: the first line of the description."},
		{Name: "description", Label: "What the customer is to know", Kind: area}}},

	{Name: "confirm", Path: "confirm", Title: "Confirm that the service is back", Done: "Confirmed.", Group: groupEnd, Shown: notClosed, Fields: []field{
		{Name: "customer", Label: "Customer who says so", Kind: line, Suggest: customers, Help: "Empty: you say so."}}},
	{Name: "resolve", Path: "resolve", Title: "Resolve", Done: "Resolved.", Help: "Say that it is over.", Group: groupEnd, Gate: "resolve", Shown: isOpen},
	{Name: "close", Path: "close", Title: "Close", Done: "Closed.", Help: "All that is to be written down is written down.", Group: groupEnd, Gate: "close", Shown: state("resolved")},
	{Name: "reopen", Path: "reopen", Title: "Reopen", Done: "Reopened.", Help: "Say that it is not over after all.", Group: groupEnd, Shown: func(i *web.IncidentJSON) bool { return !isOpen(i) }},

	{Name: "duty-done", Path: "duties/{duty}/done", Title: "Say that a duty is done", Done: "The duty is done.", Fields: []field{duty}},
	{Name: "duty-waive", Path: "duties/{duty}/waive", Title: "Say that a duty is not needed", Done: "The duty is waived.", Help: "The comment has to say why.", Fields: []field{duty}},
}

// duty is the field for a duty that is to be done.
var duty = field{Name: "duty", Label: "Duty", Kind: line, Required: true, InPath: true, Options: func(f *facts) (out []option) {
	for _, d := range f.Duties.Duties {
		if d.Outcome == "" {
			out = append(out, option{d.Name, d.Name + ": " + cut(d.Text, 80)})
		}
	}
	return out
}}

// findings are the fields of what was found out.
func findings() []field {
	list := []field{{Name: "whys", Label: "Five whys", Kind: lines, Help: "The steps on the way to the cause, at most five.", Value: now(func(i *web.IncidentJSON) string { return strings.Join(i.Findings.Whys, "\n") })}}
	for _, f := range [...]struct {
		name, label string
		of          func(f *web.FindingsJSON) string
	}{
		{"cause", "Root cause", func(f *web.FindingsJSON) string { return f.Cause }},
		{"solution", "What ended it", func(f *web.FindingsJSON) string { return f.Solution }},
		{"workaround", "What helps meanwhile", func(f *web.FindingsJSON) string { return f.Workaround }},
		{"fix", "Permanent fix", func(f *web.FindingsJSON) string { return f.Fix }},
		{"follow_up", "Link to what is left", func(f *web.FindingsJSON) string { return f.FollowUp }},
		{"symptoms", "What was seen", func(f *web.FindingsJSON) string { return f.Symptoms }},
		{"systems", "Systems that were affected", func(f *web.FindingsJSON) string { return f.Systems }},
		{"populations", "People who were affected", func(f *web.FindingsJSON) string { return f.Populations }},
		{"financial", "What it cost", func(f *web.FindingsJSON) string { return f.Financial }},
		{"reputational", "What it did to our name", func(f *web.FindingsJSON) string { return f.Reputational }},
		{"operational", "What could not be done", func(f *web.FindingsJSON) string { return f.Operational }},
		{"recurrence", "Whether it will come again", func(f *web.FindingsJSON) string { return f.Recurrence }},
		{"detection", "Whether it was seen soon enough", func(f *web.FindingsJSON) string { return f.Detection }},
		{"communication", "How people were told", func(f *web.FindingsJSON) string { return f.Communication }},
		{"recommendations", "What should be done", func(f *web.FindingsJSON) string { return f.Recommendations }},
		{"lessons", "What was learnt", func(f *web.FindingsJSON) string { return f.Lessons }},
		{"lessons_detection", "What was learnt of how it was noticed", func(f *web.FindingsJSON) string { return f.LessonsDetection }},
		{"lessons_response", "What was learnt of how people came together", func(f *web.FindingsJSON) string { return f.LessonsResponse }},
		{"lessons_diagnosis", "What was learnt of how the cause was found", func(f *web.FindingsJSON) string { return f.LessonsDiagnosis }},
		{"lessons_communication", "What was learnt of how people were told", func(f *web.FindingsJSON) string { return f.LessonsCommunication }},
		{"lessons_restoration", "What was learnt of how the service came back", func(f *web.FindingsJSON) string { return f.LessonsRestoration }},
	} {
		k := area
		if f.name == "follow_up" {
			k = line
		}
		list = append(list, field{Name: f.name, Label: f.label, Kind: k, Value: now(func(i *web.IncidentJSON) string { return f.of(&i.Findings) })})
	}
	return list
}

func waitsForAcceptance(i *web.IncidentJSON) bool {
	n := len(i.Handovers)
	return isOpen(i) && n > 0 && i.Handovers[n-1].AcceptedBy == ""
}

func calls(i *web.IncidentJSON) bool {
	return notClosed(i) && slices.ContainsFunc(i.Calls, func(c web.CallJSON) bool { return c.ConfirmedBy == "" && !c.Exhausted })
}

// commandNamed returns a command, nil if there is none of this name.
func commandNamed(name string) *command {
	n := slices.IndexFunc(commands, func(c *command) bool { return c.Name == name })
	if n < 0 {
		return nil
	}
	return commands[n]
}

// nextCommands are the one or two that usually come next, the first one first.
func nextCommands(i *web.IncidentJSON) []*command {
	var list []*command
	for _, name := range map[string][]string{
		"open": {"answer", "accept", "acknowledge", "resolve"}, "acknowledged": {"answer", "accept", "resolve", "update"}, "resolved": {"answer", "close", "reopen"}, "closed": {"reopen"},
	}[i.State] {
		if c := commandNamed(name); len(list) < 2 && c.offered(i) {
			list = append(list, c)
		}
	}
	return list
}

// offered reports whether it makes sense for i as it is.
func (c *command) offered(i *web.IncidentJSON) bool { return c.Shown == nil || c.Shown(i) }

// AtOnce: it is done by one press of a button on the page of an incident.
func (c *command) AtOnce() bool {
	return slices.Contains([]string{"acknowledge", "accept", "answer"}, c.Name)
}

// commandGroup is a heading with its commands.
type commandGroup struct {
	Title    string
	Commands []*command
}

// commandGroups are the commands that make sense for i, by heading.
func commandGroups(i *web.IncidentJSON) []commandGroup {
	var groups []commandGroup
	for _, title := range [...]string{groupWork, groupJudge, groupTell, groupFind, groupOther, groupEnd} {
		g := commandGroup{Title: title}
		for _, c := range commands {
			if c.Group == title && c.offered(i) {
				g.Commands = append(g.Commands, c)
			}
		}
		if len(g.Commands) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// cut shortens a text to so many characters.
func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
