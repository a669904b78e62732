package alert

// Verdict says what became of one alert. The verdicts of a source add up to
// the alerts received from it (contract.md, Ingest).
type Verdict uint8

// The verdicts.
const (
	// Rejected: it could not be understood; a dead letter holds it.
	Rejected Verdict = iota
	// Opened: it opened an incident.
	Opened
	// Joined: it became part of an open incident.
	Joined
	// Updated: known and firing, but with other content than before.
	Updated
	// Reopened: it opened an incident again that had been resolved.
	Reopened
	// ResolvedAlert: the alert was firing and is resolved now.
	ResolvedAlert
	// Duplicate: nothing new.
	Duplicate
	// Stale: older than what is known.
	Stale
	// Acknowledged: a person acknowledged at the source.
	Acknowledged
	// Recorded: stored, opens nothing.
	Recorded
	// Held: counted, but the threshold of its rule is not reached.
	Held
	// Suppressed: a rule says that it opens nothing.
	Suppressed
	// Spooled: durable on this machine, applied when the store is back.
	Spooled
	// Failed: not durable, the sender was told to send it again.
	Failed
)

var verdicts = [...]string{"rejected", "opened", "joined", "updated", "reopened", "resolved", "duplicate", "stale",
	"acknowledged", "recorded", "held", "suppressed", "spooled", "failed"}

// Verdicts returns all verdicts.
func Verdicts() []Verdict {
	all := make([]Verdict, len(verdicts))
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// String returns the verdict's name in JSON and metrics.
func (v Verdict) String() string {
	if int(v) < len(verdicts) {
		return verdicts[v]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Outcome is what a sender is told about one of its alerts.
type Outcome struct {
	Fingerprint Fingerprint
	Verdict     Verdict
	// Incident and Reference name the incident it belongs to now; empty if none.
	Incident, Reference string
	// Reason explains the verdicts rejected and suppressed.
	Reason string
}
