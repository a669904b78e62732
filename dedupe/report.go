package dedupe

import (
	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Report is what a person says of a problem, on its way to its key. It goes into
// the incident that alerts of the same key go into, but it is no alert: nothing
// would ever end it.
type Report struct {
	Place  Place
	Policy *Policy
	// Alert is what the report would be as an alert; By is the place's.
	Alert *alert.Alert
	// Opening is what a new incident starts with; its id, key and rule are set here.
	incident.Opening
	// Captured is what the record holds beside that.
	incident.Captured
	// Text says it in the timeline, By who wrote it down.
	Text string

	// Incident is where it went, and Verdict how: Opened, Joined, Reopened, or
	// Duplicate. They are those of the latest run of Step.
	Incident *incident.Incident
	Verdict  alert.Verdict
	// Duties are what became of duties in it.
	Duties []incident.DutyOutcome
}

// Step decides what the report does to the key; it is what the store runs.
func (r *Report) Step(st incident.State) (incident.Next, error) {
	var next incident.Next
	key := incident.KeyState{Key: r.Place.Key, Rule: r.Place.Rule(), By: r.Place.By(r.Alert, &r.Class)}
	if st.Key != nil {
		key = *st.Key
	}
	cur := st.Incident
	told := incident.Told{At: st.Now, Message: messageOf(r.Title, r.Reporter, r.Text, r.Alert.Host(), r.Alert.Service())}
	if cur != nil && cur.IsOpen() && known(&key, told, r.Policy.LateWindow) {
		r.Incident, r.Verdict = cur, alert.Duplicate // the form was sent twice
		return next, nil
	}
	var e *incident.Edit
	switch {
	case cur != nil && (cur.IsOpen() || r.Policy.reopens(cur, st.Now)):
		e = r.Policy.Change(cur, st.Now)
		r.Verdict = alert.Joined
		if !cur.IsOpen() {
			known(&key, told, 0)
			if err := e.Reopen(r.By, "reported again"); err != nil {
				return next, err // unreachable: it is resolved
			}
			r.Verdict = alert.Reopened
		}
		if r.Verdict == alert.Reopened {
			key.Opens(e)
		}
		e.Reported(r.By, r.Text, r.Class)
	default:
		r.ID, r.Key, r.Rule = st.NewID(0), r.Place.Key, r.Place.Rule()
		e = r.Policy.Open(r.Opening, st.Now)
		e.Incident.Captured, e.Incident.Reporter = r.Captured, r.Reporter
		e.Incident.Labels = r.Alert.Labels.Clone().Map()
		key.Incident = e.Incident.ID
		key.Opens(e)
		known(&key, told, 0)
		r.Verdict = alert.Opened
	}
	r.Incident = e.Incident
	e.Into(&next)
	r.Duties = next.Duties
	next.Key = &key
	return next, nil
}
