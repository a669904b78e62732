package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/testbubble"
)

// desk is a target that writes down what it is told.
type desk struct {
	mu   sync.Mutex
	said []string
	got  []*notify.Message
	// answer, if set, is asked before a message counts as told.
	answer func(ctx context.Context, m *notify.Message) error
	start  time.Time
}

func (d *desk) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	d.mu.Lock()
	answer := d.answer
	d.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, m); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, m)
	d.said = append(d.said, fmt.Sprintf("%s %s %s firing=%d", m.SentAt.Sub(d.start).Round(time.Second), m.Event, m.Incident.Title, m.Incident.Alerts.Firing))
	return notify.Memory{"sent": fmt.Sprint(len(d.said))}, nil
}

func (d *desk) fail(answer func(ctx context.Context, m *notify.Message) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// heard returns what was said since the last call.
func (d *desk) heard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := d.said
	d.said = nil
	return said
}

// messages are those that it was told so far.
func (d *desk) messages() []*notify.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// office is a gateway on a virtual clock whose receivers are desks, one for each
// webhook of the configuration.
type office struct {
	t     *testing.T
	g     *gateway.Gateway
	st    store.Store
	desks map[string]*desk
	start time.Time
	stop  func()
	// next is what the next reload loads.
	next string
}

func newOffice(t *testing.T, text string) *office {
	t.Helper()
	st, err := embedded.Open("mem:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, st: st, desks: map[string]*desk{}, start: time.Now()}
	end := o.begin(text)
	o.stop = func() {
		end()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
	return o
}

// begin runs a gateway, which may be another one, on the store of the office, until
// the returned function is called.
func (o *office) begin(text string) (end func()) {
	o.t.Helper()
	c, err := config.Load([]byte(text), "test.yml")
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.g, err = gateway.New(ctx, gateway.Options{Store: o.st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Load: func() (*config.Config, error) { return config.Load([]byte(o.next), "test.yml") }, External: &url.URL{Scheme: "https", Host: "tocsin.example.com"},
		Receivers: func(r receivers.Options) (map[string]*notify.Integration, error) {
			all := map[string]*notify.Integration{}
			for _, receiver := range r.Alertmanager.Receivers {
				for n := range receiver.WebhookConfigs {
					in := &notify.Integration{Name: "webhook", Index: n, Receiver: receiver.Name, SendResolved: true, Acknowledges: true}
					if s := r.Config.Storms["webhook"]; s.Messages > 0 {
						in.Storm = notify.Storm{Messages: s.Messages, Within: time.Duration(s.Within)}
					}
					d := o.desks[in.Target()]
					if d == nil {
						d = &desk{start: o.start}
						o.desks[in.Target()] = d
					}
					in.Sender = d
					all[in.Target()] = in
				}
			}
			return all, nil
		}})
	if err != nil {
		o.t.Fatal(err)
	}
	done, g := make(chan error, 1), o.g
	go func() { done <- g.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Error(err)
		}
	}
}

func (o *office) do(method, path, body string) string {
	o.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	o.g.Engine.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		o.t.Fatalf("%s %s: got %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

// alert sends one alert; ended says that it is over.
func (o *office) alert(name, host, severity string, ended bool) {
	o.t.Helper()
	end := ""
	if ended {
		end = `,"endsAt":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"`
	}
	o.do("POST", "/api/v2/alerts", fmt.Sprintf(`[{"labels":{"alertname":%q,"host":%q,"severity":%q},"startsAt":%q%s}]`, name, host, severity, o.start.UTC().Format(time.RFC3339Nano), end))
}

// at lets time pass until that long after the start.
func (o *office) at(d time.Duration) {
	time.Sleep(time.Until(o.start.Add(d)))
	synctest.Wait()
}

func (o *office) heard(target string, want ...string) {
	o.t.Helper()
	synctest.Wait()
	if got := o.desks[target].heard(); !slices.Equal(got, want) {
		o.t.Errorf("%s at %s: heard\n\t%s\nwant\n\t%s", target, time.Since(o.start), strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// reference is the only incident's name.
func (o *office) reference() string {
	o.t.Helper()
	list := o.do("GET", "/api/v1/incidents", "")
	_, rest, ok := strings.Cut(list, `"reference":"`)
	if !ok {
		o.t.Fatalf("no incident in %s", list)
	}
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

const oneDesk = `
route: {receiver: ops, group_wait: 30s, group_interval: 5m, repeat_interval: 40m}
receivers: [{name: ops, webhook_configs: [{url: "http://127.0.0.1:1/"}]}]
`

// TestToldAsOftenAsNeeded: once after group_wait, news after group_interval, the
// same again after repeat_interval until somebody works on it, and the end.
func TestToldAsOftenAsNeeded(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		const ops = "ops/webhook[0]"
		o.alert("Disk", "a", "warning", false)
		o.at(20 * time.Second)
		o.alert("Disk", "b", "warning", false)
		o.heard(ops)
		o.at(31 * time.Second)
		o.heard(ops, "30s opened Disk firing=2")
		o.at(time.Minute)
		o.alert("Disk", "c", "warning", false)
		o.at(5 * time.Minute)
		o.heard(ops)
		o.at(6 * time.Minute)
		o.heard(ops, "5m30s updated Disk firing=3")
		o.alert("Disk", "a", "warning", false) // a repeat is no news
		o.at(40 * time.Minute)
		o.heard(ops)
		o.at(46 * time.Minute)
		o.heard(ops, "45m30s repeated Disk firing=3")
		o.do("POST", "/api/v1/incidents/"+o.reference()+"/acknowledge", `{"by":"alice"}`)
		o.at(47 * time.Minute)
		o.heard(ops, "46m0s acknowledged Disk firing=3")
		o.at(2 * time.Hour)
		o.heard(ops)
		o.alert("Disk", "a", "warning", true)
		o.at(2*time.Hour + time.Minute)
		o.heard(ops, "2h0m30s updated Disk firing=2")
		o.alert("Disk", "b", "warning", true)
		o.alert("Disk", "c", "warning", true)
		o.at(2*time.Hour + 5*time.Minute)
		o.heard(ops)
		o.at(2*time.Hour + 7*time.Minute)
		o.heard(ops, "2h5m30s resolved Disk firing=0")
		o.at(3 * time.Hour)
		o.heard(ops)
	})
}

// TestToldNothing: what is over before anybody was told needs no message.
func TestToldNothing(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		o.alert("Blip", "a", "warning", false)
		o.at(10 * time.Second)
		o.alert("Blip", "a", "warning", true)
		o.at(2 * time.Hour)
		o.heard("ops/webhook[0]")
	})
}

// TestAPersonsWordIsToldAtOnce: nobody waits for group_interval to hear that a
// person resolved it, or took the acknowledgement back.
func TestAPersonsWordIsToldAtOnce(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		o.alert("Disk", "a", "warning", false)
		o.at(40 * time.Second)
		name := o.reference()
		for _, action := range []string{"acknowledge", "unacknowledge", "resolve", "reopen"} {
			o.do("POST", "/api/v1/incidents/"+name+"/"+action, `{"by":"alice"}`)
			o.at(time.Since(o.start) + time.Second)
		}
		o.heard("ops/webhook[0]", "30s opened Disk firing=1", "40s acknowledged Disk firing=1", "41s unacknowledged Disk firing=1", "42s resolved Disk firing=1", "43s opened Disk firing=1")
	})
}

const escalating = `
route:
  receiver: ops
  group_wait: 10s
  routes:
    - {matchers: ['severity="critical"'], receiver: pager, group_wait: 0s, continue: true}
    - {receiver: ops}
receivers:
  - {name: ops, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
  - {name: pager, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
`

// TestWorseIsToldAtOnceAndToMore: a severity that rises leads to those who are
// told of such, and all who were told hear the end.
func TestWorseIsToldAtOnceAndToMore(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, escalating)
		defer o.stop()
		o.alert("Disk", "a", "warning", false)
		o.at(time.Minute)
		o.heard("ops/webhook[0]", "10s opened Disk firing=1")
		o.alert("Disk", "b", "critical", false)
		o.at(2 * time.Minute)
		o.heard("ops/webhook[0]", "1m0s updated Disk firing=2")
		o.heard("pager/webhook[0]", "1m0s opened Disk firing=2")
		o.do("POST", "/api/v1/incidents/"+o.reference()+"/severity", `{"by":"alice","severity":"info"}`)
		o.at(3 * time.Minute)
		o.alert("Disk", "a", "warning", true)
		o.alert("Disk", "b", "critical", true)
		o.at(20 * time.Minute)
		o.heard("ops/webhook[0]", "2m0s updated Disk firing=2", "7m0s resolved Disk firing=0")
		o.heard("pager/webhook[0]", "2m0s updated Disk firing=2", "7m0s resolved Disk firing=0")
	})
}

