package dedupe

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// at is a number of minutes after epoch.
func at(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }

// message is one event of TestJudge: F fires, R resolves, X is an expiry, M a
// move. Times are minutes from epoch; none is not stated.
type message struct {
	what       byte
	got        int // when we received it
	start, end int
	valid      int
	content    uint64
}

const none = -1000

func (m message) event() *Event {
	if m.what == 'X' || m.what == 'M' {
		return &Event{Expiry: m.what == 'X', Moved: m.what == 'M'}
	}
	a := &alert.Alert{Status: alert.Firing, Source: "s", ReceivedAt: at(m.got)}
	if m.what == 'R' {
		a.Status = alert.Resolved
	}
	for _, f := range []struct {
		minute int
		to     *time.Time
	}{{m.start, &a.StartsAt}, {m.end, &a.EndsAt}, {m.valid, &a.ValidUntil}} {
		if f.minute != none {
			*f.to = at(f.minute)
		}
	}
	return &Event{Alert: a, Fingerprint: alert.Fingerprint{1}, Content: m.content, Class: &incident.Classification{Severity: "warning"}}
}

func fires(got, start int) message {
	return message{what: 'F', got: got, start: start, end: none, valid: none}
}

func ends(got, start, end int) message {
	return message{what: 'R', got: got, start: start, end: end, valid: none}
}

func (m message) until(valid int) message { m.valid = valid; return m }
func (m message) saying(c uint64) message { m.content = c; return m }

func expires(got int) message { return message{what: 'X', got: got} }
func moves(got int) message   { return message{what: 'M', got: got} }

const (
	day  = 24 * 60
	far  = 3000 * 365 * day / 12 // 250 years ahead
	late = 10                    // the late window of the default policy
)

