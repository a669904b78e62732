package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/web"
)

// dutiesShown is how many of the next duties are shown.
const dutiesShown = 8

// writeDuties writes what is due next, what is overdue first, and what the end waits for.
func (i *incidents) writeDuties(w io.Writer, v web.DutiesJSON) {
	for n := range v.Duties {
		if d := &v.Duties[n]; d.Due == nil {
			d.Due = d.MissedAt
		}
	}
	due := slices.DeleteFunc(slices.Clone(v.Duties), func(d web.DutyJSON) bool { return d.Due == nil || d.Outcome != "" })
	slices.SortStableFunc(due, func(a, b web.DutyJSON) int { return a.Due.Compare(*b.Due) })
	if len(due) > 0 {
		fmt.Fprintln(w, "\nDue next")
	}
	t := &table{}
	for _, d := range due[:min(len(due), dutiesShown)] {
		when := left(i.date, d.Due)
		if !d.Deadline {
			when += ", by itself"
		}
		t.add(when, d.Name, d.Text)
	}
	t.write(w, "  ", i.width)
	if more := len(due) - dutiesShown; more > 0 {
		fmt.Fprintf(w, "  … and %d more\n", more)
	}
	for _, action := range slices.Sorted(maps.Keys(v.Missing)) {
		fmt.Fprintf(w, "\nBefore %s\n", visible(action))
		for _, r := range v.Missing[action] {
			text := r.Text
			if slices.ContainsFunc(v.Duties, func(d web.DutyJSON) bool { return d.Name == r.Name }) {
				text += " (duty-done " + r.Name + ")"
			}
			fmt.Fprintf(w, "  %s\n", visible(text))
		}
	}
}

// left is how much time there is until t.
func left(now time.Time, t *time.Time) string {
	switch {
	case t == nil:
		return "-"
	case t.Before(now):
		return "overdue " + age(now, t)
	}
	return "in " + short(t.Sub(now))
}

// writeActions writes what is to be done and is not done yet.
func (i *incidents) writeActions(w io.Writer, v web.IncidentJSON) {
	t := &table{}
	for _, a := range v.Actions {
		if a.DoneAt == nil {
			t.add(strconv.FormatUint(a.ID, 10), a.Kind, a.Owner, left(i.date, a.Due), a.Text)
		}
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(w, "\nTo do")
		t.write(w, "  ", i.width)
	}
}

// writeFindings writes what was found out.
func writeFindings(w io.Writer, v web.IncidentJSON, width int) {
	f, t := v.Findings, &table{}
	for _, row := range [...][2]string{{"Cause", f.Cause}, {"Solution", f.Solution}, {"Workaround", f.Workaround}, {"Fix", f.Fix}, {"Follow-up", f.FollowUp}} {
		if row[1] != "" {
			t.add(row[0], strings.ReplaceAll(row[1], "\n", " / "))
		}
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(w, "\nFound")
		t.write(w, "  ", width)
	}
}
