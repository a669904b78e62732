package embedded

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tocsin-gateway/tocsin/incident"
)

// headersKept bounds the incidents, and the keys, that are kept decoded.
const headersKept = 8192

// headers keeps what was committed last, decoded. Its values are shared and
// never changed.
type headers struct {
	mu        sync.Mutex
	incidents map[incident.ID]*incident.Incident
	keys      map[incident.Key]*incident.KeyState
}

func newHeaders() *headers {
	h := &headers{}
	h.purge()
	return h
}

func (h *headers) purge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.incidents, h.keys = map[incident.ID]*incident.Incident{}, map[incident.Key]*incident.KeyState{}
}

func (h *headers) incident(id incident.ID) *incident.Incident {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.incidents[id]
}

func (h *headers) key(k incident.Key) *incident.KeyState {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys[k]
}

func (h *headers) putIncident(i *incident.Incident) {
	h.mu.Lock()
	defer h.mu.Unlock()
	makeRoom(h.incidents)
	h.incidents[i.ID] = i
}

func (h *headers) putKey(ks *incident.KeyState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	makeRoom(h.keys)
	h.keys[ks.Key] = ks
}

func (h *headers) forget(id incident.ID, k incident.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.incidents, id)
	delete(h.keys, k)
}

// makeRoom drops some entry, whichever comes first, when m is full.
func makeRoom[K comparable, V any](m map[K]V) {
	if len(m) < headersKept {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// recentKept bounds the changes that are recognised when they are sent again.
const recentKept = 1 << 14

// recent remembers the changes that were committed last. Whoever resends one
// lives in this process, so memory is enough.
type recent struct {
	mu    sync.Mutex
	known map[[16]byte]struct{}
	ring  [][16]byte
	next  int
	// doubted are those whose sync failed: only the next opening can tell.
	doubted []proof
}

// proof tells whether a change was durable: then its incident has at least the version.
type proof struct {
	change   [16]byte
	incident incident.ID
	version  uint64
}

// proofOf is taken when the store has set the versions. A change without an
// incident has none: done again, it says the same once more.
func proofOf(change [16]byte, next *incident.Next) proof {
	p := proof{change: change}
	if len(next.Incidents) > 0 {
		p.incident, p.version = next.Incidents[0].ID, next.Incidents[0].Version
	}
	return p
}

// doubt forgets changes until settle is asked about them.
func (r *recent) doubt(list []proof) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range list {
		delete(r.known, p.change)
	}
	r.doubted = append(r.doubted, list...)
}

// settle remembers the doubted changes that turn out to be durable.
func (r *recent) settle(header func(incident.ID) (*incident.Incident, error)) error {
	for _, p := range r.doubted {
		i, err := header(p.incident)
		if err != nil {
			return err
		}
		if i != nil && i.Version >= p.version {
			r.add(p.change)
		}
	}
	r.doubted = nil
	return nil
}

func (r *recent) purge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.ring, r.next = map[[16]byte]struct{}{}, nil, 0
}

func (r *recent) seen(id [16]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.known[id]
	return ok
}

func (r *recent) add(id [16]byte) {
	if id == ([16]byte{}) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < recentKept {
		r.ring = append(r.ring, id)
	} else {
		delete(r.known, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % recentKept
	}
	r.known[id] = struct{}{}
}

// numbers gives out the numbers of references. The stored ones are the largest
// that were committed; the ones in memory run ahead of them.
type numbers struct {
	mu   sync.Mutex
	last map[string]int64
}

func (n *numbers) init() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = map[string]int64{}
}

func (n *numbers) take(s *Store, day string, shard byte) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := numberKey(day, shard)
	if _, ok := n.last[string(key)]; !ok {
		v, closer, err := s.db.Get(key)
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return 0, err
		}
		if err == nil {
			n.last[string(key)] = parseNumber(v)
			if err := closer.Close(); err != nil {
				return 0, err
			}
		}
	}
	n.last[string(key)]++
	return n.last[string(key)], nil
}
