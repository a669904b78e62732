package rota

import (
	"errors"
	"fmt"
	"strings"
	"time"

	rrule "github.com/teambition/rrule-go"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

// errTooMuch: a file would take too long to work out.
var errTooMuch = errors.New("rota: the file is too much work")

const (
	ruleLimit     = 1024 // bytes
	intervalLimit = 10_000
	// timesADay is how often a rule may fit in a day, and occurrencesAtMost how many
	// occurrences of all rules of a file may have to be looked at for one window.
	timesADay         = 24
	occurrencesAtMost = 30_000
	// sparse is how long a rule may fit no date; rareAtMost how many that do so are
	// looked at before the whole file is refused: finding out takes long.
	sparse     = 12 * 366 * day
	rareAtMost = 20
	// countedAtMost is how many occurrences are counted for all COUNT of a file, and
	// countedYears how far: what ends later does not end.
	countedAtMost = 500_000
	countedYears  = 30
)

// The Gregorian calendar repeats after 400 years, which are whole weeks.
const (
	cycleYears   = 400
	cycleSeconds = 146_097 * 24 * 60 * 60
	// room is how many years before the year 9999 a rule begins, at least.
	room = 110
)

// budget is what the rules of a file have used.
type budget struct{ rare, counted, occurrences int }

// rule is an RRULE. The library works it out in UTC on what the clock shows, so
// that what is skipped and what is there twice is for us to say.
type rule struct {
	option rrule.ROption
	// until is the last moment at which an occurrence can begin; zero is never.
	until time.Time
}

// newRule reads an RRULE of an event and refuses what would take long: the library
// looks for a date that fits until the year 9999, and some rules make it loop.
func newRule(text string, e *event, b *budget) (*rule, error) {
	if text = strings.ToUpper(strings.TrimSpace(text)); len(text) > ruleLimit || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("RRULE is longer than %d bytes", ruleLimit)
	}
	o, err := rrule.StrToROption(text)
	if err != nil {
		return nil, fmt.Errorf("RRULE: %s", quote(err.Error()))
	}
	switch {
	case o.Freq > rrule.HOURLY:
		return nil, errors.New("RRULE with FREQ of minutes or seconds is no rota")
	case !o.Dtstart.IsZero() || len(o.Byeaster) > 0:
		return nil, errors.New("RRULE has DTSTART or BYEASTER, which RFC 5545 has not")
	case o.Interval < 0 || o.Interval > intervalLimit || o.Count < 0:
		return nil, fmt.Errorf("RRULE: INTERVAL is not between 1 and %d, or COUNT is below 0", intervalLimit)
	case o.Freq == rrule.HOURLY && len(o.Bysetpos)+len(o.Bymonth)+len(o.Bymonthday)+len(o.Byyearday)+len(o.Byweekno)+len(o.Byweekday)+len(o.Byhour)+len(o.Byminute)+len(o.Bysecond) > 0:
		return nil, errors.New("RRULE: FREQ=HOURLY with BY... is not supported; FREQ=DAILY with BYHOUR is")
	case max(1, len(o.Byhour))*max(1, len(o.Byminute))*max(1, len(o.Bysecond)) > timesADay:
		return nil, fmt.Errorf("RRULE fits more than %d times a day", timesADay)
	}
	o.Interval = max(1, o.Interval)
	r := &rule{option: *o}
	reach := e.length + e.exact + window*time.Second + 4*day
	if b.occurrences += 1 + int(int64(r.aYear())*int64(reach/time.Hour)/(366*24)); b.occurrences > occurrencesAtMost {
		return nil, fmt.Errorf("%w: its events recur too often", errTooMuch)
	}
	r.defaults(e.start)
	if _, err := rrule.NewRRule(r.option); err != nil {
		return nil, fmt.Errorf("RRULE: %s", quote(err.Error()))
	}
	if !o.Until.IsZero() {
		r.until = untilOf(text, o.Until, e.zone)
	}
	if err := r.probe(e, b); err != nil {
		return nil, err
	}
	r.option.Until, r.option.Count = time.Time{}, 0
	return r, nil
}

// untilOf is UNTIL as a moment: in UTC, or on the clock of the event, or the end of
// a day.
func untilOf(text string, until time.Time, zone *time.Location) time.Time {
	_, raw, _ := strings.Cut(text, "UNTIL=")
	raw, _, _ = strings.Cut(raw, ";")
	switch {
	case strings.HasSuffix(raw, "Z"):
		return until
	case !strings.Contains(raw, "T"):
		until = until.Add(day - time.Second)
	}
	return calendar.Instant(until, zone)
}

