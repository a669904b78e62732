package web

import (
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// ProcessJSON is what people make of an incident beside its state, as the API shows
// it among the members of IncidentJSON. As there, every field is always there.
type ProcessJSON struct {
	Assessment   *AssessmentJSON `json:"assessment"`
	Tier         string          `json:"tier"`
	Handovers    []HandoverJSON  `json:"handovers"`
	Participants []string        `json:"participants"`
	Working      []WorkerJSON    `json:"working"`
	Customers    []string        `json:"customers"`
	// Customer is the one whose part of the parent this is.
	Customer    string            `json:"customer"`
	NextContact *time.Time        `json:"next_contact"`
	Updates     []UpdateJSON      `json:"updates"`
	Contacts    []ContactJSON     `json:"contacts"`
	Confirmed   *ConfirmationJSON `json:"confirmed"`
	Findings    FindingsJSON      `json:"findings"`
	Actions     []ActionJSON      `json:"actions"`
	Corrected   CorrectedJSON     `json:"corrected"`
	Calls       []CallJSON        `json:"calls"`
	// SnoozedUntil is until when nobody is told of it, and SnoozedBy who wants that.
	SnoozedUntil *time.Time `json:"snoozed_until"`
	SnoozedBy    string     `json:"snoozed_by"`
	// Merged are the incidents that are merged into it, MergedInto the one that it is
	// merged into.
	Merged     []MergedJSON `json:"merged"`
	MergedInto *string      `json:"merged_into"`
}

// AssessmentJSON is the initial assessment, or the latest.
type AssessmentJSON struct {
	By           string     `json:"by"`
	At           *time.Time `json:"at"`
	Impact       string     `json:"impact"`
	Urgency      string     `json:"urgency"`
	Observations string     `json:"observations"`
}

// HandoverJSON is an escalation to another support level, and who took it.
type HandoverJSON struct {
	From       string     `json:"from"`
	To         string     `json:"to"`
	Reason     string     `json:"reason"`
	By         string     `json:"by"`
	At         *time.Time `json:"at"`
	AcceptedBy string     `json:"accepted_by"`
	AcceptedAt *time.Time `json:"accepted_at"`
}

// WorkerJSON is somebody who works on it now.
type WorkerJSON struct {
	Who   string     `json:"who"`
	Since *time.Time `json:"since"`
	On    string     `json:"on"`
}

// UpdateJSON is a status update.
type UpdateJSON struct {
	ID             uint64     `json:"id"`
	By             string     `json:"by"`
	At             *time.Time `json:"at"`
	Phase          string     `json:"phase"`
	What           string     `json:"what"`
	Analysis       string     `json:"analysis"`
	Progress       string     `json:"progress"`
	Forecast       string     `json:"forecast"`
	Contact        string     `json:"contact"`
	Restoration    *time.Time `json:"restoration"`
	Public         bool       `json:"public"`
	For            []string   `json:"for"`
	NeedsSignature bool       `json:"needs_signature"`
	SignedBy       string     `json:"signed_by"`
	SignedAt       *time.Time `json:"signed_at"`
}

// ContactJSON is somebody who was contacted.
type ContactJSON struct {
	Who          string     `json:"who"`
	Channel      string     `json:"channel"`
	By           string     `json:"by"`
	At           *time.Time `json:"at"`
	Reached      bool       `json:"reached"`
	Note         string     `json:"note"`
	ToldRestored *time.Time `json:"told_restored"`
}

// ConfirmationJSON says who confirmed that the service is back.
type ConfirmationJSON struct {
	By string     `json:"by"`
	At *time.Time `json:"at"`
	// Customer is empty if it was one of us.
	Customer string `json:"customer"`
}

// FindingsJSON are what people found out and did about it.
type FindingsJSON struct {
	Cause             string      `json:"cause"`
	Whys              []string    `json:"whys"`
	Causes            []CauseJSON `json:"causes"`
	Solution          string      `json:"solution"`
	Workaround        string      `json:"workaround"`
	WorkaroundRemoved *time.Time  `json:"workaround_removed"`
	Fix               string      `json:"fix"`
	FollowUp          string      `json:"follow_up"`
	Financial         string      `json:"financial"`
	Reputational      string      `json:"reputational"`
	Operational       string      `json:"operational"`
	Symptoms          string      `json:"symptoms"`
	Systems           string      `json:"systems"`
	Populations       string      `json:"populations"`
	Recommendations   string      `json:"recommendations"`
	Lessons           string      `json:"lessons"`
	Recurrence        string      `json:"recurrence"`
	Detection         string      `json:"detection"`
	Communication     string      `json:"communication"`

	LessonsDetection     string `json:"lessons_detection"`
	LessonsResponse      string `json:"lessons_response"`
	LessonsDiagnosis     string `json:"lessons_diagnosis"`
	LessonsCommunication string `json:"lessons_communication"`
	LessonsRestoration   string `json:"lessons_restoration"`
}

// CauseJSON is a likely cause and what became of it.
type CauseJSON struct {
	Text  string     `json:"text"`
	State string     `json:"state"`
	By    string     `json:"by"`
	At    *time.Time `json:"at"`
}

// ActionJSON is something that is to be done so that it does not come again.
type ActionJSON struct {
	ID     uint64     `json:"id"`
	Text   string     `json:"text"`
	Owner  string     `json:"owner"`
	Due    *time.Time `json:"due"`
	Kind   string     `json:"kind"`
	By     string     `json:"by"`
	At     *time.Time `json:"at"`
	DoneAt *time.Time `json:"done_at"`
	DoneBy string     `json:"done_by"`
}

// CorrectedJSON are the times of the outage that a person corrected.
type CorrectedJSON struct {
	WentDown *time.Time `json:"went_down"`
	Restored *time.Time `json:"restored"`
}

// CallJSON is a calling chain on its way.
type CallJSON struct {
	Chain       string     `json:"chain"`
	At          *time.Time `json:"at"`
	Called      []string   `json:"called"`
	Last        *time.Time `json:"last"`
	ConfirmedBy string     `json:"confirmed_by"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	Exhausted   bool       `json:"exhausted"`
}

// MergedJSON is an incident that is merged into this one, as this one knows it.
type MergedJSON struct {
	ID        string     `json:"id"`
	Reference string     `json:"reference"`
	Over      bool       `json:"over"`
	Alerts    CountsJSON `json:"alerts"`
}

// viewProcess returns p as the API shows it.
func viewProcess(p *incident.Process) ProcessJSON {
	v := ProcessJSON{Tier: p.Tier, Participants: list(p.Participants), Customers: list(p.Customers), Customer: p.Customer, NextContact: stamp(p.NextContact),
		Findings: viewFindings(&p.Findings), Corrected: CorrectedJSON{stamp(p.Corrected.WentDown), stamp(p.Corrected.Restored)}}
	if a := p.Assessment; a != nil {
		v.Assessment = &AssessmentJSON{a.By, stamp(a.At), a.Impact, a.Urgency, a.Observations}
	}
	v.Handovers = each(p.Handovers, func(h incident.Handover) HandoverJSON {
		return HandoverJSON{h.From, h.To, h.Reason, h.By, stamp(h.At), h.AcceptedBy, stamp(h.AcceptedAt)}
	})
	v.Working = each(p.Working, func(w incident.Worker) WorkerJSON { return WorkerJSON{w.Who, stamp(w.Since), w.On} })
	v.Updates = each(p.Updates, func(u incident.Update) UpdateJSON {
		return UpdateJSON{u.ID, u.By, stamp(u.At), u.Phase, u.What, u.Analysis, u.Progress, u.Forecast, u.Contact, stamp(u.Restoration), u.Public, list(u.For),
			u.NeedsSignature, u.SignedBy, stamp(u.SignedAt)}
	})
	v.Contacts = each(p.Contacts, func(c incident.Contact) ContactJSON {
		return ContactJSON{c.Who, c.Channel, c.By, stamp(c.At), c.Reached, c.Note, stamp(c.ToldRestored)}
	})
	if c := p.Confirmed; c != nil {
		v.Confirmed = &ConfirmationJSON{c.By, stamp(c.At), c.Customer}
	}
	v.Actions = each(p.Actions, func(a incident.Action) ActionJSON {
		return ActionJSON{a.ID, a.Text, a.Owner, stamp(a.Due), a.Kind, a.By, stamp(a.At), stamp(a.DoneAt), a.DoneBy}
	})
	v.Calls = each(p.Calls, func(c incident.Call) CallJSON {
		return CallJSON{c.Chain, stamp(c.At), list(c.Called), stamp(c.Last), c.ConfirmedBy, stamp(c.ConfirmedAt), c.Exhausted}
	})
	if s := p.Snooze; s != nil {
		v.SnoozedUntil, v.SnoozedBy = stamp(s.Until), s.By
	}
	v.Merged = each(p.Merged, func(m incident.Merged) MergedJSON {
		return MergedJSON{m.ID.String(), m.Reference, m.Over, CountsJSON{m.Total, m.Firing}}
	})
	if !p.MergedInto.IsZero() {
		into := p.MergedInto.String()
		v.MergedInto = &into
	}
	return v
}

func viewFindings(f *incident.Findings) FindingsJSON {
	return FindingsJSON{Cause: f.Cause, Whys: list(f.Whys), Causes: each(f.Causes, func(c incident.LikelyCause) CauseJSON { return CauseJSON{c.Text, c.State, c.By, stamp(c.At)} }),
		Solution: f.Solution, Workaround: f.Workaround, WorkaroundRemoved: stamp(f.WorkaroundRemoved), Fix: f.Fix, FollowUp: f.FollowUp, Financial: f.Financial,
		Reputational: f.Reputational, Operational: f.Operational, Symptoms: f.Symptoms, Systems: f.Systems, Populations: f.Populations,
		Recommendations: f.Recommendations, Lessons: f.Lessons, Recurrence: f.Recurrence, Detection: f.Detection, Communication: f.Communication,
		LessonsDetection: f.LessonsDetection, LessonsResponse: f.LessonsResponse, LessonsDiagnosis: f.LessonsDiagnosis, LessonsCommunication: f.LessonsCommunication,
		LessonsRestoration: f.LessonsRestoration}
}

// each returns what view makes of each element; it is never nil.
func each[T, V any](all []T, view func(T) V) []V {
	out := make([]V, len(all))
	for n := range all {
		out[n] = view(all[n])
	}
	return out
}
