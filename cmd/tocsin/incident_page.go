package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// timelineShown is how many of the latest timeline entries are shown.
	timelineShown = 30
	// alertsShown is how many firing alerts are shown, alertsRead how many
	// alerts are looked at for them.
	alertsShown = 20
	alertsRead  = 5 * pageSize
	// similarShown is how many earlier incidents are shown.
	similarShown = 5
)

// announcement runs incident announcement.
func (i *incidents) announcement(ctx context.Context) error {
	q := url.Values{}
	if i.zone != "" {
		q.Set("tz", i.zone)
	}
	var v web.AnnouncementJSON
	if err := i.do(ctx, http.MethodGet, path(i.name, "/announcement?"+q.Encode()), nil, &v); err != nil {
		return err
	}
	_, err := fmt.Fprintln(i.out, visible(v.Text))
	return err
}

// show runs incident show.
func (i *incidents) show(ctx context.Context) error {
	var raw jsontext.Value
	if err := i.do(ctx, http.MethodGet, path(i.name, ""), nil, &raw); err != nil {
		return err
	}
	if i.output == "json" {
		return i.printJSON(raw)
	}
	var v web.IncidentJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	var timeline web.TimelinePageJSON
	q := url.Values{"limit": {strconv.Itoa(timelineShown)}}
	if v.TimelineLength > timelineShown {
		q.Set("cursor", strconv.FormatUint(v.TimelineLength-timelineShown, 10))
	}
	if err := i.do(ctx, http.MethodGet, path(v.ID, "/timeline?"+q.Encode()), nil, &timeline); err != nil {
		return err
	}
	firing, err := i.firing(ctx, v)
	if err != nil {
		return err
	}
	var like web.SimilarJSON
	if err := i.do(ctx, http.MethodGet, path(v.ID, "/similar?limit="+strconv.Itoa(similarShown)), nil, &like); err != nil {
		return err
	}
	var duties web.DutiesJSON
	if err := i.do(ctx, http.MethodGet, path(v.ID, "/duties"), nil, &duties); err != nil {
		return err
	}
	i.readParent(ctx, &v)
	i.page(v, duties, timeline.Timeline, firing)
	i.writeSimilar(like)
	return nil
}