// aYear is how often the rule fits in a year, at most.
func (r *rule) aYear() int {
	o := &r.option
	times := max(1, len(o.Byhour)) * max(1, len(o.Byminute)) * max(1, len(o.Bysecond))
	periods := map[rrule.Frequency]int{rrule.YEARLY: 1, rrule.MONTHLY: 12, rrule.WEEKLY: 53, rrule.DAILY: 366, rrule.HOURLY: 366 * 24}[o.Freq]
	periods = periods/o.Interval + 1
	switch days := len(o.Byweekday) + len(o.Bymonthday) + len(o.Byyearday) + len(o.Byweekno); {
	case o.Freq == rrule.WEEKLY:
		periods *= max(1, len(o.Byweekday))
	case o.Freq <= rrule.MONTHLY && days > 0:
		periods = 366
	}
	return times * periods
}

// defaults writes what the library would take from the beginning, so that it may
// be told another one.
func (r *rule) defaults(start time.Time) {
	o := &r.option
	if o.Freq < rrule.HOURLY {
		hour, minute, second := start.Clock()
		for _, d := range []struct {
			list  *[]int
			value int
		}{{&o.Byhour, hour}, {&o.Byminute, minute}, {&o.Bysecond, second}} {
			if len(*d.list) == 0 {
				*d.list = []int{d.value}
			}
		}
	}
	if len(o.Byweekno)+len(o.Byyearday)+len(o.Bymonthday)+len(o.Byweekday) > 0 {
		return
	}
	switch o.Freq {
	case rrule.YEARLY:
		if len(o.Bymonth) == 0 {
			o.Bymonth = []int{int(start.Month())}
		}
		o.Bymonthday = []int{start.Day()}
	case rrule.MONTHLY:
		o.Bymonthday = []int{start.Day()}
	case rrule.WEEKLY:
		o.Byweekday = []rrule.Weekday{[...]rrule.Weekday{rrule.SU, rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR, rrule.SA}[start.Weekday()]}
	}
}

// from walks along what the clock shows at each occurrence, from about a time on
// or the beginning: some may be before it. What is long ago is not walked through:
// the rule is told to begin some periods before the time. And it is worked out
// near the year 9999, where the library stops to look for what never comes.
func (r *rule) from(start, about time.Time) (next func() (time.Time, bool), err error) {
	o := r.option
	o.Until, o.Count = time.Time{}, 0
	begin := start
	switch seconds := map[rrule.Frequency]int64{rrule.HOURLY: 3600, rrule.DAILY: 86400, rrule.WEEKLY: 7 * 86400}[o.Freq]; {
	case seconds > 0:
		seconds *= int64(o.Interval)
		if k := (about.Unix()-start.Unix())/seconds - 2; k > 0 {
			begin = time.Unix(start.Unix()+k*seconds, 0).UTC()
		}
	case o.Freq == rrule.MONTHLY:
		months := (about.Year()-start.Year())*12 + int(about.Month()-start.Month())
		if k := months/o.Interval - 1; k > 0 {
			begin = time.Date(start.Year(), start.Month()+time.Month(k*o.Interval), 1, 0, 0, 0, 0, time.UTC)
		}
	default:
		if k := (about.Year()-start.Year())/o.Interval - 1; k > 0 {
			begin = time.Date(start.Year()+k*o.Interval, 1, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	later := int64((rrule.MAXYEAR-room-begin.Year())/cycleYears) * cycleSeconds
	o.Dtstart = time.Unix(begin.Unix()+later, 0).UTC()
	compiled, err := rrule.NewRRule(o)
	if err != nil {
		return nil, err
	}
	step := compiled.Iterator()
	return func() (time.Time, bool) {
		for {
			t, ok := step()
			if !ok {
				return time.Time{}, false
			}
			if t = time.Unix(t.Unix()-later, 0).UTC(); !t.Before(start) {
				return t, true
			}
		}
	}, nil
}

// probe finds out whether the rule fits any dates, and when its COUNT is used up.
func (r *rule) probe(e *event, b *budget) error {
	next, err := r.from(e.start, e.start)
	if err != nil {
		return fmt.Errorf("RRULE: %s", quote(err.Error()))
	}
	if b.rare >= rareAtMost {
		return fmt.Errorf("%w: more than %d events recur rarely or never", errTooMuch, rareAtMost)
	}
	count, n, last := r.option.Count, 0, e.start
	for n < 3 || count > 0 {
		t, ok := next()
		if !ok || t.Sub(last) > sparse {
			b.rare++ // it took long
			if n > 0 && ok && !r.until.IsZero() && r.until.Before(calendar.Instant(t, e.zone)) {
				return nil // it had ended
			}
			return errors.New("RRULE fits no date in twelve years")
		}
		if !r.until.IsZero() && r.until.Before(calendar.Instant(t, e.zone)) {
			return nil
		}
		if n == 0 && !t.Equal(e.start) {
			n++ // DTSTART is the first, as RFC 5545 has it
		}
		if n++; count > 0 && n >= count {
			if n > count {
				t = e.start
			}
			r.until = calendar.Instant(t, e.zone)
			return nil
		}
		if count > 0 {
			if b.counted++; b.counted > countedAtMost {
				return fmt.Errorf("%w: COUNT of its events is too high", errTooMuch)
			}
			if t.Year() > e.start.Year()+countedYears {
				return nil
			}
		}
		last = t
	}
	return nil
}
