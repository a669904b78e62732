package redis

import (
	"sync"

	"github.com/tocsin-gateway/tocsin/incident"
)

const (
	// keysRemembered bounds the keys of which this process remembers what it
	// committed last, about 4 kB each.
	keysRemembered = 1024
	// keysSeen bounds those of which it only knows the incident, about 50 bytes each.
	keysSeen = 200_000
)

// memory keeps what this process saw last of the keys that are busy. What it
// holds is never trusted unless the key's version says that nothing changed.
type memory struct {
	mu   sync.RWMutex
	m    map[incident.Key]*remembered
	seen map[incident.Key]incident.ID
}

// remembered is a key as of its version. Nobody changes it.
type remembered struct {
	id incident.ID // of the incident that the key names, zero if it names none
	// follow: reads bring the incident along, because other processes change the
	// key too, or because this one does not have it.
	follow bool
	// What this process committed, if it did: else version is empty.
	version  string
	record   record
	incident *incident.Incident
}

func (m *memory) init() {
	m.m, m.seen = map[incident.Key]*remembered{}, map[incident.Key]incident.ID{}
}

func (m *memory) get(k incident.Key) *remembered {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.m[k]; r != nil {
		return r
	}
	if id, ok := m.seen[k]; ok {
		return &remembered{id: id, follow: true}
	}
	return nil
}

func (m *memory) put(k incident.Key, r *remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.m) >= keysRemembered {
		for victim, was := range m.m { // whichever comes first
			delete(m.m, victim)
			makeRoom(m.seen, keysSeen)
			m.seen[victim] = was.id
			break
		}
	}
	m.m[k] = r
	delete(m.seen, k)
}

// see notes which incident a key names.
func (m *memory) see(k incident.Key, id incident.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	makeRoom(m.seen, keysSeen)
	m.seen[k] = id
	delete(m.m, k)
}

// makeRoom forgets something, whichever comes first.
func makeRoom[V any](m map[incident.Key]V, limit int) {
	if len(m) < limit {
		return
	}
	for victim := range m {
		delete(m, victim)
		return
	}
}
