package writeback

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/icinga"
	"github.com/tocsin-gateway/tocsin/ingest/icinga/icingatest"
)

// tool is what all of them can do.
type tool interface {
	Acknowledge(context.Context, Target) error
	Unacknowledge(context.Context, Target) error
	Note(context.Context, Target) error
}

var (
	service = Target{Host: "web-01", Service: "disk /", Author: "alice", Comment: "looking into it; ticket 1"}
	host    = Target{Host: "web-01", Author: "alice", Comment: "mine"}
)

func TestIsEcho(t *testing.T) {
	for _, c := range []struct {
		comment string
		want    bool
	}{{"mine [tocsin]", true}, {"[tocsin]\n", true}, {"mine", false}, {"[tocsin] is a gateway", false}, {"", false}} {
		if got := IsEcho("alice", c.comment); got != c.want {
			t.Errorf("%q: got %v, want %v", c.comment, got, c.want)
		}
	}
}

// TestChecked: what people write stays on one line, keeps its marker once, and
// what cannot be said is refused.
func TestChecked(t *testing.T) {
	for _, c := range []struct{ name, author, comment, wantAuthor, wantComment string }{
		{"plain", "alice", "mine", "alice", "mine [tocsin]"},
		{"nothing", "", "", "tocsin", "[tocsin]"},
		{"lines", "a\nb", "one\r\n[1] SHUTDOWN_PROGRAM\u2028three\x00", "a b", "one  [1] SHUTDOWN_PROGRAM three [tocsin]"},
		{"not UTF-8", "\xff", "\xfe", "\ufffd", "\ufffd [tocsin]"},
		{"an echo of an echo", "alice", "mine [tocsin]", "alice", "mine [tocsin]"},
		{"long", strings.Repeat("ä", 100), strings.Repeat("ä", 1000), strings.Repeat("ä", 50), strings.Repeat("ä", 450) + " [tocsin]"},
	} {
		got, err := Target{Host: "h", Author: c.author, Comment: c.comment}.checked()
		if err != nil || got.Author != c.wantAuthor || got.Comment != c.wantComment || !IsEcho(got.Author, got.Comment) {
			t.Errorf("%s: got %q, %q, %v; want %q, %q", c.name, got.Author, got.Comment, err, c.wantAuthor, c.wantComment)
		}
	}
	for _, bad := range []Target{{}, {Service: "s"}, {Host: "a\nb"}, {Host: "h", Service: "a\x00"}, {Host: "\xff"}} {
		if _, err := bad.checked(); !errors.Is(err, ErrPermanent) {
			t.Errorf("%+v: got %v, want it refused for good", bad, err)
		}
	}
}

// web is a server that answers in turn and keeps what it was asked.
type web struct {
	*httptest.Server
	asked   []string
	answers []string
	status  []int
	cookie  string
}

func newWeb(t *testing.T) *web {
	w := &web{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if user, password, _ := r.BasicAuth(); user != "tocsin" || password != "geheim" {
			t.Errorf("got the credentials %q, %q", user, password)
		}
		w.asked = append(w.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), body))
		if w.cookie != "" && r.Header.Get("Cookie") != "NagFormId="+w.cookie {
			http.SetCookie(out, &http.Cookie{Name: "NagFormId", Value: w.cookie, HttpOnly: true})
			fmt.Fprint(out, "<p>Error: Invalid or missing CSRF cookie!</p>")
			return
		}
		if len(w.answers) == 0 {
			t.Errorf("asked more than expected: %s", body)
			return
		}
		out.WriteHeader(w.status[0])
		fmt.Fprint(out, w.answers[0])
		w.answers, w.status = w.answers[1:], w.status[1:]
	}))
	w.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.StartTLS()
	t.Cleanup(w.Close)
	return w
}

func (w *web) answer(status int, text string) {
	w.status, w.answers = append(w.status, status), append(w.answers, text)
}

