package calendar

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is the section.
type Config struct {
	// Timezone is an IANA name, such as Europe/Zurich; empty is UTC.
	Timezone string `yaml:"timezone"`
	// Workdays are days of the week or ranges of them; none means monday:friday.
	Workdays []string `yaml:"workdays"`
	// Hours are when the business opens and closes on each work day, such as
	// 08:00-18:00; none means 09:00-17:00.
	Hours []string `yaml:"hours"`
	// Holidays are dates (2026-12-25), ranges (2026-12-24..2027-01-02), and both
	// for every year (12-25, 12-24..01-02).
	Holidays []string `yaml:"holidays"`
	// UsageHours are when services are used; none means the business hours.
	UsageHours []UsageHours `yaml:"usage_hours"`
}

// UsageHours are an entry of usage_hours.
type UsageHours struct {
	// Days are days of the week or ranges of them; none means the work days.
	Days []string `yaml:"days"`
	// Hours are as in Config; none is a mistake.
	Hours []string `yaml:"hours"`
}

const (
	// entriesAtMost bounds each list.
	entriesAtMost = 5000
	// rangeAtMost bounds a range of holidays, in days.
	rangeAtMost = 366
	// closedAtMost is for how many days in a row a business can be closed.
	closedAtMost = 366
	// Holidays are between these years.
	firstYear, lastYear = 1900, 2200
)

// Problems says what is wrong with a configuration: by path, such as holidays[2],
// what it is and, after a semicolon, what to write instead.
func Problems(c Config) map[string]string {
	_, problems := c.compile()
	return problems
}

func (c Config) compile() (*Calendar, map[string]string) {
	problems := map[string]string{}
	out := &Calendar{zone: time.UTC}
	if c.Timezone != "" {
		zone, err := Zone(c.Timezone)
		if err != nil {
			problems["timezone"] = err.Error() + "; write a name such as Europe/Zurich"
		} else {
			out.zone = zone
		}
	}
	out.workdays = days("workdays", orDefault(c.Workdays, "monday:friday"), problems)
	out.hours = hours("hours", orDefault(c.Hours, "09:00-17:00"), problems)
	out.holidays = parseHolidays(c.Holidays, problems)
	if len(c.UsageHours) > 0 {
		out.usage = usage(c.UsageHours, out.workdays, problems)
	}
	if len(problems) == 0 {
		out.closed(problems)
	}
	return out, problems
}

// Zone loads a time zone by its IANA name. The name Local is none: it would mean
// another thing on each machine.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || name == "" {
		return nil, fmt.Errorf("there is no time zone %s", quote(name))
	}
	return zone, nil
}

func orDefault(list []string, fallback string) []string {
	if len(list) == 0 {
		return []string{fallback}
	}
	return list
}

// tooMany records that a list is longer than it may be.
func tooMany(path string, n int, problems map[string]string) bool {
	if n > entriesAtMost {
		problems[path] = fmt.Sprintf("there are %d entries; write at most %d", n, entriesAtMost)
	}
	return n > entriesAtMost
}

// days reads days of the week and ranges of them.
func days(path string, list []string, problems map[string]string) (out [7]bool) {
	if tooMany(path, len(list), problems) {
		return out
	}
	for n, text := range list {
		first, last, isRange := strings.Cut(text, ":")
		if !isRange {
			last = first
		}
		from, ok1 := Weekday(first)
		to, ok2 := Weekday(last)
		if !ok1 || !ok2 {
			problems[index(path, n)] = fmt.Sprintf("%s is no day of the week; write monday, or monday:friday", quote(text))
			continue
		}
		for day := from; ; day = (day + 1) % 7 {
			out[day] = true
			if day == to {
				break
			}
		}
	}
	return out
}

// Weekday reads the English name of a day, or the first three letters of it.
func Weekday(text string) (time.Weekday, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	for day := time.Sunday; day <= time.Saturday; day++ {
		if name := strings.ToLower(day.String()); text == name || text == name[:3] {
			return day, true
		}
	}
	return 0, false
}

// hours reads parts of a day, such as 08:00-18:00, and puts them in order.
func hours(path string, list []string, problems map[string]string) (out []span) {
	if tooMany(path, len(list), problems) {
		return nil
	}
	for n, text := range list {
		from, to, isRange := strings.Cut(text, "-")
		first, ok1 := Clock(from)
		last, ok2 := Clock(to)
		s := span{first, last}
		switch overlap := slices.IndexFunc(out, func(o span) bool { return s.from < o.to && o.from < s.to }); {
		case !isRange || !ok1 || !ok2:
			problems[index(path, n)] = fmt.Sprintf("%s are no hours; write them as 08:00-18:00", quote(text))
		case first == last:
			problems[index(path, n)] = "the hours end when they begin; write 00:00-24:00 for a whole day"
		case first > last:
			problems[index(path, n)] = fmt.Sprintf("the hours end before they begin; write what is after midnight by itself: %s-24:00 and 00:00-%s", strings.TrimSpace(from), strings.TrimSpace(to))
		case overlap >= 0:
			problems[index(path, n)] = fmt.Sprintf("the hours %s overlap with others; write each time once", quote(text))
		default:
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return out
}

// Clock reads a time such as 08:00, up to 24:00, as seconds since midnight.
func Clock(text string) (second int64, ok bool) {
	hour, minute, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || len(hour) < 1 || len(hour) > 2 || len(minute) != 2 {
		return 0, false
	}
	h, err1 := strconv.ParseUint(hour, 10, 8)
	m, err2 := strconv.ParseUint(minute, 10, 8)
	if err1 != nil || err2 != nil || m > 59 || h*60+m > 24*60 {
		return 0, false
	}
	return int64(h*60+m) * 60, true
}

func usage(list []UsageHours, workdays [7]bool, problems map[string]string) *[7][]span {
	out := &[7][]span{}
	if tooMany("usage_hours", len(list), problems) {
		return out
	}
	for n, u := range list {
		here := index("usage_hours", n)
		on := workdays
		if len(u.Days) > 0 {
			on = days(here+".days", u.Days, problems)
		}
		if len(u.Hours) == 0 {
			problems[here+".hours"] = "there are no hours; add hours:, such as ['06:00-22:00']"
		}
		spans := hours(here+".hours", u.Hours, problems)
		for day := range out {
			if on[day] {
				out[day] = append(out[day], spans...)
			}
		}
	}
	return out
}

// closed records if the business would not open for longer than any does, so that
// whoever waits for it would wait in vain.
func (c *Calendar) closed(problems map[string]string) {
	first, _ := split(time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	last, _ := split(time.Date(lastYear+2, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	open := first - 1 // the last day with business
	for day := first; day < last; day++ {
		switch {
		case c.isWorkday(day):
			open = day
		case day-open > closedAtMost:
			problems["holidays"] = fmt.Sprintf("no work day in more than a year after %s is left; remove holidays, or add workdays",
				onDay(open, 0).Format(time.DateOnly))
			return
		}
	}
}

func index(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// quote shows a text of the file: quoted, and cut where it is long.
func quote(text string) string {
	const limit = 40
	if r := []rune(text); len(r) > limit {
		text = string(r[:limit]) + "…"
	}
	return strconv.Quote(text)
}

func problemsError(problems map[string]string) error {
	var lines []string
	for path, problem := range problems {
		lines = append(lines, path+": "+problem)
	}
	slices.Sort(lines)
	return fmt.Errorf("calendar: %s", strings.Join(lines, "; "))
}
