package targettest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// Pushover takes messages of an application, as https://pushover.net/api says. It
// speaks TLS, with a certificate for example.com.
type Pushover struct {
	Server
	mu       sync.Mutex
	messages []url.Values
}

// PushoverToken is the application's secret, and PushoverUser who is told.
const (
	PushoverToken = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
	PushoverUser  = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
)

// NewPushover serves until the test ends.
func NewPushover(t testing.TB) *Pushover {
	p := &Pushover{}
	p.startTLS(t, p.take)
	return p
}

// startTLS is start with TLS.
func (s *Server) startTLS(t testing.TB, handle func(w http.ResponseWriter, r *http.Request, body []byte) (refused string)) {
	s.t, s.handle, s.done = t, handle, make(chan struct{})
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { close(s.done); s.CloseClientConnections(); s.Close() })
}

// Messages are the parameters of those that were taken.
func (p *Pushover) Messages() []url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.messages)
}

func (p *Pushover) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	values := r.URL.Query()
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = nil
	}
	for name, given := range form {
		values[name] = append(values[name], given...)
	}
	if wrong := pushoverWrong(r, values); wrong != "" {
		replyJSON(w, http.StatusBadRequest, map[string]any{"status": 0, "request": "5042853c-402d-4a18-abcb-168734a801de", "errors": []string{wrong}})
		return wrong
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages = append(p.messages, values)
	replyJSON(w, http.StatusOK, map[string]any{"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"})
	return ""
}

var pushoverDevice = regexp.MustCompile(`^[A-Za-z0-9_-]{0,25}(?:,[A-Za-z0-9_-]{1,25})*$`)

// pushoverWrong says what the page does not allow.
func pushoverWrong(r *http.Request, v url.Values) string {
	seconds := func(name string, least, most int) bool {
		n, err := strconv.Atoi(v.Get(name))
		return err == nil && n >= least && n <= most
	}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/1/messages.json" || r.Host != "api.pushover.net":
		return "no such endpoint: " + r.Host + r.URL.Path
	case v.Get("token") != PushoverToken:
		return "application token is invalid"
	case v.Get("user") != PushoverUser:
		return "user identifier is not a valid user, group, or subscribed user key"
	case v.Get("message") == "":
		return "message cannot be blank"
	case !slices.Contains([]string{"", "-2", "-1", "0", "1", "2"}, v.Get("priority")):
		return "priority is invalid"
	case v.Get("priority") == "2" && (!seconds("retry", 30, 10800) || !seconds("expire", 1, 10800)):
		return "retry and expire must be supplied with priority 2"
	case v.Get("html") == "1" && v.Get("monospace") == "1":
		return "html and monospace are mutually exclusive"
	case !pushoverDevice.MatchString(v.Get("device")):
		return "device name is invalid"
	}
	return firstOf(tooLong("title", v.Get("title"), 250), tooLong("message", v.Get("message"), 1024), tooLong("url", v.Get("url"), 512), tooLong("url_title", v.Get("url_title"), 100))
}
