package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// Two gateways on one Redis tell people as one would: what one of them knows of a
// target the other one heeds.

// desk is a receiver that takes everything.
type desk struct {
	*httptest.Server
	mu   sync.Mutex
	took []message
}

// message is one that arrived at a desk.
type message struct {
	at        time.Time
	event     string
	key       string
	reference string
	// title is the name of the alert.
	title string
	links map[string]string
	// lines are the references that a digest lists.
	lines []string
}

func newDesk(t *testing.T) *desk {
	d := &desk{}
	d.Server = httptest.NewServer(http.HandlerFunc(d.take))
	t.Cleanup(func() { d.CloseClientConnections(); d.Close() })
	return d
}

func (d *desk) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	var b struct {
		GroupKey string `json:"groupKey"`
		Alerts   []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
		Incident struct {
			Reference string `json:"reference"`
			Title     string `json:"title"`
			Event     string `json:"event"`
			Links     []struct {
				Name string `json:"name"`
				URL  string `json:"url"`
			} `json:"links"`
		} `json:"incident"`
	}
	if err := json.Unmarshal(body, &b); err != nil || b.Incident.Reference == "" {
		http.Error(w, "not understood", http.StatusBadRequest)
		return
	}
	m := message{at: time.Now(), event: b.Incident.Event, key: b.GroupKey, reference: b.Incident.Reference, links: map[string]string{}}
	m.title, _, _ = strings.Cut(b.Incident.Title, " · ")
	for _, l := range b.Incident.Links {
		m.links[l.Name] = l.URL
	}
	if m.event == "digest" {
		for _, a := range b.Alerts {
			m.lines = append(m.lines, a.Labels["incident"])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took = append(d.took, m)
}

func (d *desk) messages() []message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.took)
}

// heard are the events that a desk heard of what has the title.
func (d *desk) heard(title string) (events []string) {
	for _, m := range d.messages() {
		if m.title == title {
			events = append(events, m.event)
		}
	}
	return events
}

