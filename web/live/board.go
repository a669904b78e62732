package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

const (
	// pageRead is how many incidents are read at a time.
	pageRead = 1000
	// vanishedRead is how many incidents that are no longer open are looked at one by
	// one; if there are more, those who follow are told to read again.
	vanishedRead = 500
)

// Snapshot is the board at one time. It does not change.
type Snapshot struct {
	// Version rises with every change, also over restarts, so that what was made of
	// the rows can be kept under it.
	Version uint64
	// At is when the rows changed or were last confirmed.
	At time.Time
	// Rows are all open incidents, the most urgent first.
	Rows []*Row
}

// Query selects rows. Empty lists select all.
type Query struct {
	States, Severities, Priorities, Services, Teams []string
	// Who selects incidents that this person acknowledged, works on or has a role in.
	Who string
	// From and To bound when they were opened: From ≤ opened < To.
	From, To time.Time
	// Text must occur in the title, reference, labels, hosts or findings, whatever
	// the case.
	Text string
	// Offset and Limit say which of them are on the page; 0 for Limit is all.
	Offset, Limit int
}

// Page is a part of the rows that a Query selects.
type Page struct {
	// Version and At are those of the snapshot.
	Version uint64
	At      time.Time
	Rows    []*Row
	// Total is how many rows the query selects, States and Severities how many of
	// each there are among them, and Open how many incidents are open at all.
	Total              int
	States, Severities map[string]int
	Open               int
}

// Board returns the rows that q selects. Where there is no board yet, it reads all open
// incidents.
func (l *Live) Board(ctx context.Context, q Query) (Page, error) {
	s, err := l.current(ctx)
	if err != nil {
		return Page{}, err
	}
	q.Text = strings.ToLower(q.Text)
	p := Page{Version: s.Version, At: s.At, Open: len(s.Rows)}
	states, severities := tally{}, tally{}
	for _, r := range s.Rows {
		if !q.matches(r) {
			continue
		}
		if p.Total >= q.Offset && (q.Limit == 0 || len(p.Rows) < q.Limit) {
			p.Rows = append(p.Rows, r)
		}
		p.Total++
		states.add(r.State)
		severities.add(r.Severity)
	}
	p.States, p.Severities = states.all(), severities.all()
	return p, nil
}

// tally counts values, of which most are the one before again: rows are sorted.
type tally struct {
	counts map[string]int
	last   string
	n      int // of last that are not in counts
}

func (t *tally) add(v string) {
	if v != t.last {
		t.all()
		t.last = v
	}
	t.n++
}

func (t *tally) all() map[string]int {
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	if t.n > 0 {
		t.counts[t.last] += t.n
		t.n = 0
	}
	return t.counts
}

// Version is that of the board as those who follow have been told of it, which a page
// may be known by already. What was committed a moment ago is not on it yet.
func (l *Live) Version(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	rests := l.resting
	l.asked = time.Now()
	l.mu.Unlock()
	if s := l.snapshot.Load(); s != nil && !rests {
		return s.Version, nil
	}
	s, err := l.current(ctx)
	if err != nil {
		return 0, err
	}
	return s.Version, nil
}

func (q *Query) matches(r *Row) bool {
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	switch {
	case !in(q.States, r.State), !in(q.Severities, r.Severity), !in(q.Priorities, r.Priority), !in(q.Services, r.Service), !in(q.Teams, r.Team),
		q.Who != "" && !slices.Contains(r.People, q.Who), r.OpenedAt.Before(q.From), !q.To.IsZero() && !r.OpenedAt.Before(q.To):
		return false
	}
	return q.Text == "" || strings.Contains(r.text, q.Text)
}

// current returns the snapshot, and makes the first one.
func (l *Live) current(ctx context.Context) (*Snapshot, error) {
	l.mu.Lock()
	l.asked = time.Now()
	rested := l.wakeUp() // what changes from now on waits for the snapshot
	if rested && l.opts.Shared != nil && !l.hears.Load() {
		l.all = true // what the others have changed nobody has told us
	}
	behind := len(l.waiting) > 0 || l.coming || rested && l.all
	l.mu.Unlock()
	if s := l.snapshot.Load(); s != nil {
		if !behind {
			return s, nil
		}
		l.round(ctx) // whoever comes back from a form sees what it did
		if s := l.snapshot.Load(); s != nil {
			return s, nil
		}
	}
	l.working.Lock()
	defer l.working.Unlock()
	if s := l.snapshot.Load(); s != nil {
		return s, nil
	}
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	return l.snapshot.Load(), nil
}

