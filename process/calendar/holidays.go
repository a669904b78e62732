package calendar

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// holidays are the days on which a business is closed though it is a work day.
type holidays struct {
	// once are days that do not come again, in order and without overlaps.
	once []dayRange
	// yearly has the days of every year, by month and day.
	yearly [13][32]bool
}

// dayRange is from one day to another, both in it.
type dayRange struct{ first, last int64 }

func (h *holidays) has(day int64) bool {
	if len(h.once) > 0 {
		n, found := slices.BinarySearchFunc(h.once, day, func(r dayRange, day int64) int { return cmp.Compare(r.last, day) })
		if found || n < len(h.once) && h.once[n].first <= day {
			return true
		}
	}
	_, month, d := onDay(day, 0).Date()
	return h.yearly[month][d]
}

func parseHolidays(list []string, problems map[string]string) (h holidays) {
	if tooMany("holidays", len(list), problems) {
		return h
	}
	for n, text := range list {
		if problem := h.add(text); problem != "" {
			problems[index("holidays", n)] = problem
		}
	}
	slices.SortFunc(h.once, func(a, b dayRange) int { return cmp.Compare(a.first, b.first) })
	merged := h.once[:0]
	for _, r := range h.once {
		if n := len(merged); n > 0 && r.first <= merged[n-1].last+1 {
			merged[n-1].last = max(merged[n-1].last, r.last)
			continue
		}
		merged = append(merged, r)
	}
	h.once = merged
	return h
}

// add reads an entry and says what is wrong with it.
func (h *holidays) add(text string) (problem string) {
	const form = "write 2026-12-25, 2026-12-24..2027-01-02, or without a year for every year: 12-25"
	first, last, isRange := strings.Cut(text, "..")
	if !isRange {
		last = first
	}
	from, everyYear1, ok1 := date(first)
	to, everyYear2, ok2 := date(last)
	switch {
	case !ok1 || !ok2:
		return fmt.Sprintf("%s is no date; %s", quote(text), form)
	case everyYear1 != everyYear2:
		return fmt.Sprintf("%s has a year at one end only; write it at both, or at none", quote(text))
	case everyYear1:
		for day := from; ; day = day.AddDate(0, 0, 1) {
			h.yearly[day.Month()][day.Day()] = true
			if day.Month() == to.Month() && day.Day() == to.Day() {
				return ""
			}
		}
	}
	r := dayRange{from.Unix() / secondsOfDay, to.Unix() / secondsOfDay}
	switch {
	case from.Year() < firstYear || to.Year() > lastYear:
		return fmt.Sprintf("%s is not between %d and %d; %s", quote(text), firstYear, lastYear, form)
	case r.last < r.first:
		return fmt.Sprintf("%s ends before it begins; write the earlier day first", quote(text))
	case r.last-r.first >= rangeAtMost:
		return fmt.Sprintf("%s has more than %d days; write shorter ranges", quote(text), rangeAtMost)
	}
	h.once = append(h.once, r)
	return ""
}

// date reads a date with or without a year; without, it is in a leap year.
func date(text string) (day time.Time, everyYear, ok bool) {
	text = strings.TrimSpace(text)
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, false, true
	}
	day, err := time.Parse(time.DateOnly, "2024-"+text)
	return day, true, err == nil
}
