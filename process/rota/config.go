package rota

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/process/calendar"
)

// Config is one rota.
type Config struct {
	// Timezone is an IANA name; empty is UTC, and for the times of an iCalendar
	// file that name no zone what the file says, else UTC.
	Timezone string `yaml:"timezone"`
	// Shifts are on call at once, the first first.
	Shifts []Shift `yaml:"shifts"`
	// Overrides replace who would be on call.
	Overrides []Override `yaml:"overrides"`
	// ICal says where more shifts are read; they come after Shifts.
	ICal ICalConfig `yaml:"ical"`
}

// Shift is one place of a rota, which people fill in turn.
type Shift struct {
	// People are in the order of their turns.
	People []string `yaml:"people"`
	// Start is a day, such as 2026-01-05: the first handover on or after it is to
	// the first of the people.
	Start string `yaml:"start"`
	// Handover is when one hands over to the next: monday 09:00, or 09:00.
	Handover string `yaml:"handover"`
	// Length is how long each is on call: days, or hours that divide a day.
	Length model.Duration `yaml:"length"`
}

// Override is a time in which somebody else is on call.
type Override struct {
	// From and To are times such as 2026-12-24 18:00, or with an offset as RFC 3339
	// has it.
	From string `yaml:"from"`
	To   string `yaml:"to"`
	Who  string `yaml:"who"`
	// InsteadOf is whose place Who takes; empty is everybody's.
	InsteadOf string `yaml:"instead_of"`
}

