package rota

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// file makes an iCalendar file of lines.
func file(lines ...string) []byte {
	return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCALENDAR\r\n")
}

func vevent(lines ...string) string {
	return "BEGIN:VEVENT\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VEVENT"
}

func mustParse(t testing.TB, data []byte, o Options) *ICal {
	t.Helper()
	c, err := ParseICal(data, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestICal: who is on call, as RFC 5545 has it. Each case has times with who is
// on call then; nobody is "".
func TestICal(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		o     Options
		want  map[string]string
	}{
		{"UTC", []string{vevent("SUMMARY:anna", "DTSTART:20261123T090000Z", "DTEND:20261123T170000Z")}, Options{}, map[string]string{
			"2026-11-23T08:59:59Z": "", "2026-11-23T09:00:00Z": "anna", "2026-11-23T16:59:59.9Z": "anna", "2026-11-23T17:00:00Z": ""}},
		{"TZID", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20260629T090000", "DTEND;TZID=Europe/Zurich:20260629T170000")}, Options{}, map[string]string{
			"2026-06-29T06:59:59Z": "", "2026-06-29T07:00:00Z": "anna", "2026-06-29T15:00:00Z": ""}},
		{"Outlook's TZID", []string{vevent("SUMMARY:anna", `DTSTART;TZID="W. Europe Standard Time":20260629T090000`, "DURATION:PT1H")}, Options{}, map[string]string{
			"2026-06-29T06:59:59Z": "", "2026-06-29T07:00:00Z": "anna", "2026-06-29T08:00:00Z": ""}},
		{"a TZID that the file describes", []string{"BEGIN:VTIMEZONE\r\nTZID:Ours\r\nX-LIC-LOCATION:Asia/Kolkata\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETTO:+0530\r\nTZOFFSETFROM:+0530\r\nEND:STANDARD\r\nEND:VTIMEZONE",
			vevent("SUMMARY:anna", "DTSTART;TZID=Ours:20260629T090000", "DURATION:PT1H")}, Options{}, map[string]string{"2026-06-29T03:30:00Z": "anna", "2026-06-29T04:30:00Z": ""}},
		{"a vendor's TZID", []string{vevent("SUMMARY:anna", "DTSTART;TZID=/example.org/20050126_1/Europe/Zurich:20260629T090000", "DURATION:PT1H")}, Options{}, map[string]string{"2026-06-29T07:00:00Z": "anna"}},
		{"a date", []string{vevent("SUMMARY:anna", "DTSTART;VALUE=DATE:20260329")}, Options{Zone: zone(t, "Europe/Zurich")}, map[string]string{
			"2026-03-28T22:59:59Z": "", "2026-03-28T23:00:00Z": "anna", "2026-03-29T21:59:59Z": "anna", "2026-03-29T22:00:00Z": ""}},
		{"dates, in the zone of the file", []string{"X-WR-TIMEZONE:Asia/Kolkata", vevent("SUMMARY:anna", "DTSTART;VALUE=DATE:20260329", "DTEND;VALUE=DATE:20260331")}, Options{}, map[string]string{
			"2026-03-28T18:29:59Z": "", "2026-03-28T18:30:00Z": "anna", "2026-03-30T18:29:59Z": "anna", "2026-03-30T18:30:00Z": ""}},
		{"weekly, over a change of the clock", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20260302T090000", "DTEND;TZID=Europe/Zurich:20260309T090000", "RRULE:FREQ=WEEKLY;INTERVAL=2")}, Options{}, map[string]string{
			"2026-03-09T08:00:00Z": "", "2026-03-30T06:59:59Z": "", "2026-03-30T07:00:00Z": "anna", "2026-04-06T06:59:59Z": "anna", "2026-04-06T07:00:00Z": "",
			"2026-03-16T08:00:00Z": "anna", "2126-03-04T10:00:00Z": "anna", "2126-03-11T10:00:00Z": ""}},
		{"PT is counted", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20260328T090000", "DURATION:PT24H", "RRULE:FREQ=WEEKLY")}, Options{}, map[string]string{
			"2026-03-29T07:59:59Z": "anna", "2026-03-29T08:00:00Z": ""}},
		{"P1D stands on the clock", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20260328T090000", "DURATION:P1D", "RRULE:FREQ=WEEKLY")}, Options{}, map[string]string{
			"2026-03-29T06:59:59Z": "anna", "2026-03-29T07:00:00Z": ""}},
		{"a time that is skipped", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20260322T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY")}, Options{}, map[string]string{
			"2026-03-29T01:29:59Z": "", "2026-03-29T01:30:00Z": "anna", "2026-03-29T02:30:00Z": ""}},
		{"a time that is there twice", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261020T023000", "DURATION:PT1H", "RRULE:FREQ=DAILY")}, Options{}, map[string]string{
			"2026-10-25T00:30:00Z": "anna", "2026-10-25T01:30:00Z": ""}},
		{"EXDATE", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261102T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY", "EXDATE;TZID=Europe/Zurich:20261103T090000,20261104T090000", "EXDATE:20261105T080000Z", "EXDATE;VALUE=DATE:20261106")}, Options{}, map[string]string{
			"2026-11-02T08:30:00Z": "anna", "2026-11-03T08:30:00Z": "", "2026-11-04T08:30:00Z": "", "2026-11-05T08:30:00Z": "", "2026-11-06T08:30:00Z": "", "2026-11-07T08:30:00Z": "anna"}},
		{"RDATE", []string{vevent("SUMMARY:anna", "DTSTART:20261102T090000Z", "DURATION:PT1H", "RDATE:20261109T090000Z", "RDATE;TZID=Europe/Zurich:20261110T110000")}, Options{}, map[string]string{
			"2026-11-02T09:30:00Z": "anna", "2026-11-09T09:30:00Z": "anna", "2026-11-10T10:30:00Z": "anna", "2026-11-10T09:30:00Z": ""}},
		{"COUNT", []string{vevent("SUMMARY:anna", "DTSTART:20261102T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=3")}, Options{}, map[string]string{
			"2026-11-16T09:30:00Z": "anna", "2026-11-23T09:30:00Z": ""}},
		{"COUNT counts a DTSTART that the rule does not fit", []string{vevent("SUMMARY:anna", "DTSTART:20261102T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=2")}, Options{}, map[string]string{
			"2026-11-02T09:30:00Z": "anna", "2026-11-03T09:30:00Z": "anna", "2026-11-10T09:30:00Z": ""}},
		{"UNTIL in UTC", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261102T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY;UNTIL=20261104T080000Z")}, Options{}, map[string]string{
			"2026-11-04T08:30:00Z": "anna", "2026-11-05T08:30:00Z": ""}},
		{"UNTIL a date", []string{vevent("SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261102T090000", "DURATION:PT1H", "RRULE:FREQ=DAILY;UNTIL=20261104")}, Options{}, map[string]string{
			"2026-11-04T08:30:00Z": "anna", "2026-11-05T08:30:00Z": ""}},
		{"the last Friday of a month", []string{vevent("SUMMARY:anna", "DTSTART:20260130T090000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;BYDAY=-1FR")}, Options{}, map[string]string{
			"2026-11-27T09:30:00Z": "anna", "2026-11-20T09:30:00Z": "", "2040-02-24T09:30:00Z": "anna"}},
		{"the first working day of a month", []string{vevent("SUMMARY:anna", "DTSTART:20260101T090000Z", "DURATION:PT1H", "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1")}, Options{}, map[string]string{
			"2026-11-02T09:30:00Z": "anna", "2026-11-01T09:30:00Z": "", "2026-11-03T09:30:00Z": ""}},
		{"leap days", []string{vevent("SUMMARY:anna", "DTSTART:20240229T090000Z", "DURATION:PT1H", "RRULE:FREQ=YEARLY")}, Options{}, map[string]string{
			"2028-02-29T09:30:00Z": "anna", "2027-03-01T09:30:00Z": "", "2096-02-29T09:30:00Z": "anna", "2100-03-01T09:30:00Z": "", "2104-02-29T09:30:00Z": "anna"}},
		{"every twelve hours", []string{vevent("SUMMARY:anna", "DTSTART:20240101T060000Z", "DURATION:PT6H", "RRULE:FREQ=HOURLY;INTERVAL=12")}, Options{}, map[string]string{
			"2026-11-23T06:00:00Z": "anna", "2026-11-23T12:00:00Z": "", "2026-11-23T18:00:00Z": "anna", "2026-11-24T00:00:00Z": ""}},
		{"one occurrence at another time, one cancelled", []string{
			vevent("UID:1", "SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261102T090000", "DURATION:PT8H", "RRULE:FREQ=DAILY"),
			vevent("UID:1", "RECURRENCE-ID;TZID=Europe/Zurich:20261103T090000", "SUMMARY:ben", "DTSTART:20261103T200000Z", "DTEND:20261103T210000Z"),
			vevent("UID:1", "RECURRENCE-ID:20261104T080000Z", "STATUS:CANCELLED", "SUMMARY:anna", "DTSTART:20261104T080000Z", "DTEND:20261104T090000Z"),
			vevent("UID:2", "RECURRENCE-ID:20261105T080000Z", "SUMMARY:carla", "DTSTART:20261105T180000Z", "DTEND:20261105T190000Z")}, Options{}, map[string]string{
			"2026-11-02T09:00:00Z": "anna", "2026-11-03T09:00:00Z": "", "2026-11-03T20:30:00Z": "ben", "2026-11-04T09:00:00Z": "", "2026-11-05T09:00:00Z": "anna", "2026-11-05T18:30:00Z": "carla"}},
		{"cancelled", []string{vevent("SUMMARY:anna", "STATUS:Cancelled", "DTSTART:20261123T090000Z", "DTEND:20261123T170000Z")}, Options{}, map[string]string{"2026-11-23T09:00:00Z": ""}},
		{"attendees", []string{vevent("SUMMARY:On call", "ATTENDEE;CN=Anna;PARTSTAT=ACCEPTED:mailto:anna@example.org", "ATTENDEE;PARTSTAT=DECLINED:mailto:ben@example.org", "ATTENDEE;CUTYPE=ROOM:mailto:room@example.org", "ATTENDEE;CN=\"Carla, Dr.\":MAILTO:c@example.org", "DTSTART:20261123T090000Z", "DURATION:P1W")},
			Options{Names: map[string]string{"ANNA@example.org": "anna", "carla, dr.": "carla"}}, map[string]string{"2026-11-23T09:00:00Z": "anna carla"}},
		{"the summary only", []string{vevent(`SUMMARY:Anna\, on call`, "ATTENDEE:mailto:ben@example.org", "DTSTART:20261123T090000Z", "DURATION:P1W")}, Options{Person: "summary"}, map[string]string{"2026-11-23T09:00:00Z": "Anna, on call"}},
		{"several at once, in the order of the file", []string{vevent("SUMMARY:ben", "DTSTART:20261123T090000Z", "DURATION:PT2H"), vevent("SUMMARY:anna", "DTSTART:20261123T080000Z", "DURATION:PT2H"), vevent("SUMMARY:anna", "DTSTART:20261123T093000Z", "DURATION:PT5H")}, Options{}, map[string]string{
			"2026-11-23T08:30:00Z": "anna", "2026-11-23T09:45:00Z": "ben anna", "2026-11-23T10:30:00Z": "ben anna", "2026-11-23T11:00:00Z": "anna"}},
		{"folded lines, other cases, alarms, no carriage returns", []string{"begin:vevent\nSummary:an\n na\nDTSTART:20261123T090000Z\nDTEND:20261123T\n\t100000Z\nDESCRIPTION\nBEGIN:VALARM\nDURATION:PT5M\nTRIGGER:-PT5M\nSUMMARY:alarm\nEND:VALARM\nend:VEVENT"}, Options{}, map[string]string{
			"2026-11-23T09:30:00Z": "anna", "2026-11-23T10:00:00Z": ""}},
		{"over the end of a window", []string{vevent("SUMMARY:anna", "DTSTART:20260101T000000Z", "DTEND:20270101T000000Z")}, Options{}, map[string]string{
			"2026-01-01T00:00:00Z": "anna", "2026-06-01T00:00:00Z": "anna", "2026-12-31T23:59:59Z": "anna", "2027-01-01T00:00:00Z": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := mustParse(t, file(c.lines...), c.o)
			if f.SkippedAll > 0 {
				t.Errorf("left out: %q", f.Skipped)
			}
			for when, want := range c.want {
				if got := strings.Join(f.At(at(t, when)), " "); got != want {
					t.Errorf("%s: got %q, want %q", when, got, want)
				}
			}
		})
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestSkipped: an event that is not understood is left out, and it is said which
// and why; the others stay.
func TestSkipped(t *testing.T) {
	good := vevent("SUMMARY:ben", "DTSTART:20261123T090000Z", "DURATION:PT2H")
	for _, c := range []struct {
		want  string
		lines []string
	}{
		{"names nobody", []string{"DTSTART:20261123T090000Z", "DURATION:PT2H"}},
		{"no DTSTART", []string{"SUMMARY:anna", "DURATION:PT2H"}},
		{"is no date or time", []string{"SUMMARY:anna", "DTSTART:tomorrow", "DURATION:PT2H"}},
		{"the years", []string{"SUMMARY:anna", "DTSTART:00010101T000000Z", "DURATION:PT2H"}},
		{`no time zone "Mars/Olympus"`, []string{"SUMMARY:anna", "DTSTART;TZID=Mars/Olympus:20261123T090000", "DURATION:PT2H"}},
		{"no longer than a moment", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z"}},
		{"no longer than a moment", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DTEND:20261123T080000Z"}},
		{"longer than 366 days", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:P9999W"}},
		{"DURATION", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:2h"}},
		{"minutes or seconds", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=SECONDLY"}},
		{"minutes or seconds", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=MINUTELY;INTERVAL=60;BYMINUTE=5"}},
		{"FREQ=HOURLY with BY", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=5"}},
		{"24 times a day", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5"}},
		{"fits no date", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}},
		{"fits no date", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU"}},
		{"INTERVAL", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY;INTERVAL=999999999999"}},
		{"BYEASTER", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=YEARLY;BYEASTER=9999"}},
		{"RRULE", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:every day"}},
		{"several RRULE", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY", "RRULE:FREQ=WEEKLY"}},
		{"EXRULE", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "EXRULE:FREQ=DAILY"}},
		{"periods", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RDATE;VALUE=PERIOD:20261123T090000Z/PT1H"}},
		{"RANGE", []string{"SUMMARY:anna", "DTSTART:20261123T090000Z", "DURATION:PT2H", "RECURRENCE-ID;RANGE=THISANDFUTURE:20261123T090000Z"}},
	} {
		f := mustParse(t, file(vevent(c.lines...), good), Options{})
		if f.SkippedAll != 1 || !strings.Contains(f.Skipped[0], c.want) {
			t.Errorf("%q: got %q, want %q", c.lines, f.Skipped, c.want)
		}
		if got := f.At(at(t, "2026-11-23T10:00:00Z")); len(got) != 1 || got[0] != "ben" {
			t.Errorf("%q: got %q on call, want ben", c.lines, got)
		}
	}
}

// TestRefused: such files are not taken at all.
func TestRefused(t *testing.T) {
	many := func(n int, lines ...string) []byte {
		return file(strings.Repeat(vevent(append([]string{"SUMMARY:a"}, lines...)...)+"\r\n", n))
	}
	for _, c := range []struct {
		want string
		data []byte
	}{
		{"no iCalendar file", nil},
		{"no iCalendar file", []byte("<!doctype html><title>Please log in: now</title>")},
		{"no iCalendar file", []byte("hello")},
		{"END:VCALENDAR is missing", file(vevent("SUMMARY:a"))[:60]},
		{"END:VTODO without", file("END:VTODO")},
		{"larger than 4 MiB", make([]byte, fileLimit+1)},
		{"more than 10000 events", many(10_001)},
		{"nested deeper", file(strings.Repeat("BEGIN:VEVENT\r\n", 100_000))},
		{"longer than 16 KiB", file("ATTENDEE" + strings.Repeat(";A=b", 10_000) + ":x")},
		{"more than 1000 events recur", many(1001, "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=YEARLY")},
		{"recur too often", many(4, "DTSTART:20261123T090000Z", "DURATION:P366D", "RRULE:FREQ=HOURLY")},
		{"rarely or never", many(1000, "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")},
		{"COUNT of its events", many(100, "DTSTART:20061123T090000Z", "DURATION:PT2H", "RRULE:FREQ=DAILY;COUNT=10000")},
	} {
		if _, err := ParseICal(c.data, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := ParseICal(many(1001, "DTSTART:20261123T090000Z", "DURATION:PT2H", "RRULE:FREQ=YEARLY"), Options{}); !errors.Is(err, errTooMuch) {
		t.Errorf("got %v", err)
	}
}

// TestHostileRulesEnd: the most that a file may ask for is worked out, however
// long it has gone on.
func TestHostileRulesEnd(t *testing.T) {
	var lines []string
	for n := range 20 {
		lines = append(lines, vevent(fmt.Sprintf("SUMMARY:a%d", n), "DTSTART:19000101T000000Z", "DURATION:P366D", "RRULE:FREQ=HOURLY;INTERVAL=8"))
	}
	for range 100 {
		lines = append(lines, vevent("SUMMARY:b", "DTSTART:19000101T000000Z", "DURATION:P1D", "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29"))
	}
	r := mustNew(t, Config{}, fixed{mustParse(t, file(lines...), Options{})})
	now := at(t, "2026-11-23T00:30:00Z")
	if got := r.At(now); len(got) != peopleAtMost {
		t.Errorf("got %d on call, want %d", len(got), peopleAtMost)
	}
	r.Next(now)
}

// TestRulesGoOn: what a rule gives is the same whether it began long ago or lately.
func TestRulesGoOn(t *testing.T) {
	for _, text := range []string{"FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;INTERVAL=3;BYDAY=SU,WE;WKST=SU", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO", "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYMONTHDAY=-1,15",
		"FREQ=YEARLY;BYWEEKNO=1,20,53;BYDAY=MO", "FREQ=YEARLY;BYYEARDAY=1,200,-1", "FREQ=YEARLY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYSETPOS=-1", "FREQ=HOURLY;INTERVAL=7", "FREQ=DAILY;BYMONTH=2,3;BYDAY=FR"} {
		e := &event{zone: time.UTC, start: at(t, "1999-12-31T09:30:00Z")}
		r, err := newRule(text, e, &budget{})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list := func(from time.Time) (out []string) {
			next, err := r.from(e.start, from)
			if err != nil {
				t.Fatal(err)
			}
			for {
				d, ok := next()
				if !ok || d.Year() > 2052 {
					return out
				}
				if d.Year() >= 2050 {
					out = append(out, d.Format(time.DateTime))
				}
			}
		}
		far, near := list(e.start), list(at(t, "2050-01-01T00:00:00Z"))
		if len(near) == 0 || strings.Join(far, " ") != strings.Join(near, " ") {
			t.Errorf("%s: got %q, want %q", text, near, far)
		}
	}
}

func FuzzParseICal(f *testing.F) {
	f.Add(file(vevent("UID:1", "SUMMARY:anna", "DTSTART;TZID=Europe/Zurich:20261102T090000", "DURATION:PT8H", "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU;WKST=SU", "EXDATE:20261104T080000Z"),
		vevent("UID:1", "RECURRENCE-ID:20261103T080000Z", "ATTENDEE;CN=Ben:mailto:b@example.org", "DTSTART:20261103T200000Z", "DTEND:20261103T210000Z")))
	f.Add(file(vevent("SUMMARY:a", "DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1;COUNT=5", "RDATE:20270101")))
	f.Add(file(vevent("SUMMARY:a", "DTSTART:20260101T000000", "DTEND:20260102T000000", "RRULE:FREQ=YEARLY;BYWEEKNO=53,-1,1;BYYEARDAY=-366;UNTIL=20300101")))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseICal(data, Options{})
		if err != nil {
			return
		}
		r, err := New(Config{}, fixed{c})
		if err != nil {
			t.Fatal(err)
		}
		who := r.At(now)
		if next, then, ok := r.Next(now); ok && (!next.After(now) || strings.Join(then, "\n") == strings.Join(who, "\n")) {
			t.Fatalf("now %q, next %s %q", who, next, then)
		}
		for _, name := range who {
			if strings.ContainsAny(name, "\r\n\x00") || name == "" {
				t.Fatalf("a name is %q", name)
			}
		}
	})
}
