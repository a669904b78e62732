package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/store"
)

// wish is a model of one job: what it was armed for, in that order, since somebody has
// looked for good.
type wish struct {
	due []time.Time
	// lease is the latest one, and before the one before it. It is held until it is
	// finished, or over and claimed again.
	lease, before store.Lease
	ends          time.Time
	held          bool
	// seen is how much of due the holder looks at.
	seen int
	// overruled: what the holder does was armed anew or disarmed meanwhile.
	overruled bool
	did       []string
}

// comes reports whether a claim gets the job at the given time.
func (w *wish) comes(now time.Time) bool {
	return !(w.held && now.Before(w.ends)) && slices.ContainsFunc(w.due, func(due time.Time) bool { return !due.After(now) })
}

// only replaces all that it was armed for.
func (w *wish) only(due ...time.Time) { w.due, w.seen, w.overruled = due, 0, true }

// finish ends the lease.
func (w *wish) finish() {
	if w.held {
		w.due, w.seen, w.held = slices.Delete(w.due, 0, w.seen), 0, false
	}
}

// one does one thing with the job.
func (w *wish) one(f *fixture, subject, what string, due time.Time) {
	j, held := job(subject, due), w.held
	w.did = append(w.did, fmt.Sprintf("%s %s at %s", what, due.Format(time.TimeOnly), f.clock.Now().Format(time.TimeOnly)))
	switch what {
	case "arm":
		f.arm(j)
		w.only(due)
	case "arm no later":
		j.NoLater = true
		f.arm(j)
		w.due = append(w.due, due)
	case "arm twice":
		k := job(subject, due.Add(40*time.Second))
		k.NoLater = true
		f.arm(j, k)
		w.only(due, k.Due)
	case "arm twice no later":
		k := job(subject, due.Add(-40*time.Second))
		j.NoLater, k.NoLater = true, true
		f.arm(j, k)
		w.due = append(w.due, due, k.Due)
	case "arm and disarm":
		f.arm(j, job(subject, time.Time{}))
		w.only()
	case "disarm":
		f.arm(job(subject, time.Time{}))
		w.only()
	case "done":
		f.must(f.Done(f.ctx(), w.lease))
		w.finish()
	case "retry":
		f.must(f.Retry(f.ctx(), w.lease, due, "again"))
		if w.finish(); held && !w.overruled {
			w.due = append(w.due, due)
		}
	case "end with a commit":
		j.Lease, j.NoLater = w.lease.Token, true
		f.arm(j)
		w.finish()
		w.due = append(w.due, due)
	case "end with a commit, for good":
		j.Due, j.Lease, j.NoLater = time.Time{}, w.lease.Token, true
		f.arm(j)
		w.finish()
	case "late":
		f.must(f.Done(f.ctx(), w.before))
		f.must(f.Retry(f.ctx(), w.before, due, "again"))
		k := job(subject, time.Time{})
		k.Lease, k.NoLater = w.before.Token, true
		f.arm(k)
	}
}

// jobsAsModelled does anything with jobs, in any order.
func jobsAsModelled(f *fixture) {
	random := rand.New(rand.NewPCG(6, 29))
	wishes := map[string]*wish{}
	for n := range 25 {
		wishes[fmt.Sprintf("%02d", n)] = &wish{}
	}
	subjects := slices.Sorted(maps.Keys(wishes))
	for round := range 60 {
		for _, subject := range subjects {
			w := wishes[subject]
			things := []string{"nothing", "arm", "arm no later", "arm no later", "arm no later", "arm twice", "arm twice no later", "arm and disarm", "disarm"}
			if w.lease.Token != 0 {
				things = append(things, "done", "retry", "retry", "end with a commit", "end with a commit, for good")
			}
			if w.before.Token != 0 {
				things = append(things, "late", "late")
			}
			w.one(f, subject, things[random.IntN(len(things))], f.clock.Now().Add(time.Duration(random.IntN(9)-2)*20*time.Second))
		}
		f.clock.add(time.Duration(random.IntN(3)) * 20 * time.Second)
		if round%20 == 19 && f.reopen() {
			f.clock.add(time.Minute) // the leases are over, whether the store kept them or not
		}
		now := f.clock.Now()
		leases, err := f.Claim(f.ctx(), 100, time.Minute)
		f.must(err)
		for _, subject := range subjects {
			w := wishes[subject]
			at := slices.IndexFunc(leases, func(l store.Lease) bool { return l.Subject == subject })
			if got, want := at >= 0, w.comes(now); got != want {
				f.Fatalf("round %d, %s: claimed: %t, want %t, after %s", round, subject, got, want, strings.Join(w.did[max(0, len(w.did)-12):], ", "))
			}
			if at >= 0 {
				*w = wish{due: w.due, lease: leases[at], before: w.lease, ends: now.Add(time.Minute), held: true, seen: len(w.due), did: append(w.did, "claimed at "+now.Format(time.TimeOnly))}
			}
		}
	}
}
