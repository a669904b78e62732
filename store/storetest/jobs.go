package storetest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

var jobTests = []test{
	{"jobs come when they are due, the oldest first", jobsInOrder},
	{"a leased job is nobody else's", leaseExclusive},
	{"a lease that ends hands the job over", leaseEnds},
	{"done deletes the job", doneDeletes},
	{"a job that was armed meanwhile outlives done", armedMeanwhile},
	{"a job that was armed meanwhile waits for the lease and for its time", armedForLater},
	{"retry gives the job back", retryJob},
	{"no later keeps the earlier time", noLater},
	{"a disarmed job does not come", disarmed},
	{"a job that was disarmed and armed again meanwhile", disarmedAndArmed},
	{"a commit can be the end of a lease", leaseEndsWithCommit},
	{"no later does not put off what is leased", leasedNotPutOff},
	{"a job comes exactly when somebody has to look, whatever was done with it", jobsAsModelled},
	{"many workers never share a job", manyWorkers},
	{"jobs outlive the process", jobsOutlive},
	{"jobs are counted", jobsCounted},
	{"when jobs are due that wait", armedJobs},
}

// job is one with the kind expiry.
func job(subject string, due time.Time) incident.Job {
	return incident.Job{Subject: subject, Kind: incident.JobExpiry, Target: "t", Due: due}
}

func (f *fixture) arm(jobs ...incident.Job) {
	f.Helper()
	f.update(incident.Change{ID: f.id(), Key: keyOf(1), Step: func(incident.State) (incident.Next, error) {
		return incident.Next{Jobs: jobs}, nil
	}})
}

func (f *fixture) claim(limit int, lease time.Duration, want ...string) []store.Lease {
	f.Helper()
	leases, err := f.Claim(f.ctx(), limit, lease)
	f.must(err)
	var got []string
	for _, l := range leases {
		got = append(got, l.Subject)
	}
	if !slices.Equal(got, want) {
		f.Errorf("claimed %q, want %q", got, want)
	}
	return leases
}

// one claims one job; the test ends without it.
func (f *fixture) one(want string) store.Lease {
	f.Helper()
	leases := f.claim(10, time.Minute, want)
	if len(leases) != 1 {
		f.FailNow()
	}
	return leases[0]
}

func jobsInOrder(f *fixture) {
	now := f.clock.Now()
	f.arm(job("c", now.Add(3*time.Second)), job("a", now.Add(time.Second)), job("b", now.Add(2*time.Second)), job("z", now.Add(time.Hour)))
	f.claim(10, time.Minute)
	f.clock.add(2 * time.Second)
	f.claim(10, time.Minute, "a", "b")
	f.clock.add(time.Second)
	l := f.one("c")
	if l.Kind != incident.JobExpiry || l.Target != "t" || !l.Due.Equal(now.Add(3*time.Second)) || l.Attempts != 1 {
		f.Errorf("got lease %+v", l)
	}
	var many []incident.Job
	for n := range 30 {
		many = append(many, job(fmt.Sprintf("m%02d", 29-n), now.Add(-time.Duration(n)*time.Minute)))
	}
	f.arm(many...)
	var got []string
	for range 3 {
		leases, err := f.Claim(f.ctx(), 10, time.Minute)
		f.must(err)
		for _, l := range leases {
			got = append(got, l.Subject)
		}
	}
	if len(got) != 30 || !slices.IsSorted(got) {
		f.Errorf("in pages of 10: got %q, want m00 to m29", got)
	}
}

func leaseExclusive(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	f.one("a")
	f.claim(10, time.Minute)
	f.clock.add(59 * time.Second)
	f.claim(10, time.Minute)
}

func leaseEnds(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	first := f.one("a")
	f.clock.add(61 * time.Second)
	second := f.one("a")
	if second.Attempts != 2 {
		f.Errorf("the second holder is told of %d attempts, want 2", second.Attempts)
	}
	// What the first one says late is about a lease that is not theirs any more.
	f.must(f.Retry(f.ctx(), first, f.clock.Now(), "late"))
	f.claim(10, time.Minute)
	f.must(f.Done(f.ctx(), first))
	f.clock.add(61 * time.Second)
	third := f.one("a")
	f.must(f.Done(f.ctx(), third))
	f.clock.add(time.Hour)
	f.claim(10, time.Minute)
}

func doneDeletes(f *fixture) {
	f.arm(job("a", f.clock.Now()), job("b", f.clock.Now().Add(time.Minute)))
	l := f.one("a")
	f.must(f.Done(f.ctx(), l))
	f.must(f.Done(f.ctx(), l)) // saying it again changes nothing
	f.clock.add(time.Hour)
	f.one("b")
	f.claim(10, time.Minute)
}

