package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// notPlanning is planning without its window.
var notPlanning = planning[:strings.Index(planning, "maintenance:")]

// titles are what a desk was told since the last call, with the time after the start.
func (o *office) titles(target string) (list []string) {
	o.t.Helper()
	synctest.Wait()
	for _, said := range o.desks[target].heard() {
		at, title, _ := strings.Cut(strings.TrimSuffix(said, " firing=0"), " notice ")
		d, err := time.ParseDuration(at)
		if err != nil {
			o.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %s", d.Truncate(time.Minute), title))
	}
	return list
}

// told wants all targets to have been told the same.
func (o *office) told(want ...string) {
	o.t.Helper()
	for target := range o.desks {
		if got := o.titles(target); !slices.Equal(got, want) {
			o.t.Errorf("%s at %s: was told\n\t%s\nwant\n\t%s", target, time.Since(o.start), strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

// last is the text that a target was told last.
func (o *office) last(target string) string {
	all := o.desks[target].messages()
	return all[len(all)-1].Plain()
}

func (o *office) reload(text string) {
	o.t.Helper()
	o.next = text
	o.do("POST", "/-/reload", "")
}

const dba = "dba/webhook[0]"

const announcedAtOne = "1h0m0s Planned downtime: disks, Sat 2000-01-08 02:00 UTC"

// TestDowntimeIsCalledOff: who was told of a window that is taken out of the file hears
// so, once, whatever restarts, and hears it if the window is back.
func TestDowntimeIsCalledOff(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, planning)
		defer o.stop()
		o.at(2 * time.Hour)
		o.told(announcedAtOne)
		o.reload(notPlanning)
		o.at(2*time.Hour + 9*time.Minute)
		o.told() // a mistake can be put right
		o.at(3 * time.Hour)
		o.told("2h10m0s Planned downtime called off: disks, Sat 2000-01-08 02:00 UTC")
		if got, want := o.last(dba), "this does not take place:\nfrom Sat 2000-01-08 02:00 to Sat 2000-01-08 08:00 (UTC)\n"; !strings.Contains(got, want) {
			t.Errorf("got\n%swithout\n%s", got, want)
		}
		if got := o.do("GET", "/api/v1/notices", ""); !strings.Contains(got, `not any more: from Sat 2000-01-08 02:00`) || strings.Count(got, `"sent":1`) != 4 {
			t.Errorf("notices: got %s, want two that were sent to two, the first of which says that it does not hold", got)
		}
		second := o.begin(notPlanning)
		defer second()
		o.at(4 * time.Hour)
		o.told()
		o.reload(planning)
		o.at(5 * time.Hour)
		o.told("4h0m0s Planned downtime: disks, Sat 2000-01-08 02:00 UTC")
		o.at(6 * time.Hour) // the first gateway, which has an older file, keeps still
		o.told()
	})
}

// TestDowntimeIsCalledOffLate: what is taken out just before it begins is called off while
// it would have been.
func TestDowntimeIsCalledOffLate(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, strings.ReplaceAll(planning, "2000-01-08", "2000-01-01"))
		defer o.stop()
		o.at(2*time.Hour - 5*time.Minute)
		o.told("0s Planned downtime: disks, Sat 2000-01-01 02:00 UTC")
		o.reload(notPlanning)
		o.at(4 * time.Hour)
		o.told("2h5m0s Planned downtime called off: disks, Sat 2000-01-01 02:00 UTC")
	})
}

// TestDowntimeIsNotCalledOff: by nothing that is no change of a plan.
func TestDowntimeIsNotCalledOff(t *testing.T) {
	late := strings.ReplaceAll(planning, "2000-01-08", "2000-01-01")
	for name, c := range map[string]struct {
		at   time.Duration
		text string
		back time.Duration
	}{
		"it is over":                {9 * time.Hour, notPlanning, 0},
		"it has begun":              {3 * time.Hour, notPlanning, 0},
		"it is back soon":           {2 * time.Hour, notPlanning, 9 * time.Minute},
		"nobody is told any more":   {2 * time.Hour, strings.Replace(planning, "announce: [customers, dba], ", "", 1), 0},
		"somebody else answers":     {2 * time.Hour, strings.Replace(planning, "owner: ann", "owner: bob", 1), 0},
		"other people are told":     {2 * time.Hour, strings.Replace(planning, "[customers, dba]", "[dba]", 1), 0},
		"it is written differently": {2 * time.Hour, strings.Replace(planning, "from: 2000-01-08 02:00, to: 2000-01-08 08:00", `timezone: Europe/Zurich, from: "2000-01-08 03:00", to: "2000-01-08T08:00:00Z"`, 1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				first, want := planning, announcedAtOne
				if c.at > 2*time.Hour {
					first, want = late, "0s Planned downtime: disks, Sat 2000-01-01 02:00 UTC"
				}
				o := newOffice(t, first)
				defer o.stop()
				o.at(c.at)
				o.told(want)
				o.reload(c.text)
				if c.back > 0 {
					o.at(c.at + c.back)
					o.reload(planning)
				}
				o.at(c.at + 3*time.Hour)
				o.told()
			})
		})
	}
}