// TestJudge tells stories of one alert. The verdict of the last message counts,
// and what is known after it; all others only lead there.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		story []message
		want  alert.Verdict
		// firing, start, end and validUntil are what is known afterwards.
		firing                 bool
		start, end, validUntil int
		unwritten              bool // nothing but counts and validity changed
	}{
		"first firing":                            {[]message{fires(1, 0)}, alert.Opened, true, 0, none, none, false},
		"first firing without a start":            {[]message{fires(1, none)}, alert.Opened, true, 1, none, none, false},
		"first firing from the future":            {[]message{fires(1, 5)}, alert.Opened, true, 5, none, none, false},
		"resolve of something unknown":            {[]message{ends(1, 0, 1)}, alert.Recorded, false, 0, 1, none, false},
		"resolve of something unknown, unstated":  {[]message{ends(1, none, none)}, alert.Recorded, false, none, 1, none, false},
		"the same again":                          {[]message{fires(1, 0), fires(2, 0)}, alert.Duplicate, true, 0, none, none, true},
		"again without a start":                   {[]message{fires(1, 0), fires(2, none)}, alert.Duplicate, true, 0, none, none, true},
		"with a start after one without":          {[]message{fires(5, none), fires(6, 2)}, alert.Duplicate, true, 2, none, none, false},
		"a replica that saw it earlier":           {[]message{fires(2, 1), fires(3, 0)}, alert.Duplicate, true, 0, none, none, false},
		"a replica that saw it later":             {[]message{fires(2, 0), fires(3, 1)}, alert.Duplicate, true, 0, none, none, false},
		"both replicas again":                     {[]message{fires(2, 0), fires(3, 1), fires(4, 0), fires(5, 1)}, alert.Duplicate, true, 0, none, none, true},
		"other content":                           {[]message{fires(1, 0), fires(2, 0).saying(1)}, alert.Updated, true, 0, none, none, false},
		"other content, back again":               {[]message{fires(1, 0), fires(2, 0).saying(1), fires(3, 0)}, alert.Updated, true, 0, none, none, false},
		"other content and an earlier start":      {[]message{fires(1, 0), fires(2, -5).saying(1)}, alert.Updated, true, -5, none, none, false},
		"resolve":                                 {[]message{fires(1, 0), ends(3, 0, 2)}, alert.ResolvedAlert, false, 0, 2, none, false},
		"resolve without an end":                  {[]message{fires(1, 0), ends(3, 0, none)}, alert.ResolvedAlert, false, 0, 3, none, false},
		"resolve without any time":                {[]message{fires(1, 0), ends(3, none, none)}, alert.ResolvedAlert, false, 0, 3, none, false},
		"resolve with an end in the future":       {[]message{fires(1, 0), ends(3, 0, 99)}, alert.ResolvedAlert, false, 0, 3, none, false},
		"resolve with an end before the start":    {[]message{fires(5, 4), ends(6, 4, 2)}, alert.ResolvedAlert, false, 4, 4, none, false},
		"resolve at the very start":               {[]message{fires(5, 4), ends(6, none, 4)}, alert.ResolvedAlert, false, 4, 4, none, false},
		"resolve of an earlier episode":           {[]message{fires(5, 4), ends(6, 1, 2)}, alert.Stale, true, 4, none, none, true},
		"resolve before the later replica":        {[]message{fires(2, 0), fires(3, 2), ends(4, 0, 1)}, alert.Stale, true, 0, none, none, true},
		"resolve by a clock that is ahead":        {[]message{fires(1, 6), ends(2, 6, 7)}, alert.ResolvedAlert, false, 6, 2, none, false},
		"its clock is set right while it fires":   {[]message{fires(1, 6), fires(2, 0), ends(3, 0, 2)}, alert.ResolvedAlert, false, 0, 2, none, false},
		"its clock is set right by an hour":       {[]message{fires(1, 61), fires(2, 0), ends(3, 0, 3)}, alert.ResolvedAlert, false, 0, 3, none, false},
		"its clock is set right after it ended":   {[]message{fires(1, 99), ends(2, 99, 99), fires(3, 3), ends(5, 3, 4)}, alert.ResolvedAlert, false, 3, 4, none, false},
		"resolve overtakes, by a clock ahead":     {[]message{ends(2, 6, 7), fires(3, 6)}, alert.Stale, false, 6, 2, none, true},
		"resolve again":                           {[]message{fires(1, 0), ends(3, 0, 2), ends(4, 0, 2)}, alert.Duplicate, false, 0, 2, none, true},
		"resolve again, with an earlier end":      {[]message{fires(1, 0), ends(3, 0, 2), ends(4, 0, 1)}, alert.Stale, false, 0, 2, none, true},
		"resolve later than the known end":        {[]message{fires(1, 0), ends(3, 0, 2), ends(6, 0, 5)}, alert.Duplicate, false, 0, 5, none, false},
		"unknown resolve again":                   {[]message{ends(1, 0, 1), ends(2, 0, 1)}, alert.Duplicate, false, 0, 1, none, true},
		"firing that its resolve overtook":        {[]message{ends(2, 0, 1), fires(3, 0)}, alert.Stale, false, 0, 1, none, true},
		"firing without a start after a resolve":  {[]message{ends(2, none, none), fires(3, none)}, alert.Opened, true, 3, 2, none, false},
		"unstated firing of the same moment":      {[]message{ends(2, none, none), fires(2, none)}, alert.Stale, false, none, 2, none, true},
		"late copy of the firing":                 {[]message{fires(1, 0), ends(3, 0, 2), fires(4, 0)}, alert.Stale, false, 0, 2, none, true},
		"late copy as late as can be":             {[]message{fires(1, 0), ends(3, 0, 2), fires(3+late, 0)}, alert.Stale, false, 0, 2, none, true},
		"old start, but too late for a copy":      {[]message{fires(1, 0), ends(3, 0, 2), fires(4+late, 0)}, alert.Opened, true, 0, 2, none, false},
		"after that the old end again":            {[]message{fires(1, 0), ends(3, 0, 2), fires(4+late, 0), ends(5+late, 0, 2)}, alert.Stale, true, 0, 2, none, true},
		"after that a new end":                    {[]message{fires(1, 0), ends(3, 0, 2), fires(4+late, 0), ends(6+late, 0, 5+late)}, alert.ResolvedAlert, false, 0, 5 + late, none, false},
		"new episode":                             {[]message{fires(1, 0), ends(3, 0, 2), fires(6, 5)}, alert.Opened, true, 5, 2, none, false},
		"new episode in the second of the end":    {[]message{fires(1, 0), ends(3, 0, 2), fires(4, 2)}, alert.Opened, true, 2, 2, none, false},
		"and its copy after its end":              {[]message{fires(1, 0), ends(3, 0, 2), fires(4, 2), ends(6, 2, 5), fires(7, 2)}, alert.Stale, false, 2, 5, none, true},
		"late copy while the next one fires":      {[]message{fires(1, 0), ends(3, 0, 2), fires(6, 5), fires(7, 0)}, alert.Duplicate, true, 5, 2, none, true},
		"late copy that says something else":      {[]message{fires(1, 0), ends(3, 0, 2), fires(6, 5), fires(7, 0).saying(1)}, alert.Stale, true, 5, 2, none, true},
		"the same, of senders without a start":    {[]message{fires(1, none), ends(3, none, none), fires(6, none), fires(2, none).saying(1)}, alert.Stale, true, 6, 3, none, true},
		"other content in an old start, meant":    {[]message{fires(1, 0), ends(3, 0, 2), fires(4+late, 0), fires(5+late, 0).saying(1)}, alert.Updated, true, 0, 2, none, false},
		"late resolve while the next one fires":   {[]message{fires(1, 0), ends(3, 0, 2), fires(6, 5), ends(7, 0, 3)}, alert.Stale, true, 5, 2, none, true},
		"fires until":                             {[]message{fires(1, 0).until(4)}, alert.Opened, true, 0, none, 4, false},
		"fires longer":                            {[]message{fires(1, 0).until(4), fires(3, 0).until(6)}, alert.Duplicate, true, 0, none, 6, true},
		"a copy does not shorten it":              {[]message{fires(1, 0).until(6), fires(3, 0).until(4)}, alert.Duplicate, true, 0, none, 6, true},
		"a sender that will say the end rules":    {[]message{fires(1, 0).until(4), fires(3, 0)}, alert.Duplicate, true, 0, none, none, false},
		"whoever else sends it":                   {[]message{fires(1, 0), fires(3, 0).until(4)}, alert.Duplicate, true, 0, none, none, true},
		"expires":                                 {[]message{fires(1, 0).until(4), expires(4)}, alert.ResolvedAlert, false, 0, 4, none, false},
		"expires late":                            {[]message{fires(1, 0).until(4), expires(9)}, alert.ResolvedAlert, false, 0, 4, none, false},
		"expires too early":                       {[]message{fires(1, 0).until(4), expires(3)}, alert.Duplicate, true, 0, none, 4, true},
		"never expires":                           {[]message{fires(1, 0), expires(9)}, alert.Duplicate, true, 0, none, none, true},
		"expires when it has ended":               {[]message{fires(1, 0).until(4), ends(3, 0, 2), expires(5)}, alert.Duplicate, false, 0, 2, none, true},
		"expired, then a late copy":               {[]message{fires(1, 0).until(4), expires(5), fires(6, 0).until(4)}, alert.Stale, false, 0, 4, none, true},
		"expired, then repeated after all":        {[]message{fires(1, 0).until(4), expires(5), fires(6, 0).until(9)}, alert.Opened, true, 0, 4, 9, false},
		"expired, then without an end":            {[]message{fires(1, 0).until(4), expires(5), fires(6, 0)}, alert.Opened, true, 0, 4, none, false},
		"expired, then a new episode":             {[]message{fires(1, 0).until(4), expires(5), fires(8, 7).until(11)}, alert.Opened, true, 7, 4, 11, false},
		"expired, then the end is said":           {[]message{fires(1, 0).until(4), expires(5), ends(6, 0, 3)}, alert.Duplicate, false, 0, 3, none, false},
		"expired, then an older end":              {[]message{fires(3, 2).until(5), expires(5), ends(6, 0, 1)}, alert.Stale, false, 2, 5, none, true},
		"expired, end said, then a late copy":     {[]message{fires(1, 0).until(4), expires(5), ends(6, 0, 3), fires(7, 0).until(9)}, alert.Stale, false, 0, 3, none, true},
		"moved":                                   {[]message{fires(1, 0), moves(5)}, alert.ResolvedAlert, false, 0, 0, none, false},
		"moved when it has ended":                 {[]message{fires(1, 0), ends(3, 0, 2), moves(5)}, alert.Duplicate, false, 0, 2, none, true},
		"year 2276 fires":                         {[]message{fires(1, far)}, alert.Opened, true, far, none, none, false},
		"year 2276 resolves":                      {[]message{fires(1, far), ends(3, far, 2)}, alert.ResolvedAlert, false, far, 3, none, false},
		"year 2276 was a mistake, then it ends":   {[]message{fires(1, far), ends(3, 0, 2)}, alert.ResolvedAlert, false, far, 2, none, false},
		"year 2276 ended, then it fires as usual": {[]message{fires(1, far), ends(3, far, 2), fires(6, 5)}, alert.Opened, true, 5, 3, none, false},
		"and ends as usual":                       {[]message{fires(1, far), ends(3, far, 2), fires(6, 5), ends(8, 5, 7)}, alert.ResolvedAlert, false, 5, 7, none, false},
		"250 years ago":                           {[]message{fires(1, -far)}, alert.Opened, true, -far, none, none, false},
		"resolve of 250 years ago":                {[]message{fires(1, 0), ends(2, -far, -far)}, alert.Stale, true, 0, none, none, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy()
			var known incident.Entry
			var j Judgement
			for _, m := range c.story {
				j = p.Judge(known, m.event(), at(m.got))
				known = j.Entry
			}
			e := j.Entry
			if j.Verdict != c.want || j.Write == c.unwritten {
				t.Errorf("got %s (written %v), want %s (written %v)", j.Verdict, j.Write, c.want, !c.unwritten)
			}
			if e.Firing != c.firing || !same(e.Start, c.start) || !same(e.End, c.end) || !same(e.ValidUntil, c.validUntil) {
				t.Errorf("got firing %v, start %v, end %v, valid until %v\nwant firing %v, minutes %d, %d, %d", e.Firing, e.Start, e.End, e.ValidUntil,
					c.firing, c.start, c.end, c.validUntil)
			}
			if want := e.Count; e.Exists() && want == 0 {
				t.Errorf("count is %d", e.Count)
			}
		})
	}
}

