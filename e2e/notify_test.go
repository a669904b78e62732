package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// listener is a receiver that fails three times out of ten, half of these after
// it has taken the message.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	random *rand.Rand
	// heard are the messages of each incident in their order, inARow its latest failures.
	heard           map[string][]heardMessage
	inARow          map[string]int
	messages, fails int
}

// failsInARow bounds the failures of one incident in a row: the pauses between
// attempts grow to minutes, and once in thirty runs one of many incidents met with
// seven failures by chance, which is longer than the test waits.
const failsInARow = 4

type heardMessage struct {
	event, state string
	firing       int
}

func newListener(t *testing.T) *listener {
	l := &listener{random: rand.New(rand.NewPCG(5, 30)), heard: map[string][]heardMessage{}, inARow: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(l.hear))
	t.Cleanup(func() { l.CloseClientConnections(); l.Close() })
	return l
}

func (l *listener) hear(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	var m struct {
		Alerts []struct {
			Status string `json:"status"`
		} `json:"alerts"`
		Incident struct {
			Reference string `json:"reference"`
			Title     string `json:"title"`
			Event     string `json:"event"`
			State     string `json:"state"`
		} `json:"incident"`
	}
	if err := json.Unmarshal(body, &m); err != nil || m.Incident.Title == "" {
		http.Error(w, "not understood", http.StatusBadRequest)
		return
	}
	one := heardMessage{event: m.Incident.Event, state: m.Incident.State}
	for _, a := range m.Alerts {
		if a.Status == "firing" {
			one.firing++
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fails, taken := l.random.IntN(10) < 3, l.random.IntN(2) == 0
	fails = fails && l.inARow[m.Incident.Title] < failsInARow
	if !fails || taken {
		l.heard[m.Incident.Title] = append(l.heard[m.Incident.Title], one)
		l.messages++
	}
	l.inARow[m.Incident.Title]++
	if !fails {
		l.inARow[m.Incident.Title] = 0
	} else {
		l.fails++
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// await waits until something was heard of an incident.
func (l *listener) await(t *testing.T, name string) {
	for t.Context().Err() == nil {
		l.mu.Lock()
		heard := len(l.heard[name])
		l.mu.Unlock()
		if heard > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// survival is one way in which gateways are killed while they tell people.
type survival struct {
	stores           []string
	incidents, kills int
	// outage kills the store they share, and starts it again; nil if it is their own.
	outage func()
}

// TestNotificationsSurviveKills kills gateways again and again while they tell a
// receiver, which fails three times out of ten, of incidents that open, grow and
// end. The last state of each arrives, in its order.
func TestNotificationsSurviveKills(t *testing.T) {
	t.Parallel()
	t.Run("a gateway with its own store", func(t *testing.T) {
		survival{stores: []string{"file:data"}, incidents: 430, kills: 10}.run(t)
	})
	t.Run("two gateways on Redis, which is killed too", func(t *testing.T) {
		server := durableRedis(t)
		survival{stores: sameStore(server.URL(), 2), incidents: 80, kills: 5, outage: func() { server.Kill(); server.Restart() }}.run(t)
	})
}

func (s survival) run(t *testing.T) {
	l := newListener(t)
	config := fmt.Sprintf(`
route: {receiver: ops, group_wait: 0s, group_interval: 1s, repeat_interval: 12h}
receivers: [{name: ops, webhook_configs: [{url: %q}]}]
`, l.URL)
	f := newFleet(t, config, s.stores...)
	// send sends until it is taken, as Alertmanager would, in turns to each gateway.
	send := func(path string, body []byte) {
		for n := rand.IntN(len(f)); t.Context().Err() == nil; n++ {
			if accepted(t.Context(), f[n%len(f)].running.Load().gateway, path, body) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	alert := func(n int, host string, ended bool) []byte {
		labels := map[string]string{"alertname": fmt.Sprint("Disk", n), "host": host, "severity": "critical"}
		a := map[string]any{"labels": labels, "startsAt": time.Now().Add(-time.Minute)}
		if ended {
			a["endsAt"] = time.Now()
		}
		body, err := json.Marshal([]any{a})
		if err != nil {
			t.Error(err) // unreachable: it always encodes
		}
		return body
	}
	var work sync.WaitGroup
	for worker := range 5 {
		work.Go(func() {
			for n := worker; n < s.incidents; n += 5 {
				send("/api/v2/alerts", alert(n, "a", false))
				send("/api/v2/alerts", alert(n, "b", false))
			}
			for n := worker; n < s.incidents; n += 5 {
				l.await(t, fmt.Sprint("Disk", n)) // of what nobody has heard, nobody hears the end
				send("/api/v2/alerts", alert(n, "a", true))
				send("/api/v2/alerts", alert(n, "b", true))
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 9))
	for kill := range s.kills {
		time.Sleep(time.Duration(100+random.IntN(700)) * time.Millisecond)
		if s.outage != nil && kill == s.kills/2 {
			s.outage()
		}
		m := f[random.IntN(len(f))]
		m.running.Load().kill()
		if err := m.start(t.Context(), tocsinBinary); err != nil {
			t.Fatal(err)
		}
	}
	work.Wait()
	eventually(t, 3*time.Minute, func(context.Context) error { return l.over(s.incidents) })
	l.inOrder(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages < 2*s.incidents || l.fails < s.incidents/5 {
		t.Errorf("%d messages and %d failures are too few to show anything", l.messages, l.fails)
	}
}

// over says which of so many incidents the receiver does not know to be over.
func (l *listener) over(incidents int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range incidents {
		name := fmt.Sprint("Disk", n)
		heard := l.heard[name]
		if len(heard) == 0 {
			return fmt.Errorf("%s: nothing was heard", name)
		}
		if last := heard[len(heard)-1]; last.event != "resolved" {
			return fmt.Errorf("%s: the last that was heard is %+v", name, last)
		}
	}
	return nil
}

// inOrder wants that nothing was heard of an incident after its end or before its
// beginning.
func (l *listener) inOrder(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	repeated := 0
	for name, heard := range l.heard {
		for n, m := range heard[1:] {
			switch before := heard[n]; {
			case before == m:
				repeated++ // a target that recognises the key shows it once
			case before.event == "resolved":
				t.Errorf("%s: heard %+v after it was over", name, m)
			case m.event == "opened" && before.event != "opened":
				t.Errorf("%s: opened after %+v", name, before)
			}
		}
	}
	t.Logf("%d messages about %d incidents, %d answers that failed, %d messages that came twice", l.messages, len(l.heard), l.fails, repeated)
}
