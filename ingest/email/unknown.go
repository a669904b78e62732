package email

import (
	"strings"
	"unicode"

	"github.com/tocsin-gateway/tocsin/alert"
)

// maxSubjectName is how long the name may be that is made of a subject, in bytes.
const maxSubjectName = 200

// unknown makes an alert of a mail that no parser knows: somebody wanted to be
// heard. What has the same sender and, apart from times, measurements and words such
// as RECOVERED, the same subject is the same problem.
func (m *mail) unknown() alert.Alert {
	name, key, over := subjectName(m.subject)
	a := m.alert(m.subject, "alertname", name, "sender", m.from.addr)
	if m.subject == "" {
		a.Annotations = m.annotations(alert.CutText(m.firstLine(), maxSubjectName))
	}
	a.Key = m.unknownKey(key)
	a.Flags |= alert.FlagUnparsed
	if over {
		a.Status = alert.Resolved
	}
	return a
}

func (m *mail) unknownKey(key string) string { return "mail!" + m.from.addr + "!" + key }

// Words of a subject that say how things are. They are no part of what it is about.
var (
	goodWords = words("ok recovery recovered resolved cleared restored clear up normal closed")
	// verbs are those that say something else in a sentence.
	verbs    = words("clear up normal closed")
	badWords = words("problem critical crit warning warn firing down triggered emergency urgent unknown unreachable")
	// nouns say nothing about the state, but are part of no name either.
	nouns = words("alarm alert notification notice")
	// noWords turn a good word around, failWords stand against it.
	noWords   = words("not no cannot can't couldn't never unable isn't wasn't still without")
	failWords = words("failed fails failing failure fail error errors broken fatal")
	fillWords = words("is are was has been now again back to the state status from in on of for at")
)

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}

// around are the characters that surround a word.
const around = "[](){}*|!\".,:;<>-=–—+~≥≤"

// subjectName makes of a subject the name of what it is about, the same in small
// letters as a key, and whether it says that it is over.
func subjectName(subject string) (name, key string, over bool) {
	subject = alert.CutText(subject, 1<<10)
	for {
		loc := replied.FindStringIndex(subject)
		if loc == nil {
			loc = forwardedSubject.FindStringIndex(subject)
		}
		if loc == nil {
			break
		}
		subject = subject[loc[1]:]
	}
	all := strings.FieldsFunc(ticket.ReplaceAllString(subject, " "), between)
	passing := passingWords(all)
	var kept, others []string
	for i, w := range all {
		bare := strings.Trim(w, around)
		lower := strings.ToLower(bare)
		if bare == "" || goodWords[lower] || badWords[lower] || nouns[lower] {
			continue
		}
		others = append(others, strings.Trim(w, ",:;"))
		if !passing[i] {
			kept = append(kept, strings.Trim(w, ",:;"))
		}
	}
	if len(kept) == 0 { // better a name of numbers than one name for all of them
		kept = others
	}
	for len(kept) > 0 && fillWords[strings.ToLower(kept[len(kept)-1])] {
		kept = kept[:len(kept)-1]
	}
	for len(kept) > 0 && fillWords[strings.ToLower(kept[0])] {
		kept = kept[1:]
	}
	name = alert.CutText(strings.Join(kept, " "), maxSubjectName)
	if name == "" {
		name = "(no subject)"
	}
	return name, strings.ToLower(name), saysOver(subject)
}

func between(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("[](){}*|!\"", r) }

// saysOver reports whether a subject says that a problem is over. A good word
// counts where a program puts it: in front of a colon, in brackets, in capital
// letters; in a sentence only if nothing else in it sounds bad. Of two such words
// the first one counts, or behind an arrow the last one. When in doubt it is a
// problem: one too many is better than one that nobody hears of.
func saysOver(subject string) bool {
	const good, bad = 1, 2
	first, last, firstAt, weak, doubt := 0, 0, -1, false, false
	before := ""
	arrow := strings.Contains(subject, "->") || strings.Contains(subject, "→") || strings.Contains(subject, "=>")
	all := strings.Fields(subject)
	for _, w := range all {
		lower := strings.ToLower(strings.Trim(w, around))
		doubt = doubt || noWords[lower] || failWords[lower]
	}
	for i, w := range all {
		bare := strings.Trim(w, around)
		lower := strings.ToLower(bare)
		marked := strings.ContainsAny(w, "[]:*()")
		capitals := strings.ToUpper(bare) == bare
		says := 0
		switch {
		case goodWords[lower] && noWords[before]:
		case goodWords[lower] && (marked || capitals || !verbs[lower] || lower == "up" && (before == "is" || before == "back")):
			says, weak = good, true
			if firstAt >= 0 && firstAt == i-1 && first == bad {
				first = 0 // "Problem resolved" is one thing
			}
		case badWords[lower]:
			says = bad
			doubt = doubt || !marked && !capitals
		}
		if says != 0 {
			last = says
			if first == 0 && (marked || capitals && !doubt || says == bad && capitals) {
				first, firstAt = says, i
			}
		}
		if lower != "" {
			before = lower
		}
	}
	switch {
	case arrow:
		return last == good
	case first != 0:
		return first == good
	}
	return weak && !doubt
}
