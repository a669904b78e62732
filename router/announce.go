package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Announcement is something that people are told at times that are known ahead, and
// that is no incident.
type Announcement struct {
	// Name is its identity; what stands before the first slash is its kind.
	Name string
	// Occasions are those that are of use at a time, and the first that is due later.
	Occasions func(now time.Time) []Occasion
	// Targets are those who are told at a time.
	Targets func(now time.Time) []string
}

// Occasion is one time that people are told of.
type Occasion struct {
	// ID is its identity among those of its announcement: who was told of it is not
	// told again, whatever else about it changes.
	ID string
	// Due is when people are told, and Latest is by when they have to be: after that
	// Hurry is said with it. Zero is no such time.
	Due, Latest time.Time
	Hurry       string
	// What it is, such as Planned downtime, of what, and from when on are the title. Of
	// and On may be empty.
	What, Of, On string
	// When says the times in one line, and About all that several have in common.
	When, About string
	// Begins and Ends are the times, and Until is when it is of no use any more.
	Begins, Ends, Until time.Time
}

// The kinds of announcements.
const (
	AnnounceMaintenance   = "maintenance"
	AnnounceMonthlyReport = "monthly_report"
)

const (
	// typeAnnounced are the documents of what was announced, one for each name; the id
	// is a key.
	typeAnnounced = "announced"
	// jobAnnounce is what earlier versions armed: there is nothing to do.
	jobAnnounce = "announce"
	// noticesKept is for how long it is known what was announced.
	noticesKept = 400 * 24 * time.Hour
	// noticesAtOnce is how many of them are read at once.
	noticesAtOnce = 100
)

// announceKey is that of an announcement.
func announceKey(name string) incident.Key {
	sum := sha256.Sum256([]byte("announce\x00" + name))
	return incident.Key(sum[:16])
}

// arming is a change that does nothing but to arm jobs.
func arming(key incident.Key, jobs ...incident.Job) incident.Change {
	return incident.Change{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) { return incident.Next{Jobs: jobs}, nil }}
}

func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, "/")
	return kind
}

// looks are when the announcements of some rules are to be looked at next, by name.
type looks struct {
	rules *rules
	due   map[string]time.Time
}

// announce looks at all that is announced, by the configuration of this gateway and by
// those of others. Each gateway does so by itself, since each may know of something that
// the others do not while their configurations change; what they write down together
// has everything told once.
func (p *Pipeline) announce(ctx context.Context) error {
	if p.notifier == nil {
		return nil
	}
	r := p.rules.Load()
	if p.looks.rules != r {
		p.looks = looks{r, map[string]time.Time{}}
	}
	known := map[string]*announced{}
	for after := ""; ; {
		docs, err := p.store.Documents(ctx, typeAnnounced, after, noticesAtOnce)
		if err != nil {
			return err
		}
		for _, d := range docs {
			after = d.ID
			l := &announced{version: d.Version}
			if err := json.Unmarshal(d.Data, l); err != nil {
				p.log.ErrorContext(ctx, "what was announced cannot be read", "document", d.ID, "err", err)
				continue
			}
			known[l.Name] = l
		}
		if len(docs) < noticesAtOnce {
			break
		}
	}
	for n := range r.Announcements {
		if name := r.Announcements[n].Name; known[name] == nil {
			known[name] = &announced{Name: name}
		}
	}
	for name, l := range known {
		err := p.announceOne(ctx, r, l)
		switch {
		case errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil:
			return err
		case errors.Is(err, incident.ErrConflict): // another gateway looks as well
		case err != nil:
			p.log.ErrorContext(ctx, "not announced", "announcement", name, "err", err)
		}
	}
	return nil
}

// announceOne decides what is to be told of a name, writes that down, and only then
// hands it over: whoever looks after a kill finds what there is to tell, and whom.
func (p *Pipeline) announceOne(ctx context.Context, r *rules, l *announced) error {
	now := p.store.Now()
	if len(l.Next) > 0 { // somebody was killed before it was handed over, or is about to
		if err := p.handOver(ctx, l, now); err != nil {
			return err
		}
	}
	v := view{now: now, since: p.store.ListeningSince(), stands: func(begins, ends time.Time) bool { return r.Stands == nil || r.Stands(l.Name, begins, ends) }}
	for n := range r.Announcements {
		if r.Announcements[n].Name == l.Name {
			v.a, v.looks = &r.Announcements[n], !now.Before(p.looks.due[l.Name])
		}
	}
	changed, due := l.look(&v)
	if changed {
		if err := p.keepAnnounced(ctx, l); err != nil {
			return err
		}
	}
	if v.looks {
		p.looks.due[l.Name] = due
	}
	if len(l.Next) == 0 {
		return nil
	}
	return p.handOver(ctx, l, now)
}

func (p *Pipeline) keepAnnounced(ctx context.Context, l *announced) error {
	d := incident.Document{Type: typeAnnounced, ID: announceKey(l.Name).String(), Version: l.version}
	if len(l.Told) > 0 || len(l.Next) > 0 {
		var err error
		if d.Data, err = json.Marshal(l); err != nil {
			return err // unreachable: it always encodes
		}
	}
	version, err := p.store.PutDocument(ctx, d)
	if l.version = version; d.Data == nil {
		l.version = 0
	}
	return err
}