// read reads all open incidents and passes on what is not as the snapshot before
// has it. The caller holds working.
func (l *Live) read(ctx context.Context) error {
	was := l.snapshot.Load()
	var setting any
	if l.opts.Config != nil {
		setting = l.opts.Config()
	}
	same := was != nil && setting == l.config
	next, byID := &Snapshot{At: l.opts.Store.Now()}, make(map[incident.ID]*Row, len(l.rows))
	var changed []*Row
	size := 0
	q := store.Query{States: []string{incident.Open, incident.Acknowledged}, Limit: pageRead}
	for {
		list, cursor, err := l.opts.Store.Incidents(ctx, q)
		if err != nil {
			return fmt.Errorf("live: read the open incidents: %w", err)
		}
		for _, i := range list {
			if byID[i.ID] != nil { // it moved while we read
				continue
			}
			r := l.rows[i.ID]
			if r == nil || r.Version != i.Version || !same || !r.DutyDue.IsZero() && r.DutyDue.Before(next.At) {
				known := r != nil && r.Version == i.Version
				if r = l.row(i, next.At); !known {
					changed = append(changed, r)
				}
			}
			byID[i.ID] = r
			next.Rows = append(next.Rows, r)
			size += rowSize + len(r.text)
		}
		if size > restKept && l.rests() {
			return errTooMany
		}
		if cursor == "" {
			break
		}
		q.Cursor = cursor
	}
	slices.SortFunc(next.Rows, compare)
	ended, lost, err := l.vanished(ctx, byID, next.At)
	if err != nil {
		return err
	}
	l.rows, l.config, l.readAt = byID, setting, time.Now()
	l.use(was, next)
	// What was not heard before the first reading is in it, and nobody knows what it was.
	if lost || was == nil && l.opts.Shared != nil && !l.hears.Load() {
		l.lose()
	} else if was != nil {
		l.publish(append(changed, ended...))
	}
	return nil
}

// errTooMany: more incidents are open than a board is kept of that nobody looks at.
var errTooMany = errors.New("too many are open")

func (l *Live) rests() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resting
}

// vanished looks what became of the rows that are not among those of now; lost says
// that they are too many for that.
func (l *Live) vanished(ctx context.Context, is map[incident.ID]*Row, now time.Time) (rows []*Row, lost bool, err error) {
	gone := map[incident.ID]*incident.Incident{}
	for id := range l.rows {
		if is[id] == nil {
			gone[id] = nil
		}
	}
	if len(gone) > vanishedRead {
		return nil, true, nil
	}
	list, err := l.resolve(ctx, gone)
	for _, i := range list {
		rows = append(rows, l.row(i, now))
	}
	return rows, false, err
}

// put puts changed incidents on the board. It returns those that are news: later
// than what is there, or, unless told, the same, as what a first reading was faster
// with nobody has been told of.
func (l *Live) put(rows []*Row, told bool) []*Row {
	was := l.snapshot.Load()
	news := rows[:0]
	old := map[*Row]bool{}
	var open []*Row
	for _, r := range rows {
		known := l.rows[r.ID]
		if known != nil && (known.Version > r.Version || told && known.Version == r.Version) {
			continue
		}
		news = append(news, r)
		old[known] = true
		if delete(l.rows, r.ID); r.open() {
			l.rows[r.ID] = r
			open = append(open, r)
		}
	}
	if len(news) == 0 {
		return nil
	}
	slices.SortFunc(open, compare)
	next := &Snapshot{At: l.opts.Store.Now(), Rows: make([]*Row, 0, len(was.Rows)+len(open))}
	for _, r := range was.Rows {
		if old[r] {
			continue
		}
		for len(open) > 0 && compare(open[0], r) < 0 {
			next.Rows, open = append(next.Rows, open[0]), open[1:]
		}
		next.Rows = append(next.Rows, r)
	}
	next.Rows = append(next.Rows, open...)
	l.use(was, next)
	return news
}

// use makes a snapshot the current one. The caller holds working.
func (l *Live) use(was, next *Snapshot) {
	next.Version = max(uint64(time.Now().UnixMicro()), 1)
	if was != nil {
		if next.Version = max(next.Version, was.Version+1); slices.Equal(was.Rows, next.Rows) {
			next.Version = was.Version
		}
	}
	l.snapshot.Store(next)
}