func armedMeanwhile(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	l := f.one("a")
	f.arm(job("a", f.clock.Now()))
	f.claim(10, time.Minute) // still leased
	f.must(f.Done(f.ctx(), l))
	again := f.one("a")
	if again.Attempts != 1 {
		f.Errorf("armed anew: got %d attempts, want 1", again.Attempts)
	}
	f.arm(job("a", f.clock.Now().Add(10*time.Second)))
	f.must(f.Retry(f.ctx(), again, f.clock.Now(), "not the one that was armed"))
	f.claim(10, time.Minute)
	f.clock.add(10 * time.Second)
	if last := f.one("a"); last.LastError != "" {
		f.Errorf("the error of the job before: %q", last.LastError)
	}
}

// armedForLater: the holder has died; the job is due later than its lease ends.
func armedForLater(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	f.one("a")
	f.arm(job("a", f.clock.Now().Add(time.Hour)))
	f.clock.add(10 * time.Minute)
	f.claim(10, time.Minute)
	f.clock.add(50 * time.Minute)
	f.one("a")
}

func retryJob(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	for n := 1; n <= 3; n++ {
		l := f.one("a")
		if l.Attempts != n || n > 1 && l.LastError != fmt.Sprint("failure ", n-1) {
			f.Errorf("attempt %d: got %+v", n, l)
		}
		f.must(f.Retry(f.ctx(), l, f.clock.Now().Add(10*time.Second), fmt.Sprint("failure ", n)))
		f.clock.add(9 * time.Second)
		f.claim(10, time.Minute)
		f.clock.add(time.Second)
	}
}

func noLater(f *fixture) {
	now := f.clock.Now()
	with := func(due time.Time) incident.Job { j := job("a", due); j.NoLater = true; return j }
	f.arm(with(now.Add(time.Minute)))
	f.arm(with(now.Add(time.Hour)))
	f.clock.add(time.Minute)
	l := f.one("a")
	// While it is leased: the armed one counts, not the one that is being done.
	f.arm(with(now.Add(3 * time.Minute)))
	f.arm(with(now.Add(2 * time.Minute)))
	f.arm(with(now.Add(4 * time.Minute)))
	f.must(f.Done(f.ctx(), l))
	f.clock.add(time.Minute)
	l = f.one("a")
	if !l.Due.Equal(now.Add(2 * time.Minute)) {
		f.Errorf("due at %s, want %s", l.Due, now.Add(2*time.Minute))
	}
	f.must(f.Done(f.ctx(), l))
	f.arm(with(now.Add(10 * time.Minute)))
	f.arm(job("a", now.Add(20*time.Minute))) // without it the new time counts
	f.clock.add(10 * time.Minute)
	f.claim(10, time.Minute)
}

func disarmed(f *fixture) {
	f.arm(job("a", f.clock.Now()), job("b", f.clock.Now()))
	f.arm(job("a", time.Time{}), job("never armed", time.Time{}))
	l := f.one("b")
	f.arm(job("b", time.Time{}))
	f.must(f.Retry(f.ctx(), l, f.clock.Now(), "it was disarmed"))
	f.clock.add(time.Hour)
	f.claim(10, time.Minute)
	f.arm(job("c", f.clock.Now()))
	f.one("c")
	f.arm(job("c", time.Time{})) // and its holder dies
	f.clock.add(time.Hour)
	f.claim(10, time.Minute)
}

// disarmedAndArmed: who is at it must neither delete the new one nor have company.
func disarmedAndArmed(f *fixture) {
	f.arm(job("a", f.clock.Now()))
	l := f.one("a")
	f.arm(job("a", time.Time{}))
	f.arm(job("a", f.clock.Now()))
	f.claim(10, time.Minute)
	f.must(f.Done(f.ctx(), l))
	l = f.one("a")
	f.must(f.Done(f.ctx(), l))
	f.arm(job("a", f.clock.Now()))
	f.must(f.Done(f.ctx(), l)) // what was done was another one
	f.one("a")
}

