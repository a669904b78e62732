package answers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web/answers"
)

func TestPagerDuty(t *testing.T) {
	const user, integration = `"type": "user_reference"
    },
    "client"`, `"type": "inbound_integration_reference"
    },
    "client"`
	of := func(event string, more ...string) func(*incident.Incident) string {
		return func(i *incident.Incident) string {
			return payload(t, "pagerduty-acknowledged", i, append([]string{"incident.acknowledged", event}, more...)...)
		}
	}
	for _, c := range []struct {
		name   string
		before []func(*incident.Edit) error
		body   func(*incident.Incident) string
		answer string
		state  string
		// last is the last entry of the timeline; empty means that there is no new one.
		last string
	}{
		{"acknowledged by a person", nil, of("incident.acknowledged"), "acknowledged: ", "acknowledged Ann Example", "Ann Example (pagerduty webhook) acknowledged: acknowledged"},
		{"acknowledged by us", nil, of("incident.acknowledged", user, integration), "ignored: this is what Tocsin said itself", "open", ""},
		{"acknowledged by nobody", nil, of("incident.acknowledged", user, strings.Replace(user, "user_", "service_", 1)), "ignored: incident.acknowledged", "open", ""},
		{"acknowledged already", []func(*incident.Edit) error{acknowledgedBy("ben")}, of("incident.acknowledged"), "unchanged: it was so already", "acknowledged ben", ""},
		{"taken back", []func(*incident.Edit) error{acknowledgedBy("ben")}, of("incident.unacknowledged"), "unacknowledged: ", "open",
			"Ann Example (pagerduty webhook) acknowledgement_removed: acknowledgement taken back"},
		{"ran out", []func(*incident.Edit) error{acknowledgedBy("ben")}, of("incident.unacknowledged", user, strings.Replace(user, "user_", "service_", 1)), "unacknowledged: ", "open",
			"PagerDuty (pagerduty webhook) acknowledgement_removed: acknowledgement taken back: the acknowledgement ran out there"},
		{"resolved by a person", nil, of("incident.resolved"), "resolved: ", "resolved Ann Example", "Ann Example (pagerduty webhook) resolved: resolved while 1 alert still fires"},
		{"resolved by us", nil, of("incident.resolved", user, integration), "ignored: this is what Tocsin said itself", "open", ""},
		{"resolved by a timer", nil, of("incident.resolved", user, strings.Replace(user, "user_", "service_", 1)), "ignored: incident.resolved", "open", ""},
		{"acknowledged after the end", []func(*incident.Edit) error{resolvedBy("ben")}, of("incident.acknowledged"), "unchanged: cannot acknowledge an incident that is resolved", "resolved ben", ""},
		{"of an earlier cycle", []func(*incident.Edit) error{resolvedBy("ben"), func(e *incident.Edit) error { return e.Reopen("ben", "") }}, of("incident.resolved"),
			"unchanged: the incident was opened again since", "open", ""},
		{"acknowledged in the present cycle, by the key of an earlier one", []func(*incident.Edit) error{resolvedBy("ben"), func(e *incident.Edit) error { return e.Reopen("ben", "") }}, of("incident.acknowledged"),
			"acknowledged: ", "acknowledged Ann Example", "Ann Example (pagerduty webhook) acknowledged: acknowledged"},
		{"acknowledged in an earlier cycle, and late", []func(*incident.Edit) error{resolvedBy("ben"), func(e *incident.Edit) error { return e.Reopen("ben", "") }},
			of("incident.acknowledged", "03:01:00.000Z", "02:59:00.000Z"), "unchanged: the incident was opened again since", "open", ""},
		{"without a time", nil, of("incident.acknowledged", "2026-11-21T03:01:00.000Z", "just now"), "acknowledged: ", "acknowledged Ann Example", "Ann Example (pagerduty webhook) acknowledged: acknowledged"},
		{"reopened there", nil, of("incident.reopened"), "noted: ", "open", "Ann Example (pagerduty webhook) note: reopened in PagerDuty"},
		{"triggered", nil, of("incident.triggered"), "ignored: incident.triggered", "open", ""},
		{"of a service", nil, of("service.updated"), "ignored: service.updated", "open", ""},
		{"not ours", nil, func(i *incident.Incident) string {
			return payload(t, "pagerduty-acknowledged", i, key(i), "d3640fbd41094207a1c11e58e46b1662")
		}, "unknown: not an incident of Tocsin", "open", ""},
		{"gone", nil, func(i *incident.Incident) string {
			other := *i
			other.ID[0] ^= 1
			return payload(t, "pagerduty-acknowledged", &other)
		}, "unknown: there is no such incident (any more)", "open", ""},
		{"a ping", nil, func(i *incident.Incident) string { return payload(t, "pagerduty-ping", i) }, "ignored: pagey.ping", "open", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			i := s.opened()
			for _, edit := range c.before {
				s.act(i, edit)
			}
			body, before := c.body(i), s.said(i)
			if got := s.pagerduty(body).answer(); got != c.answer {
				t.Errorf("got %q, want %q", got, c.answer)
			}
			after := s.said(i)
			if c.last == "" && len(after) != len(before) || c.last != "" && (len(after) != len(before)+1 || after[len(after)-1] != c.last) {
				t.Errorf("timeline: got %q after %q, want one more: %q", after, before, c.last)
			}
			if got := s.state(i); got != c.state {
				t.Errorf("got %s, want %s", got, c.state)
			}
			if s.pagerduty(body).answer(); len(s.said(i)) != len(after) {
				t.Errorf("said again: the timeline has %q more", s.said(i)[len(after):])
			}
		})
	}
}