// Row is what a board shows of an incident.
type Row struct {
	ID                                                        incident.ID
	Reference, Title, State, Phase, Severity, Priority, Level string
	Service, Team                                             string
	// Customers are those that it affects, by name; Customer is the one whose part of
	// the parent it is.
	Customers []string
	Customer  string
	Alerts    incident.Counts
	OpenedAt  time.Time
	// AcknowledgedBy is empty if nobody has. Working are those who work on it now, and
	// People all who have to do with it.
	AcknowledgedAt  time.Time
	AcknowledgedBy  string
	Working, People []string
	// Duty is the next one; due zero if there is none.
	Duty      string
	DutyDue   time.Time
	ChangedAt time.Time
	Version   uint64
	// SnoozedUntil is zero unless it is snoozed, MergedInto unless it is a part of
	// another one; Merged are its parts.
	SnoozedUntil time.Time
	MergedInto   incident.ID
	Merged       int
	// Parent is zero unless it is a child.
	Parent   incident.ID
	Children int
	Drill    bool

	text                       string // what Query.Text looks in
	quiet                      bool
	priorityRank, severityRank int
}

// textKept bounds what can be searched of one incident, in bytes.
const textKept = 4 << 10

// row makes the row of an incident.
func (l *Live) row(i *incident.Incident, now time.Time) *Row {
	p := i.Proceedings()
	r := &Row{ID: i.ID, Reference: i.Reference, Title: i.Title, State: i.State, Phase: i.Phase, Severity: i.Severity, Priority: i.Priority, Level: i.Level,
		Service: i.Service, Team: i.Team, Customers: p.Customers, Customer: p.Customer, Alerts: i.Alerts, OpenedAt: i.OpenedAt,
		AcknowledgedAt: i.AcknowledgedAt, AcknowledgedBy: i.AcknowledgedBy, ChangedAt: i.ChangedAt, Version: i.Version,
		MergedInto: p.MergedInto, Merged: len(p.Merged), Parent: i.Parent, Children: len(i.Children), Drill: i.Drill}
	if until, ok := i.Snoozed(now); ok {
		r.SnoozedUntil = until
	}
	for _, w := range p.Working {
		r.Working = append(r.Working, w.Who)
	}
	r.People = people(i, r.Working)
	if l.opts.Duty != nil && i.IsOpen() {
		r.Duty, r.DutyDue = l.opts.Duty(i, now)
	}
	r.text = searched(i, p)
	r.quiet = !r.SnoozedUntil.IsZero() || !r.MergedInto.IsZero()
	r.priorityRank, r.severityRank = rank(incident.Priorities(), i.Priority), rank(l.opts.Severities(), i.Severity)
	return r
}

func (r *Row) open() bool { return r.State == incident.Open || r.State == incident.Acknowledged }

func people(i *incident.Incident, working []string) []string {
	var all []string
	if i.AcknowledgedBy != "" {
		all = append(all, i.AcknowledgedBy)
	}
	all = append(all, working...)
	for _, who := range i.Roles {
		all = append(all, who)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rank is the place of v in a list, the end if it is not there.
func rank(list []string, v string) int {
	if n := slices.Index(list, v); n >= 0 {
		return n
	}
	return len(list)
}

// searched is what Query.Text looks in, in lower case.
func searched(i *incident.Incident, p *incident.Process) string {
	var b strings.Builder
	add := func(s string) {
		if s != "" && b.Len() < textKept {
			b.WriteString(s[:min(len(s), textKept)])
			b.WriteByte('\n')
		}
	}
	for _, s := range []string{i.Title, i.Reference, i.Service, i.Team, i.Description} {
		add(s)
	}
	for _, s := range i.Hosts {
		add(s)
	}
	for _, s := range i.Labels {
		add(s)
	}
	f := &p.Findings
	for _, s := range []string{f.Cause, f.Solution, f.Workaround, f.Fix, f.Lessons, f.Symptoms, f.Systems, f.Recommendations} {
		add(s)
	}
	return strings.ToLower(b.String())
}

// compare puts the most urgent first: what nobody has hidden, by priority, then by
// severity, then what is due first, then what nobody works on, then the oldest.
func compare(a, b *Row) int {
	if a.quiet != b.quiet {
		if b.quiet {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.priorityRank, b.priorityRank), cmp.Compare(a.severityRank, b.severityRank), dueFirst(a.DutyDue, b.DutyDue),
		-strings.Compare(a.State, b.State), a.OpenedAt.Compare(b.OpenedAt), slices.Compare(a.ID[:], b.ID[:]))
}

// dueFirst puts what is due earlier first, and what is never due last.
func dueFirst(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}