// leaseEndsWithCommit: what comes next is armed with the same commit that is the end
// of the work, so nobody has to say that it is done.
func leaseEndsWithCommit(f *fixture) {
	now := f.clock.Now()
	ends := func(l store.Lease, due time.Time) incident.Job {
		j := job("a", due)
		j.Lease, j.NoLater = l.Token, true
		return j
	}
	f.arm(job("a", now))
	l := f.one("a")
	f.arm(ends(l, now.Add(time.Second)))
	f.clock.add(time.Second)
	second := f.one("a") // although the first lease would go on
	if second.Attempts != 1 {
		f.Errorf("armed anew: got %d attempts, want 1", second.Attempts)
	}
	f.arm(ends(l, f.clock.Now())) // of a lease that is over: the second one is still at it
	f.claim(10, time.Minute)
	f.arm(ends(second, time.Time{}))
	second = f.one("a") // what was armed meanwhile is earlier than never
	f.arm(ends(second, time.Time{}))
	f.clock.add(time.Hour)
	f.claim(10, time.Minute)
	left, err := f.Jobs(f.ctx())
	f.must(err)
	if len(left) > 0 {
		f.Errorf("left are %+v", left)
	}
	// What was armed meanwhile for earlier holds, what was for later does not.
	for _, armed := range []time.Duration{time.Second, 3 * time.Second} {
		f.arm(job("a", f.clock.Now()))
		l = f.one("a")
		now = f.clock.Now()
		f.arm(job("a", now.Add(armed)))
		f.arm(ends(l, now.Add(2*time.Second)))
		f.clock.add(3 * time.Second)
		l = f.one("a")
		if want := now.Add(min(armed, 2*time.Second)); !l.Due.Equal(want) {
			f.Errorf("armed for %s meanwhile: due at %s, want %s", armed, l.Due, want)
		}
		f.arm(ends(l, time.Time{}))
	}
	f.must(f.Done(f.ctx(), l)) // which is over
	f.clock.add(time.Hour)
	f.claim(10, time.Minute)
}

// leasedNotPutOff: only who is at a job can say that it is done. What is armed
// meanwhile for later does not hold up whoever takes over, nor the next attempt.
func leasedNotPutOff(f *fixture) {
	later := func(by time.Duration) {
		f.Helper()
		j := job("a", f.clock.Now().Add(by))
		j.NoLater = true
		f.arm(j)
	}
	begin := func(step string) (due time.Time, l store.Lease) {
		f.Helper()
		f.Log(step)
		due = f.clock.Now()
		f.arm(job("a", due))
		return due, f.one("a")
	}
	end := func(due time.Time) {
		f.Helper()
		l := f.one("a")
		if !l.Due.Equal(due) {
			f.Errorf("due at %s, want %s", l.Due, due)
		}
		f.must(f.Done(f.ctx(), l))
		f.clock.add(2 * time.Hour)
		f.claim(10, time.Minute)
	}

	due, _ := begin("the holder dies")
	later(time.Hour)
	f.clock.add(59 * time.Second)
	f.claim(10, time.Minute)
	f.clock.add(time.Second)
	end(due)

	_, l := begin("the holder tries again")
	later(time.Hour)
	f.must(f.Retry(f.ctx(), l, f.clock.Now().Add(10*time.Second), "not now"))
	f.clock.add(10 * time.Second)
	end(f.clock.Now())

	_, l = begin("the holder tries again later than what was armed")
	later(10 * time.Second)
	f.must(f.Retry(f.ctx(), l, f.clock.Now().Add(time.Hour), "not now"))
	f.clock.add(10 * time.Second)
	end(f.clock.Now())

	due, l = begin("one whose lease is over")
	f.clock.add(time.Minute)
	f.one("a") // dies as well
	later(time.Hour)
	f.must(f.Done(f.ctx(), l))
	f.clock.add(time.Minute)
	end(due)

	_, l = begin("one whose lease is over, and that wants nothing more")
	f.clock.add(time.Minute)
	second := f.one("a")
	never := job("a", time.Time{})
	never.Lease, never.NoLater = l.Token, true
	f.arm(never)
	f.must(f.Retry(f.ctx(), second, f.clock.Now().Add(10*time.Second), "not now"))
	f.clock.add(10 * time.Second)
	end(f.clock.Now())

	due, _ = begin("the process ends")
	later(time.Hour)
	if !f.reopen() {
		return
	}
	f.clock.add(2 * time.Minute)
	end(due)
}

func manyWorkers(f *fixture) {
	const jobs = 120
	var all []incident.Job
	for n := range jobs {
		all = append(all, job(fmt.Sprintf("job %d", n), f.clock.Now()))
	}
	f.arm(all...)
	var mu sync.Mutex
	holder := map[string]int{}
	times := map[string]int{}
	together(6, func(worker int) {
		for {
			leases, err := f.Claim(f.ctx(), 7, time.Minute)
			if err != nil {
				f.Error(err)
				return
			}
			if len(leases) == 0 {
				return
			}
			mu.Lock()
			for _, l := range leases {
				if other, taken := holder[l.Subject]; taken {
					f.Errorf("%s is at %d and %d at once", l.Subject, other, worker)
				}
				holder[l.Subject] = worker
				times[l.Subject]++
			}
			mu.Unlock()
			for n, l := range leases {
				mu.Lock()
				delete(holder, l.Subject)
				again := times[l.Subject] < 2 && n%2 == 0
				mu.Unlock()
				if again {
					err = f.Retry(f.ctx(), l, f.clock.Now(), "again")
				} else {
					err = f.Done(f.ctx(), l)
				}
				if err != nil {
					f.Error(err)
				}
			}
		}
	})
	left, err := f.Jobs(f.ctx())
	f.must(err)
	if len(times) != jobs || len(left) > 0 {
		f.Errorf("%d of %d jobs were done, left are %+v", len(times), jobs, left)
	}
}

