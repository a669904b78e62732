package router

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// calledOffAfter is for how long no gateway may plan what was announced until it is
	// called off. All of them look several times meanwhile, so that one with an older
	// configuration does not call off what it has not heard of, and a mistake in the
	// file can be put right.
	calledOffAfter = 10 * time.Minute
	// vouchAgain is how often a gateway says that it does plan what another one does not,
	// and missedFor after how long that one has to say so again.
	vouchAgain = time.Minute
	missedFor  = time.Hour
	// movedWithin is for how long news of what has been moved, perhaps, wait for the
	// decision, and aheadAtLeast how far ahead they are then.
	movedWithin  = 3 * calledOffAfter
	aheadAtLeast = 24 * time.Hour
	// announcedKept is for how long after its end it is known that something was
	// announced, as clocks differ.
	announcedKept = 24 * time.Hour
	// timesListed is how many times a notice of several lists.
	timesListed = 20
)

// announced is what people were told of by one name, so that they are told once.
type announced struct {
	Name string `json:"name"`
	// Told are the occasions, in the order in which they were announced.
	Told []toldOf `json:"told,omitempty"`
	// Next are notices that were decided on, and are to be handed over.
	Next []handing `json:"next,omitempty"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`

	version uint64
}

// toldOf is an occasion that people were told of.
type toldOf struct {
	ID string `json:"id"`
	// Notice is the key of the latest notice about it. Off: that calls it off.
	Notice string    `json:"notice"`
	Off    bool      `json:"off,omitzero"`
	What   string    `json:"what"`
	Of     string    `json:"of,omitzero"`
	On     string    `json:"on,omitzero"`
	When   string    `json:"when,omitzero"`
	Begins time.Time `json:"begins,omitzero"`
	Ends   time.Time `json:"ends,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	// Missing is when a gateway found that it does not plan it, and Vouched when one said
	// latest that it does.
	Missing time.Time `json:"missing,omitzero"`
	Vouched time.Time `json:"vouched,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`
}

// handing is a notice that is to be handed over.
type handing struct {
	// Key is its own, which nothing else ever has.
	Key    string          `json:"key"`
	Notice incident.Notice `json:"notice"`
	// Off are the earlier notices that it replaces, in whole or in part. Who knows of
	// them is told too.
	Off []takenBack `json:"off,omitempty"`
	// CalledOff: there is nothing new in it.
	CalledOff bool `json:"called_off,omitzero"`
}

// takenBack is a notice that does not hold any more, or in part.
type takenBack struct {
	Key string `json:"key"`
	// Remark is added to it for those who are told later, and All: there is nobody who
	// is to be told of it.
	Remark string `json:"remark"`
	All    bool   `json:"all,omitzero"`
}

// view is how a gateway sees an announcement.
type view struct {
	now time.Time
	// since is since when gateways have been at work without a break.
	since time.Time
	// stands reports whether the configuration still has a time.
	stands func(begins, ends time.Time) bool
	// a is the announcement, nil if this gateway does not have it; looks: something of
	// it may be due.
	a     *Announcement
	looks bool
}

// look decides what is to be told, which it adds to Next, and reports whether anything
// has changed. Due is when there is something to look for next.
func (l *announced) look(v *view) (changed bool, due time.Time) {
	before := len(l.Told)
	l.Told = slices.DeleteFunc(l.Told, func(t toldOf) bool { return !t.Until.Add(announcedKept).After(v.now) })
	changed = len(l.Told) < before
	off, waits, marked := l.missing(v)
	changed = changed || marked
	due = v.now.Add(noticesKept)
	var news []Occasion
	var later *Occasion
	if v.a != nil && (v.looks || len(off) > 0) {
		for _, o := range v.a.Occasions(v.now) {
			switch {
			case o.Due.After(v.now):
				if due = earlier(due, o.Due); later == nil {
					later = &o
				}
			case !slices.ContainsFunc(l.Told, func(t toldOf) bool { return t.ID == o.ID && !t.Off }):
				news = append(news, o)
			}
		}
	}
	soon := func(o Occasion) bool { return o.Begins.Sub(v.now) < aheadAtLeast }
	if len(news) > 0 && waits && len(off) == 0 && !slices.ContainsFunc(news, soon) { // it may be what has been moved: that is said with it
		return changed, v.now
	}
	if len(news) > 0 || len(off) > 0 {
		l.tell(v, news, off, later)
		changed = true
	}
	return changed, due
}

// missing looks for occasions that are not planned any more. Off are the places of those
// that are to be called off now, waits says that some may have to be soon, and marked
// that something was noted.
func (l *announced) missing(v *view) (off []int, waits, marked bool) {
	for n := range l.Told {
		switch t := &l.Told[n]; {
		case t.Begins.IsZero() || !t.Ends.After(v.now): // it is over, or no such thing
		case v.stands(t.Begins, t.Ends):
			if t.Off {
				v.looks = true // we have it: it is on again
			} else if since := v.now.Sub(t.Missing); !t.Missing.IsZero() && (since >= missedFor || v.now.Sub(t.Vouched) >= vouchAgain) {
				if t.Vouched, marked = v.now, true; since >= missedFor {
					t.Missing = time.Time{}
				}
			}
		case t.Off:
		case t.Missing.IsZero():
			if t.Begins.After(v.now) {
				t.Missing, marked, waits = v.now, true, true
			}
		case v.now.Sub(latest(latest(t.Missing, t.Vouched), v.since)) >= calledOffAfter:
			off = append(off, n)
		case v.now.Sub(t.Missing) < movedWithin:
			waits = true
		}
	}
	return off, waits, marked
}