// TestOrderOfAlerts: of a message those that fire come first, then the worst in
// the configured sense, then the oldest, also where more fire than it shows.
func TestOrderOfAlerts(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, "classify: {severities: [red, amber, green], default_severity: amber}\n"+oneDesk)
		defer o.stop()
		const ops = "ops/webhook[0]"
		send := func(host, severity string, started time.Duration, ended bool) {
			end := ""
			if ended {
				end = fmt.Sprintf(`,"endsAt":%q`, time.Now().UTC().Format(time.RFC3339Nano))
			}
			o.do("POST", "/api/v2/alerts", fmt.Sprintf(`[{"labels":{"alertname":"Disk","host":%q,"severity":%q},"startsAt":%q%s}]`,
				host, severity, o.start.Add(started).UTC().Format(time.RFC3339Nano), end))
		}
		shown := func(n int) (hosts []string) {
			t.Helper()
			d := o.desks[ops]
			d.mu.Lock()
			defer d.mu.Unlock()
			if len(d.got) == 0 {
				t.Fatal("nothing was heard")
			}
			for _, a := range d.got[len(d.got)-1].Alerts[:n] {
				hosts = append(hosts, a.Host())
			}
			return hosts
		}
		send("green", "green", -time.Hour, false)
		send("amber, young", "amber", -time.Minute, false)
		send("red, over", "red", -time.Hour, false)
		send("amber, old", "amber", -10*time.Minute, false)
		send("red", "red", 0, false)
		send("red, over", "red", -time.Hour, true)
		o.at(time.Minute)
		if got, want := shown(5), []string{"red", "amber, old", "amber, young", "green", "red, over"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for n := range 2 * notify.AlertsShown {
			send(fmt.Sprint("more ", n), "green", 0, false)
		}
		send("red, last", "red", time.Minute, false)
		o.at(10 * time.Minute)
		if got, want := shown(5), []string{"red", "red, last", "amber, old", "amber, young", "green"}; !slices.Equal(got, want) {
			t.Errorf("of many: got %q, want %q", got, want)
		}
	})
}

