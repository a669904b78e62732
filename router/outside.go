package router

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/store"
)

// Outside is what jobs need of the tools that alerts come from. It may take long;
// the context says how long.
type Outside interface {
	// Open returns what is open at a source now, as its messages would say it.
	Open(ctx context.Context, source string) ([]alert.Alert, error)
	// WriteBack says at a source what a person did here.
	WriteBack(ctx context.Context, source string, w WriteBack) error
}

// SetOutside is called before Run, if at all.
func (p *Pipeline) SetOutside(o Outside) { p.outside = o }

const (
	// outsideTime is how long a job may wait for somebody else's tool.
	outsideTime = leaseTime - leaseKept
	// outsideAtOnce is how many jobs may wait for such tools at a time.
	outsideAtOnce = 16
)

// errNoOutside: this process knows no tools.
var errNoOutside = errors.New("router: there is nobody to ask")

// isOutside reports whether a job waits for somebody else's tool, so that all
// other jobs must not wait for it.
func isOutside(kind string) bool { return kind == jobCompare || kind == jobWriteBack }

// goOutside does such a job beside the others. One more than outsideAtOnce waits
// for its lease to end.
func (p *Pipeline) goOutside(ctx context.Context, l store.Lease) {
	select {
	case p.outsiders <- struct{}{}:
	default:
		return
	}
	p.outsideDone.Go(func() {
		defer func() { <-p.outsiders }()
		ctx, cancel := context.WithTimeout(ctx, outsideTime)
		defer cancel()
		if err := p.finish(ctx, l); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "a job waits for the store", "kind", l.Kind, "err", err)
		}
	})
}

// retryOutside is when a job that an outside tool did not let us do is tried again.
func retryOutside(attempts int) time.Duration {
	return min(5*time.Second<<min(attempts, 8), 10*time.Minute)
}
