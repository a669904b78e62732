package redis

import (
	"sync"

	"github.com/tocsin-gateway/tocsin/incident"
)

// keysRemembered bounds the keys of which this process remembers something, about 4 kB each.
const keysRemembered = 1024

// memory keeps what this process saw last of the keys that are busy. What it
// holds is never trusted unless the key's version says that nothing changed.
type memory struct {
	mu sync.RWMutex
	m  map[incident.Key]*remembered
}

// remembered is a key as of its version. Nobody changes it.
type remembered struct {
	version string
	id      incident.ID // of the incident that the key names, zero if it names none
	// shared: other processes change the key too.
	shared bool
	// header is the incident as it is stored, or, if this process committed it,
	// it is parsed, and so is the key's record.
	header   string
	parsed   bool
	record   record
	incident *incident.Incident
}

func (m *memory) init() { m.m = map[incident.Key]*remembered{} }

func (m *memory) get(k incident.Key) *remembered {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.m[k]
}

func (m *memory) put(k incident.Key, r *remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.m) >= keysRemembered {
		for victim := range m.m { // whichever comes first
			delete(m.m, victim)
			break
		}
	}
	m.m[k] = r
}
