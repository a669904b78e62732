package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/incident"
)

// problem is all incidents of one correlation key: the same problem, again and again.
type problem struct {
	key                                             incident.Key
	title, service                                  string
	incidents, unacknowledged, over, flapped, again int
	messages                                        uint64
}

// problems groups incidents by their key.
func problems(list []*incident.Incident) []*problem {
	known := map[incident.Key]*problem{}
	var out []*problem
	for _, i := range list {
		p := known[i.Key]
		if p == nil {
			p = &problem{key: i.Key}
			known[i.Key] = p
			out = append(out, p)
		}
		p.title, p.service = i.Title, i.Service
		p.incidents++
		p.messages += i.Occurrences
		p.again += i.Reopens
		if !i.FlappingUntil.IsZero() {
			p.flapped++
		}
		if i.IsOpen() {
			continue
		}
		p.over++
		if !taken(i) {
			p.unacknowledged++
		}
	}
	return out
}

// problemsShown bounds each list of the ledger.
const problemsShown = 15

// ledger adds what the alerts of the month were worth.
func (b *builder) ledger(list []*incident.Incident, m *Month) {
	all := problems(list)
	b.section("ledger", "Alert quality", "By problem: the incidents of one correlation key together.")
	b.part("noisiest", "Noisiest", "")
	b.problems(all, "No alert came.", func(p *problem) uint64 { return p.messages })
	b.part("never_acknowledged", "Never acknowledged", "Over, and each time without anybody having taken it: are these alerts needed?")
	b.problems(all, "Each was acknowledged, at least once.", func(p *problem) uint64 {
		if p.over == 0 || p.unacknowledged < p.over {
			return 0
		}
		return uint64(p.unacknowledged)
	})
	b.part("flapping", "Flapping", "They changed too often to be news, or came back after they were over.")
	b.problems(all, "None.", func(p *problem) uint64 { return uint64(p.flapped + p.again) })

	b.part("silences", "What silences hid", "")
	empty := "No silence held."
	if m.SilencesUnknown {
		empty = NotStated
	}
	t := b.table(empty, "what", "Silence", "by", "By", "comment", "Why", "from", "From", "to", "To", "hid", "Incidents of the month that it applied to")
	for _, s := range m.Silences {
		hid := Value{Text: strings.Join(s.Hid, ", ")}
		if s.More > 0 {
			hid.Note = fmt.Sprintf("and %d more", s.More)
		}
		if hid.Text == "" {
			hid.Text = "none"
		}
		t.add(Value{Text: s.What}, Value{Text: s.By}, Value{Text: s.Comment}, b.time(s.From, ""), b.time(s.To, ""), hid)
	}
}

// problems adds the table of those for which by is not 0, the largest first.
func (b *builder) problems(all []*problem, empty string, by func(*problem) uint64) {
	list := slices.DeleteFunc(slices.Clone(all), func(p *problem) bool { return by(p) == 0 })
	slices.SortFunc(list, func(a, b *problem) int {
		return cmp.Or(cmp.Compare(by(b), by(a)), cmp.Compare(b.messages, a.messages), strings.Compare(a.title, b.title), strings.Compare(a.key.String(), b.key.String()))
	})
	t := b.table(empty, "title", "Problem", "service", "Service", "messages", "#Messages", "incidents", "#Incidents", "unacknowledged", "#Never acknowledged", "flapped", "#Flapping", "reopened", "#Reopened")
	for _, p := range list[:min(len(list), problemsShown)] {
		t.add(Value{Text: p.title}, Value{Text: p.service}, Value{Text: decimal(p.messages)}, number(p.incidents), number(p.unacknowledged), number(p.flapped), number(p.again))
	}
	if more := len(list) - problemsShown; more > 0 {
		b.current().Intro = strings.TrimSpace(b.current().Intro + fmt.Sprintf(" And %d more.", more))
	}
}