// TestDowntimeIsMoved: who was told hears the new times, in one message with what was
// to be told anyway.
func TestDowntimeIsMoved(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		want     []string
		text     string
	}{
		"to an earlier day": {"2000-01-07 02:00", "2000-01-07 08:00", []string{"2h10m0s Planned downtime moved: disks, Fri 2000-01-07 02:00 UTC"},
			"from Fri 2000-01-07 02:00 to Fri 2000-01-07 08:00 (UTC)\nnot any more:\nfrom Sat 2000-01-08 02:00 to Sat 2000-01-08 08:00 (UTC)\nwhat for: both controllers\n"},
		"to a later day": {"2000-01-09 02:00", "2000-01-09 08:00",
			[]string{"2h10m0s Planned downtime moved: disks, Sun 2000-01-09 02:00 UTC", "25h0m0s Planned downtime: disks, Sun 2000-01-09 02:00 UTC"},
			"from Sun 2000-01-09 02:00 to Sun 2000-01-09 08:00 (UTC)\nservices"},
		"to a later end": {"2000-01-08 02:00", "2000-01-08 09:00", []string{"2h10m0s Planned downtime moved: disks, Sat 2000-01-08 02:00 UTC"},
			"from Sat 2000-01-08 02:00 to Sat 2000-01-08 09:00 (UTC)\nnot any more:\nfrom Sat 2000-01-08 02:00 to Sat 2000-01-08 08:00 (UTC)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				o := newOffice(t, planning)
				defer o.stop()
				o.at(2 * time.Hour)
				o.told(announcedAtOne)
				o.reload(strings.NewReplacer("from: 2000-01-08 02:00", "from: "+c.from, "to: 2000-01-08 08:00", "to: "+c.to).Replace(planning))
				o.at(4 * time.Hour)
				if len(c.want) > 1 {
					o.at(26 * time.Hour)
				}
				o.told(c.want...)
				first := o.desks[dba].messages()[1].Plain()
				if len(c.want) == 1 && !strings.Contains(first, c.text) {
					t.Errorf("got\n%swithout\n%s", first, c.text)
				}
				if want := "not any more:\nfrom Sat 2000-01-08 02:00 to Sat 2000-01-08 08:00 (UTC)\n"; !strings.Contains(first, want) {
					t.Errorf("got\n%swithout\n%s", first, want)
				}
			})
		})
	}
}

// TestMovedAndBack: the last that is told is what is planned.
func TestMovedAndBack(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, planning)
		defer o.stop()
		o.at(2 * time.Hour)
		o.told(announcedAtOne)
		o.reload(strings.ReplaceAll(planning, "2000-01-08", "2000-01-07"))
		o.at(3 * time.Hour)
		o.told("2h10m0s Planned downtime moved: disks, Fri 2000-01-07 02:00 UTC")
		o.reload(planning)
		o.at(4 * time.Hour)
		o.told("3h10m0s Planned downtime moved: disks, Sat 2000-01-08 02:00 UTC")
		o.at(10 * time.Hour)
		o.told()
	})
}

// TestOlderGatewayCallsNothingOff: while one gateway plans it, a window is not called
// off by another one that does not, which has an older file.
func TestOlderGatewayCallsNothingOff(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, notPlanning)
		defer o.stop()
		newer := o.begin(planning)
		o.at(5 * time.Hour)
		o.told(announcedAtOne)
		newer()
		newer = o.begin(strings.ReplaceAll(planning, "2000-01-08", "2000-01-07"))
		o.at(10 * time.Hour)
		o.told("5h0m0s Planned downtime: disks, Fri 2000-01-07 02:00 UTC", "5h9m0s Planned downtime called off: disks, Sat 2000-01-08 02:00 UTC")
		newer() // it is rolled back: nobody plans it any more
		o.at(11 * time.Hour)
		o.told("10h9m0s Planned downtime called off: disks, Fri 2000-01-07 02:00 UTC")
	})
}

