package rota

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/tocsin-gateway/tocsin/process/calendar"
)

const (
	// fileLimit is how large a file may be, in bytes, and lineLimit a line that is
	// looked at.
	fileLimit = 4 << 20
	lineLimit = 16 << 10
	// eventsAtMost and recurringAtMost bound the events of a file.
	eventsAtMost    = 10_000
	recurringAtMost = 1000
	// depthAtMost is how deep components may be nested.
	depthAtMost = 8
	// datesAtMost bounds the EXDATE and RDATE of an event.
	datesAtMost = 2000
	// longestEvent is how long somebody can be on call in one event.
	longestEvent = 366 * day
	// skippedAtMost is how many events that are not understood are described.
	skippedAtMost = 20
	nameLimit     = 200
)

// Options say what the texts of a file mean.
type Options struct {
	// Zone is that of times without one; nil means the file's X-WR-TIMEZONE, else UTC.
	Zone *time.Location
	// Person and Names are as in ICalConfig.
	Person string
	Names  map[string]string
}

// ICal is what an iCalendar file (RFC 5545) says about who is on call. It may be
// asked from any goroutine. Nil has nobody on call.
//
// Each VEVENT is somebody's time on call. DTEND of an event that recurs stands on
// the clock, as people mean it, also where the clock changes in between; the hours
// of a DURATION are counted. What recurs needs rules of hours or longer.
type ICal struct {
	events []*event
	// Skipped describes events that are not understood and left out, the first
	// twenty; SkippedAll is how many there are.
	Skipped    []string
	SkippedAll int
	windows    windowCache
}

// event is a VEVENT.
type event struct {
	people []string
	zone   *time.Location
	// start is what the clock of the zone shows when it begins, in UTC.
	start time.Time
	// length is how much later the clock shows the end, and exact what is counted
	// after that.
	length, exact time.Duration
	rule          *rule
	dates         []time.Time
	// without are beginnings that do not take place, in Unix seconds, and the days
	// on which none does, by what the clock shows at midnight.
	without, withoutDays map[int64]bool
}

// ParseICal reads a file. What is no iCalendar file, is cut off or is too large is
// an error; an event that is not understood is left out, and Skipped says so.
func ParseICal(data []byte, o Options) (*ICal, error) {
	clean, err := prepare(data)
	if err != nil {
		return nil, err
	}
	file, err := ics.ParseCalendarWithOptions(bytes.NewReader(clean), ics.WithUnknownPropertyHandler(ics.AcceptUnknownPropertyHandler))
	if err != nil {
		return nil, fmt.Errorf("rota: no iCalendar file: %s", quote(err.Error()))
	}
	p := &parser{Options: o, out: &ICal{}, zones: &zones{aliases: map[string]string{}, known: map[string]*time.Location{}}, masters: map[string][]*event{}}
	for _, component := range file.Components {
		if zone, ok := component.(*ics.VTimezone); ok {
			if id, alias := value(&zone.ComponentBase, "TZID"), value(&zone.ComponentBase, "X-LIC-LOCATION"); alias != "" {
				p.zones.aliases[id] = alias
			}
		}
	}
	if p.Zone == nil {
		p.Zone = time.UTC
		for _, property := range file.CalendarProperties {
			if zone := p.zones.find(property.Value); property.IANAToken == "X-WR-TIMEZONE" && zone != nil {
				p.Zone = zone
			}
		}
	}
	p.names = map[string]string{}
	for from, to := range o.Names {
		p.names[strings.ToLower(strings.TrimSpace(from))] = to
	}
	if err := p.events(file.Events()); err != nil {
		return nil, err
	}
	return p.out, nil
}

// kept are the properties that are looked at.
var kept = []string{"UID", "SUMMARY", "ATTENDEE", "DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "EXDATE", "RDATE", "RECURRENCE-ID", "STATUS",
	"TZID", "X-LIC-LOCATION", "X-WR-TIMEZONE"}

