package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/incident"
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
	// ID is its identity among those of its announcement. Who was told of it is not
	// told again, whatever else about it changes.
	ID string
	// Due is when people are told, and Latest is by when they have to be: after that
	// Hurry is said with it. Zero is no such time.
	Due, Latest time.Time
	Hurry       string
	// Notice is what they are told, but when and whom.
	Notice incident.Notice
}

// The kinds of announcements.
const (
	AnnounceMaintenance   = "maintenance"
	AnnounceMonthlyReport = "monthly_report"
)

const (
	// jobAnnounce looks what is to be announced; its target is the name.
	jobAnnounce = "announce"
	// noticesKept is for how long it is known what was announced.
	noticesKept = 400 * 24 * time.Hour
	// noticesAtOnce is how many of them are read at once.
	noticesAtOnce = 100
	// elsewhereTries is how often a job is looked at that only another configuration
	// knows of, which takes some two hours.
	elsewhereTries = 12
)

// errElsewhere: the configuration of another gateway may know of the subject.
var errElsewhere = errors.New("router: not in the configuration of this gateway")

// announceKey is that of an announcement, or of one of its occasions.
func announceKey(name, occasion string) incident.Key {
	sum := sha256.Sum256([]byte("announce\x00" + name + "\x00" + occasion))
	return incident.Key(sum[:16])
}

// armAnnouncements has a look taken at all of them now.
func (p *Pipeline) armAnnouncements(ctx context.Context, list []Announcement) error {
	now := p.store.Now()
	var changes []incident.Change
	for _, a := range list {
		key := announceKey(a.Name, "")
		changes = append(changes, arming(key, incident.Job{Subject: key.String(), Kind: jobAnnounce, Target: a.Name, Due: now, NoLater: true}))
	}
	if len(changes) == 0 {
		return nil
	}
	return p.store.Update(ctx, changes)
}

// arming is a change that does nothing but to arm jobs.
func arming(key incident.Key, jobs ...incident.Job) incident.Change {
	return incident.Change{ID: uuid.New(), Key: key, Step: func(incident.State) (incident.Next, error) { return incident.Next{Jobs: jobs}, nil }}
}

func (a *Announcement) kind() string {
	kind, _, _ := strings.Cut(a.Name, "/")
	return kind
}

// announce does the job of an announcement.
func (p *Pipeline) announce(ctx context.Context, name string) (again time.Time, err error) {
	list := p.rules.Load().Announcements
	for n := range list {
		a := &list[n]
		if a.Name != name {
			continue
		}
		now := p.store.Now()
		for _, o := range a.Occasions(now) {
			if o.Due.After(now) {
				again = earlier(again, o.Due)
			} else if err := p.notice(ctx, a, &o, now); err != nil {
				return again, err
			}
		}
		return again, nil
	}
	return again, errElsewhere
}

// notice has people told of an occasion. It is written down first: whoever does this
// again, because a kill came between, finds what there is to tell, and whom. Each
// target is told once, which its own document sees to.
func (p *Pipeline) notice(ctx context.Context, a *Announcement, o *Occasion, now time.Time) error {
	key := announceKey(a.Name, o.ID)
	n := o.Notice
	n.Name, n.At, n.Targets = a.Name, now.UTC(), a.Targets(now)
	if n.Short = !o.Latest.IsZero() && now.After(o.Latest); n.Short && o.Hurry != "" {
		n.Text += "\n" + o.Hurry
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
	if n.Short {
		result = "late"
	}
	p.metrics.notices.WithLabelValues(a.kind(), result).Inc()
	p.log.InfoContext(ctx, "announced", "announcement", a.Name, "title", n.Title, "targets", len(n.Targets), "late", n.Short)
	return p.forgetNotices(ctx, now)
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