// TestMovedInARollingChange: what is moved is told in one message, while the gateways are
// changed one after the other; and what cannot wait for that does not.
func TestMovedInARollingChange(t *testing.T) {
	for name, c := range map[string]struct {
		day  string
		want []string
	}{
		"days ahead": {"2000-01-07", []string{"2h10m0s Planned downtime moved: disks, Fri 2000-01-07 02:00 UTC"}},
		"tomorrow": {"2000-01-02", []string{"2h0m0s Planned downtime: disks, Sun 2000-01-02 02:00 UTC",
			"2h10m0s Planned downtime called off: disks, Sat 2000-01-08 02:00 UTC"}},
	} {
		t.Run(name, func(t *testing.T) {
			testbubble.Test(t, func(t *testing.T) {
				moved := strings.ReplaceAll(planning, "2000-01-08", c.day)
				o := newOffice(t, planning)
				defer o.stop()
				first := o.g
				older := o.begin(planning)
				o.at(2 * time.Hour)
				o.told(announcedAtOne)
				o.g = first
				o.reload(moved)
				o.at(2*time.Hour + 45*time.Second)
				older()
				defer o.begin(moved)()
				o.at(4 * time.Hour)
				o.told(c.want...)
			})
		})
	}
}

// TestCalledOffForThoseWhoKnow: a target that was away hears of it once it is back, and
// not of a downtime that does not take place; one that nobody has tried to tell hears nothing.
func TestCalledOffForThoseWhoKnow(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, planning)
		defer o.stop()
		clients := o.desks["clients/webhook[0]"]
		clients.fail(func(context.Context, *notify.Message) error { return errors.New("perhaps it took it") })
		o.at(2 * time.Hour)
		o.reload(notPlanning)
		o.at(3 * time.Hour)
		clients.fail(nil)
		o.at(5 * time.Hour)
		if got := o.titles(dba); len(got) != 2 {
			t.Errorf("the target that was there was told %q", got)
		}
		if got := o.titles("clients/webhook[0]"); len(got) != 1 || !strings.Contains(got[0], "called off") {
			t.Errorf("the target that was away was told %q, want that it is called off", got)
		}
	})
}

// TestDailyWindow: one that is found late is told of in one message, with all its times,
// and then day by day.
func TestDailyWindow(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		daily := strings.NewReplacer("from: 2000-01-08 02:00, to: 2000-01-08 08:00", "time_intervals: [nights]").Replace(planning) +
			"time_intervals:\n  - {name: nights, time_intervals: [{times: [{start_time: '02:00', end_time: '03:00'}]}]}\n"
		o := newOffice(t, daily)
		defer o.stop()
		o.at(30 * time.Minute)
		o.told("0s Planned downtime: disks, 7 times from Sat 2000-01-01 02:00 UTC")
		text := o.last(dba)
		for day := 1; day <= 7; day++ {
			if want := fmt.Sprintf("2000-01-%02d 02:00 to ", day); strings.Count(text, want) != 1 {
				t.Errorf("got\n%swithout %q", text, want)
			}
		}
		if !strings.Contains(text, "services: db\n") || !strings.Contains(text, "this notice is shorter than the 7 days that were promised") || strings.Contains(text, "2000-01-08") {
			t.Errorf("got\n%s", text)
		}
		o.at(26 * time.Hour)
		o.told("1h0m0s Planned downtime: disks, Sat 2000-01-08 02:00 UTC", "25h0m0s Planned downtime: disks, Sun 2000-01-09 02:00 UTC")
		// One night less in the week: those that were told of hear of the one that is not.
		o.reload(strings.Replace(daily, "[{times:", "[{weekdays: ['monday:friday', sunday], times:", 1))
		o.at(27 * time.Hour)
		o.told("26h10m0s Planned downtime called off: disks, Sat 2000-01-08 02:00 UTC")
		// It is not done at all any more: one message for all that is ahead.
		o.reload(notPlanning)
		o.at(28 * time.Hour)
		o.told("27h10m0s Planned downtime called off: disks, 6 times from Mon 2000-01-03 02:00 UTC")
	})
}

// TestManyTimesInANotice: a notice does not list more than people read.
func TestManyTimesInANotice(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, strings.NewReplacer("from: 2000-01-08 02:00, to: 2000-01-08 08:00", "notice_days: 30, time_intervals: [nights]").Replace(planning)+
			"time_intervals:\n  - {name: nights, time_intervals: [{times: [{start_time: '02:00', end_time: '03:00'}]}]}\n")
		defer o.stop()
		o.at(30 * time.Minute)
		o.told("0s Planned downtime: disks, 30 times from Sat 2000-01-01 02:00 UTC")
		if text, want := o.last(dba), "\nand 11 times more, the last from Sun 2000-01-30 02:00 to Sun 2000-01-30 03:00 (UTC)\n"; strings.Count(text, "\nfrom ") != 19 || !strings.Contains(text, want) {
			t.Errorf("got\n%s", text)
		}
	})
}