// TestReceiverDownForAnHour: it recovers by itself, and hears how things are now,
// once, and not what it missed.
func TestReceiverDownForAnHour(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		down := errors.New("refused")
		o.desks["ops/webhook[0]"].fail(func(context.Context, *notify.Message) error { return down })
		for n := range 10 {
			o.alert(fmt.Sprint("Disk", n), "a", "warning", false)
		}
		o.at(20 * time.Minute)
		for n := range 10 {
			o.alert(fmt.Sprint("Disk", n), "b", "warning", false)
			if n < 4 {
				o.alert(fmt.Sprint("Disk", n), "a", "warning", true)
				o.alert(fmt.Sprint("Disk", n), "b", "warning", true)
			}
		}
		o.at(time.Hour)
		o.desks["ops/webhook[0]"].fail(nil)
		o.at(time.Hour + 6*time.Minute) // the longest pause is five minutes
		got := o.desks["ops/webhook[0]"].heard()
		var now []string
		for _, line := range got {
			_, said, _ := strings.Cut(line, " ")
			now = append(now, said)
		}
		slices.Sort(now)
		// It may know of those that are over: an error does not say that it did not take them.
		if want := []string{"opened Disk4 firing=2", "opened Disk5 firing=2", "opened Disk6 firing=2", "opened Disk7 firing=2", "opened Disk8 firing=2", "opened Disk9 firing=2",
			"resolved Disk0 firing=0", "resolved Disk1 firing=0", "resolved Disk2 firing=0", "resolved Disk3 firing=0"}; !slices.Equal(now, want) {
			t.Errorf("heard\n\t%s\nwant how each is now, once", strings.Join(now, "\n\t"))
		}
		o.at(time.Hour + 30*time.Minute)
		o.heard("ops/webhook[0]")
	})
}

