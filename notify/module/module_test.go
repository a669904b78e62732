package module_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amreceiver "github.com/prometheus/alertmanager/config/receiver"
	amnotify "github.com/prometheus/alertmanager/notify"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/module"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

var events = []notify.Event{notify.Opened, notify.Updated, notify.Unacknowledged, notify.Repeated, notify.Resolved}

// TestControl: the servers take what the module sends by itself, so they do not
// only know our opinion.
func TestControl(t *testing.T) {
	for _, x := range tools(t) {
		options := []commoncfg.HTTPClientOption{}
		if x.dial != nil {
			options = append(options, commoncfg.WithDialContextFunc(commoncfg.DialContextFunc(x.dial)))
		}
		built, err := amreceiver.BuildReceiverIntegrations(receiver(t, x.name, x.block), targettest.TemplateSet(t).Module(), logger(t), options...)
		if err != nil {
			t.Fatal(err)
		}
		ctx := amnotify.WithGroupKey(t.Context(), "key")
		ctx = amnotify.WithReceiverName(ctx, "dba")
		ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{"alertname": "DiskFull"})
		ctx = amnotify.WithRouteLabels(ctx, model.LabelSet{"severity": "critical", "title": "Disk full"})
		ctx = amnotify.WithNotificationReason(ctx, amnotify.ReasonFirstNotification)
		now := time.Now()
		for n, ends := range []time.Time{{}, now.Add(-time.Second)} {
			a := &amalert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "DiskFull"}, Annotations: model.LabelSet{"summary": "full"}, StartsAt: now.Add(-time.Minute), EndsAt: ends}}
			if _, err := built[0].Notify(ctx, a); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
			if got := len(x.texts()); got != n+1 {
				t.Errorf("%s: %d messages were taken, want %d", x.name, got, n+1)
			}
		}
	}
}

func TestEveryEventIsTold(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		if in.Name != x.name || in.Receiver != "dba" || in.Index != 0 || !in.SendResolved || in.Acknowledges || in.Recognises != (x.name == "incidentio") {
			t.Errorf("%s: %+v", x.name, in)
		}
		for n, e := range events {
			m := targettest.Message(e)
			send(t, in, m)
			all := x.texts()
			if len(all) != n+1 {
				t.Fatalf("%s %s: %d messages were taken, want %d", x.name, e, len(all), n+1)
			}
			text := strings.Join(all[n], "\n")
			if !strings.Contains(text, "DiskFull") && !strings.Contains(text, "disk of db") {
				t.Errorf("%s %s does not say of what: %s", x.name, e, text)
			}
			if said := strings.Contains(strings.ToLower(text), "resolved"); said != m.Resolved() {
				t.Errorf("%s %s: says resolved: %v\n%s", x.name, e, said, text)
			}
			if failed := m.ErrTemplates(); failed != nil {
				t.Errorf("%s %s: %v", x.name, e, failed)
			}
		}
		for _, r := range x.server.Requests() {
			if agent := r.Header.Get("User-Agent"); !strings.HasPrefix(agent, outgoing.UserAgent) {
				t.Errorf("%s: the user agent is %q", x.name, agent)
			}
		}
	}
}

