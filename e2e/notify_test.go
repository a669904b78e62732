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
	// heard are the messages of each incident in their order.
	heard           map[string][]heardMessage
	messages, fails int
}

type heardMessage struct {
	event, state string
	firing       int
}

func newListener(t *testing.T) *listener {
	l := &listener{random: rand.New(rand.NewPCG(5, 30)), heard: map[string][]heardMessage{}}
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
	if !fails || taken {
		l.heard[m.Incident.Title] = append(l.heard[m.Incident.Title], one)
		l.messages++
	}
	if fails {
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

// TestNotificationsSurviveKills kills a gateway again and again while it tells a
// receiver, which fails three times out of ten, of 430 incidents that open, grow,
// are acknowledged and end. The last state of each arrives, in its order.
func TestNotificationsSurviveKills(t *testing.T) {
	l := newListener(t)
	dir := t.TempDir()
	config := fmt.Sprintf(`
route: {receiver: ops, group_wait: 0s, group_interval: 1s, repeat_interval: 12h}
receivers: [{name: ops, webhook_configs: [{url: %q}]}]
`, l.URL)
	const incidents, kills = 430, 10
	var mu sync.Mutex
	current := gatewayWith(t, dir, "127.0.0.1:0", config)
	gateway := func() *gateway {
		mu.Lock()
		defer mu.Unlock()
		return current
	}
	// send sends until it is taken, as Alertmanager would.
	send := func(path string, body []byte) {
		for t.Context().Err() == nil {
			if accepted(t.Context(), gateway(), path, body) == nil {
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
			for n := worker; n < incidents; n += 5 {
				send("/api/v2/alerts", alert(n, "a", false))
				send("/api/v2/alerts", alert(n, "b", false))
			}
			for n := worker; n < incidents; n += 5 {
				l.await(t, fmt.Sprint("Disk", n)) // of what nobody has heard, nobody hears the end
				send("/api/v2/alerts", alert(n, "a", true))
				send("/api/v2/alerts", alert(n, "b", true))
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 9))
	for range kills {
		time.Sleep(time.Duration(100+random.IntN(700)) * time.Millisecond)
		g := gateway()
		g.kill()
		next := gatewayWith(t, dir, "127.0.0.1:0", config)
		mu.Lock()
		current = next
		mu.Unlock()
	}
	work.Wait()
	eventually(t, 3*time.Minute, func(context.Context) error {
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
	})
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
	t.Logf("%d kills, %d messages about %d incidents, %d answers that failed, %d messages that came twice", kills, l.messages, incidents, l.fails, repeated)
	if l.messages < 2*incidents || l.fails < 100 {
		t.Errorf("%d messages and %d failures are too few to show anything", l.messages, l.fails)
	}
}