// TestOneThatHangsDelaysNoOther: a target that never answers has its own lane.
func TestOneThatHangsDelaysNoOther(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, escalating)
		defer o.stop()
		o.desks["ops/webhook[0]"].fail(func(ctx context.Context, _ *notify.Message) error { <-ctx.Done(); return ctx.Err() })
		for n := range 150 {
			o.alert(fmt.Sprint("Disk", n), "a", "critical", false)
		}
		o.at(10 * time.Second)
		if got := len(o.desks["pager/webhook[0]"].heard()); got != 150 {
			t.Errorf("the pager heard %d of 150 while another target hung", got)
		}
		o.at(20 * time.Minute)
		for n := range 5 {
			o.alert(fmt.Sprint("Late", n), "a", "critical", false)
		}
		o.at(20*time.Minute + 2*time.Second)
		if got := len(o.desks["pager/webhook[0]"].heard()); got != 5 {
			t.Errorf("the pager heard %d of 5 after twenty minutes of that", got)
		}
		o.desks["ops/webhook[0]"].fail(nil)
		o.at(35 * time.Minute)
		if got := len(o.desks["ops/webhook[0]"].heard()); got != 155 {
			t.Errorf("the target that hung heard of %d incidents, want 155", got)
		}
	})
}

const withFallback = oneDesk2 + `
notify: {fallback: phone, fallback_after: 5m}
`

const oneDesk2 = `
route: {receiver: chat, group_wait: 0s, group_interval: 5m, repeat_interval: 4h}
receivers:
  - {name: chat, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
  - {name: phone, webhook_configs: [{url: "http://127.0.0.1:1/"}]}
`

// TestFallback: somebody else is told, and why, when a receiver stays down; and
// hears how it ends.
func TestFallback(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, withFallback)
		defer o.stop()
		o.desks["chat/webhook[0]"].fail(func(context.Context, *notify.Message) error {
			return &notify.Error{Reason: notify.ReasonServer, Err: errors.New("answered 502")}
		})
		o.alert("Disk", "a", "warning", false)
		o.at(4 * time.Minute)
		o.heard("phone/webhook[0]")
		o.at(12 * time.Minute)
		phone := o.desks["phone/webhook[0]"]
		if said := phone.heard(); len(said) != 1 || !strings.Contains(said[0], "opened Disk") {
			t.Fatalf("the fallback heard %q, want one opened", said)
		}
		if got := phone.got[0].Plain(); !strings.Contains(got, "webhook of receiver chat is unreachable (answered 502)") {
			t.Errorf("the message does not say why:\n%s", got)
		}
		o.desks["chat/webhook[0]"].fail(nil)
		o.at(20 * time.Minute)
		o.alert("Disk", "a", "warning", true)
		o.at(40 * time.Minute)
		if said := phone.heard(); len(said) != 1 || !strings.Contains(said[0], "resolved Disk") {
			t.Errorf("the fallback heard %q at the end, want one resolved", said)
		}
	})
}

// TestGivenUp: what a target will never take is listed, and can be tried again.
func TestGivenUp(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk2)
		defer o.stop()
		tries := 0
		o.desks["chat/webhook[0]"].fail(func(context.Context, *notify.Message) error {
			tries++
			return &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("answered 404")}
		})
		o.alert("Disk", "a", "warning", false)
		o.at(time.Hour)
		if tries != 1 {
			t.Errorf("tried %d times what will never be taken", tries)
		}
	})
}

// TestFlapping: it is said once that it flaps, and then how it is when it is over.
func TestFlapping(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, strings.Replace(oneDesk, "group_interval: 5m", "group_interval: 1s", 1)+"correlate: {reopen_window: 1h}\n")
		defer o.stop()
		const ops = "ops/webhook[0]"
		for n := range 20 {
			at := time.Duration(n) * 2 * time.Minute
			o.at(at)
			o.do("POST", "/api/v2/alerts", fmt.Sprintf(`[{"labels":{"alertname":"Disk","host":"a"},"startsAt":%q}]`, time.Now().UTC().Format(time.RFC3339Nano)))
			o.at(at + time.Minute)
			o.alert("Disk", "a", "", true)
		}
		o.at(time.Hour + 30*time.Minute)
		said := o.desks[ops].heard()
		if len(said) > 10 {
			t.Errorf("heard %d messages of 40 changes:\n\t%s", len(said), strings.Join(said, "\n\t"))
		}
		if len(said) == 0 || !strings.Contains(said[len(said)-1], "resolved") {
			t.Errorf("the last heard is not how it ended:\n\t%s", strings.Join(said, "\n\t"))
		}
	})
}