func acknowledgedBy(by string) func(*incident.Edit) error {
	return func(e *incident.Edit) error { return e.Acknowledge(by, "") }
}

func resolvedBy(by string) func(*incident.Edit) error {
	return func(e *incident.Edit) error { return e.Resolve(by, "") }
}

// TestNotesOfPagerDuty only have PagerDuty's own id, which an event before tells us.
func TestNotesOfPagerDuty(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	annotated := payload(t, "pagerduty-annotated", i)
	if got := s.pagerduty(annotated).answer(); got != "unknown: not an incident of Tocsin" {
		t.Errorf("before we know it: got %q", got)
	}
	s.pagerduty(payload(t, "pagerduty-acknowledged", i, "incident.acknowledged", "incident.triggered")).want(200)
	if got := s.pagerduty(annotated).answer(); got != "noted: " {
		t.Errorf("got %q, want noted", got)
	}
	if got := s.pagerduty(annotated).answer(); got != "unchanged: this came before" {
		t.Errorf("again: got %q", got)
	}
	want := "somebody in PagerDuty (pagerduty webhook) note: the log partition is full"
	if got := s.said(i); len(got) != 2 || got[1] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What they call an incident that is gone is forgotten when others come.
	if err := s.store.Remove(context.Background(), i.ID); err != nil {
		t.Fatal(err)
	}
	s.clock.add(time.Hour)
	next := s.openedOn("db2")
	for n := range 3 {
		s.pagerduty(payload(t, "pagerduty-acknowledged", next, "incident.acknowledged", "incident.triggered", "PGR0VU2", fmt.Sprintf("PNEXT%d", n))).want(200)
	}
	docs, err := s.store.Documents(context.Background(), "answer_name", "", 100)
	if err != nil || len(docs) != 3 {
		t.Errorf("got %d names, %v; want the 3 of the incident that exists", len(docs), err)
	}
}

// TestReplayedLater: what was acknowledged, and taken back, is not acknowledged again
// by a copy that comes late.
func TestReplayedLater(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	body := payload(t, "pagerduty-acknowledged", i)
	s.act(i, acknowledgedBy("ben"))
	s.pagerduty(body).want(200) // changed nothing, and is remembered all the same
	s.act(i, func(e *incident.Edit) error { return e.Unacknowledge("ben", "") })
	s.clock.add(24 * time.Hour)
	if got := s.pagerduty(body).answer(); got != "unchanged: this came before" || s.state(i) != "open" {
		t.Errorf("got %q, %s; want unchanged, open", got, s.state(i))
	}
}