// ICalConfig says where an iCalendar file is and what it means.
type ICalConfig struct {
	// File is on this machine, and URL begins with https. One of them at most.
	File string        `yaml:"file"`
	URL  secret.String `yaml:"url"`
	// URLFile is a file with the URL; whoever reads the configuration reads it.
	URLFile      string        `yaml:"url_file"`
	Username     string        `yaml:"username"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// CAFile has the certificates, PEM, that the server's must come from; empty
	// means those of the system.
	CAFile string `yaml:"ca_file"`
	// Every is how often it is read; 0 means 15 minutes.
	Every model.Duration `yaml:"every"`
	// Person is what names who is on call: summary, attendee, or auto, which is the
	// default: the attendees if there are any, else the summary.
	Person string `yaml:"person"`
	// Names are people by what the file calls them, in any case.
	Names map[string]string `yaml:"names"`
}

const (
	entriesAtMost = 1000
	leastEvery    = time.Minute
	usualEvery    = 15 * time.Minute
	longestShift  = 366 * 24 * time.Hour
	day           = 24 * time.Hour
)

// Problems says what is wrong with a configuration: by path, such as
// shifts[0].handover, what it is and, after a semicolon, what to write instead.
func Problems(c Config) map[string]string {
	_, problems := c.compile()
	return problems
}

func (c Config) compile() (*Rota, map[string]string) {
	problems := map[string]string{}
	r := &Rota{zone: time.UTC}
	if c.Timezone != "" {
		zone, err := calendar.Zone(c.Timezone)
		if err != nil {
			problems["timezone"] = err.Error() + "; write a name such as Europe/Zurich"
		} else {
			r.zone = zone
		}
	}
	for path, n := range map[string]int{"shifts": len(c.Shifts), "overrides": len(c.Overrides), "ical.names": len(c.ICal.Names)} {
		if n > entriesAtMost {
			problems[path] = fmt.Sprintf("there are %d entries; write at most %d", n, entriesAtMost)
			return r, problems
		}
	}
	for n, s := range c.Shifts {
		r.shifts = append(r.shifts, s.compile(index("shifts", n), r.zone, problems))
	}
	r.readOverrides(c.Overrides, problems)
	c.ICal.check(problems)
	return r, problems
}

func (s Shift) compile(path string, zone *time.Location, problems map[string]string) shift {
	out := shift{people: s.People, zone: zone, length: time.Duration(s.Length)}
	if len(s.People) == 0 || len(s.People) > entriesAtMost {
		problems[path+".people"] = fmt.Sprintf("there are %d people; add people:, such as [anna, ben], at most %d", len(s.People), entriesAtMost)
	}
	for n, name := range s.People {
		if strings.TrimSpace(name) == "" {
			problems[index(path+".people", n)] = "the name is empty; write one, or remove the entry"
		}
	}
	start, err := time.Parse(time.DateOnly, s.Start)
	switch {
	case s.Start == "":
		problems[path+".start"] = "nothing says whose turn it is; add start:, a day such as 2026-01-05, at whose handover the first begins"
	case err != nil || start.Year() < firstYear || start.Year() > lastYear:
		problems[path+".start"] = fmt.Sprintf("%s is no day; write it as 2026-01-05", quote(s.Start))
	}
	const form = "write monday 09:00, or 09:00"
	name, clock, weekly := strings.Cut(strings.TrimSpace(s.Handover), " ")
	if !weekly {
		clock = name
	}
	weekday, ok1 := calendar.Weekday(name)
	second, ok2 := calendar.Clock(clock)
	if !ok2 || weekly && !ok1 || second >= int64(day/time.Second) {
		problems[path+".handover"] = fmt.Sprintf("%s is no time of handover; %s", quote(s.Handover), form)
		weekly = false
	}
	switch l := out.length; {
	case l < time.Hour || l > longestShift:
		problems[path+".length"] = fmt.Sprintf("%s is not between 1h and 366d; write how long each is on call, such as 7d", s.Length)
	case weekly && l%(7*day) != 0:
		problems[path+".length"] = fmt.Sprintf("with %s there is no handover on the same day of the week; write 7d, 14d and so on, or a handover without a day", s.Length)
	case l > day && l%day != 0, l < day && day%l != 0:
		problems[path+".length"] = fmt.Sprintf("with %s the handovers are at other times each day; write whole days, or hours that divide a day, such as 12h", s.Length)
	}
	if weekly {
		start = start.AddDate(0, 0, (int(weekday)-int(start.Weekday())+7)%7)
	}
	out.first = start.Add(time.Duration(second) * time.Second)
	return out
}

func (r *Rota) readOverrides(list []Override, problems map[string]string) {
	read := func(path, text string) time.Time {
		for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
			if t, err := time.Parse(layout, text); err == nil {
				return calendar.Instant(t, r.zone)
			}
		}
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t
		}
		problems[path] = fmt.Sprintf("%s is not a time; write it as 2026-12-24 18:00", quote(text))
		return time.Time{}
	}
	for n, o := range list {
		path := index("overrides", n)
		next := override{from: read(path+".from", o.From), to: read(path+".to", o.To), who: o.Who, insteadOf: o.InsteadOf}
		if strings.TrimSpace(o.Who) == "" {
			problems[path+".who"] = "nobody is named; add who:"
		}
		if problems[path+".from"] != "" || problems[path+".to"] != "" {
			continue
		}
		if !next.from.Before(next.to) {
			problems[path+".to"] = "the override ends before it begins; write a time after from"
		}
		if before := slices.IndexFunc(r.overrides, func(b override) bool {
			return b.insteadOf == next.insteadOf && b.from.Before(next.to) && next.from.Before(b.to)
		}); before >= 0 {
			problems[path+".from"] = "the override is at the same time as another, from " + r.overrides[before].from.In(r.zone).Format("2006-01-02 15:04") + "; end one before the other begins, or say instead_of:"
		}
		r.overrides = append(r.overrides, next)
	}
}

func (c *ICalConfig) check(problems map[string]string) {
	if c.File != "" && c.URL.IsSet() {
		problems["ical.file"] = "there is a url too; keep one of them"
	}
	if c.URL.IsSet() {
		// What is wrong is not quoted: such URLs are secrets.
		if u, err := url.Parse(c.URL.Reveal()); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			problems["ical.url"] = "this is no URL that can be read; write https://host/path, and a password in username: and password:"
		}
	}
	if c.Password.IsSet() && c.Username == "" {
		problems["ical.password"] = "there is no username; add username:"
	}
	if every := time.Duration(c.Every); every != 0 && every < leastEvery || every > 24*time.Hour {
		problems["ical.every"] = fmt.Sprintf("%s is not between 1m and 1d; write 15m", c.Every)
	}
	if c.Person != "" && !slices.Contains([]string{"auto", "summary", "attendee"}, c.Person) {
		problems["ical.person"] = fmt.Sprintf("%s is not known; write auto, summary or attendee", quote(c.Person))
	}
}

func index(path string, n int) string { return path + "[" + strconv.Itoa(n) + "]" }

// quote shows a text: quoted, and cut where it is long.
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
	return fmt.Errorf("rota: %s", strings.Join(lines, "; "))
}