// await waits for the n-th message about what has the title.
func (d *desk) await(t *testing.T, within time.Duration, title string, n int) (m message) {
	t.Helper()
	eventually(t, within, func(context.Context) error {
		left := n
		for _, m = range d.messages() {
			if m.title == title {
				if left--; left == 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("the desk heard %+v, want %d messages about %s", d.messages(), n, title)
	})
	return m
}

// times counts how often each incident was told: alone, and in a digest.
func (d *desk) times() (told map[string]int, alone, digests []time.Time) {
	told = map[string]int{}
	for _, m := range d.messages() {
		if m.event == "digest" {
			digests = append(digests, m.at)
			for _, line := range m.lines {
				told[line]++
			}
			continue
		}
		alone = append(alone, m.at)
		told[m.reference]++
	}
	return told, alone, digests
}

// oneDesk is a configuration with one receiver, and more after it.
func oneDesk(d *desk, wait time.Duration, more string) string {
	return fmt.Sprintf("route: {receiver: ops, group_wait: %s, group_interval: 1s, repeat_interval: 12h}\nreceivers: [{name: ops, webhook_configs: [{url: %q}]}]\n%s", wait, d.URL, more)
}

// reports posts one alert to a member, again until it is taken.
func reports(ctx context.Context, m *member, labels map[string]string, ended bool) error {
	a := map[string]any{"labels": labels, "startsAt": time.Now().Add(-time.Minute)}
	if ended {
		a["endsAt"] = time.Now()
	}
	body, err := json.Marshal([]any{a})
	if err != nil {
		return err // unreachable: it always encodes
	}
	for {
		if err = accepted(ctx, m.running.Load().gateway, "/api/v2/alerts", body); err == nil || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// blow opens so many incidents, in turns at each gateway.
func blow(t *testing.T, f fleet, name string, incidents int) {
	t.Helper()
	var work sync.WaitGroup
	for worker := range 4 {
		work.Go(func() {
			for n := worker; n < incidents; n += 4 {
				labels := map[string]string{"alertname": fmt.Sprint(name, n), "host": "a", "severity": "critical"}
				if err := reports(t.Context(), f[n%len(f)], labels, false); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

// all waits until the desk was told of so many incidents at least.
func (d *desk) all(t *testing.T, incidents int) {
	t.Helper()
	eventually(t, 3*time.Minute, func(context.Context) error {
		if told, _, _ := d.times(); len(told) < incidents {
			return fmt.Errorf("the desk heard of %d incidents, want %d", len(told), incidents)
		}
		return nil
	})
}

// most is how many of the times lie within a period.
func most(at []time.Time, within time.Duration) (n int) {
	for i := range at {
		for k := i; k < len(at) && at[k].Sub(at[i]) < within; k++ {
			n = max(n, k-i+1)
		}
	}
	return n
}

// TestStormOverGateways: both gateways together tell a target no more one by one
// than it wants, and one digest after another lists the rest, each incident once.
// When one of them is killed meanwhile, the other one's digests list what it knew.
func TestStormOverGateways(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const messages, within, incidents = 8, 6 * time.Second, 150
	f := newFleet(t, oneDesk(d, 0, fmt.Sprintf("notify: {storms: {webhook: {messages: %d, within: %s}}}\n", messages, within)), sameStore(redistest.Single(t).URL(), 2)...)
	blow(t, f, "Storm", incidents)
	d.all(t, incidents)
	told, alone, digests := d.times()
	for reference, n := range told {
		if n != 1 {
			t.Errorf("%s was told %d times, want once", reference, n)
		}
	}
	// When it arrives here differs a little from when it was sent.
	const unsharp = within / 4
	if n := most(alone, within-unsharp); n > messages {
		t.Errorf("%d messages one by one within %s, want at most %d", n, within, messages)
	}
	if n := most(digests, within-unsharp); n != 1 {
		t.Errorf("%d digests within %s, want one", n, within)
	}
	t.Logf("%d incidents: %d messages and %d digests", incidents, len(alone), len(digests))

	blow(t, f, "Gust", incidents)
	f[0].running.Load().kill()
	d.all(t, 2*incidents)
	told, _, _ = d.times()
	repeated := 0
	for _, n := range told {
		repeated += n - 1
	}
	// The one that was killed may have sent as many as it sends at a time, or a digest,
	// and not have noted it.
	t.Logf("after a kill %d of %d were told again", repeated, 2*incidents)
	if len(told) != 2*incidents {
		t.Errorf("told of %d incidents, want %d", len(told), 2*incidents)
	}
}

// TestDependencyOverGateways: what depends on an incident that another gateway
// has opened is held, linked to it, and told when that is over.
func TestDependencyOverGateways(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	f := newFleet(t, oneDesk(d, 4*time.Second, "services: [{name: db}, {name: shop, depends_on: [db]}]\n"), sameStore(redistest.Single(t).URL(), 2)...)
	db := map[string]string{"alertname": "DatabaseDown", "service": "db", "severity": "critical"}
	shop := map[string]string{"alertname": "ShopDown", "service": "shop", "severity": "critical"}
	other := map[string]string{"alertname": "MailDown", "service": "mail", "severity": "critical"}
	say := func(m *member, labels map[string]string, ended bool) {
		t.Helper()
		if err := reports(t.Context(), m, labels, ended); err != nil {
			t.Fatal(err)
		}
	}
	say(f[0], db, false)
	say(f[1], shop, false)
	say(f[0], other, false)
	d.await(t, soon, "MailDown", 1) // opened after both: what is told of them was told by then
	parent := d.await(t, soon, "DatabaseDown", 1)
	eventually(t, soon, func(ctx context.Context) error {
		all, err := f[1].running.Load().incidents(ctx)
		if err != nil {
			return err
		}
		for _, i := range all {
			if strings.HasPrefix(i.Title, "ShopDown") {
				entries, err := f[1].running.Load().timeline(ctx, i.ID)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(entries, func(e Entry) bool { return strings.Contains(e.Text, parent.reference) }) {
					return nil
				}
				return fmt.Errorf("its timeline says %+v, want that %s holds it", entries, parent.reference)
			}
		}
		return fmt.Errorf("ShopDown is not among %+v", all)
	})
	if got := d.heard("ShopDown"); len(got) != 0 {
		t.Errorf("ShopDown: heard %v while the database is down, want nothing", got)
	}
	say(f[1], db, true)
	if m := d.await(t, soon, "DatabaseDown", 2); m.event != "resolved" {
		t.Errorf("DatabaseDown: heard %+v, want that it is resolved", m)
	}
	// It is looked at again every half minute.
	if m := d.await(t, 3*soon, "ShopDown", 1); m.event != "opened" {
		t.Errorf("ShopDown: heard %+v, want that it is open", m)
	}
	say(f[0], shop, true)
	d.await(t, soon, "ShopDown", 2)
	if got := d.heard("ShopDown"); !slices.Equal(got, []string{"opened", "resolved"}) {
		t.Errorf("ShopDown: heard %v", got)
	}
}

// TestAnswersOverGateways: a link that is followed and a button that is pressed at
// both gateways at once act once, and what comes again later does nothing.
func TestAnswersOverGateways(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const signing = "a-signing-secret-of-the-tests"
	f := newFleet(t, oneDesk(d, 0, "answers: {slack: {signing_secrets: ["+signing+"]}}\n"), sameStore(redistest.Single(t).URL(), 2)...)
	for n, name := range []string{"Link", "Button"} {
		if err := reports(t.Context(), f[n], map[string]string{"alertname": name, "severity": "critical"}, false); err != nil {
			t.Fatal(err)
		}
	}
	byLink, byButton := d.await(t, soon, "Link", 1), d.await(t, soon, "Button", 1)

	// everywhere sends the same to both gateways, several times at once.
	everywhere := func(prepare func(base string) (*http.Request, error)) (answers []string) {
		t.Helper()
		var mu sync.Mutex
		var work sync.WaitGroup
		for n := range 10 {
			work.Go(func() {
				r, err := prepare("http://" + f[n%2].running.Load().addr)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("got %d %s, %v", resp.StatusCode, body, err)
				}
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, string(body))
			})
		}
		work.Wait()
		return answers
	}
	// acts counts what the timeline of an incident says of an action.
	acts := func(reference, action string) (n int) {
		t.Helper()
		entries, err := f[0].running.Load().timeline(t.Context(), reference)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Action == action {
				n++
			}
		}
		return n
	}

	link, err := url.Parse(byLink.links["acknowledge"])
	if err != nil || link.Path == "" {
		t.Fatalf("got %q, %v; want a link", byLink.links["acknowledge"], err)
	}
	post := func(path string, form url.Values, headers ...string) func(string) (*http.Request, error) {
		return func(base string) (*http.Request, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, strings.NewReader(form.Encode()))
			if err != nil {
				return nil, err
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			return r, nil
		}
	}
	everywhere(post(link.Path, url.Values{"name": {"Ann"}}))
	if n := acts(byLink.reference, "acknowledged"); n != 1 {
		t.Errorf("the link acknowledged %d times, want once", n)
	}

	payload := fmt.Sprintf(`{"type":"block_actions","user":{"id":"U1","name":"bob"},"actions":[{"action_id":"tocsin_acknowledge","value":%q,"action_ts":"1.1"}]}`, byButton.key)
	form := url.Values{"payload": {payload}}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(signing))
	fmt.Fprintf(mac, "v0:%s:%s", at, form.Encode())
	button := post("/hooks/slack", form, "X-Slack-Request-Timestamp", at, "X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	everywhere(button)
	if n := acts(byButton.reference, "acknowledged"); n != 1 {
		t.Errorf("the button acknowledged %d times, want once", n)
	}
	status, answer, err := do(t.Context(), http.MethodPost, "http://"+f[0].running.Load().addr+"/api/v1/incidents/"+byButton.reference+"/unacknowledge", []byte(`{"by":"cleo"}`))
	if err != nil || status != http.StatusOK {
		t.Fatalf("got %d %s, %v", status, answer, err)
	}
	everywhere(button)
	if n := acts(byButton.reference, "acknowledged"); n != 1 {
		t.Errorf("what came again acknowledged, %d times in all", n)
	}
}