func (w *web) server(t *testing.T, path string) Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return Server{URL: w.URL + path, User: "tocsin", Password: secret.New("geheim"), CAFile: file}
}

func TestIcingaRequests(t *testing.T) {
	w := newWeb(t)
	i, err := NewIcinga(w.server(t, "/"))
	if err != nil {
		t.Fatal(err)
	}
	i.Sticky = true
	const named = `"type":"Service","service":"web-01!disk /","author":"alice"`
	for _, c := range []struct {
		name string
		do   func(context.Context, Target) error
		what Target
		want string
	}{
		{"a service", i.Acknowledge, service, `acknowledge-problem application/json {` + named + `,"comment":"looking into it; ticket 1 [tocsin]","sticky":true,"notify":false}`},
		{"a host", i.Acknowledge, host, `acknowledge-problem application/json {"type":"Host","host":"web-01","author":"alice","comment":"mine [tocsin]","sticky":true,"notify":false}`},
		{"taken back", i.Unacknowledge, service, `remove-acknowledgement application/json {` + named + `}`},
		{"a note", i.Note, service, `add-comment application/json {` + named + `,"comment":"looking into it; ticket 1 [tocsin]"}`},
	} {
		w.asked = nil
		w.answer(200, `{"results":[{"code":200,"status":"done"}]}`)
		if err := c.do(t.Context(), c.what); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if want := "POST /v1/actions/" + c.want; len(w.asked) != 1 || w.asked[0] != want {
			t.Errorf("%s: asked %q\nwant  %q", c.name, w.asked, want)
		}
	}
}

