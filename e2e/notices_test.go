package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// noticeWindows are announced while gateways are killed, noticesApart after each other.
	noticeWindows = 40
	noticesApart  = 700 * time.Millisecond
)

// readers are receivers of notices, by path, that fail three times out of ten, half of
// these after they have taken the message.
type readers struct {
	*httptest.Server
	mu     sync.Mutex
	random *rand.Rand
	// took counts the messages by receiver and title, and by their key there.
	took   map[string]map[string]int
	inARow map[string]int
	fails  int
}

func newReaders(t *testing.T) *readers {
	n := &readers{random: rand.New(rand.NewPCG(7, 24)), took: map[string]map[string]int{}, inARow: map[string]int{}}
	n.Server = httptest.NewServer(http.HandlerFunc(n.take))
	t.Cleanup(func() { n.CloseClientConnections(); n.Close() })
	return n
}

func (n *readers) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	var m struct {
		Event string `json:"event"`
		Title string `json:"title"`
	}
	key := r.Header.Get("Idempotency-Key")
	if err := json.Unmarshal(body, &m); err != nil || m.Event != "notice" || key == "" {
		http.Error(w, "not understood", http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	id := strings.TrimPrefix(r.URL.Path, "/") + ": " + m.Title
	fails, taken := n.random.IntN(10) < 3, n.random.IntN(2) == 0
	fails = fails && n.inARow[id] < failsInARow
	if !fails || taken {
		if n.took[id] == nil {
			n.took[id] = map[string]int{}
		}
		n.took[id][key]++
	}
	n.inARow[id]++
	if !fails {
		n.inARow[id] = 0
	} else {
		n.fails++
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// want wants each receiver to have been told of so many titles with the prefix, each
// under one key.
func (n *readers) want(titles int, prefix string, receivers ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range receivers {
		heard := 0
		for id, keys := range n.took {
			if strings.HasPrefix(id, r+": "+prefix) {
				heard++
			}
			if len(keys) > 1 {
				return fmt.Errorf("%s was told under %d keys", id, len(keys))
			}
		}
		if heard != titles {
			return fmt.Errorf("%s was told of %d, want %d", r, heard, titles)
		}
	}
	return nil
}

// noticesConfig has windows whose notices are due one after the other from a time on.
func noticesConfig(receiver string, from time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
route: {receiver: dba}
receivers:
  - name: dba
    generic_configs: [{url: "%[1]s/dba"}]
  - name: clients
    generic_configs: [{url: "%[1]s/clients"}]
process: {profile: none}
maintenance:
`, receiver)
	for n := range noticeWindows {
		begins := from.Add(time.Duration(n)*noticesApart+time.Hour).AddDate(0, 0, 7)
		fmt.Fprintf(&b, "  - {name: w%02d, matchers: ['service=\"db\"'], from: %q, to: %q, announce: [clients, dba]}\n",
			n, begins.Format(time.RFC3339Nano), begins.Add(time.Hour).Format(time.RFC3339Nano))
	}
	return b.String()
}

// TestNoticesSurviveKills kills gateways while they announce windows: before and after
// what they write down of a notice, before and after the jobs that tell its targets,
// and at random. Each target is told of each window, and what it is told twice has the
// same key.
func TestNoticesSurviveKills(t *testing.T) {
	t.Parallel()
	trials := func(t *testing.T, rounds int, outage func(), stores ...string) {
		t.Parallel()
		binary, err := failpointBinary()
		if err != nil {
			t.Fatal(err)
		}
		n := newReaders(t)
		f := newFleet(t, "{}\n", stores...)
		config := noticesConfig(n.URL, time.Now().UTC().Truncate(time.Second).Add(2*time.Second))
		for _, m := range f {
			m.running.Load().kill()
			if err := m.configure(config); err != nil {
				t.Fatal(err)
			}
		}
		random, reached := rand.New(rand.NewPCG(3, 8)), map[string]int{}
		start := func(m *member, binary string, environment ...string) (alive bool) {
			err := m.start(t.Context(), binary, environment...)
			if early := new(exitError); errors.As(err, &early) && early.hard() {
				return false
			}
			if err != nil {
				t.Fatal(err)
			}
			return true
		}
		points := []string{"before-document", "after-document", "before-commit", "after-commit"}
		for round := range rounds {
			point := points[round%len(points)]
			for _, m := range f {
				m.running.Load().kill() // whatever it is at
				// One that was killed before it was ready leaves the one that was killed above.
				start(m, binary, fmt.Sprintf("TOCSIN_FAILPOINT=%s:%d", point, 1+random.IntN(3)))
			}
			for _, m := range f {
				select {
				case <-m.running.Load().process.exited:
					reached[point]++
				case <-time.After(5 * time.Second): // so much was not due: that is a kill at random
					m.running.Load().kill()
					reached["at random"]++
				}
			}
			if outage != nil && round == rounds/2 {
				outage()
			}
			for _, m := range f {
				if !start(m, tocsinBinary) {
					t.Fatal("a process without a failpoint was killed")
				}
			}
		}
		eventually(t, 3*time.Minute, func(context.Context) error { return n.want(noticeWindows, "Planned downtime: w", "clients", "dba") })
		n.mu.Lock()
		defer n.mu.Unlock()
		messages := 0
		for _, keys := range n.took {
			for _, times := range keys {
				messages += times
			}
		}
		t.Logf("%d messages for %d notices to two targets, %d answers that failed; kills: %v", messages, noticeWindows, n.fails, reached)
		for _, what := range []string{"document", "commit"} {
			if reached["before-"+what]+reached["after-"+what] == 0 {
				t.Errorf("no process was killed at a %s", what)
			}
		}
	}
	t.Run("a gateway with its own store", func(t *testing.T) { trials(t, 8, nil, "file:data") })
	t.Run("two gateways on Redis, which is killed too", func(t *testing.T) {
		server := durableRedis(t)
		trials(t, 8, func() { server.Kill(); server.Restart() }, sameStore(server.URL(), 2)...)
	})
}
