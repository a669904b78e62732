package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The roles that people take in an incident. One person may have several.
const (
	RoleManager        = "incident_manager"
	RoleCommunications = "communications_manager"
	RoleLead           = "technical_lead"
	RoleHelp           = "technical_help"
)

// Roles lists the roles.
func Roles() []string { return []string{RoleManager, RoleCommunications, RoleLead, RoleHelp} }

// roleName is a role as people say it.
func roleName(role string) string { return strings.ReplaceAll(role, "_", " ") }

// Assign gives a role to a person. There is always exactly one incident manager
// once there was one: it can be handed over, not given up. Who is "" for nobody.
func (e *Edit) Assign(by, role, who, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"assign a role of", i.State}
	}
	was := i.Roles[role]
	switch {
	case was == who:
		return nil
	case who == "" && role == RoleManager:
		return &FieldError{"who", "there is always an incident manager; name the person who takes over"}
	}
	roles := cloneMap(i.Roles)
	text := roleName(role) + ": " + who
	switch {
	case who == "":
		delete(roles, role)
		text = roleName(role) + ": nobody any more, was " + was
	case was != "":
		text += ", was " + was
		fallthrough
	default:
		roles[role] = who
		e.takesPart(who)
	}
	i.Roles = roles
	e.Log(by, "assigned", withComment(text, comment), 0)
	return nil
}

// takesPart lists a person among the participants.
func (e *Edit) takesPart(who string) {
	if p := e.Process(); who != "" && who != System && !slices.Contains(p.Participants, who) && len(p.Participants) < participantsKept {
		p.Participants = append(p.Participants, who)
	}
}

// SetTeam gives the incident to a team.
func (e *Edit) SetTeam(by, team, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"change the team of", i.State}
	}
	if i.Team == team {
		return nil
	}
	e.Log(by, "team", withComment("team "+cmp.Or(i.Team, "none")+" → "+cmp.Or(team, "none"), comment), 0)
	i.Team = team
	e.tell(urgentNews)
	return nil
}

// Assess records the initial assessment, or a later one. Impact and urgency give
// the priority.
func (e *Edit) Assess(a Assessment, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"assess", i.State}
	}
	p := e.Process()
	if was := p.Assessment; was != nil && was.By == a.By && was.Impact == a.Impact && was.Urgency == a.Urgency && was.Observations == a.Observations {
		return nil
	}
	a.At = e.now
	p.Assessment = &a
	e.takesPart(a.By)
	priority := e.policy.Matrix.Priority(a.Impact, a.Urgency)
	text := fmt.Sprintf("impact %s, urgency %s: priority %s", a.Impact, a.Urgency, priority)
	if i.Priority != priority {
		text += ", was " + i.Priority
		e.tell(urgentNews)
	}
	i.Impact, i.Urgency, i.Priority = a.Impact, a.Urgency, priority
	e.Log(a.By, "assessed", withComment(withComment(text, a.Observations), comment), 0)
	return nil
}

// SetCategory says what kind of problem it is.
func (e *Edit) SetCategory(by, category, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the category of", i.State}
	}
	if i.Category == category {
		return nil
	}
	e.Log(by, "category", withComment("category "+cmp.Or(i.Category, "none")+" → "+cmp.Or(category, "none"), comment), 0)
	i.Category = category
	return nil
}

// SetLevel is a person's word on the level.
func (e *Edit) SetLevel(by, level, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the level of", i.State}
	}
	if i.Level == level {
		return nil
	}
	e.Log(by, "level", withComment("level "+i.Level+" → "+level, comment), 0)
	i.Level = level
	e.tell(urgentNews)
	return nil
}

// Work says that a person works on it now, and on what; Rest that they do no longer.
func (e *Edit) Work(by, on, comment string) error {
	i := e.Incident
	if !i.IsOpen() {
		return &StateError{"work on", i.State}
	}
	p := e.Process()
	for n := range p.Working {
		if w := &p.Working[n]; w.Who == by {
			if w.On == on {
				return nil
			}
			w.On = on
			e.Log(by, "working", withComment(withComment("works on it", on), comment), 0)
			return nil
		}
	}
	if len(p.Working) >= workingKept {
		return &FieldError{"by", fmt.Sprintf("%d people work on it already", workingKept)}
	}
	p.Working = append(p.Working, Worker{Who: by, Since: e.now, On: on})
	e.takesPart(by)
	e.Log(by, "working", withComment(withComment("works on it", on), comment), 0)
	return nil
}

// Rest says that a person does not work on it any more.
func (e *Edit) Rest(by, comment string) error {
	p := e.Process()
	at := slices.IndexFunc(p.Working, func(w Worker) bool { return w.Who == by })
	if at < 0 {
		return nil
	}
	if p.Working = slices.Delete(p.Working, at, at+1); len(p.Working) == 0 {
		p.Rested = e.now
	}
	e.Log(by, "resting", withComment("does not work on it any more", comment), 0)
	return nil
}

