package router

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// jobWriteBack says at the sources of an incident what people did to it here.
const jobWriteBack = "writeback"

// typeWriteBack is the document of an incident with how much of its timeline the
// sources have been told.
const typeWriteBack = "writeback"

// WriteBack is what a person did here, or where people were notified, that a
// source is to hear of.
type WriteBack struct {
	// Kind is an acknowledgement, its removal, or a note.
	Kind            alert.Kind
	Author, Comment string
	// Incident names the incident for people.
	Incident string
	// Alerts are those of the source that fire.
	Alerts []alert.Alert
}

// writtenBack is how far the sources know the timeline.
type writtenBack struct {
	Seq uint64 `json:"seq"`
}

// writeBackTries is how often it is tried, which is for about a day; the next thing
// that a person does begins anew.
const writeBackTries = 150

// alertsWrittenBack bounds the alerts of an incident that sources are told about.
const alertsWrittenBack = 500

// tells reports whether a source of the incident is to hear what people do to it.
func (r *rules) tells(i *incident.Incident) bool {
	for _, name := range i.Sources {
		if r.Sources[name].WritesBack {
			return true
		}
	}
	return false
}

// writeBack tells the sources of an incident what is in its timeline and they do
// not know. An entry that failed in one of them is told again in all.
func (p *Pipeline) writeBack(ctx context.Context, subject string) error {
	id, err := incident.ParseID(subject)
	if err != nil {
		return err
	}
	i, err := p.store.Incident(ctx, subject)
	if errors.Is(err, incident.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var known writtenBack
	d, err := p.store.Document(ctx, typeWriteBack, subject)
	switch {
	case errors.Is(err, incident.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(d.Data, &known); err != nil {
			return err
		}
	}
	entries, err := p.store.Timeline(ctx, id, known.Seq, 1000)
	if err != nil || len(entries) == 0 {
		return err
	}
	firing, err := p.firingBySource(ctx, id)
	if err != nil {
		return err
	}
	isSource := p.rules.Load().isSource(i)
	for _, e := range entries {
		if w, tell := ofPerson(&e); tell && !isSource(e.Source) {
			w.Incident = i.Reference
			if err := p.tellSources(ctx, w, firing); err != nil {
				return err
			}
		}
		data, err := json.Marshal(writtenBack{e.Seq})
		if err != nil {
			return err // unreachable: it always encodes
		}
		if err := p.putOver(ctx, incident.Document{Type: typeWriteBack, ID: subject, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

// isSource returns a function that reports whether an entry's Source is a source of
// alerts. What was said there is not said to sources again; what was said in a tool
// that people were notified with is news to them, as if it had been said here.
func (r *rules) isSource(i *incident.Incident) func(where string) bool {
	return func(where string) bool {
		_, configured := r.Sources[where]
		return where != "" && (configured || slices.Contains(i.Sources, where))
	}
}

// ofPerson is what an entry of the timeline says to the sources, if it is what a
// person did.
func ofPerson(e *incident.TimelineEntry) (w WriteBack, tell bool) {
	if e.Who == incident.System {
		return w, false
	}
	w = WriteBack{Author: e.Who, Comment: e.Text}
	switch e.Action {
	case "acknowledged":
		w.Kind = alert.KindAcknowledgement
		w.Comment = strings.TrimPrefix(strings.TrimPrefix(e.Text, "acknowledged"), ": ")
	case "acknowledgement_removed":
		w.Kind = alert.KindAcknowledgementRemoved
	case "note":
		w.Kind = alert.KindNote
	default:
		return w, false
	}
	return w, true
}

func (p *Pipeline) tellSources(ctx context.Context, w WriteBack, firing map[string][]alert.Alert) error {
	if p.outside == nil {
		return errNoOutside
	}
	var failed error
	for source, alerts := range firing {
		w.Alerts = alerts
		result := "done"
		if err := p.outside.WriteBack(ctx, source, w); err != nil {
			failed, result = errors.Join(failed, err), "failed"
		}
		p.metrics.writtenBack.WithLabelValues(source, result).Inc()
	}
	return failed
}

// firingBySource returns the alerts of an incident that fire, of each source that
// is written back to.
func (p *Pipeline) firingBySource(ctx context.Context, id incident.ID) (map[string][]alert.Alert, error) {
	rules := p.rules.Load()
	out := map[string][]alert.Alert{}
	n := 0
	for cursor := ""; ; {
		records, next, err := p.store.Alerts(ctx, id, cursor, entriesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.Entry.Firing && r.Content != nil && rules.Sources[r.Entry.Source].WritesBack && n < alertsWrittenBack {
				out[r.Entry.Source] = append(out[r.Entry.Source], *r.Content)
				n++
			}
		}
		if cursor = next; cursor == "" || n == alertsWrittenBack {
			return out, nil
		}
	}
}
