package answers_test

import (
	"net/url"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Whatever a tool sends, signed well, the answer is documented and no server error.

func fuzzed(f *testing.F, names []string, send func(s *server, body string) reply) {
	s := newServer(f)
	i := s.opened()
	for _, name := range names {
		f.Add(payload(f, name, i))
	}
	for _, body := range []string{"", "{", "[]", "null", `{"event":null}`, "\xff", `{"a":{"b":"\ud800"}}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s.t, s.http = t, s.checker.Handler(t, s.engine)
		s.log.Reset()
		if r := send(s, body); r.status >= 500 {
			t.Errorf("got %d %s", r.status, r.body)
		}
	})
}

func FuzzSlack(f *testing.F) {
	fuzzed(f, []string{"slack-acknowledge"}, func(s *server, body string) reply { return s.slack(body) })
}

func FuzzSlackForm(f *testing.F) {
	fuzzed(f, nil, func(s *server, body string) reply { return s.slackBody(goodSecret, body) })
}

func FuzzPagerDuty(f *testing.F) {
	fuzzed(f, []string{"pagerduty-acknowledged", "pagerduty-annotated", "pagerduty-ping"}, func(s *server, body string) reply { return s.pagerduty(body) })
}

func FuzzOpsgenie(f *testing.F) {
	fuzzed(f, []string{"opsgenie-acknowledge"}, func(s *server, body string) reply { return s.opsgenie(body) })
}

func FuzzJira(f *testing.F) {
	fuzzed(f, []string{"jira-done", "jira-comment"}, func(s *server, body string) reply { return s.jira(body) })
}

func FuzzCall(f *testing.F) {
	fuzzed(f, nil, func(s *server, body string) reply {
		form, err := url.ParseQuery(body)
		if err != nil {
			form = url.Values{"CallSid": {body}}
		}
		return s.call(goodSecret, body, form)
	})
}

func FuzzLink(f *testing.F) {
	fuzzed(f, nil, func(s *server, body string) reply {
		s.send("GET", "/a/"+url.PathEscape(body), "")
		i := s.openedOn("db")
		s.act(i, func(e *incident.Edit) error { return e.Unacknowledge("ben", "") })
		ack, _ := s.paths(s.incident(i.ID.String()))
		return s.send("POST", ack, body)
	})
}
