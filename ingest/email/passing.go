package email

import (
	"regexp"
	"strings"
)

// ticket is a ticket's number in brackets, such as [OPS-1234], [INC0012345],
// [Ticket 7] or [example.com #1234]. Names of machines in brackets are none.
var ticket = regexp.MustCompile(`\[(?:[A-Z]{2,10}-?\d{4,20}|(?:[\w.-]{1,60}[ :-]?)?#\d{3,20}|(?i:ticket|case|issue|incident|request|id|ref|job|event)[ :#-]{0,2}\d{1,20})\]`)

// What is different in each mail about the same thing, and no part of its name.
var (
	clock = regexp.MustCompile(`^(?i:(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?(?:am|pm|z|h|utc|[+-]\d\d:?\d\d)?|(?:0?[1-9]|1[0-2])(?:am|pm))$`)
	// calendar is a date that says its year, a time behind it included.
	calendar = regexp.MustCompile(`^(?:(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])|20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?:[T_-]\d\d:?\d\d.{0,20})?|` +
		`(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)\d\d)$`)
	year   = regexp.MustCompile(`^(?:19|20)\d\d$`)
	dayOf  = regexp.MustCompile(`^(?i:(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?)$`)
	number = regexp.MustCompile(`^\d{1,20}(?:[.,]\d{1,20})*$`)
	zone   = regexp.MustCompile(`^[+-]\d\d:?\d\d$`)
	// measured is a number with its unit. Of single letters those count that hardly
	// end a name, unless the number has a fraction: room 3c is a place, 3.5C is none.
	measured = regexp.MustCompile(`^\d{1,20}(?:[.,]\d{1,20})*(?:%|‰|°[CFcf]?|(?i:[kmgt]i?b|bytes?|[kmg]?bits?|[kmg]bps|[kmg]i?b/s|ms|secs?|mins?|hrs?|days?|rpm|[mg]hz|dbm?|percent)|[KMGT]|[smhd])$|` +
		`^\d{1,20}[.,]\d{1,20}(?:[A-Za-zµ/]{1,5})$|^(?:\d{1,10}[dhms]){2,4}$`)

	months   = words("jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august september october november december")
	weekdays = words("mon tue wed thu fri sat sun monday tuesday wednesday thursday friday saturday sunday")
	zones    = words("utc gmt cet cest est edt cst cdt mst mdt pst pdt am pm uhr")
	units    = words("% percent ms msec sec secs second seconds min mins minute minutes hour hours hrs day days week weeks kb mb gb tb kib mib gib tib bytes °c °f rpm")
)

// passingWords says which words of a subject are times, dates, and numbers with a
// unit. A bare number is a name's part, as in "VM 101"; only in front of all else
// it is a count, as in "3 messages". Words such as sun and mar belong to a date
// only beside one.
func passingWords(all []string) []bool {
	lower := make([]string, len(all))
	passing := make([]bool, len(all))
	for i, w := range all {
		lower[i] = strings.ToLower(strings.Trim(w, around))
	}
	at := func(i int) string {
		if i < 0 || i >= len(all) {
			return ""
		}
		return lower[i]
	}
	gone := func(i int) bool { return i >= 0 && i < len(all) && passing[i] }
	for i, l := range lower {
		bare := strings.Trim(all[i], around)
		passing[i] = clock.MatchString(l) || calendar.MatchString(bare) || measured.MatchString(bare)
		if number.MatchString(l) && units[at(i+1)] {
			passing[i] = true
		}
		if units[l] && number.MatchString(at(i-1)) {
			passing[i] = true
		}
	}
	for i, l := range lower { // 21 Nov 2026, Nov 21st
		if !months[l] {
			continue
		}
		for _, day := range []int{i - 1, i + 1} {
			if dayOf.MatchString(at(day)) && !passing[day] {
				passing[i], passing[day] = true, true
			}
		}
		if year.MatchString(at(i+1)) && passing[i] {
			passing[i+1] = true
		}
	}
	for i, l := range lower { // what stands behind a date or time
		switch {
		case gone(i-1) && (zones[l] || year.MatchString(l) || zone.MatchString(all[i])) && !measured.MatchString(at(i-1)):
			passing[i] = true
		case (l == "am" || l == "pm" || l == "uhr") && dayOf.MatchString(at(i-1)):
			passing[i-1], passing[i] = true, true
		}
	}
	for i := len(lower) - 1; i >= 0; i-- {
		if l := lower[i]; weekdays[l] && (gone(i+1) || gone(i-1)) && !measured.MatchString(at(i+1)) && !measured.MatchString(at(i-1)) {
			passing[i] = true
		}
	}
	if next := at(1); number.MatchString(at(0)) && isPlain(next) {
		passing[0] = true
	}
	return passing
}

// isPlain reports whether a word can be what is counted.
func isPlain(lower string) bool {
	for _, c := range lower {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return len(lower) > 2 && !goodWords[lower] && !badWords[lower] && !nouns[lower] && !fillWords[lower]
}