// tell writes one notice of all that there is to say.
func (l *announced) tell(v *view, news []Occasion, off []int, later *Occasion) {
	h := handing{Key: incident.Key(uuid.New()).String(), CalledOff: len(news) == 0}
	n := &h.Notice
	n.Name, n.At = l.Name, v.now.UTC()
	gone := make([]toldOf, len(off))
	for i, at := range off {
		gone[i] = l.Told[at]
		l.Told[at].Off, l.Told[at].Notice, l.Told[at].Missing = true, h.Key, time.Time{}
		n.Until = latest(n.Until, gone[i].Until)
	}
	for _, t := range gone {
		h.takesBack(l, t, "not any more: "+t.When)
	}
	moved := len(news) == 0 && later != nil && !slices.ContainsFunc(l.Told, func(t toldOf) bool { return !t.Off && t.Ends.After(v.now) })
	switch {
	case len(news) > 0:
		n.Targets = v.a.Targets(v.now)
		word := ""
		switch {
		case len(off) == 1 && len(news) == 1:
			word = " moved"
		case len(off) > 0:
			word = " changed"
		}
		n.Title = title(word, news)
		n.Text = times(news)
		n.Begins, n.Ends = news[0].Begins, news[len(news)-1].Ends
		if len(gone) > 0 {
			n.Text += "\nnot any more:\n" + times(occasions(gone))
		}
		n.Text += about(&news[0])
	case moved:
		n.Title = title(" moved", []Occasion{*later})
		n.Text = later.When + "\nnot any more:\n" + times(occasions(gone)) + about(later)
		n.Begins, n.Ends = later.Begins, later.Ends
	default:
		n.Title = title(" called off", occasions(gone))
		n.Text = "this does not take place:\n" + times(occasions(gone))
		n.Begins, n.Ends = gone[0].Begins, gone[len(gone)-1].Ends
	}
	for _, o := range news {
		n.Until = latest(n.Until, o.Until)
		if !o.Latest.IsZero() && v.now.After(o.Latest) && !n.Short {
			if n.Short = true; o.Hurry != "" {
				n.Text += "\n" + o.Hurry
			}
		}
		if at := slices.IndexFunc(l.Told, func(t toldOf) bool { return t.ID == o.ID }); at >= 0 { // it was called off, and is on again
			h.takesBack(l, l.Told[at], "it is planned again: "+o.When)
			l.Told = slices.Delete(l.Told, at, at+1)
		}
		l.Told = append(l.Told, toldOf{ID: o.ID, Notice: h.Key, What: o.What, Of: o.Of, On: o.On, When: o.When, Begins: o.Begins, Ends: o.Ends, Until: o.Until})
	}
	l.Next = append(l.Next, h)
}

// takesBack notes that the notice of t does not hold any more. Nobody is to be told of
// it at all if nothing else in it is ahead.
func (h *handing) takesBack(l *announced, t toldOf, remark string) {
	all := !slices.ContainsFunc(l.Told, func(other toldOf) bool {
		return other.Notice == t.Notice && other.ID != t.ID && other.Ends.After(h.Notice.At)
	})
	if at := slices.IndexFunc(h.Off, func(o takenBack) bool { return o.Key == t.Notice }); at >= 0 {
		h.Off[at].Remark += "\n" + remark
		h.Off[at].All = all
		return
	}
	h.Off = append(h.Off, takenBack{t.Notice, remark, all})
}

func occasions(list []toldOf) []Occasion {
	out := make([]Occasion, len(list))
	for n, t := range list {
		out[n] = Occasion{What: t.What, Of: t.Of, On: t.On, When: t.When}
	}
	return out
}

// title says in one line what is told of one or several occasions.
func title(word string, list []Occasion) string {
	text, more := list[0].What+word, ""
	switch on := list[0].On; {
	case on == "":
	case len(list) == 1:
		more = on
	default:
		more = fmt.Sprintf("%d times from %s", len(list), on)
	}
	if of := list[0].Of; of != "" && more != "" {
		more = of + ", " + more
	} else {
		more = of + more
	}
	if more == "" {
		return text
	}
	return text + ": " + more
}

func about(o *Occasion) string {
	if o.About == "" {
		return ""
	}
	return "\n" + o.About
}

// times lists when, a line for each.
func times(list []Occasion) string {
	var lines []string
	for n, o := range list {
		if n == timesListed-1 && len(list) > timesListed {
			lines = append(lines, fmt.Sprintf("and %d times more, the last %s", len(list)-n, list[len(list)-1].When))
			break
		}
		lines = append(lines, o.When)
	}
	return strings.Join(lines, "\n")
}
