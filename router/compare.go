package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
)

// jobCompare compares what is open here with what is open at a source, which is
// its target: a resolve that got lost, or an alert that never came.
const jobCompare = "reconcile"

// typeCompare is the document of a source with what was not found there the last time.
const typeCompare = "reconcile"

const (
	// settleTime is how long after a message the source's answer is not held against
	// it: they may have crossed.
	settleTime = time.Minute
	// missedAfter is how long an alert may be open at the source before it counts as
	// missed: some gather alerts for minutes before they send.
	missedAfter = 10 * time.Minute
	// absentKept bounds how many alerts are remembered as not found.
	absentKept = 10_000
)

// absences is what is stored of a comparison. An alert is only over when it was
// not found twice: a source that has just started knows nothing yet.
type absences struct {
	Absent []alert.Fingerprint `json:"absent"`
}

func compareKey(source string) incident.Key {
	sum := sha256.Sum256([]byte("reconcile\x00" + source))
	return incident.Key(sum[:16])
}

// armCompare arms the comparisons that sources are configured for.
func (p *Pipeline) armCompare(ctx context.Context, sources map[string]SourceSettings) error {
	var changes []incident.Change
	for name, s := range sources {
		if s.Reconcile <= 0 {
			continue
		}
		key := compareKey(name)
		job := incident.Job{Subject: key.String(), Kind: jobCompare, Target: name, Due: p.store.Now().Add(s.Reconcile), NoLater: true}
		changes = append(changes, incident.Change{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) {
			return incident.Next{Jobs: []incident.Job{job}}, nil
		}})
	}
	if len(changes) == 0 {
		return nil
	}
	return p.store.Update(ctx, changes)
}

// compare asks a source what is open, ends what is not, and takes in what never came.
func (p *Pipeline) compare(ctx context.Context, source string) (again time.Time, err error) {
	rules := p.rules.Load()
	every := rules.Sources[source].Reconcile
	switch {
	case every <= 0:
		return time.Time{}, nil
	case p.outside == nil:
		return time.Time{}, errNoOutside
	case p.held != nil && p.held():
		return p.store.Now().Add(heldPause), nil
	}
	asked := p.store.Now()
	open, err := p.outside.Open(ctx, source)
	if err != nil {
		return time.Time{}, err
	}
	lost, missed, err := p.differences(ctx, rules, source, asked, open)
	if err != nil {
		return time.Time{}, err
	}
	for result, alerts := range map[string][]alert.Alert{"resolved": lost, "opened": missed} {
		for part := range slices.Chunk(alerts, entriesAtOnce) {
			outcomes, _, err := p.accept(ctx, source, part) // nobody has said it: it is no sign of life
			if err != nil {
				return time.Time{}, err
			}
			for _, o := range outcomes {
				if o.Verdict == alert.ResolvedAlert || o.Verdict == alert.Opened || o.Verdict == alert.Joined || o.Verdict == alert.Reopened {
					p.metrics.reconciled.WithLabelValues(source, result).Inc()
				}
			}
		}
	}
	if len(lost)+len(missed) > 0 {
		p.log.InfoContext(ctx, "reconciled", "alert_source", source, "resolved", len(lost), "opened", len(missed))
	}
	return asked.Add(every), nil
}

// differences returns the alerts that are open here but not at the source, as
// resolved, and those that are open there but not here.
func (p *Pipeline) differences(ctx context.Context, rules *rules, source string, asked time.Time, open []alert.Alert) (lost, missed []alert.Alert, err error) {
	there := map[alert.Fingerprint]int{}
	here := make([]bool, len(open))
	var h dedupe.Hasher
	for i := range open {
		open[i].Source, open[i].ReceivedAt = source, asked
		for _, placer := range append(slices.Clone(rules.elders), rules.current) {
			there[h.Fingerprint(placer.of(source), &open[i])] = i
		}
	}
	before, err := p.absent(ctx, source)
	if err != nil {
		return nil, nil, err
	}
	var absent []alert.Fingerprint
	for cursor := ""; ; {
		records, next, err := p.store.ScanEntries(ctx, cursor, entriesAtOnce)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range records {
			e := &r.Entry
			if !e.Firing || e.Source != source || r.Content == nil || !comparable(r.Content) {
				continue
			}
			if i, found := there[e.Fingerprint]; found {
				here[i] = true
				continue
			}
			if e.LastSeen.After(asked.Add(-settleTime)) || len(absent) == absentKept {
				continue
			}
			absent = append(absent, e.Fingerprint)
			if before[e.Fingerprint] {
				over := *r.Content
				over.Source, over.Status, over.Flags = source, alert.Resolved, over.Flags|alert.FlagReconciled
				over.EndsAt, over.ReceivedAt, over.ValidUntil = asked, asked, time.Time{}
				lost = append(lost, over)
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for i := range open {
		if a := &open[i]; !here[i] && !rules.isHeartbeat(a) && !a.StartsAt.IsZero() && a.StartsAt.Before(asked.Add(-missedAfter)) {
			a.Flags |= alert.FlagReconciled
			missed = append(missed, *a)
		}
	}
	return lost, missed, p.noteAbsent(ctx, source, absent)
}

// comparable reports whether the tool's API would know an alert of its source: not
// one that came by mail, or that was only guessed, or of which not all is known.
func comparable(a *alert.Alert) bool {
	return a.Flags&(alert.FlagCut|alert.FlagUnparsed) == 0 && a.Annotations.Get("via") != "email"
}

// isHeartbeat reports whether an alert is nothing but a sign of life.
func (r *rules) isHeartbeat(a *alert.Alert) bool {
	return slices.ContainsFunc(r.heartbeats, func(h *heartbeat) bool { return len(h.matchers) > 0 && h.hears(a) })
}

// absent returns what was not found at the source the last time.
func (p *Pipeline) absent(ctx context.Context, source string) (map[alert.Fingerprint]bool, error) {
	d, err := p.store.Document(ctx, typeCompare, source)
	if errors.Is(err, incident.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a absences
	if err := json.Unmarshal(d.Data, &a); err != nil {
		return nil, err
	}
	out := make(map[alert.Fingerprint]bool, len(a.Absent))
	for _, fp := range a.Absent {
		out[fp] = true
	}
	return out, nil
}

func (p *Pipeline) noteAbsent(ctx context.Context, source string, absent []alert.Fingerprint) error {
	data, err := json.Marshal(absences{absent})
	if err != nil {
		return err // unreachable: it always encodes
	}
	return p.putOver(ctx, incident.Document{Type: typeCompare, ID: source, Data: data})
}

// putOver writes a document whatever was there.
func (p *Pipeline) putOver(ctx context.Context, d incident.Document) error {
	for {
		known, err := p.store.Document(ctx, d.Type, d.ID)
		switch {
		case errors.Is(err, incident.ErrNotFound) && d.Data == nil:
			return nil
		case err != nil && !errors.Is(err, incident.ErrNotFound):
			return err
		}
		d.Version = known.Version
		if _, err := p.store.PutDocument(ctx, d); !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