// dying is the store of a gateway that is killed at one of its next writes: before or
// after it is done.
type dying struct {
	store.Store
	mu    sync.Mutex
	left  int  // guarded by mu; 0 is never
	after bool // the write is done
	dead  bool // guarded by mu
}

func (d *dying) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

func (d *dying) write(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return &store.UnavailableError{Cause: errors.New("killed")}
	}
	d.left--
	if d.dead = d.left == 0; d.dead && !d.after {
		return &store.UnavailableError{Cause: errors.New("killed")}
	}
	err := do()
	if d.dead {
		return &store.UnavailableError{Cause: errors.New("killed")}
	}
	return err
}

func (d *dying) Update(ctx context.Context, changes []incident.Change) error {
	return d.write(func() error { return d.Store.Update(ctx, changes) })
}

func (d *dying) PutDocument(ctx context.Context, doc incident.Document) (version uint64, err error) {
	err = d.write(func() (err error) { version, err = d.Store.PutDocument(ctx, doc); return err })
	return version, err
}

func (d *dying) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Lease, error) {
	if d.isDead() {
		return nil, &store.UnavailableError{Cause: errors.New("killed")}
	}
	return d.Store.Claim(ctx, limit, lease)
}

func (d *dying) Done(ctx context.Context, l store.Lease) error {
	return d.write(func() error { return d.Store.Done(ctx, l) })
}

// TestNoticesAtEachCrash kills the gateway at each write with which a window is
// announced, called off, and announced again, before and after it is done. Each target
// is told all three, in this order, and what it is told twice has the same id.
func TestNoticesAtEachCrash(t *testing.T) {
	want := []string{"Planned downtime: disks, Sat 2000-01-08 01:01 UTC", "Planned downtime called off: disks, Sat 2000-01-08 01:01 UTC", "Planned downtime: disks, Sat 2000-01-08 01:01 UTC"}
	due := strings.Replace(planning, "2000-01-08 02:00", "2000-01-08 01:01", 1) // in the first minute
	phases := []string{due, notPlanning, due}
	// minutes are until when the gateway that is killed runs, and the one after it.
	minutes := [][2]time.Duration{{2, 4}, {15, 27}, {28, 30}}
	// run reports whether the phase has so many writes.
	run := func(t *testing.T, phase, writes int, after bool) (died bool) {
		st, err := embedded.Open("mem:", embedded.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		o := &office{t: t, desks: map[string]*desk{}, start: time.Now()}
		for n, text := range phases[:phase+1] {
			d := &dying{Store: st, after: after}
			o.st = d
			end := o.begin(text)
			for _, k := range o.desks {
				k.fail(func(context.Context, *notify.Message) error {
					if d.isDead() {
						return errors.New("who was killed tells nobody")
					}
					return nil
				})
			}
			if n == phase {
				d.mu.Lock()
				d.left = writes
				d.mu.Unlock()
			}
			o.at(minutes[n][0] * time.Minute)
			died = died || d.isDead()
			end()
			o.st = st
			end = o.begin(text)
			for _, k := range o.desks {
				k.fail(nil)
			}
			o.at(minutes[n][1] * time.Minute)
			end()
		}
		for target, k := range o.desks {
			ids, titles := []string{}, []string{}
			for _, m := range k.messages() {
				if id := m.MessageID(); !slices.Contains(ids, id) {
					ids, titles = append(ids, id), append(titles, m.Incident.Title)
				}
			}
			if !slices.Equal(titles, want[:phase+1]) {
				t.Errorf("phase %d, killed at write %d (done: %v): %s was told\n\t%s", phase, writes, after, target, strings.Join(titles, "\n\t"))
			}
		}
		return died
	}
	for phase := range phases {
		for _, after := range []bool{false, true} {
			writes := 1
			for died := true; died; writes++ {
				testbubble.Test(t, func(t *testing.T) { died = run(t, phase, writes, after) })
			}
			// The plan, the notice, the jobs, each twice that it was tried and sent, and done.
			if writes < 10 {
				t.Errorf("phase %d has %d writes, which is too few to show anything", phase, writes-2)
			}
		}
	}
}
