package web

import (
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/store"
)

// AlertJSON is an alert as the API and explain show it. Every field is always
// there: times that are not known are null, texts are empty.
type AlertJSON struct {
	Kind   string `json:"kind"`
	Status string `json:"status"`
	Name   string `json:"name"`
	Host   string `json:"host"`
	// Service is the one that the sender names.
	Service string `json:"service"`
	// Severity is the sender's own word, ClassifiedSeverity is ours.
	Severity           string            `json:"severity"`
	ClassifiedSeverity string            `json:"classified_severity"`
	Labels             map[string]string `json:"labels"`
	Annotations        map[string]string `json:"annotations"`
	Source             string            `json:"source"`
	Fingerprint        string            `json:"fingerprint"`
	Identity           string            `json:"identity"`
	// StartsAt is as the sender said it; EndsAt is null while it fires.
	StartsAt   *time.Time `json:"starts_at"`
	EndsAt     *time.Time `json:"ends_at"`
	EventAt    *time.Time `json:"event_at"`
	ValidUntil *time.Time `json:"valid_until"`
	ReceivedAt *time.Time `json:"received_at"`
	// EpisodeStartedAt is the earliest start that was said of the current episode.
	EpisodeStartedAt *time.Time `json:"episode_started_at"`
	FirstSeen        *time.Time `json:"first_seen"`
	LastSeen         *time.Time `json:"last_seen"`
	// Expired: nobody said that it ended; its validity ran out.
	Expired      bool   `json:"expired"`
	Count        uint64 `json:"count"`
	Author       string `json:"author"`
	Comment      string `json:"comment"`
	GeneratorURL string `json:"generator_url"`
	// Flags say what was changed in it, or is odd about it.
	Flags   []string `json:"flags"`
	LeftOut int      `json:"left_out"`
}

// ViewAlert returns one message as the API shows alerts; what only the store
// knows (count, when it was seen, our severity) is left empty.
func ViewAlert(a *alert.Alert) AlertJSON {
	v := AlertJSON{
		Kind: a.Kind.String(), Status: a.Status.String(), Name: a.Name(), Host: a.Host(), Service: a.Service(), Severity: a.Severity(),
		Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), Source: a.Source, Identity: a.Identity,
		StartsAt: stamp(a.StartsAt), EndsAt: stamp(a.EndsAt), EventAt: stamp(a.EventAt), ValidUntil: stamp(a.ValidUntil), ReceivedAt: stamp(a.ReceivedAt),
		Author: a.Author, Comment: a.Comment, GeneratorURL: a.GeneratorURL, Flags: list(a.Flags.Names()), LeftOut: a.LeftOut,
	}
	if a.Kind != alert.KindAlert {
		v.Status = alert.Unknown.String() // only an alert has one of its own
	}
	if a.Status == alert.Firing {
		v.EndsAt = nil
	}
	return v
}

// ViewRecord returns an alert as the store knows it.
func ViewRecord(r store.Record) AlertJSON {
	content := r.Content
	if content == nil {
		content = &alert.Alert{Source: r.Entry.Source}
	}
	v, e := ViewAlert(content), &r.Entry
	v.Fingerprint, v.ClassifiedSeverity, v.Count, v.Expired = e.Fingerprint.String(), e.Severity, e.Count, e.Expired
	v.EpisodeStartedAt, v.FirstSeen, v.LastSeen = stamp(e.Start), stamp(e.FirstSeen), stamp(e.LastSeen)
	if e.Firing {
		v.Status, v.EndsAt, v.ValidUntil = alert.Firing.String(), nil, stamp(e.ValidUntil)
	} else {
		v.Status, v.EndsAt, v.ValidUntil = alert.Resolved.String(), stamp(e.End), nil
	}
	return v
}

// OutcomeJSON is what became of one alert, as in the answers of ingest.
type OutcomeJSON struct {
	Fingerprint string `json:"fingerprint"`
	Verdict     string `json:"verdict"`
	Incident    string `json:"incident,omitzero"`
	Reference   string `json:"reference,omitzero"`
	Reason      string `json:"reason,omitzero"`
}

// ViewOutcome returns o as the API shows it.
func ViewOutcome(o alert.Outcome) OutcomeJSON {
	v := OutcomeJSON{Verdict: o.Verdict.String(), Incident: o.Incident, Reference: o.Reference, Reason: o.Reason}
	if !o.Fingerprint.IsZero() {
		v.Fingerprint = o.Fingerprint.String()
	}
	return v
}
