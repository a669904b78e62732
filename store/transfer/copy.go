package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
)

// Source is a store that is read, and not changed.
type Source interface {
	// Identity is another text as soon as anybody has opened the store to work with it.
	Identity(ctx context.Context) (string, error)
	// Unused returns an error that says who works with the store, if anybody does.
	Unused(ctx context.Context) error
	// Export calls take with all that the store holds, a page at a time and always
	// in the same order, behind the place that after names; empty is the beginning.
	Export(ctx context.Context, after string, take func(Page) error) error
	// Close releases everything.
	Close() error
}

// Page is a part of what a store holds.
type Page struct {
	Units []Unit
	// Next names the place behind it.
	Next string
}

// PageUnits and PageBytes bound a page, unless one unit alone is larger.
const (
	PageUnits = 1000
	PageBytes = 1 << 20
)

// Target is a store that is filled. From Begin to Finish nobody else can open it.
type Target interface {
	// Begin marks the store as one that is being filled. It returns what Save wrote
	// if it was already, and an error, having changed nothing, if it is in use or
	// holds anything else.
	Begin(ctx context.Context) (saved []byte, err error)
	// Clear removes all that Import and Save wrote.
	Clear(ctx context.Context) error
	// Import writes units. Writing one twice is the same as once.
	Import(ctx context.Context, units []Unit) error
	// Save keeps a text, durably and with all that was imported before.
	Save(ctx context.Context, text []byte) error
	// Export is as that of a Source.
	Export(ctx context.Context, after string, take func(Page) error) error
	// Finish writes the counters and makes the store one that can be opened.
	Finish(ctx context.Context, counts Counts) error
	// Close releases everything.
	Close() error
}

// ErrStarted means that the target holds the beginning of another copy, or of one of a
// source that was changed since.
var ErrStarted = errors.New("it holds an unfinished copy of something else, or the first store was used since that began")

// Options say how to copy; the zero value is right.
type Options struct {
	// Restart throws away what an unfinished copy left in the target.
	Restart bool
	// Watch is called now and then with how far it is.
	Watch func(Progress)
	// Workers is how many pages are worked on at a time; 0 means 2.
	Workers int
}

// Progress is how far a copy is.
type Progress struct {
	// Verifying: all is copied, and is being compared.
	Verifying bool
	// Sums are of what was copied, or compared, so far.
	Sums Sums
}

// Report is what a copy did.
type Report struct {
	// Sums are those of both stores.
	Sums Sums
	// Resumed is how many units were there already.
	Resumed uint64
	// Copied and Verified are how long the two parts took.
	Copied, Verified time.Duration
}

const (
	// saveEvery is how much work a kill may cost.
	saveEvery = 250 * time.Millisecond
	// ahead is how many pages are read before they are needed.
	ahead = 4
)

// saved is what the target keeps of an unfinished copy.
type saved struct {
	// From is the identity of the source.
	From string `json:"from"`
	// After is the place behind all that is copied, and Sums are of that.
	After string       `json:"after"`
	Sums  map[Kind]Sum `json:"sums"`
}

// Copy copies all that from holds into to, which is empty or holds a part of
// this very copy, compares the two, and makes to ready for use. After an error,
// or a kill, the same call goes on where it stopped. An error means that to
// cannot be opened yet; from is as it was.
func Copy(ctx context.Context, from Source, to Target, o Options) (Report, error) {
	c := &copying{from: from, to: to, o: o}
	if c.o.Workers == 0 {
		c.o.Workers = 2
	}
	if c.o.Watch == nil {
		c.o.Watch = func(Progress) {}
	}
	err := c.run(ctx)
	return c.report, err
}

type copying struct {
	from   Source
	to     Target
	o      Options
	report Report

	identity string
	after    string
	savedAt  time.Time
}

func (c *copying) run(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := c.copy(ctx)
	c.report.Copied = time.Since(began)
	if err != nil {
		return fmt.Errorf("store: copy: %w", err)
	}
	if err := c.unchanged(ctx); err != nil {
		return err
	}
	began = time.Now()
	counts, err := c.verify(ctx)
	c.report.Verified = time.Since(began)
	if err != nil {
		return err
	}
	if err := c.to.Finish(ctx, counts); err != nil {
		return fmt.Errorf("store: copy: finish: %w", err)
	}
	return nil
}

// begin finds out where to go on.
func (c *copying) begin(ctx context.Context) error {
	if err := c.from.Unused(ctx); err != nil {
		return err
	}
	var err error
	if c.identity, err = c.from.Identity(ctx); err != nil {
		return err
	}
	text, err := c.to.Begin(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.o.Restart:
		err = c.to.Clear(ctx)
	case len(text) > 0:
		err = c.resume(text)
	}
	if err != nil {
		return fmt.Errorf("store: copy: %w", err)
	}
	return c.save(ctx)
}