// TestStandardTemplatesSayMore than the module's own: where to act, and that nobody
// works on it any longer.
func TestStandardTemplatesSayMore(t *testing.T) {
	for _, x := range tools(t) {
		if x.name == "incidentio" || strings.Contains(x.block, "MarkdownV2") {
			continue // it has no texts, and no standard template
		}
		in := x.with(t)
		m := targettest.Message(notify.Unacknowledged)
		m.Remark = "chat does not answer, so you are told instead"
		send(t, in, m)
		text := x.texts()[0][0]
		for _, want := range []string{m.Remark, "NO LONGER ACKNOWLEDGED", m.Links.Incident, m.Links.Acknowledge, m.Links.Resolve} {
			if !strings.Contains(strings.NewReplacer(`\`, "", "［", "[", "］", "]").Replace(text), want) {
				t.Errorf("%s does not say %q: %s", x.name, want, text)
			}
		}
	}
}

// TestWithoutAlerts: what a person reported, and what is told in short, has a title; an
// exercise is marked.
func TestWithoutAlerts(t *testing.T) {
	for _, x := range tools(t) {
		if strings.Contains(x.block, "MarkdownV2") {
			continue // it has no standard template
		}
		in := x.with(t)
		for n, drill := range []bool{false, true} {
			m := targettest.Message(notify.Opened)
			m.Alerts, m.Incident.Labels, m.Incident.Title, m.Incident.Drill = nil, map[string]string{}, "The lake is gone", drill
			send(t, in, m)
			text := strings.Join(x.texts()[n], "\n")
			if !strings.Contains(strings.ReplaceAll(text, `\`, ""), "The lake is gone") || strings.Contains(text, "DRILL") != drill {
				t.Errorf("%s, a drill: %t: %s", x.name, drill, text)
			}
		}
	}
}

// outcome is what an error says.
type outcome struct {
	reason    string
	permanent bool
	after     time.Duration
}

func check(t *testing.T, name, what string, err error, want outcome) {
	t.Helper()
	var e *notify.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %s: got %v, want an error", name, what, err)
		return
	}
	if got := (outcome{e.Reason, e.Permanent, e.RetryAfter}); got != want {
		t.Errorf("%s: %s: got %+v, want %+v (%v)", name, what, got, want, err)
	}
	if len(e.Error()) > 4<<10 {
		t.Errorf("%s: %s: the error has %d bytes", name, what, len(e.Error()))
	}
}

// TestFailures: every answer says what to do next, and none of them shows a secret.
func TestFailures(t *testing.T) {
	const pause = 30 * time.Second
	for _, x := range tools(t) {
		in := x.with(t)
		x.server.ExpectRefusals()
		body := func(status int) string {
			size := 5000 // more than an error may have
			if status == 500 {
				size = 200_000 // and more than is read
			}
			echo := "you sent " + x.secret + " and so much: " + strings.Repeat("x", size)
			switch x.name {
			case "telegram":
				return fmt.Sprintf(`{"ok":false,"error_code":%d,"description":%q}`, status, echo)
			case "sns":
				return "<ErrorResponse><Error><Code>Some</Code><Message>" + echo + "</Message></Error></ErrorResponse>"
			}
			return echo
		}
		for _, c := range []struct {
			status int
			want   outcome
		}{
			{429, outcome{notify.ReasonRateLimited, false, pause}},
			{503, outcome{notify.ReasonServer, false, 0}},
			{500, outcome{notify.ReasonServer, false, 0}},
			{408, outcome{notify.ReasonServer, false, 0}},
			{401, outcome{notify.ReasonAuth, false, 0}},
			{403, outcome{notify.ReasonAuth, false, 0}},
			{400, outcome{notify.ReasonClient, true, 0}},
		} {
			if x.name == "wechat" { // its first request is for a token, whose status is not looked at
				c.want = outcome{notify.ReasonOther, false, 0}
			}
			x.server.Fail(targettest.Failure{Status: c.status, Body: body(c.status)})
			_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
			check(t, x.name, fmt.Sprint(c.status), err, c.want)
			if strings.Contains(fmt.Sprint(err), x.secret) {
				t.Errorf("%s: %d: the error shows the secret", x.name, c.status)
			}
		}
		taken := len(x.texts())
		send(t, in, targettest.Message(notify.Opened)) // and then it works
		if got := len(x.texts()); got != taken+1 {
			t.Errorf("%s: %d messages were taken after all", x.name, got-taken)
		}
	}
}

// hanging makes connections to something that reads and never answers, for the first
// time; then they are real. It says when something was read.
func hanging(dial outgoing.DialFunc, reads chan<- struct{}) outgoing.DialFunc {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	var hung atomic.Bool
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if hung.Swap(true) {
			return dial(ctx, network, address)
		}
		ours, theirs := net.Pipe()
		go func() {
			if _, err := theirs.Read(make([]byte, 1)); err == nil {
				close(reads)
			}
			_, _ = io.Copy(io.Discard, theirs) // until it is closed
		}()
		return ours, nil
	}
}

func TestHang(t *testing.T) {
	for _, x := range tools(t) {
		reads := make(chan struct{})
		x.dial = hanging(x.dial, reads)
		in := x.with(t)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-reads
			cancel()
		}()
		_, err := in.Sender.Send(ctx, targettest.Message(notify.Opened))
		check(t, x.name, "hang", err, outcome{notify.ReasonTimeout, false, 0})
		if errors.Is(err, context.DeadlineExceeded) || strings.Contains(fmt.Sprint(err), "left behind") {
			t.Errorf("%s: it did not come back by itself: %v", x.name, err)
		}
		if strings.Contains(fmt.Sprint(err), x.secret) {
			t.Errorf("%s: the error shows the secret: %v", x.name, err)
		}
		send(t, in, targettest.Message(notify.Opened)) // the next one is not held up
	}
}

func TestRefusedAndDropped(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		x.server.Fail(targettest.Failure{After: true})
		_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, x.name, "dropped", err, outcome{notify.ReasonOther, false, 0})

		down := *x
		down.dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		_, err = down.with(t).Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, x.name, "refused", err, outcome{notify.ReasonOther, false, 0})
		if strings.Contains(fmt.Sprint(err), x.secret) {
			t.Errorf("%s: the error shows the secret: %v", x.name, err)
		}
	}
}

// TestGuard: an address that no message may go to is final, and nothing goes there.
func TestGuard(t *testing.T) {
	for _, x := range tools(t) {
		if x.dial != nil {
			continue // its URL is fixed
		}
		x.dial = outgoing.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
		_, err := x.with(t).Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, x.name, "guard", err, outcome{notify.ReasonClient, true, 0})
		if n := len(x.server.Requests()); n != 0 {
			t.Errorf("%s: %d requests came through", x.name, n)
		}
	}
}

// TestGarbage: what the module takes for success is one, and what it trips over is
// an error that is tried again.
func TestGarbage(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		x.server.Fail(targettest.Failure{Status: 200, Body: "<html>it works</html>"})
		_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
		switch x.name {
		case "telegram", "wechat", "sns":
			check(t, x.name, "garbage", err, outcome{notify.ReasonOther, false, 0})
		default:
			if err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
}

// TestEndlessAnswer: an answer is read up to a bound.
func TestEndlessAnswer(t *testing.T) {
	var sent atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		for chunk := strings.Repeat("x", 64<<10); ; {
			n, err := io.WriteString(w, chunk)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	in := integration(t, "discord", "webhook_url: "+s.URL+"/secret", nil)
	_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
	check(t, "discord", "endless", err, outcome{notify.ReasonClient, true, 0})
	if sent.Load() > 32<<20 {
		t.Errorf("%d bytes were read", sent.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	other := targettest.NewDiscord(t)
	for _, x := range []*tool{discordTool(t), mattermostTool(t), webexTool(t), incidentioTool(t), msteamsTool(t)} {
		s := httptest.NewServer(http.RedirectHandler(other.Webhook(), http.StatusTemporaryRedirect))
		defer s.Close()
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != other.Listener.Addr().String() {
				address = s.Listener.Addr().String()
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		x.dial = dial
		_, err := x.with(t).Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, x.name, "redirect", err, outcome{notify.ReasonClient, true, 0})
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("%d requests came to where nobody meant them to go", n)
	}
}

// TestHostileTexts: nothing that came with an alert is a mention, markup, or a link
// under another text; every limit is kept.
func TestHostileTexts(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		for n, text := range targettest.HostileTexts() {
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			send(t, in, m)
			all := x.texts()
			if len(all) != n+1 {
				t.Fatalf("%s: %.40q: %d messages were taken, want %d", x.name, text, len(all), n+1)
			}
			for _, got := range all[n] {
				if live := x.live(got); len(live) > 0 {
					t.Errorf("%s: %.60q: live: %q\n%.600s", x.name, text, live, got)
				}
				if strings.ContainsAny(got, "\u202e\u2066\x00") {
					t.Errorf("%s: %.60q: control characters in %.300q", x.name, text, got)
				}
			}
			if failed := m.ErrTemplates(); failed != nil && len(text) < 10_000 {
				t.Errorf("%s: %.40q: %v", x.name, text, failed)
			}
		}
	}
}

// TestLong: many alerts, and texts of many bytes, are cut and taken.
func TestLong(t *testing.T) {
	for _, text := range []string{strings.Repeat("😀", 3000), strings.Repeat(`\*_`, 1000), strings.Repeat("&<\"", 1000)} {
		for _, x := range tools(t) {
			m := targettest.Hostile(targettest.Message(notify.Opened), text)
			for len(m.Alerts) < 40 {
				m.Alerts = append(m.Alerts, m.Alerts[0])
			}
			send(t, x.with(t), m)
			if got := x.texts(); len(got) != 1 {
				t.Errorf("%s: %d messages were taken", x.name, len(got))
			} else if x.name != "incidentio" && x.name != "pushover" && !strings.Contains(strings.ReplaceAll(got[0][0], `\`, ""), m.Links.Incident) {
				t.Errorf("%s: the link to the incident is cut off: %.200q", x.name, got[0][0])
			}
		}
	}
}

// TestFailingTemplate: people are told all the same, and it is counted.
func TestFailingTemplate(t *testing.T) {
	for _, x := range tools(t) {
		field := "message"
		switch x.name {
		case "incidentio":
			continue // it has no templates
		case "mattermost", "msteams":
			field = "text"
		}
		m := targettest.Message(notify.Opened)
		send(t, integration(t, x.name, x.replaced(field, `'{{ template "nothing" . }}'`), x.dial), m)
		failed := m.Failed()
		if len(failed) != 1 || failed[0].Field != field {
			t.Errorf("%s: failed: %v", x.name, failed)
		}
		if all := x.texts(); len(all) != 1 || !strings.Contains(strings.ReplaceAll(all[0][0], `\`, ""), "nobody works on it yet") {
			t.Errorf("%s: got %q", x.name, all)
		}
	}
}

// TestFailingTarget: if it is not known who is to be told, nobody is, and that is
// final.
func TestFailingTarget(t *testing.T) {
	for _, c := range []struct {
		tool  *tool
		field string
	}{{webexTool(t), "room_id"}, {snsTool(t, targettest.SNSTopic), "topic_arn"}} {
		in := integration(t, c.tool.name, c.tool.replaced(c.field, `'{{ template "nothing" . }}'`), nil)
		_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, c.tool.name, c.field, err, outcome{notify.ReasonClient, true, 0})
		if !strings.Contains(fmt.Sprint(err), c.field) {
			t.Errorf("the error does not name %s: %v", c.field, err)
		}
	}
}

// TestParallel: what is sent at once arrives, one at a time for each integration.
func TestParallel(t *testing.T) {
	for _, x := range tools(t) {
		in := x.with(t)
		var wg sync.WaitGroup
		const messages = 12
		for n := range messages {
			wg.Go(func() {
				m := targettest.Message(events[n%len(events)])
				m.Incident.TimelineLength = uint64(n)
				if _, err := in.Sender.Send(t.Context(), m); err != nil {
					t.Errorf("%s: %v", x.name, err)
				}
			})
		}
		wg.Wait()
		if got := len(x.texts()); got != messages {
			t.Errorf("%s: %d messages were taken, want %d", x.name, got, messages)
		}
	}
}

// TestOneAtATime: the module's notifiers are not made for more.
func TestOneAtATime(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	enter := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		now += n
		most = max(most, now)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enter(1)
		_, err := io.Copy(io.Discard, r.Body)
		enter(-1)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	in := integration(t, "discord", "webhook_url: "+s.URL, nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { _, _ = in.Sender.Send(t.Context(), targettest.Message(notify.Opened)) })
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d at a time", most)
	}
}

// closing tells when a connection is closed.
type closing struct {
	net.Conn
	once   sync.Once
	closed chan<- struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { c.closed <- struct{}{} })
	return c.Conn.Close()
}

// TestConnectionsAreNotKept: the module's notifier of Webex leaves answers unread,
// and with each of them a connection. They end with the call.
func TestConnectionsAreNotKept(t *testing.T) {
	x := webexTool(t)
	const messages = 5
	closed := make(chan struct{}, messages)
	x.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &closing{Conn: c, closed: closed}, err
	}
	in := x.with(t)
	for range messages {
		send(t, in, targettest.Message(notify.Opened))
		<-closed
	}
}

func TestBlocksOfOthersAreLeftAlone(t *testing.T) {
	s := targettest.NewDiscord(t)
	r := receiver(t, "discord", "webhook_url: "+s.Webhook(), "webhook_url: "+s.Webhook()+"\nsend_resolved: false")
	r.SlackConfigs = receiver(t, "slack", "api_url: http://127.0.0.1:1/x\nchannel: ops").SlackConfigs
	title := r.DiscordConfigs[0].Title
	all, err := module.New(r, targettest.TemplateSet(t), nil, logger(t))
	if err != nil || len(all) != 2 {
		t.Fatalf("got %d integrations, %v", len(all), err)
	}
	if all[0].Target() != "dba/discord[0]" || all[1].Target() != "dba/discord[1]" || !all[0].SendResolved || all[1].SendResolved {
		t.Errorf("got %+v", all)
	}
	if len(r.SlackConfigs) != 1 || r.DiscordConfigs[0].Title != title || !r.DiscordConfigs[0].HTTPConfig.FollowRedirects {
		t.Error("the receiver was changed")
	}
	send(t, all[1], targettest.Message(notify.Opened))
}

// TestBadBlock: what the module refuses, and where it panics, is an error that
// names the block and shows no secret.
func TestBadBlock(t *testing.T) {
	x := telegramTool(t, "HTML")
	r := receiver(t, x.name, x.block)
	r.TelegramConfigs[0].APIUrl = nil
	_, err := module.New(r, targettest.TemplateSet(t), nil, logger(t))
	if err == nil || !strings.Contains(err.Error(), "telegram_configs[0]") || strings.Contains(err.Error(), x.secret) {
		t.Errorf("got %v", err)
	}
}

// TestSecretFiles are read at each message.
func TestSecretFiles(t *testing.T) {
	discord, mattermost, telegram, incidentio, pushover, wechat := discordTool(t), mattermostTool(t), telegramTool(t, "HTML"), incidentioTool(t), pushoverTool(t, false), wechatTool(t, "text")
	for _, c := range []struct {
		tool     *tool
		setting  string
		right    string
		response outcome
	}{
		{discord, "webhook_url", discord.server.URL + "/api/webhooks/223704706495545344/" + targettest.DiscordToken, outcome{notify.ReasonAuth, false, 0}},
		{mattermost, "webhook_url", mattermost.server.URL + "/hooks/" + targettest.MattermostKey, outcome{notify.ReasonClient, true, 0}},
		{telegram, "bot_token", targettest.TelegramToken, outcome{notify.ReasonAuth, false, 0}},
		{incidentio, "alert_source_token", targettest.IncidentIOToken, outcome{notify.ReasonAuth, false, 0}},
		{pushover, "token", targettest.PushoverToken, outcome{notify.ReasonClient, true, 0}},
		{pushover, "user_key", targettest.PushoverUser, outcome{notify.ReasonClient, true, 0}},
		{wechat, "api_secret", targettest.WeChatSecret, outcome{notify.ReasonAuth, false, 0}},
	} {
		c.tool.server.ExpectRefusals()
		path := filepath.Join(t.TempDir(), "secret")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(strings.ToUpper(c.right[:8]) + c.right[8:len(c.right)-6] + "000000")
		if strings.HasPrefix(c.right, "http") {
			write(c.right[:len(c.right)-6] + "000000")
		}
		before := len(c.tool.texts())
		block := strings.Replace(c.tool.replaced(c.setting, "x"), "\n"+c.setting+": x", "\n"+c.setting+"_file: "+path, 1)
		in := integration(t, c.tool.name, strings.TrimPrefix(block, "\n"), c.tool.dial)
		_, err := in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
		check(t, c.tool.name, c.setting, err, c.response)
		write(c.right)
		send(t, in, targettest.Message(notify.Opened))
		if got := len(c.tool.texts()) - before; got != 1 {
			t.Errorf("%s: %s: %d messages were taken", c.tool.name, c.setting, got)
		}
		c.tool.server.Fail(targettest.Failure{Status: 400, Body: "you sent " + c.right})
		if c.tool.name == "wechat" || c.tool.name == "telegram" {
			continue // of these answers they show nothing
		}
		_, err = in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
		if err == nil || strings.Contains(err.Error(), c.right[len(c.right)-12:]) {
			t.Errorf("%s: %s: got %v", c.tool.name, c.setting, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if c.tool.name != "incidentio" && c.tool.name != "pushover" {
			_, err = in.Sender.Send(t.Context(), targettest.Message(notify.Opened))
			check(t, c.tool.name, "no file", err, outcome{notify.ReasonOther, false, 0})
		}
	}
}

// asked notices a notifier that asks for what it kept at the last message.
type asked struct {
	context.Context
	values atomic.Int32
}

type storeType interface{ GetStr(string) (string, bool) }

func (a *asked) Value(key any) any {
	v := a.Context.Value(key)
	if _, is := v.(storeType); is {
		a.values.Add(1)
	}
	return v
}

// TestNothingIsRemembered: none of these notifiers keeps anything in the module's
// notification log, so there is nothing for notify.Memory. One that begins to is
// found here.
func TestNothingIsRemembered(t *testing.T) {
	for _, x := range tools(t) {
		ctx := &asked{Context: withStore(t.Context())}
		if _, err := x.with(t).Sender.Send(ctx, targettest.Message(notify.Opened)); err != nil {
			t.Error(err)
		}
		if ctx.values.Load() != 0 {
			t.Errorf("%s asks for what it kept", x.name)
		}
	}
	ctx := &asked{Context: withStore(t.Context())}
	if _, ok := amnotify.NflogStore(ctx); !ok || ctx.values.Load() != 1 {
		t.Error("this test would not notice")
	}
}