// handOver has the targets told of what was decided. All of it may be done again.
func (p *Pipeline) handOver(ctx context.Context, l *announced, now time.Time) error {
	for n := range l.Next {
		if err := p.notice(ctx, &l.Next[n], now); err != nil {
			return err
		}
	}
	l.Next = nil
	if err := p.keepAnnounced(ctx, l); err != nil {
		return err
	}
	return p.forgetNotices(ctx, now)
}

// notice has people told of one thing. Each target is told once, which its own document
// sees to.
func (p *Pipeline) notice(ctx context.Context, h *handing, now time.Time) error {
	var key incident.Key
	if err := key.UnmarshalText([]byte(h.Key)); err != nil {
		return fmt.Errorf("router: notice %q: %w", h.Key, err)
	}
	n := h.Notice
	for _, o := range h.Off {
		told, err := p.takeBack(ctx, o)
		if err != nil {
			return err
		}
		for _, target := range told {
			if !slices.Contains(n.Targets, target) {
				n.Targets = append(n.Targets, target)
			}
		}
	}
	fresh, err := p.keepNotice(ctx, key, &n)
	if err != nil {
		return err
	}
	var jobs []incident.Job
	for _, target := range n.Targets {
		jobs = append(jobs, incident.Job{Subject: key.String(), Kind: incident.JobNotify, Target: target, Due: now, NoLater: true})
	}
	if len(jobs) > 0 {
		if err := p.store.Update(ctx, []incident.Change{arming(key, jobs...)}); err != nil {
			return err
		}
		p.Wake()
	}
	if !fresh {
		return nil
	}
	result := "in_time"
	switch {
	case h.CalledOff:
		result = "called_off"
	case n.Short:
		result = "late"
	}
	p.metrics.notices.WithLabelValues(kindOf(n.Name), result).Inc()
	p.log.InfoContext(ctx, "announced", "announcement", n.Name, "title", n.Title, "targets", len(n.Targets), "late", n.Short)
	return nil
}

// takeBack notes on a notice that something of it does not hold any more, and returns
// the targets that know of it, or may. A target that is being told at this moment is
// among them: that it is was written down before the notice was read.
func (p *Pipeline) takeBack(ctx context.Context, o takenBack) (told []string, err error) {
	for {
		d, err := p.store.Document(ctx, incident.TypeNotice, o.Key)
		if errors.Is(err, incident.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var n incident.Notice
		if err := json.Unmarshal(d.Data, &n); err != nil {
			return nil, fmt.Errorf("router: notice %s: %w", d.ID, err)
		}
		noted := strings.Contains(n.Text, "\n"+o.Remark)
		if noted && (n.Withdrawn || !o.All) {
			break
		}
		if !noted {
			n.Text += "\n" + o.Remark
		}
		n.Withdrawn = n.Withdrawn || o.All
		if d.Data, err = json.Marshal(&n); err != nil {
			return nil, err // unreachable: it always encodes
		}
		_, err = p.store.PutDocument(ctx, d)
		if err == nil {
			break
		}
		if !errors.Is(err, incident.ErrConflict) || ctx.Err() != nil {
			return nil, err
		}
	}
	return p.notifier.Told(ctx, o.Key)
}

// keepNotice writes a notice down, or reads the one that was. It reports whether it is new.
func (p *Pipeline) keepNotice(ctx context.Context, key incident.Key, n *incident.Notice) (fresh bool, err error) {
	data, err := json.Marshal(n)
	if err != nil {
		return false, err // unreachable: it always encodes
	}
	_, err = p.store.PutDocument(ctx, incident.Document{Type: incident.TypeNotice, ID: key.String(), Data: data})
	if !errors.Is(err, incident.ErrConflict) {
		return err == nil, err
	}
	d, err := p.store.Document(ctx, incident.TypeNotice, key.String())
	if err != nil {
		return false, err
	}
	*n = incident.Notice{}
	if err := json.Unmarshal(d.Data, n); err != nil {
		return false, fmt.Errorf("router: notice %s: %w", d.ID, err)
	}
	return false, nil
}

// forgetNotices removes those that are old.
func (p *Pipeline) forgetNotices(ctx context.Context, now time.Time) error {
	for after := ""; ; {
		docs, err := p.store.Documents(ctx, incident.TypeNotice, after, noticesAtOnce)
		if err != nil {
			return err
		}
		for _, d := range docs {
			var n incident.Notice
			after = d.ID
			if err := json.Unmarshal(d.Data, &n); err != nil || now.Sub(n.At) < noticesKept || n.Until.After(now) {
				continue
			}
			d.Data = nil
			if _, err := p.store.PutDocument(ctx, d); err != nil && !errors.Is(err, incident.ErrConflict) {
				return err
			}
			if p.notifier == nil {
				continue
			}
			if err := p.notifier.Forget(ctx, d.ID); err != nil {
				return err
			}
		}
		if len(docs) < noticesAtOnce {
			return nil
		}
	}
}