// resume goes on behind what save kept.
func (c *copying) resume(text []byte) error {
	var was saved
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("progress: %w", err)
	}
	if was.From != c.identity {
		return ErrStarted
	}
	c.after = was.After
	for k, sum := range was.Sums {
		c.report.Sums[k] = sum
	}
	c.report.Resumed = c.report.Sums.Units()
	return nil
}

func (c *copying) save(ctx context.Context) error {
	text, err := json.Marshal(saved{c.identity, c.after, c.report.Sums.byKind()})
	if err == nil {
		err = c.to.Save(ctx, text)
	}
	if err != nil {
		return fmt.Errorf("store: copy: progress: %w", err)
	}
	c.savedAt = time.Now()
	return nil
}

// copy copies what is not copied yet.
func (c *copying) copy(ctx context.Context) error {
	err := flow(ctx, c.from.Export, c.after, c.o.Workers, func(ctx context.Context, units []Unit, t *tally) error {
		if err := t.sum(units, false); err != nil {
			return err
		}
		return c.to.Import(ctx, units)
	}, func(next string, t *tally) error {
		c.after = next
		c.report.Sums.add(&t.sums)
		c.o.Watch(Progress{Sums: c.report.Sums})
		if time.Since(c.savedAt) < saveEvery {
			return nil
		}
		return c.save(ctx)
	})
	// Also after an error: what is there need not be copied again.
	if saving := c.save(context.WithoutCancel(ctx)); err == nil {
		err = saving
	}
	return err
}

// unchanged checks that nobody worked with the source meanwhile.
func (c *copying) unchanged(ctx context.Context) error {
	if err := c.from.Unused(ctx); err != nil {
		return err
	}
	now, err := c.from.Identity(ctx)
	if err != nil {
		return err
	}
	if now != c.identity {
		return errors.New("store: copy: the first store was used while it was copied: stop whoever does, and copy again from the beginning")
	}
	return nil
}

// DifferentError says that what the target holds is not what the source held.
type DifferentError struct {
	Kind      Kind
	Want, Got Sum
}

func (e *DifferentError) Error() string {
	if e.Want.Count != e.Got.Count {
		return fmt.Sprintf("%d %s were copied, and there are %d", e.Want.Count, e.Kind, e.Got.Count)
	}
	return fmt.Sprintf("the %d %s are not those that were copied: their checksum is %.16s, not %.16s", e.Got.Count, e.Kind, e.Got.Check, e.Want.Check)
}

// verify reads all that the target holds, compares it, and counts what follows from it.
func (c *copying) verify(ctx context.Context) (Counts, error) {
	var got Sums
	counts := Counts{}
	err := flow(ctx, c.to.Export, "", c.o.Workers, func(_ context.Context, units []Unit, t *tally) error {
		return t.sum(units, true)
	}, func(_ string, t *tally) error {
		got.add(&t.sums)
		for place, n := range t.counts {
			counts[place] += n
		}
		c.o.Watch(Progress{Verifying: true, Sums: got})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: copy: verify: %w", err)
	}
	var different []error
	for k, want := range c.report.Sums {
		if got[k] != want {
			different = append(different, &DifferentError{Kind(k), want, got[k]})
		}
	}
	if len(different) > 0 {
		return nil, fmt.Errorf("store: copy: verify: %w", errors.Join(different...))
	}
	return counts, nil
}

// tally is what was found on a page.
type tally struct {
	sums   Sums
	counts Counts
}

func (t *tally) sum(units []Unit, count bool) (err error) {
	var buf []byte
	for _, u := range units {
		if buf, err = t.sums.sum(u, buf); err != nil {
			return err
		}
	}
	if count {
		t.counts = Counts{}
		for _, u := range units {
			t.counts.count(u)
		}
	}
	return nil
}

// flow has workers work on pages while the next ones are read, and calls took
// for each page in their order.
func flow(ctx context.Context, export func(context.Context, string, func(Page) error) error, after string, workers int,
	work func(context.Context, []Unit, *tally) error, took func(next string, t *tally) error) error {
	type task struct {
		page  Page
		tally tally
		done  chan struct{}
	}
	g, ctx := errgroup.WithContext(ctx)
	todo, order := make(chan *task, ahead), make(chan *task, ahead)
	g.Go(func() error {
		defer close(todo)
		defer close(order)
		return export(ctx, after, func(p Page) error {
			t := &task{page: p, done: make(chan struct{})}
			for _, to := range [...]chan *task{order, todo} {
				select {
				case to <- t:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	})
	for range workers {
		g.Go(func() error {
			for t := range todo {
				if err := work(ctx, t.page.Units, &t.tally); err != nil {
					return err
				}
				close(t.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for t := range order {
			select {
			case <-t.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := took(t.page.Next, &t.tally); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}
