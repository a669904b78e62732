package report

import (
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-gateway/tocsin/incident"
)

// spokenAtMost bounds what is read out of an update, in bytes: some twenty seconds.
const spokenAtMost = 320

// Announcement is what a telephone line says of an incident: short, to be read aloud,
// and nothing but what is public: the service, the times, and the latest update for
// the status page. Zone is that of the times.
func Announcement(i *incident.Incident, now time.Time, zone *time.Location) string {
	var said []string
	say := func(text string) { said = append(said, text) }
	if i.Drill {
		say("This is an exercise.")
	}
	what := "a disruption"
	if service := speakable(i.Service, spokenAtMost); service != "" {
		what += " of the service " + service
	}
	since := ", since " + spoken(i.WentDown(), now, zone) + "."
	if i.IsOpen() {
		say("There is " + what + since)
	} else {
		say("There was " + what + since)
	}
	about := i.CycleOpenedAt
	if restored, over := i.Restored(); over {
		say("It is over since " + spoken(restored, now, zone) + ".")
		about = restored
	}
	u := lastPublic(i.Proceedings())
	if u != nil && u.OutAt().Before(about) {
		u = nil // said when it was not over yet, or of the time before
	}
	switch {
	case u != nil:
		if text := speakable(u.What, spokenAtMost); text != "" {
			say(sentence(text))
		}
		if i.IsOpen() && u.Restoration.After(now) {
			say("We expect it to be over by " + spoken(u.Restoration, now, zone) + ".")
		}
	case i.IsOpen():
		say("We are working on it.")
	}
	return strings.Join(append(said, "This message is of "+spoken(now, now, zone)+"."), " ")
}

// lastPublic is the latest update for everybody that went out, nil if none did.
func lastPublic(p *incident.Process) *incident.Update {
	for n := len(p.Updates) - 1; n >= 0; n-- {
		if u := &p.Updates[n]; u.Public && !u.Waits() {
			return u
		}
	}
	return nil
}

// spoken says a time as people do: without the day if that is today.
func spoken(t, now time.Time, zone *time.Location) string {
	t, now = t.In(zone), now.In(zone)
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("Monday 2 January, 15:04")
}

func sentence(text string) string {
	if strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// speakable leaves out of a text what nobody can read aloud: links, markup and
// control characters. What is too long ends with a whole sentence, or else a word.
func speakable(text string, most int) string {
	words := strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.In(r, unicode.Cf), strings.ContainsRune("*_`~#<>[]{}|\\\"", r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "")))
	var b strings.Builder
	end := 0 // of the last whole sentence
	for _, w := range words {
		if strings.Contains(w, "://") || strings.HasPrefix(w, "www.") {
			continue
		}
		if b.Len()+1+len(w) > most {
			if end > 0 {
				return b.String()[:end]
			}
			return strings.TrimRight(b.String(), ",;:-")
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
		if strings.ContainsAny(w[len(w)-1:], ".!?") {
			end = b.Len()
		}
	}
	return b.String()
}