func jobsOutlive(f *fixture) {
	now := f.clock.Now()
	f.arm(job("a", now), job("b", now.Add(time.Minute)))
	f.one("a")
	f.arm(job("a", now.Add(30*time.Second)))
	if !f.reopen() {
		return
	}
	f.clock.add(2 * time.Minute) // the lease is over, whether the store kept it or not
	f.claim(10, time.Minute, "a", "b")
}

func jobsCounted(f *fixture) {
	now := f.clock.Now()
	f.arm(job("a", now.Add(-time.Minute)), job("b", now.Add(-time.Hour)), job("c", now.Add(time.Hour)),
		incident.Job{Subject: "d", Kind: incident.JobClose, Due: now.Add(time.Minute)})
	counts := func() map[string]store.JobCount {
		f.Helper()
		list, err := f.Jobs(f.ctx())
		f.must(err)
		out := map[string]store.JobCount{}
		for _, c := range list {
			out[c.Kind+" "+c.State] = c
		}
		return out
	}
	got := counts()
	due, waiting := got["expiry due"], got["expiry waiting"]
	if len(got) != 3 || due.Count != 2 || due.Lag < time.Hour || due.Lag > time.Hour+time.Second || waiting.Count != 1 || waiting.Lag != 0 || got["close waiting"].Count != 1 {
		f.Errorf("got %+v", got)
	}
	f.claim(10, 10*time.Minute, "b", "a")
	if got := counts(); got["expiry due"].Count != 0 || got["expiry waiting"].Count != 3 {
		f.Errorf("while two are leased: got %+v", got)
	}
}

// armedJobs: when jobs of incidents are due, if nobody is at them.
func armedJobs(f *fixture) {
	now := f.clock.Now()
	var ids []incident.ID
	for n := range 40 {
		ids = append(ids, f.open(keyOf(n), message{n: n}).ID)
	}
	slices.Reverse(ids) // the order is the caller's
	duty := func(n int, due time.Time) incident.Job {
		return incident.Job{Subject: ids[n].String(), Kind: incident.JobDuty, Due: due}
	}
	want := func(what string, want map[int]time.Time) {
		f.Helper()
		got, err := f.Armed(f.ctx(), incident.JobDuty, ids)
		f.must(err)
		if len(got) != len(ids) {
			f.Fatalf("%s: got %d times, want %d", what, len(got), len(ids))
		}
		for n := range got {
			if !got[n].Equal(want[n]) {
				f.Errorf("%s: job %d is due at %s, want %s", what, n, got[n], want[n])
			}
		}
	}
	arm := func(n int, jobs ...incident.Job) {
		f.Helper()
		f.update(incident.Change{ID: f.id(), Incident: ids[n], Step: func(incident.State) (incident.Next, error) {
			return incident.Next{Jobs: jobs}, nil
		}})
	}
	want("none is armed", nil)
	other := duty(3, now)
	other.Kind = incident.JobClose
	aimed := duty(3, now)
	aimed.Target = "t"
	arm(0, duty(0, now.Add(time.Minute)))
	arm(3, other, aimed)
	arm(39, duty(39, now.Add(time.Hour)))
	want("two are armed", map[int]time.Time{0: now.Add(time.Minute), 39: now.Add(time.Hour)})
	f.clock.add(time.Minute)
	leases, err := f.Claim(f.ctx(), 10, time.Minute)
	f.must(err)
	want("somebody is at one", map[int]time.Time{39: now.Add(time.Hour)})
	arm(0, duty(0, now.Add(2*time.Hour)))
	want("it is armed meanwhile", map[int]time.Time{0: now.Add(2 * time.Hour), 39: now.Add(time.Hour)})
	for _, l := range leases {
		f.must(f.Done(f.ctx(), l))
	}
	want("done", map[int]time.Time{0: now.Add(2 * time.Hour), 39: now.Add(time.Hour)})
	if got, err := f.Armed(f.ctx(), incident.JobDuty, nil); err != nil || len(got) != 0 {
		f.Errorf("of no incidents: got %v, %v", got, err)
	}
}
