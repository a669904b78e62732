package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/web"
)

// What people make of an incident, on the page about it.

func roles(v web.IncidentJSON) string {
	var out []string
	for _, role := range slices.Sorted(maps.Keys(v.Roles)) {
		out = append(out, strings.ReplaceAll(role, "_", " ")+" "+v.Roles[role])
	}
	return strings.Join(out, ", ")
}

func (i *incidents) working(v web.IncidentJSON) string {
	var out []string
	for _, w := range v.Working {
		text := w.Who
		if w.On != "" {
			text += " on " + w.On
		}
		out = append(out, text+" ("+age(i.date, w.Since)+")")
	}
	return strings.Join(out, ", ")
}

// handover is the latest escalation.
func (i *incidents) handover(v web.IncidentJSON) string {
	if len(v.Handovers) == 0 {
		return ""
	}
	h := v.Handovers[len(v.Handovers)-1]
	text := fmt.Sprintf("to %s by %s, %s", h.To, h.By, strings.ReplaceAll(h.Reason, "_", " "))
	if h.AcceptedBy == "" {
		return text + ", not accepted for " + age(i.date, h.At)
	}
	return text + ", accepted by " + h.AcceptedBy
}

func (i *incidents) snoozed(v web.IncidentJSON) string {
	if v.SnoozedUntil == nil {
		return ""
	}
	return "until " + ahead(i.date, v.SnoozedUntil) + " by " + v.SnoozedBy
}

// merged are the incidents that are merged into it.
func merged(v web.IncidentJSON) string {
	var out []string
	for _, m := range v.Merged {
		text := fmt.Sprintf("%s (%d firing)", m.Reference, m.Alerts.Firing)
		if m.Over {
			text = m.Reference + " (over)"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// readParent has the page name the parent as people do, if it can be read.
func (i *incidents) readParent(ctx context.Context, v *web.IncidentJSON) {
	if v.Parent == nil {
		return
	}
	var parent web.IncidentJSON
	if err := i.do(ctx, http.MethodGet, path(*v.Parent, ""), nil, &parent); err == nil {
		v.Parent = &parent.Reference
	}
}

// part is the incident that it is a part of.
func part(v web.IncidentJSON) string {
	switch {
	case v.Parent == nil:
		return ""
	case v.MergedInto != nil:
		return *v.Parent + ", of which people are told in its place"
	}
	return *v.Parent
}

// writeUpdate writes the latest status update that went out, and names those that
// wait for a signature.
func (i *incidents) writeUpdate(w io.Writer, v web.IncidentJSON) {
	var last *web.UpdateJSON
	for n := range v.Updates {
		u := &v.Updates[n]
		if u.NeedsSignature && u.SignedBy == "" {
			fmt.Fprintf(w, "\nUpdate %d by %s waits for a signature\n", u.ID, visible(u.By))
			continue
		}
		last = u
	}
	if last == nil {
		return
	}
	fmt.Fprintf(w, "\nUpdate %d by %s, %s ago: %s\n", last.ID, visible(last.By), age(i.date, last.At), visible(last.Phase))
	for _, f := range [...][2]string{{"", last.What}, {"analysis: ", last.Analysis}, {"progress: ", last.Progress}, {"forecast: ", last.Forecast}, {"contact: ", last.Contact}} {
		for line := range strings.Lines(f[1]) {
			fmt.Fprintf(w, "  %s%s\n", f[0], visible(strings.TrimRight(line, "\r\n")))
		}
	}
	if last.Restoration != nil {
		fmt.Fprintf(w, "  restoration: %s\n", ahead(i.date, last.Restoration))
	}
}

// ahead writes a time to come, and how far it is.
func ahead(now time.Time, t *time.Time) string {
	if t == nil {
		return "-"
	}
	text := t.UTC().Format("2006-01-02 15:04:05Z")
	if d := t.Sub(now); d < 0 {
		return text + " (" + short(-d) + " ago)"
	}
	return text + " (in " + short(t.Sub(now)) + ")"
}
