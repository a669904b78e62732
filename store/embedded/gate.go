package embedded

import "sync"

// gate knows which commits can be seen but are not synced yet. Each takes a
// ticket before it is applied and gives it back when it is synced.
type gate struct {
	mu      sync.Mutex
	changed *sync.Cond
	next    uint64
	pending map[uint64]struct{}
	err     error
}

func (g *gate) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil {
		g.changed = sync.NewCond(&g.mu)
	}
	g.pending, g.err = map[uint64]struct{}{}, nil
	g.changed.Broadcast()
}

func (g *gate) begin() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next++
	g.pending[g.next] = struct{}{}
	return g.next
}

func (g *gate) end(ticket uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pending, ticket)
	g.changed.Broadcast()
}

// fail lets everybody who waits, and who will, know that the syncs failed.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
	g.changed.Broadcast()
}

// wait returns when all that could be seen on the call is synced.
func (g *gate) wait() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	upTo := g.next
	for {
		if g.err != nil {
			return g.err
		}
		waiting := false
		for ticket := range g.pending {
			waiting = waiting || ticket <= upTo
		}
		if !waiting {
			return nil
		}
		g.changed.Wait()
	}
}