// TestNewReceivers: after a reload those to whom the new routes lead hear of what is
// open, and those who were told before hear how it ends.
func TestNewReceivers(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk)
		defer o.stop()
		o.alert("Disk", "a", "warning", false)
		o.at(time.Minute)
		o.heard("ops/webhook[0]", "30s opened Disk firing=1")
		o.next = strings.NewReplacer("receiver: ops", "receiver: night, routes: [{receiver: ops, continue: true}, {receiver: night}]", "receivers: [", `receivers: [{name: night, webhook_configs: [{url: "http://127.0.0.1:1/"}]}, `).Replace(oneDesk)
		o.do("POST", "/-/reload", "")
		o.at(2 * time.Minute)
		o.heard("night/webhook[0]", "1m30s opened Disk firing=1")
		o.heard("ops/webhook[0]")
		o.alert("Disk", "a", "warning", true)
		o.at(10 * time.Minute)
		o.heard("night/webhook[0]", "6m30s resolved Disk firing=0")
	})
}

// TestStormOfAlerts: 10,000 alerts in 100 incidents are 30 messages to somebody who
// reads, and one that lists the other 70.
func TestStormOfAlerts(t *testing.T) {
	testbubble.Test(t, func(t *testing.T) {
		o := newOffice(t, oneDesk+"notify: {storms: {webhook: {messages: 30, within: 5m}}}\n")
		defer o.stop()
		for n := range 100 {
			alerts := make([]string, 100)
			for k := range alerts {
				alerts[k] = fmt.Sprintf(`{"labels":{"alertname":"Down%d","host":"h%d","severity":"critical"},"startsAt":%q}`, n, k, o.start.UTC().Format(time.RFC3339Nano))
			}
			o.do("POST", "/api/v2/alerts", "["+strings.Join(alerts, ",")+"]")
		}
		o.at(30 * time.Minute)
		d := o.desks["ops/webhook[0]"]
		d.mu.Lock()
		defer d.mu.Unlock()
		heard := map[string]int{}
		for _, m := range d.got {
			for _, line := range m.Digest {
				heard[line.Title]++
			}
			if m.Event != notify.Digested {
				heard[m.Incident.Title]++
			}
		}
		if len(d.got) != 31 {
			t.Errorf("%d messages, want 30 and one that lists the rest", len(d.got))
		}
		for n := range 100 {
			if name := fmt.Sprint("Down", n); heard[name] != 1 {
				t.Errorf("heard %d times of %s", heard[name], name)
			}
		}
	})
}

// BenchmarkFirstNotification is from the request with an alert to its message at
// the target, with group_wait 0 and the store in a folder.
func BenchmarkFirstNotification(b *testing.B) {
	c, err := config.Load([]byte(strings.Replace(oneDesk, "group_wait: 30s", "group_wait: 0s", 1)), "test.yml")
	if err != nil {
		b.Fatal(err)
	}
	st, err := embedded.Open("file:"+b.TempDir(), embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	told := make(chan time.Time, 1)
	d := &desk{answer: func(context.Context, *notify.Message) error { told <- time.Now(); return nil }}
	ctx, cancel := context.WithCancel(context.Background())
	g, err := gateway.New(ctx, gateway.Options{Store: st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
		Receivers: func(receivers.Options) (map[string]*notify.Integration, error) {
			in := &notify.Integration{Name: "webhook", Receiver: "ops", Sender: d}
			return map[string]*notify.Integration{in.Target(): in}, nil
		}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			b.Error(err)
		}
	}()
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		began := time.Now()
		r := httptest.NewRequest("POST", "http://localhost/api/v2/alerts", strings.NewReader(fmt.Sprintf(`[{"labels":{"alertname":"A%d"}}]`, n)))
		r.Header.Set("Content-Type", "application/json")
		g.Engine.ServeHTTP(httptest.NewRecorder(), r)
		took = append(took, (<-told).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/p99")
}