// prepare bounds what the library reads, which has no limits of its own: it joins
// folded lines and keeps those that matter, of calendars, events and time zones.
func prepare(data []byte) ([]byte, error) {
	if len(data) > fileLimit {
		return nil, fmt.Errorf("rota: the file is larger than %d MiB", fileLimit>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var out, line bytes.Buffer
	var open []string // the components
	begun, hidden, events := false, 0, 0
	finish := func() error {
		text := strings.Map(printable, strings.ToValidUTF8(line.String(), "\ufffd"))
		line.Reset()
		end := strings.IndexAny(text, ":;")
		if end < 0 {
			if strings.TrimSpace(text) == "" || begun {
				return nil // nothing that is looked at
			}
			return errors.New("rota: no iCalendar file: it does not begin with BEGIN:VCALENDAR")
		}
		name, rest := strings.ToUpper(text[:end]), text[end:]
		component := strings.ToUpper(strings.TrimSpace(rest[1:]))
		switch {
		case !begun && (name != "BEGIN" || component != "VCALENDAR"):
			return errors.New("rota: no iCalendar file: it does not begin with BEGIN:VCALENDAR")
		case name == "BEGIN":
			begun = true
			if open = append(open, component); len(open) > depthAtMost {
				return fmt.Errorf("rota: components are nested deeper than %d", depthAtMost)
			}
			known := len(open) == 1 && component == "VCALENDAR" || len(open) == 2 && (component == "VEVENT" || component == "VTIMEZONE")
			if !known || hidden > 0 {
				hidden++
				return nil
			}
			if component == "VEVENT" {
				if events++; events > eventsAtMost {
					return fmt.Errorf("rota: the file has more than %d events", eventsAtMost)
				}
			}
			if component != "VCALENDAR" || out.Len() == 0 {
				out.WriteString("BEGIN:" + component + "\r\n")
			}
		case name == "END":
			if len(open) == 0 || open[len(open)-1] != component {
				return fmt.Errorf("rota: no iCalendar file: END:%s without a beginning", strings.Trim(quote(component), `"`))
			}
			open = open[:len(open)-1]
			if hidden > 0 {
				hidden--
			} else if component != "VCALENDAR" {
				out.WriteString("END:" + component + "\r\n")
			}
		case hidden == 0 && len(open) > 0 && slices.Contains(kept, name):
			if len(text) > lineLimit {
				return fmt.Errorf("rota: a line of %s is longer than %d KiB", name, lineLimit>>10)
			}
			out.WriteString(name + rest + "\r\n")
		}
		return nil
	}
	for lines := bufio.NewReader(bytes.NewReader(data)); ; {
		part, err := lines.ReadBytes('\n')
		folded := len(part) > 0 && (part[0] == ' ' || part[0] == '\t')
		if !folded || err != nil && len(part) == 0 {
			if err := finish(); err != nil {
				return nil, err
			}
		}
		if folded {
			part = part[1:]
		}
		line.Write(bytes.TrimRight(part, "\r\n"))
		if err != nil {
			break // the end
		}
	}
	if err := finish(); err != nil {
		return nil, err
	}
	if !begun || len(open) > 0 {
		return nil, errors.New("rota: no iCalendar file, or not all of it: END:VCALENDAR is missing")
	}
	out.WriteString("END:VCALENDAR\r\n")
	return out.Bytes(), nil
}

// printable drops control characters.
func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}

// value is the text of a property; empty if there is none.
func value(c *ics.ComponentBase, name string) string {
	if p := c.GetProperty(ics.ComponentProperty(name)); p != nil {
		return strings.TrimSpace(p.Value)
	}
	return ""
}

func parameter(p *ics.IANAProperty, name string) string {
	for key, values := range p.ICalParameters {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// parser makes events of components.
type parser struct {
	Options
	out       *ICal
	zones     *zones
	names     map[string]string
	masters   map[string][]*event
	recurring int
	budget    budget
}

// events reads all events, and then what changes single occurrences of them.
func (p *parser) events(list []*ics.VEvent) error {
	for _, changed := range []bool{false, true} {
		for _, e := range list {
			id := e.GetProperty("RECURRENCE-ID")
			if (id != nil) != changed {
				continue
			}
			if id != nil {
				p.replaces(value(&e.ComponentBase, "UID"), id)
			}
			if strings.EqualFold(value(&e.ComponentBase, "STATUS"), "CANCELLED") {
				continue
			}
			out, err := p.event(&e.ComponentBase)
			switch {
			case errors.Is(err, errTooMuch):
				return err
			case err != nil:
				p.skip(e, err)
			default:
				p.out.events = append(p.out.events, out)
				if uid := value(&e.ComponentBase, "UID"); uid != "" && !changed {
					p.masters[uid] = append(p.masters[uid], out)
				}
			}
		}
	}
	return nil
}

func (p *parser) skip(e *ics.VEvent, err error) {
	if p.out.SkippedAll++; len(p.out.Skipped) < skippedAtMost {
		p.out.Skipped = append(p.out.Skipped, fmt.Sprintf("event %s of %s: %s", quote(value(&e.ComponentBase, "SUMMARY")), quote(value(&e.ComponentBase, "DTSTART")), err))
	}
}

// replaces leaves out the occurrence that another event takes the place of.
func (p *parser) replaces(uid string, id *ics.IANAProperty) {
	for _, master := range p.masters[uid] {
		if m, err := p.moment(id, strings.TrimSpace(id.Value), master.zone); err == nil {
			master.leaveOut(m)
		}
	}
}

func (e *event) leaveOut(m moment) {
	if m.dateOnly {
		e.withoutDays[m.clock.Unix()] = true
	} else {
		e.without[calendar.Instant(m.clock, m.zone).Unix()] = true
	}
}

// event reads a component.
func (p *parser) event(c *ics.ComponentBase) (*event, error) {
	e := &event{people: p.people(c), without: map[int64]bool{}, withoutDays: map[int64]bool{}}
	if len(e.people) == 0 {
		return nil, errors.New("it names nobody")
	}
	property := c.GetProperty("DTSTART")
	if property == nil {
		return nil, errors.New("it has no DTSTART")
	}
	start, err := p.moment(property, strings.TrimSpace(property.Value), p.Zone)
	if err != nil {
		return nil, err
	}
	e.start, e.zone = start.clock, start.zone
	if err := p.length(e, c, start); err != nil {
		return nil, err
	}
	if id := c.GetProperty("RECURRENCE-ID"); id != nil {
		if parameter(id, "RANGE") != "" {
			return nil, errors.New("RECURRENCE-ID with RANGE is not supported")
		}
		return e, nil // one occurrence
	}
	if c.GetProperty("EXRULE") != nil {
		return nil, errors.New("EXRULE is not supported")
	}
	for _, name := range []string{"EXDATE", "RDATE"} {
		if err := p.dates(e, c, name); err != nil {
			return nil, err
		}
	}
	switch rules := c.GetProperties("RRULE"); {
	case len(rules) > 1:
		return nil, errors.New("it has several RRULE")
	case len(rules) == 1:
		if p.recurring++; p.recurring > recurringAtMost {
			return nil, fmt.Errorf("%w: more than %d events recur", errTooMuch, recurringAtMost)
		}
		if e.rule, err = newRule(rules[0].Value, e, &p.budget); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// dates reads the EXDATE or RDATE of an event.
func (p *parser) dates(e *event, c *ics.ComponentBase, name string) error {
	n := 0
	for _, property := range c.GetProperties(ics.ComponentProperty(name)) {
		for text := range strings.SplitSeq(property.Value, ",") {
			if text, _, _ = strings.Cut(strings.TrimSpace(text), "/"); text == "" {
				continue
			}
			if n++; n > datesAtMost {
				return fmt.Errorf("it has more than %d %s", datesAtMost, name)
			}
			m, err := p.moment(property, text, e.zone)
			switch {
			case err != nil:
				return err
			case name == "EXDATE":
				e.leaveOut(m)
			case strings.EqualFold(parameter(property, "VALUE"), "PERIOD"):
				return errors.New("RDATE with periods is not supported")
			default:
				e.dates = append(e.dates, shown(calendar.Instant(m.clock, m.zone), e.zone))
			}
		}
	}
	return nil
}

// shown is what the clock of a zone shows at t, in UTC.
func shown(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// moment is a DATE or a DATE-TIME: what the clock of a zone shows, in UTC.
type moment struct {
	clock    time.Time
	zone     *time.Location
	dateOnly bool
}

// moment reads a date or time of a property; without a zone it is in the given one.
func (p *parser) moment(property *ics.IANAProperty, text string, zone *time.Location) (m moment, err error) {
	m.zone = zone
	if id := parameter(property, "TZID"); id != "" {
		if m.zone = p.zones.find(id); m.zone == nil {
			return m, fmt.Errorf("there is no time zone %s", quote(id))
		}
	}
	switch {
	case len(text) == len("20060102"):
		m.dateOnly = true
		m.clock, err = time.Parse("20060102", text)
	case strings.HasSuffix(text, "Z") || strings.HasSuffix(text, "z"):
		m.zone = time.UTC
		m.clock, err = time.Parse("20060102T150405", strings.ToUpper(text[:len(text)-1]))
	default:
		m.clock, err = time.Parse("20060102T150405", strings.ToUpper(text))
	}
	if err != nil {
		return m, fmt.Errorf("%s %s is no date or time", property.IANAToken, quote(text))
	}
	if !sane(m.clock) {
		return m, fmt.Errorf("%s is not between the years %d and %d", property.IANAToken, firstYear, lastYear)
	}
	return m, nil
}

var durationForm = regexp.MustCompile(`^\+?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})S)?)?$`)

// length reads how long an event is: by DTEND, by DURATION, else a day for a date
// and no time for a time.
func (p *parser) length(e *event, c *ics.ComponentBase, start moment) error {
	end, duration := c.GetProperty("DTEND"), value(c, "DURATION")
	switch {
	case end != nil:
		m, err := p.moment(end, strings.TrimSpace(end.Value), start.zone)
		if err != nil {
			return err
		}
		e.length = shown(calendar.Instant(m.clock, m.zone), start.zone).Sub(start.clock)
		if m.zone == start.zone {
			e.length = m.clock.Sub(start.clock)
		}
	case duration != "":
		parts := durationForm.FindStringSubmatch(strings.ToUpper(duration))
		if parts == nil {
			return fmt.Errorf("DURATION %s is none", quote(duration))
		}
		for n, unit := range []time.Duration{7 * day, day, time.Hour, time.Minute, time.Second} {
			count, _ := strconv.Atoi(parts[n+1]) // empty is 0
			if n < 2 {
				e.length += time.Duration(count) * unit
			} else {
				e.exact += time.Duration(count) * unit
			}
		}
	case start.dateOnly:
		e.length = day
	}
	if sum := e.length + e.exact; sum <= 0 || sum > longestEvent {
		return errors.New("it is no longer than a moment, or longer than 366 days")
	}
	return nil
}

// people are who an event names.
func (p *parser) people(c *ics.ComponentBase) (people []string) {
	add := func(text string) bool {
		text = strings.TrimSpace(strings.Map(printable, strings.ReplaceAll(text, "\n", " ")))
		name, known := p.names[strings.ToLower(text)]
		if !known {
			if r := []rune(text); len(r) > nameLimit {
				text = string(r[:nameLimit])
			}
			name = text
		}
		if name != "" && !slices.Contains(people, name) && len(people) < peopleAtMost {
			people = append(people, name)
		}
		return known
	}
	if p.Person != "summary" {
		for _, a := range c.GetProperties("ATTENDEE") {
			if strings.EqualFold(parameter(a, "PARTSTAT"), "DECLINED") || slices.Contains([]string{"ROOM", "RESOURCE"}, strings.ToUpper(parameter(a, "CUTYPE"))) {
				continue
			}
			address := strings.TrimSpace(a.Value)
			if len(address) > 7 && strings.EqualFold(address[:7], "mailto:") {
				address = address[7:]
			}
			if name := parameter(a, "CN"); p.names[strings.ToLower(strings.TrimSpace(name))] != "" {
				address = name
			}
			add(address)
		}
	}
	if p.Person != "attendee" && len(people) == 0 {
		add(value(c, "SUMMARY"))
	}
	return people
}