func TestSlack(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	body := payload(t, "slack-acknowledge", i)
	if r := s.slack(body).want(200); r.body != "" {
		t.Errorf("got body %q, want none: Slack would show it", r.body)
	}
	if got := s.state(i); got != "acknowledged ann" {
		t.Errorf("got %s, want acknowledged ann", got)
	}
	s.slack(body).want(200) // the same again
	s.slack(payload(t, "slack-acknowledge", i, "tocsin_acknowledge", "tocsin_resolve")).want(200)
	if got := s.state(i); got != "resolved annann" {
		t.Errorf("got %s, want resolved by ann", got)
	}
	s.slack(payload(t, "slack-acknowledge", i, "tocsin_acknowledge", "someone_elses_button", key(i), "x")).want(200)
	s.slack(payload(t, "slack-acknowledge", i, `"block_actions"`, `"view_submission"`)).want(200)
	if got := s.said(i); len(got) != 3 || got[1] != "ann (slack button) acknowledged: acknowledged" || got[2] != "ann (slack button) resolved: resolved while 1 alert still fires" {
		t.Errorf("timeline: got %q", got)
	}
	s.counted("slack", "acknowledged", 1)
	s.counted("slack", "unchanged", 1)
	s.counted("slack", "resolved", 1)
	s.counted("slack", "ignored", 2)
}

func TestSlackAsksWhetherWeAreThere(t *testing.T) {
	s := newServer(t)
	if r := s.slackBody(goodSecret, `{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`).want(200); r.body != "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P" {
		t.Errorf("got %q, want the challenge", r.body)
	}
	if r := s.slackBody(goodSecret, "ssl_check=1&token=x").want(200); r.body != "" {
		t.Errorf("got %q, want nothing", r.body)
	}
}

// transport answers for Slack.
type transport struct {
	asked []string
	body  []string
}