// SetCustomers says which customers it affects.
func (e *Edit) SetCustomers(by string, customers []string, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the customers of", i.State}
	}
	list := slices.Compact(slices.Sorted(slices.Values(customers)))
	p := e.Process()
	switch {
	case p.Customer != "":
		return &FieldError{"customers", "it is the incident of one customer, which may not know of others"}
	case len(list) > customersKept:
		return &FieldError{"customers", fmt.Sprintf("more than %d", customersKept)}
	}
	if slices.Equal(p.Customers, list) {
		return nil
	}
	p.Customers = list
	e.Log(by, "customers", withComment("affected: "+cmp.Or(strings.Join(list, ", "), "no customer"), comment), 0)
	return nil
}

// SetNextContact says when the customers hear from us again; the zero time is never.
func (e *Edit) SetNextContact(by string, at time.Time, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"change the next contact of", i.State}
	}
	p := e.Process()
	if p.NextContact.Equal(at) {
		return nil
	}
	text := "no next contact"
	if !at.IsZero() {
		text = "next contact at " + at.UTC().Format(time.RFC3339)
	}
	p.NextContact = at
	e.Log(by, "next_contact", withComment(text, comment), 0)
	return nil
}

// The ways to contact somebody.
const (
	ChannelPhone     = "phone"
	ChannelPerson    = "person"
	ChannelMeeting   = "meeting"
	ChannelChat      = "chat"
	ChannelSMS       = "sms"
	ChannelEmail     = "email"
	ChannelVoicemail = "voicemail"
	ChannelTicket    = "ticket"
)

// ContactChannels lists them. By the last three nobody is reached: who reads it, and
// when, is not known.
func ContactChannels() []string {
	return []string{ChannelPhone, ChannelPerson, ChannelMeeting, ChannelChat, ChannelSMS, ChannelEmail, ChannelVoicemail, ChannelTicket}
}

// Contacted records that somebody was contacted. Only who answered was reached;
// a mail or a message on a machine is not.
func (e *Edit) Contacted(c Contact) error {
	if c.Reached && (c.Channel == ChannelEmail || c.Channel == ChannelVoicemail || c.Channel == ChannelTicket) {
		return &FieldError{"reached", "by " + c.Channel + " nobody is reached; write down when they answer, and how"}
	}
	c.At, c.ToldRestored = e.now, time.Time{}
	p := e.Process()
	sent := func(was Contact) bool { // twice
		recent := e.now.Sub(was.At) < sentTwice
		was.At, was.ToldRestored = c.At, c.ToldRestored
		return recent && was == c
	}
	if slices.ContainsFunc(p.Contacts, sent) {
		return nil
	}
	p.Contacts = keepLast(p.Contacts, c, contactsKept)
	text := c.Who + " by " + c.Channel
	if !c.Reached {
		text += ", not reached"
	}
	e.Log(c.By, "contacted", withComment(text, c.Note), 0)
	return nil
}

// ToldRestored records that a person who was contacted knows that it is over.
func (e *Edit) ToldRestored(by, who, comment string) error {
	if i := e.Incident; i.IsOpen() {
		return &StateError{"tell anybody of the end of", i.State}
	}
	p := e.Process()
	known, told := false, false
	for n := range p.Contacts {
		if c := &p.Contacts[n]; c.Who == who {
			if known = true; c.ToldRestored.IsZero() {
				c.ToldRestored, told = e.now, true
			}
		}
	}
	switch {
	case !known:
		return &FieldError{"who", fmt.Sprintf("%q was not contacted", who)}
	case told:
		e.Log(by, "followed_up", withComment(who+" knows that it is over", comment), 0)
	}
	return nil
}

// Confirm says that the service is back: a customer's word, or one of ours.
func (e *Edit) Confirm(by, customer, comment string) error {
	i := e.Incident
	if i.State == Closed {
		return &StateError{"confirm the restoration of", i.State}
	}
	p := e.Process()
	if p.Confirmed != nil && p.Confirmed.Customer == customer {
		return nil
	}
	p.Confirmed = &Confirmation{By: by, At: e.now, Customer: customer}
	text := "the service is back"
	if customer != "" {
		text += ", says " + customer
	}
	e.Log(by, "confirmed", withComment(text, comment), 0)
	return nil
}

// AddLink adds a link, such as to logs or to a conference.
func (e *Edit) AddLink(by string, l Link, comment string) error {
	i := e.Incident
	if slices.Contains(i.Links, l) {
		return nil
	}
	plain := l
	plain.Kind = ""
	if n := slices.Index(i.Links, plain); n >= 0 { // now it is known what it is
		i.Links = slices.Clone(i.Links)
		i.Links[n] = l
	} else if len(i.Links) >= linksKept {
		return &FieldError{"links", fmt.Sprintf("it has %d already", linksKept)}
	} else {
		i.Links = append(i.Links, l)
	}
	text := l.Name + ": " + l.URL
	if l.Kind != "" {
		text = roleName(l.Kind) + ", " + text
	}
	e.Log(by, "link", withComment(text, comment), 0)
	return nil
}

// linksKept bounds the links of an incident.
const linksKept = 50