// firing reads the first firing alerts of an incident.
func (i *incidents) firing(ctx context.Context, v web.IncidentJSON) ([]web.AlertJSON, error) {
	var out []web.AlertJSON
	cursor := ""
	for read := 0; v.Alerts.Firing > 0 && read < alertsRead; {
		var p web.AlertsJSON
		q := url.Values{"limit": {strconv.Itoa(pageSize)}, "cursor": {cursor}}
		if err := i.do(ctx, http.MethodGet, path(v.ID, "/alerts?"+q.Encode()), nil, &p); err != nil {
			return nil, err
		}
		for _, a := range p.Alerts {
			if a.Status == "firing" {
				out = append(out, a)
			}
		}
		read += max(len(p.Alerts), 1)
		if cursor = p.NextCursor; cursor == "" || len(out) >= alertsShown {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b web.AlertJSON) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out[:min(len(out), alertsShown)], nil
}

// page writes an incident for people.
func (i *incidents) page(v web.IncidentJSON, duties web.DutiesJSON, timeline []web.TimelineJSON, firing []web.AlertJSON) {
	w := i.out
	fmt.Fprintf(w, "%s  %s\n", visible(v.Reference), cut(visible(v.Title), max(i.width-columns(visible(v.Reference))-2, 20)))
	status := strings.Join([]string{v.State, v.Severity, v.Priority}, " · ")
	if v.State == incident.Open || v.State == incident.Acknowledged {
		status += " · " + v.Phase
	}
	if v.Level != incident.Levels()[0] {
		status += " · " + v.Level
	}
	if v.Drill {
		status += " · drill"
	}
	fmt.Fprintf(w, "%s (impact %s, urgency %s)\n\n", visible(status), visible(v.Impact), visible(v.Urgency))
	t := &table{}
	for _, f := range i.facts(v) {
		if f[1] != "" && f[1] != "-" {
			t.add(f[0], f[1])
		}
	}
	t.write(w, "", i.width)
	if v.Description != "" {
		fmt.Fprintln(w)
		for line := range strings.Lines(v.Description) {
			fmt.Fprintf(w, "  %s\n", visible(strings.TrimRight(line, "\r\n")))
		}
	}
	i.writeUpdate(w, v)
	i.writeDuties(w, duties)
	i.writeActions(w, v)
	writeFindings(w, v, i.width)
	writeTimeline(w, v, timeline, i.width)
	i.writeFiring(w, v, firing)
}

// facts are the lines under the title, empty ones included.
func (i *incidents) facts(v web.IncidentJSON) [][2]string {
	done := func(by string, t string) string {
		if by == "" || t == "-" {
			return t
		}
		return t + " by " + by
	}
	counts := fmt.Sprintf("%d firing of %d, %s", v.Alerts.Firing, v.Alerts.Total, number(int(v.Occurrences), "message", false))
	if v.Alerts.Total == 0 && v.Occurrences == 0 {
		counts = "" // a person reported it
	}
	if v.LeftOut > 0 {
		counts += fmt.Sprintf(", and %d that the sender left out", v.LeftOut)
	}
	flapping := ""
	if v.FlappingUntil != nil && v.FlappingUntil.After(i.date) {
		flapping = "until " + v.FlappingUntil.UTC().Format("2006-01-02 15:04:05Z")
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", name, v.Labels[name]))
	}
	var links []string
	for _, l := range v.Links {
		links = append(links, strings.TrimSpace(l.Name+" "+l.URL))
	}
	return [][2]string{
		{"Service", v.Service}, {"Team", v.Team}, {"Category", v.Category}, {"Reporter", v.Reporter},
		{"Started", moment(i.date, v.StartedAt)}, {"Opened", moment(i.date, v.OpenedAt)},
		{"Acknowledged", done(v.AcknowledgedBy, moment(i.date, v.AcknowledgedAt))},
		{"Resolved", done(v.ResolvedBy, moment(i.date, v.ResolvedAt))}, {"Closed", done(v.ClosedBy, moment(i.date, v.ClosedAt))},
		{"Roles", roles(v)}, {"Working", i.working(v)}, {"Level of support", v.Tier}, {"Handed over", i.handover(v)},
		{"Customers", strings.Join(v.Customers, ", ")}, {"Customer", v.Customer}, {"Next contact", ahead(i.date, v.NextContact)},
		{"Snoozed", i.snoozed(v)}, {"Merged", merged(v)}, {"Part of", part(v)},
		{"Alerts", counts}, {"Flapping", flapping}, {"Hosts", strings.Join(v.Hosts, ", ")}, {"Labels", strings.Join(labels, " ")},
		{"Runbook", v.Runbook}, {"Links", strings.Join(links, ", ")}, {"Rule", v.Rule}, {"Id", v.ID},
	}
}

func writeTimeline(w io.Writer, v web.IncidentJSON, entries []web.TimelineJSON, total int) {
	fmt.Fprint(w, "\nTimeline")
	if before := v.TimelineLength - uint64(len(entries)); before > 0 && v.TimelineLength > uint64(len(entries)) {
		fmt.Fprintf(w, " (the latest %d of %d)", len(entries), v.TimelineLength)
	}
	fmt.Fprintln(w)
	t := &table{}
	for _, e := range entries {
		text := e.Text
		if e.Who != incident.System { // what people write has lines; an alert makes up none
			text = strings.ReplaceAll(text, "\n", " / ")
		}
		if e.Late && e.RecordedAt != nil {
			text += " (written down " + e.RecordedAt.UTC().Format("01-02 15:04:05") + ")"
		}
		at := "-"
		if e.At != nil {
			at = e.At.UTC().Format("01-02 15:04:05")
		}
		t.add(at, e.Who, text)
	}
	t.write(w, "  ", total)
}

func (i *incidents) writeFiring(w io.Writer, v web.IncidentJSON, firing []web.AlertJSON) {
	if len(firing) == 0 {
		return
	}
	fmt.Fprintln(w, "\nFiring")
	t := &table{}
	for _, a := range firing {
		since := a.StartsAt
		if since == nil {
			since = a.EpisodeStartedAt
		}
		t.add(a.Name, a.Host, a.ClassifiedSeverity, age(i.date, since), summary(a))
	}
	t.write(w, "  ", i.width)
	if more := v.Alerts.Firing - len(firing); more > 0 {
		fmt.Fprintf(w, "  … and %d more\n", more)
	}
}

// summary is what an alert says of itself.
func summary(a web.AlertJSON) string {
	for _, name := range []string{"summary", "description", "message"} {
		if text := a.Annotations[name]; text != "" {
			return text
		}
	}
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if name != "alertname" && name != "severity" {
			labels = append(labels, name+"="+a.Labels[name])
		}
	}
	return strings.Join(labels, " ")
}

// writeSimilar writes earlier incidents that are like it, and how they ended.
func (i *incidents) writeSimilar(v web.SimilarJSON) {
	if len(v.Similar) == 0 {
		return
	}
	fmt.Fprintln(i.out, "\nEarlier incidents like it")
	if v.Suggestion != "" {
		fmt.Fprintf(i.out, "  %s: %d times within 48 hours\n", v.Suggestion, v.Recurrence.TwoDays)
	}
	t := &table{}
	for _, s := range v.Similar {
		why := make([]string, len(s.Reasons))
		for n, r := range s.Reasons {
			why[n] = r.Reason
		}
		t.add(s.Reference, age(i.date, s.OpenedAt), strings.Join(why, "+"), s.Ended())
	}
	t.write(i.out, "  ", i.width)
}