func (x *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	text := make([]byte, r.ContentLength)
	_, _ = r.Body.Read(text)
	x.asked, x.body = append(x.asked, r.URL.String()), append(x.body, string(text))
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

func TestSlackTellsWhyNothingHappened(t *testing.T) {
	to := &transport{}
	s := newServer(t, func(o *answers.Options) { o.Client = &http.Client{Transport: to} })
	i := s.opened()
	s.act(i, resolvedBy("ben"))
	s.slack(payload(t, "slack-acknowledge", i)).want(200)
	if len(to.asked) != 1 || to.asked[0] != "https://hooks.slack.com/actions/T123ABC/1232321423432/D09sSasdasdAS9091209" ||
		!strings.Contains(to.body[0], `"ephemeral"`) || !strings.Contains(to.body[0], "cannot acknowledge an incident that is resolved") {
		t.Errorf("got %q %q, want one reply that nobody else sees", to.asked, to.body)
	}
	for _, address := range []string{"http://hooks.slack.com/x", "https://hooks.slack.com.evil.example.com/", "https://169.254.169.254/", "https://evil.example.com/.slack.com", "https://x@hooks.slack.com/",
		"https://evilslack.com/", "https://hooks.slack.com:8443/", "", "::"} {
		s.slack(payload(t, "slack-acknowledge", i, "https://hooks.slack.com/actions/T123ABC/1232321423432/D09sSasdasdAS9091209", address)).want(200)
	}
	if len(to.asked) != 1 {
		t.Errorf("asked %q, want Slack only", to.asked[1:])
	}
}

// TestVectorOfSlack is the example of Slack's page.
// https://docs.slack.dev/authentication/verifying-requests-from-slack
func TestVectorOfSlack(t *testing.T) {
	const body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	s := newServer(t)
	c := answers.DefaultConfig()
	c.Slack.SigningSecrets = secrets("8f742231b10e8888abcd99yyyzzz85a5")
	s.handler.Set(&c)
	send := func(signature string) reply {
		return s.send("POST", "/hooks/slack", body, "X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature", signature)
	}
	const good = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
	for _, c := range []struct {
		off  time.Duration
		want int
	}{{-5*time.Minute - time.Second, 401}, {-5 * time.Minute, 400}, {0, 400}, {5 * time.Minute, 400}, {5*time.Minute + time.Second, 401}} {
		s.clock.t = time.Unix(1531420618, 0).Add(c.off)
		send(good).want(c.want) // 400: signed well, but a command and no button
		send("v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b504").want(401, "X-Slack-Signature")
	}
}

// TestVectorOfJira is the example of Atlassian's page.
// https://developer.atlassian.com/cloud/jira/platform/webhooks/
func TestVectorOfJira(t *testing.T) {
	s := newServer(t)
	c := answers.DefaultConfig()
	c.Jira.Secrets = secrets("It's a Secret to Everybody")
	s.handler.Set(&c)
	s.send("POST", "/hooks/jira", "Hello World!", "X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9").want(400, "body: not JSON")
	s.send("POST", "/hooks/jira", "Hello World?", "X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9").want(401, "X-Hub-Signature")
}

func TestOpsgenie(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	send := func(want string, replace ...string) {
		t.Helper()
		if got := s.opsgenie(payload(t, "opsgenie-acknowledge", i, replace...)).answer(); got != want {
			t.Errorf("%q: got %q, want %q", replace, got, want)
		}
	}
	action := func(name string) string { return `"action": "` + name + `"` }
	was := action("Acknowledge")
	send("ignored: this is what Tocsin said itself", `"type": "web"`, `"type": "API"`, "ann@example.com", "Tocsin")
	send("ignored: this is what Tocsin said itself", `"type": "web"`, `"type": "API"`, "ann@example.com", "Alert API")
	send("ignored: this is what Tocsin said itself", "ann@example.com", "Robot@example.com")
	send("ignored: Create", was, action("Create"))
	if got := s.said(i); len(got) != 1 {
		t.Errorf("our own and others' left %q", got[1:])
	}
	send("acknowledged: ")
	send("unchanged: this came before")
	send("noted: ", was, action("AddNote"), `"alias"`, `"note": "restarting", "alias"`)
	send("unchanged: this came before", was, action("AddNote"), `"alias"`, `"note": "restarting", "alias"`)
	send("ignored: an empty note", was, action("AddNote"))
	send("unacknowledged: ", was, action("UnAcknowledge"))
	send("resolved: ", was, action("Close"))
	send("unknown: not an incident of Tocsin", key(i), "something-else")
	want := []string{"ann@example.com (opsgenie webhook) acknowledged: acknowledged", "ann@example.com (opsgenie webhook) note: restarting",
		"ann@example.com (opsgenie webhook) acknowledgement_removed: acknowledgement taken back", "ann@example.com (opsgenie webhook) resolved: resolved while 1 alert still fires"}
	if got := s.said(i); !slices.Equal(got[1:], want) {
		t.Errorf("timeline: got %q, want %q", got[1:], want)
	}
	body := payload(t, "opsgenie-acknowledge", i)
	s.send("POST", "/hooks/opsgenie", body).want(401, "send a token")
	s.send("POST", "/hooks/opsgenie", body, "Authorization", "Bearer wrong").want(401)
	for _, header := range [][2]string{{"X-Tocsin-Token", oldSecret}, {"Authorization", "Basic dG9jc2luOmEtc2VjcmV0LW9mLXRoZS10ZXN0cy0w"}} {
		s.send("POST", "/hooks/opsgenie", body, header[0], header[1]).want(200)
	}
}

// TestGuessingATokenIsSlow: from an address of which many wrong ones came, not even
// the right one is taken for a while. What is signed is.
func TestGuessingATokenIsSlow(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	body := payload(t, "opsgenie-acknowledge", i)
	for n := range 30 {
		want := http.StatusUnauthorized
		if n >= 10 {
			want = http.StatusTooManyRequests
		}
		s.send("POST", "/hooks/opsgenie", body, "Authorization", fmt.Sprint("Bearer a-guess-of-a-token-", n)).want(want)
	}
	s.opsgenie(body).want(http.StatusTooManyRequests)
	if got := s.state(i); got != "open" {
		t.Errorf("got %s, want open", got)
	}
	if got := s.pagerduty(payload(t, "pagerduty-acknowledged", i)).answer(); got != "acknowledged: " {
		t.Errorf("what is signed: got %q", got)
	}
	s.clock.add(time.Minute)
	if got := s.opsgenie(body).answer(); got != "unchanged: it was so already" {
		t.Errorf("a minute later: got %q", got)
	}
}

func TestJira(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	send := func(want, file string, replace ...string) {
		t.Helper()
		if got := s.jira(payload(t, file, i, replace...)).answer(); got != want {
			t.Errorf("%s %q: got %q, want %q", file, replace, got, want)
		}
	}
	send("unknown: not an issue of Tocsin", "jira-comment")
	send("ignored: jira:issue_created", "jira-done", "jira:issue_updated", "jira:issue_created")
	send("noted: ", "jira-comment")
	send("unchanged: this came before", "jira-comment")
	send("ignored: this is what Tocsin said itself", "jira-comment", "the log partition is full", "ann works on it ("+i.Reference+" acknowledged 2026-11-21T03:01:00Z)")
	send("ignored: this is what Tocsin said itself", "jira-comment", `"active": true`, `"emailAddress": "tocsin@example.com"`)
	send("ignored: no person did this", "jira-comment", `"accountType": "atlassian"`, `"accountType": "app"`)
	send("noted: ", "jira-comment", `"the log partition is full"`,
		`{"type":"doc","version":1,"content":[{"type":"paragraph","content":[{"type":"text","text":"see "},{"type":"mention","attrs":{"text":"@Ben"}}]},{"type":"paragraph","content":[{"type":"text","text":"now"}]}]}`)
	send("noted: ", "jira-comment", `"the log partition is full"`, `"half an emoji \ud83d"`)
	send("ignored: comment_created", "jira-comment", `"the log partition is full"`, `" "`)
	send("ignored: jira:issue_updated", "jira-done", `"field": "status"`, `"field": "priority"`)
	send("acknowledged: ", "jira-done", `"key": "done"`, `"key": "indeterminate"`)
	send("unchanged: the incident was opened again since", "jira-done", `"ops"`, `"`+key(i)[:len(key(i))-1]+`7"`) // not this cycle, but the latest label counts
	s.act(i, func(e *incident.Edit) error { return e.Unacknowledge("ben", "") })
	send("acknowledged: ", "jira-done", `"field": "status"`, `"field": "assignee"`)
	s.act(i, func(e *incident.Edit) error { return e.Unacknowledge("ben", "") })
	send("ignored: jira:issue_updated", "jira-done", `"field": "status"`, `"field": "assignee"`, `"to": "10001"`, `"to": null`)
	send("resolved: ", "jira-done")
	send("unchanged: this came before", "jira-done")
	const who = "Ann Example (jira webhook) "
	want := []string{who + "note: the log partition is full", who + "note: see @Ben\nnow", who + "note: half an emoji \uFFFD", who + "acknowledged: acknowledged", "ben () acknowledgement_removed: acknowledgement taken back",
		who + "acknowledged: acknowledged", "ben () acknowledgement_removed: acknowledgement taken back", who + "resolved: resolved while 1 alert still fires: in Jira: Done"}
	if got := s.said(i); !slices.Equal(got[1:], want) {
		t.Errorf("timeline: got %q, want %q", got[1:], want)
	}
}

// TestJiraComesLate: what was said before the incident was opened again does not
// acknowledge it now.
func TestJiraComesLate(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	s.act(i, resolvedBy("ben"))
	s.clock.add(2 * time.Minute)
	s.act(i, func(e *incident.Edit) error { return e.Reopen("ben", "") })
	of := func(timestamp string) string {
		return payload(t, "jira-done", i, `"key": "done"`, `"key": "indeterminate"`, "1795230060123", timestamp)
	}
	for _, c := range []struct{ timestamp, want string }{
		{"1795230060123", "unchanged: the incident was opened again since"},
		{"1795230130000", "acknowledged: "},
	} {
		if got := s.jira(of(c.timestamp)).answer(); got != c.want {
			t.Errorf("at %s: got %q, want %q", c.timestamp, got, c.want)
		}
	}
}

func TestCall(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	link := s.links.For(i, "oncall/call[0]").Acknowledge
	token := strings.TrimPrefix(link, external.String()+"/a/")
	if got, want := answers.CallURL(link), external.String()+"/hooks/call?token="+token; got != want || answers.CallURL("") != "" {
		t.Errorf("got %s, want %s", got, want)
	}
	pressed := func(digits string) url.Values {
		return url.Values{"CallSid": {"CA1234567890ABCDE"}, "Digits": {digits}, "From": {"+14158675309"}, "To": {"+18005551212"}}
	}
	s.call(goodSecret, token, pressed("5")).want(200, "<Response><Say>Nothing was done: another key was pressed.</Say>")
	s.call("a-wrong-secret-of-nobody", token, pressed("4")).want(401, "X-Twilio-Signature")
	s.call(goodSecret, "nonsense", pressed("4")).want(400, "token: not one of this Tocsin")
	s.call(goodSecret, token, url.Values{"Digits": {"4"}}).want(400, "CallSid: missing")
	if got := s.state(i); got != "open" {
		t.Fatalf("got %s, want open", got)
	}
	r := s.call(oldSecret, token, pressed("4")).want(200, "<Say>Acknowledged. Thank you.</Say>")
	if got := r.header.Get("Content-Type"); got != "text/xml; charset=utf-8" {
		t.Errorf("got %s", got)
	}
	s.call(goodSecret, token, pressed("4")).want(200, "this came before")
	if got := s.state(i); got != "acknowledged phone …1212" {
		t.Errorf("got %s, want acknowledged by a phone", got)
	}
	s.clock.add(8 * 24 * time.Hour)
	s.call(goodSecret, token, pressed("4")).want(200, "has expired")
	if got := s.said(i); len(got) != 2 || got[1] != "phone …1212 (phone call) acknowledged: acknowledged: by telephone" {
		t.Errorf("timeline: got %q", got)
	}
}

// TestTheCallOfWhatSomebodyHas: who is called about an incident that another one has
// acknowledged, such as an expert, ends the calls as they are asked to: by acknowledging.
func TestTheCallOfWhatSomebodyHas(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	s.act(i, func(e *incident.Edit) error { return e.Acknowledge("Ann", "") })
	calls := func() *incident.Incident {
		s.act(i, func(e *incident.Edit) error { e.StartCall(incident.System, "experts", ""); return nil })
		return s.incident(i.Reference)
	}
	answeredBy := func(want string) {
		t.Helper()
		list := s.incident(i.Reference).Process.Calls
		if got := list[len(list)-1].ConfirmedBy; got != want {
			t.Errorf("answered by %q, want %q", got, want)
		}
		if got := s.state(i); got != "acknowledged Ann" {
			t.Errorf("got %s, want acknowledged Ann", got)
		}
	}
	token := strings.TrimPrefix(s.links.For(calls(), "oncall/call[0]").Acknowledge, external.String()+"/a/")
	s.call(goodSecret, token, url.Values{"CallSid": {"CA1"}, "Digits": {"4"}, "To": {"+18005551212"}}).want(200, "<Say>Acknowledged. Thank you.</Say>")
	answeredBy("phone …1212")

	ack, _ := s.paths(calls())
	s.send("GET", ack, "").want(200, "Acknowledge this incident?")
	s.send("POST", ack, "name=Ben").want(200, "<h1>Answered</h1>", "Nobody else is called. Ann works on it since")
	answeredBy("Ben")
	s.send("POST", ack, "name=Cy").want(200, "Ann was faster")
	if got := s.links.For(s.incident(i.Reference), "oncall/call[0]").Acknowledge; got != "" {
		t.Errorf("nobody is called, and there is the link %s", got)
	}
}

func TestOffUnlessConfigured(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	c := answers.DefaultConfig()
	s.handler.Set(&c)
	for tool, r := range map[string]reply{"slack": s.slack(payload(t, "slack-acknowledge", i)), "pagerduty": s.pagerduty(payload(t, "pagerduty-acknowledged", i)),
		"opsgenie": s.opsgenie(payload(t, "opsgenie-acknowledge", i)), "jira": s.jira(payload(t, "jira-done", i)), "call": s.call(goodSecret, "x", url.Values{})} {
		r.want(404, "answers: "+tool)
		s.counted(tool, "refused", 1)
	}
	if got := s.state(i); got != "open" {
		t.Errorf("got %s, want open", got)
	}
}

func TestSignaturesThatAreWrong(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	body := payload(t, "pagerduty-acknowledged", i)
	good := hexMAC(goodSecret, body)
	for _, header := range []string{"", "v1=", "v1=" + good[2:], "v2=" + good, good, "v1=" + strings.Repeat("0", 64), "v1=zz", strings.Repeat("v1=00,", 20) + "v1=" + good} {
		s.clock.add(time.Minute)
		s.send("POST", "/hooks/pagerduty", body, "X-PagerDuty-Signature", header).want(401, "X-PagerDuty-Signature: not signed")
	}
	form := url.Values{"payload": {payload(t, "slack-acknowledge", i)}}.Encode()
	at := strconv.FormatInt(s.clock.now().Unix(), 10)
	signature := "v0=" + hexMAC(goodSecret, "v0:"+at+":"+form)
	for _, h := range [][2]string{{"", signature}, {"x", signature}, {at + " ", signature[:60]}, {at, ""}, {at, "v1" + signature[2:]}, {"0", signature}} {
		s.clock.add(10 * time.Second)
		s.send("POST", "/hooks/slack", form, "X-Slack-Request-Timestamp", h[0], "X-Slack-Signature", h[1]).want(401)
	}
	if got := s.state(i); got != "open" {
		t.Errorf("got %s, want open", got)
	}
	if log := s.log.String(); strings.Contains(log, goodSecret) || strings.Contains(log, good) {
		t.Error("a secret or a signature is in the log")
	}
	// Who guesses is slowed, who signs is not, from the same address.
	limited := false
	for range 30 {
		limited = s.send("POST", "/hooks/pagerduty", body, "X-PagerDuty-Signature", "v1=00").status == http.StatusTooManyRequests || limited
	}
	if got := s.pagerduty(body).answer(); !limited || got != "acknowledged: " {
		t.Errorf("limited %v, signed %q; want true, acknowledged", limited, got)
	}
}

// TestBadInputNamesTheField.
func TestBadInputNamesTheField(t *testing.T) {
	s := newServer(t)
	i := s.opened()
	form := func(payload string) string { return url.Values{"payload": {payload}}.Encode() }
	for name, c := range map[string]struct {
		send func(string) reply
		body string
		want string
	}{
		"pagerduty: nothing":         {s.pagerduty, "", "body: there is none"},
		"pagerduty: not JSON":        {s.pagerduty, "{", "body: not JSON"},
		"pagerduty: a list":          {s.pagerduty, "[]", "body: not JSON"},
		"pagerduty: no type":         {s.pagerduty, "{}", "event.event_type: missing"},
		"pagerduty: no id":           {s.pagerduty, `{"event":{"event_type":"incident.acknowledged"}}`, "event.id: missing"},
		"pagerduty: wrong kind":      {s.pagerduty, `{"event":{"data":{"incident_key":7}}}`, "event.data.incident_key: not of the right kind"},
		"slack: no payload":          {func(b string) reply { return s.slackBody(goodSecret, b) }, "a=b", "payload: missing"},
		"slack: not a form":          {func(b string) reply { return s.slackBody(goodSecret, b) }, "payload=%zz", "body: not a form"},
		"slack: payload is not JSON": {func(b string) reply { return s.slackBody(goodSecret, b) }, form("x"), "body: not JSON"},
		"slack: wrong value":         {s.slack, payload(t, "slack-acknowledge", i, key(i), "tocsin-x-0"), "payload.actions.0.value: not the key"},
		"slack: wrong kind":          {s.slack, `{"user":7}`, "user: not of the right kind"},
		"opsgenie: no action":        {s.opsgenie, "{}", "action: missing"},
		"opsgenie: no alias":         {s.opsgenie, `{"action":"Close"}`, "alert.alias: missing"},
		"jira: no event":             {s.jira, "{}", "webhookEvent: missing"},
		"jira: wrong kind":           {s.jira, `{"webhookEvent":"x","issue":{"fields":{"labels":"x"}}}`, "issue.fields.labels: not of the right kind"},
	} {
		t.Run(name, func(t *testing.T) {
			c.send(c.body).want(400, c.want, `"errors":[{"field"`)
		})
	}
	s.counted("pagerduty", "invalid", 6)
	s.pagerduty(`{"event":{"id":"`+strings.Repeat("x", 3<<20)+`"}}`).want(413, "larger than")
	s.counted("pagerduty", "invalid", 7)
}

// TestNamesOfPeople come from elsewhere, and stand beside ours.
func TestNamesOfPeople(t *testing.T) {
	for given, want := range map[string]string{"Ann": "Ann", "tocsin": "tocsin (PagerDuty)", "Tocsin": "Tocsin (PagerDuty)", "": "PLH1HKV", " \u202e\u200b ": "PLH1HKV", "A\r\nB": "A  B", strings.Repeat("x", 500): strings.Repeat("x", 197) + "…"} {
		s := newServer(t)
		i := s.opened()
		text := strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(given)
		s.pagerduty(payload(t, "pagerduty-acknowledged", i, "Ann Example", text)).want(200)
		if got := s.incident(i.ID.String()).AcknowledgedBy; got != want {
			t.Errorf("%.40q: got %q, want %q", given, got, want)
		}
	}
}

// TestKeyOfACycle reads back what is given out.
func TestKeyOfACycle(t *testing.T) {
	i := &incident.Incident{ID: incident.ID{1, 2, 3}, Reopens: 12}
	id, cycle, ok := notify.ParseKeyCycle(key(i))
	if !ok || id != i.ID || cycle != 12 {
		t.Errorf("got %v, %d, %v", id, cycle, ok)
	}
}
