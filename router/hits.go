package router

import (
	"sync"
	"sync/atomic"

	"github.com/tocsin-gateway/tocsin/dedupe"
)

// hits counts, by their names, the alerts that rules decided about, since this
// process began. Alerts that are sent again count again.
type hits struct {
	mu                     sync.Mutex
	classified, correlated map[string]*atomic.Uint64
}

// count lets r count with what was counted before.
func (h *hits) count(r *rules) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.classified == nil {
		h.classified, h.correlated = map[string]*atomic.Uint64{}, map[string]*atomic.Uint64{}
	}
	r.classified, r.correlated = []*atomic.Uint64{}, map[string]*atomic.Uint64{}
	for i := range r.classifier.rules {
		r.classified = append(r.classified, counter(h.classified, r.classifier.rules[i].Name))
	}
	for _, name := range []string{dedupe.DefaultRule, dedupe.HostRule, dedupe.GroupRule} {
		r.correlated[name] = counter(h.correlated, name)
	}
	for _, rule := range r.Correlate.Rules {
		r.correlated[rule.Name] = counter(h.correlated, rule.Name)
	}
}

func counter(of map[string]*atomic.Uint64, name string) *atomic.Uint64 {
	if of[name] == nil {
		of[name] = &atomic.Uint64{}
	}
	return of[name]
}

// Hits says how many alerts each rule of classify matched, and how many each rule of
// correlate placed, since this process began, by the names of the rules.
func (p *Pipeline) Hits() (classified, correlated map[string]uint64) {
	p.hits.mu.Lock()
	defer p.hits.mu.Unlock()
	read := func(of map[string]*atomic.Uint64) map[string]uint64 {
		out := map[string]uint64{}
		for name, n := range of {
			out[name] = n.Load()
		}
		return out
	}
	return read(p.hits.classified), read(p.hits.correlated)
}