func same(got time.Time, minute int) bool {
	if minute == none {
		return got.IsZero()
	}
	return got.Equal(at(minute))
}

// TestJudgeCounts: every message is counted and seen, whatever it is worth.
func TestJudgeCounts(t *testing.T) {
	p := policy()
	var e incident.Entry
	for n, m := range []message{fires(1, 0), fires(3, 0), ends(2, 0, 2), fires(2, 0), ends(5, 0, 2), ends(4, 0, 1)} {
		e = p.Judge(e, m.event(), at(m.got)).Entry
		if e.Count != uint64(n+1) {
			t.Errorf("message %d: count %d", n, e.Count)
		}
	}
	if !e.FirstSeen.Equal(at(1)) || !e.LastSeen.Equal(at(5)) {
		t.Errorf("first seen %v, last seen %v, want minutes 1 and 5", e.FirstSeen, e.LastSeen)
	}
	if e = p.Judge(e, &Event{Expiry: true}, at(9)).Entry; e.Count != 6 || !e.LastSeen.Equal(at(5)) {
		t.Errorf("an expiry counted as a message: %+v", e)
	}
}

// TestJudgeOfOtherKinds: what is not an alert changes nothing that is known.
func TestJudgeOfOtherKinds(t *testing.T) {
	p := policy()
	known := p.Judge(incident.Entry{}, fires(1, 0).event(), at(1)).Entry
	for k := alert.KindAcknowledgement; k <= alert.KindTest; k++ {
		j := p.Judge(known, &Event{Alert: &alert.Alert{Kind: k, ReceivedAt: at(2)}}, at(2))
		if j.Verdict != alert.Recorded || j.Write || j.Entry.Count != known.Count {
			t.Errorf("%s: got %+v", k, j)
		}
	}
}

// TestChangesAreBounded: the times that flapping is judged by are the latest.
func TestChangesAreBounded(t *testing.T) {
	p := policy(func(p *Policy) { p.FlapChanges = 3 })
	var e incident.Entry
	for n := range 10 {
		e = p.Judge(e, fires(4*n+1, 4*n).event(), at(4*n+1)).Entry
		e = p.Judge(e, ends(4*n+3, 4*n, 4*n+2).event(), at(4*n+3)).Entry
	}
	if len(e.Changes) != 3 || !e.Changes[2].Equal(at(39)) || !e.Changes[0].Equal(at(35)) {
		t.Errorf("got changes %v, want the latest 3, minutes 35, 37 and 39", e.Changes)
	}
}