func TestIcingaAnswers(t *testing.T) {
	for _, c := range []struct {
		status           int
		text             string
		wrong, permanent bool
	}{
		{200, `{"results":[{"code":200.0,"status":"done"}]}`, false, false},
		{409, `{"results":[{"code":409,"status":"Service web-01!load is already acknowledged."}]}`, false, false},
		{409, `{"results":[{"code":409,"status":"Service web-01!load is OK."}]}`, false, false},
		{404, `{"error":404,"status":"No objects found."}`, true, true},
		{400, `{"results":[{"code":400,"status":"Acknowledgements require author and comment."}]}`, true, true},
		{403, `{"error":403,"status":"Missing permission: actions/acknowledge-problem"}`, true, true},
		{401, `{"error":401,"status":"Unauthorized. Please check your user credentials."}`, true, false},
		{500, `{"results":[{"code":500,"status":"Action execution failed"}]}`, true, false},
		{503, `{"results":[{"code":503,"status":"Icinga is reloading."}]}`, true, false},
		{502, `<html>Bad Gateway</html>`, true, false},
		{200, `<html>Log in</html>`, true, false},
		{302, ``, true, false},
	} {
		w := newWeb(t)
		w.answer(c.status, c.text)
		i, err := NewIcinga(w.server(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		err = i.Acknowledge(t.Context(), host)
		if (err != nil) != c.wrong || errors.Is(err, ErrPermanent) != c.permanent {
			t.Errorf("%d %s: got %v, want an error %v, for good %v", c.status, c.text, err, c.wrong, c.permanent)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

const done = "<P><DIV CLASS='infoMessage'>Your command request was successfully submitted to Nagios for processing.<BR><BR>"

func TestCGIRequests(t *testing.T) {
	w := newWeb(t)
	c, err := NewCGI(w.server(t, "/cgi-bin/nagios4/cmd.cgi"))
	if err != nil {
		t.Fatal(err)
	}
	c.Sticky, c.Notify = true, true
	const start = "POST /cgi-bin/nagios4/cmd.cgi application/x-www-form-urlencoded btnSubmit=Commit&cmd_mod=2&"
	const said = "com_author=alice&com_data=alice%3A+mine+%5Btocsin%5D&host=web-01&send_notification=on&sticky_ack=on"
	for _, k := range []struct {
		name   string
		do     func(context.Context, Target) error
		what   Target
		cookie string
		want   []string
	}{
		{"a host", c.Acknowledge, host, "", []string{"cmd_typ=33&" + said}},
		{"a newer version", c.Acknowledge, host, "238e1f2946e87ccd", []string{"cmd_typ=33&" + said,
			"cmd_typ=33&com_author=alice&com_data=alice%3A+mine+%5Btocsin%5D&host=web-01&nagFormId=238e1f2946e87ccd&send_notification=on&sticky_ack=on"}},
		{"a service", c.Acknowledge, service, "", []string{"cmd_typ=34&com_author=alice&com_data=alice%3A+looking+into+it%3B+ticket+1+%5Btocsin%5D&host=web-01&send_notification=on&service=disk+%2F&sticky_ack=on"}},
		{"taken back", c.Unacknowledge, service, "", []string{"cmd_typ=52&host=web-01&service=disk+%2F"}},
		{"taken back from a host", c.Unacknowledge, host, "", []string{"cmd_typ=51&host=web-01"}},
		{"a note", c.Note, service, "", []string{"cmd_typ=3&com_author=alice&com_data=alice%3A+looking+into+it%3B+ticket+1+%5Btocsin%5D&host=web-01&service=disk+%2F"}},
		{"a note on a host", c.Note, host, "", []string{"cmd_typ=1&com_author=alice&com_data=alice%3A+mine+%5Btocsin%5D&host=web-01"}},
	} {
		w.asked, w.cookie = nil, k.cookie
		w.answer(200, done)
		if err := k.do(t.Context(), k.what); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		if len(w.asked) != len(k.want) {
			t.Errorf("%s: asked %q", k.name, w.asked)
			continue
		}
		for i := range k.want {
			if want := start + k.want[i]; w.asked[i] != want {
				t.Errorf("%s: asked %q\nwant  %q", k.name, w.asked[i], want)
			}
		}
	}
}

func TestCGIAnswers(t *testing.T) {
	for _, c := range []struct {
		status    int
		text      string
		permanent bool
		want      string
	}{
		{200, "<P><DIV CLASS='errorMessage'>Sorry, but you are not authorized to commit the specified command.</DIV></P>", true, "may not"},
		{200, "<P><DIV CLASS='errorMessage'>Sorry, but Nagios is currently not checking for external commands, so", false, "external commands"},
		{200, "<P><DIV CLASS='errorMessage'>Comment was not entered</DIV></P>", true, "Comment was not entered"},
		{200, "<P><DIV CLASS='errorMessage'>An error occurred while attempting to commit your command for processing.<BR>", false, "An error occurred"},
		{200, "<html>Log in first</html>", false, "Log in first"},
		{401, "<h1>Unauthorized</h1>", false, "401"},
		{404, "", true, "404"},
		{500, "", false, "500"},
	} {
		w := newWeb(t)
		w.answer(c.status, c.text)
		cgi, err := NewCGI(w.server(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		if err = cgi.Note(t.Context(), host); err == nil || errors.Is(err, ErrPermanent) != c.permanent || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: got %v, want %q, for good %v", c.status, c.text, err, c.want, c.permanent)
		}
	}
}

func TestServer(t *testing.T) {
	for _, c := range []struct {
		s    Server
		want string
	}{
		{Server{URL: "icinga:5665"}, "is not like"},
		{Server{URL: "ftp://icinga"}, "is not like"},
		{Server{URL: "https://icinga", CAFile: "no-such-file"}, "ca_file"},
		{Server{URL: "https://icinga", CAFile: "writeback.go"}, "no certificate"},
	} {
		if _, err := NewIcinga(c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c.s, err)
		}
		if _, err := NewCGI(c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c.s, err)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	i, err := NewIcinga(Server{URL: gone.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Note(t.Context(), host); err == nil || errors.Is(err, ErrPermanent) {
		t.Errorf("nobody there: got %v, want an error that may be gone", err)
	}
}

// fifo is a named pipe, and what comes out of it.
func fifo(t *testing.T) (path string, lines func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nagios.cmd")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Read and write, as Nagios opens it: it never ends.
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	in := bufio.NewReader(pipe)
	return path, func() string {
		t.Helper()
		if err := pipe.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
}

func TestCommandFile(t *testing.T) {
	path, line := fifo(t)
	f := &CommandFile{Path: path, Now: func() time.Time { return time.Unix(1795226172, 5) }}
	loud := &CommandFile{Path: path, Now: f.Now, Sticky: true, Notify: true}
	odd := Target{Host: "web-01", Author: "a;b\n", Comment: "x;y\n[1] SHUTDOWN_PROGRAM"}
	for _, c := range []struct {
		name string
		do   func(context.Context, Target) error
		what Target
		want string
	}{
		{"a service", f.Acknowledge, service, "ACKNOWLEDGE_SVC_PROBLEM;web-01;disk /;1;0;0;alice;looking into it; ticket 1 [tocsin]"},
		{"sticky and loud", loud.Acknowledge, host, "ACKNOWLEDGE_HOST_PROBLEM;web-01;2;1;0;alice;mine [tocsin]"},
		{"taken back", f.Unacknowledge, service, "REMOVE_SVC_ACKNOWLEDGEMENT;web-01;disk /"},
		{"taken back from a host", f.Unacknowledge, host, "REMOVE_HOST_ACKNOWLEDGEMENT;web-01"},
		{"a note", f.Note, service, "ADD_SVC_COMMENT;web-01;disk /;0;alice;looking into it; ticket 1 [tocsin]"},
		{"more than one command", f.Note, odd, "ADD_HOST_COMMENT;web-01;0;a,b;x;y [1] SHUTDOWN_PROGRAM [tocsin]"},
	} {
		if err := c.do(t.Context(), c.what); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got, want := line(), "[1795226172] "+c.want+"\n"; got != want {
			t.Errorf("%s: got %q\nwant %q", c.name, got, want)
		}
	}
}

func TestCommandFileRefuses(t *testing.T) {
	path, _ := fifo(t)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(t.TempDir(), "alone.cmd")
	if err := syscall.Mkfifo(alone, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		what       Target
		permanent  bool
		want       string
	}{
		{"a name that would be two", path, Target{Host: "web-01;x"}, true, "with ;"},
		{"a name on two lines", path, Target{Host: "web-01", Service: "a\nb"}, true, "cannot be"},
		{"a name without an end", path, Target{Host: strings.Repeat("h", 5000)}, true, "bytes"},
		{"not a pipe", plain, host, true, "not a named pipe"},
		{"nobody reads", alone, host, false, "Nagios is not running"},
		{"not there", alone + "x", host, false, "no such file"},
	} {
		f := &CommandFile{Path: c.path}
		if err := f.Acknowledge(t.Context(), c.what); err == nil || errors.Is(err, ErrPermanent) != c.permanent || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q, for good %v", c.name, err, c.want, c.permanent)
		}
	}
	if text, err := os.ReadFile(plain); err != nil || string(text) != "keep" {
		t.Errorf("the plain file holds %q, %v", text, err)
	}
}

// TestFullPipe: a Nagios that does not read holds nobody up, and a line is there
// as a whole or not at all.
func TestFullPipe(t *testing.T) {
	path, line := fifo(t)
	f := &CommandFile{Path: path}
	written, full := 0, Target{Host: "h", Comment: strings.Repeat("x", maxComment)}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := f.Note(ctx, full)
		cancel()
		if err != nil {
			if errors.Is(err, ErrPermanent) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			break
		}
		if written++; written > 10_000 {
			t.Fatal("the pipe never gets full")
		}
	}
	for range written {
		if got := line(); !strings.HasSuffix(got, "xx [tocsin]\n") || len(got) < maxComment {
			t.Fatalf("got %q", got)
		}
	}
	if err := f.Note(t.Context(), host); err != nil {
		t.Error(err)
	}
	if got := line(); !strings.HasSuffix(got, "] ADD_HOST_COMMENT;web-01;0;alice;mine [tocsin]\n") {
		t.Errorf("got %q", got)
	}
}

// TestRealIcinga writes to a real one, and knows its own words when they come back.
func TestRealIcinga(t *testing.T) {
	real := icingatest.Start(t, `
object Host "web-01" { check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
object Service "disk /" { host_name = "web-01"; check_command = "dummy"; enable_active_checks = false; max_check_attempts = 1 }
`)
	i, err := NewIcinga(Server{URL: real.URL, User: icingatest.User, Password: secret.New(icingatest.Password), CAFile: real.CAFile, ServerName: icingatest.Node})
	if err != nil {
		t.Fatal(err)
	}
	var tool tool = i
	real.Do(t, "/v1/actions/process-check-result", `{"type":"Service","service":"web-01!disk /","exit_status":2,"plugin_output":"full"}`)
	// Twice: it is no mistake to come late.
	for range 2 {
		if err := tool.Acknowledge(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	if err := tool.Note(t.Context(), host); err != nil {
		t.Error(err)
	}
	var comments struct {
		Results []struct {
			Attrs struct {
				Author, Text string
				HostName     string  `json:"host_name"`
				ServiceName  string  `json:"service_name"`
				EntryType    float64 `json:"entry_type"`
			}
		}
	}
	if err := json.Unmarshal([]byte(real.Query(t, "/v1/objects/comments")), &comments, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	kinds := map[float64]string{}
	for _, c := range comments.Results {
		kinds[c.Attrs.EntryType] = c.Attrs.HostName + "!" + c.Attrs.ServiceName + " " + c.Attrs.Author + ": " + c.Attrs.Text
		event := fmt.Sprintf(`{"type":"Notification","notification_type":"ACKNOWLEDGEMENT","host":"web-01","author":%q,"text":%q}`, c.Attrs.Author, c.Attrs.Text)
		got, err := icinga.Format.Decode(ingest.Request{Body: []byte(event), ReceivedAt: time.Now()})
		if err != nil || got.Alerts[0].Kind != alert.KindAcknowledgement || !IsEcho(got.Alerts[0].Author, got.Alerts[0].Comment) {
			t.Errorf("not known as ours: %+v, %v", got, err)
		}
	}
	if len(kinds) != 2 || kinds[4] != "web-01!disk / alice: looking into it; ticket 1 [tocsin]" || kinds[1] != "web-01! alice: mine [tocsin]" {
		t.Errorf("Icinga holds %v", kinds)
	}
	for range 2 {
		if err := tool.Unacknowledge(t.Context(), service); err != nil {
			t.Error(err)
		}
	}
	if answer := real.Query(t, "/v1/objects/services?attrs=acknowledgement"); !strings.Contains(answer, `"acknowledgement":0`) {
		t.Errorf("still acknowledged: %s", answer)
	}
	if err := tool.Acknowledge(t.Context(), Target{Host: "web-02"}); !errors.Is(err, ErrPermanent) {
		t.Errorf("a host that is not there: got %v", err)
	}
	if err := tool.Acknowledge(t.Context(), service); err != nil {
		t.Error(err)
	}
	real.Do(t, "/v1/actions/process-check-result", `{"type":"Service","service":"web-01!disk /","exit_status":0,"plugin_output":"fine"}`)
	if err := tool.Acknowledge(t.Context(), service); err != nil {
		t.Errorf("a problem that is over: got %v", err)
	}
}

var _ = []tool{(*Icinga)(nil), (*CommandFile)(nil), (*CGI)(nil)}
