package writeback

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// CGI writes to a Nagios through its web interface's cmd.cgi, which must know the
// user (cgi.cfg: authorized_for_all_host_commands and …_service_commands). Unless
// lock_author_names is 0 there, that user becomes the author of everything, so
// the comment says who it was.
type CGI struct {
	// Sticky acknowledgements stay until all is well, others until the state changes.
	Sticky bool
	// Notify lets Nagios tell its own contacts.
	Notify bool

	server Server
	client *http.Client
}

// The numbers of commands, for hosts and for services (include/common.h in Nagios' source).
const (
	hostComment, serviceComment             = 1, 3
	hostAcknowledge, serviceAcknowledge     = 33, 34
	hostUnacknowledge, serviceUnacknowledge = 51, 52
)

// NewCGI checks s and reads its files. It connects to nothing.
func NewCGI(s Server) (*CGI, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	return &CGI{server: s, client: client}, nil
}

// Acknowledge acknowledges the problem.
func (c *CGI) Acknowledge(ctx context.Context, t Target) error {
	form := url.Values{}
	if c.Sticky {
		form.Set("sticky_ack", "on")
	}
	if c.Notify {
		form.Set("send_notification", "on")
	}
	return c.do(ctx, hostAcknowledge, serviceAcknowledge, t, form)
}

// Unacknowledge takes the acknowledgement away, if there is one.
func (c *CGI) Unacknowledge(ctx context.Context, t Target) error {
	return c.do(ctx, hostUnacknowledge, serviceUnacknowledge, t, nil)
}

// Note leaves a comment.
func (c *CGI) Note(ctx context.Context, t Target) error {
	return c.do(ctx, hostComment, serviceComment, t, url.Values{})
}

// do sends a command; with a nil form it is one without author and comment.
func (c *CGI) do(ctx context.Context, host, service int, t Target, form url.Values) error {
	if t.Author != "" && form != nil {
		t.Comment = t.Author + ": " + t.Comment
	}
	t, err := t.checked()
	if err != nil {
		return err
	}
	if form == nil {
		form = url.Values{}
	} else {
		form.Set("com_author", t.Author)
		form.Set("com_data", t.Comment)
	}
	number := host
	if t.Service != "" {
		number = service
		form.Set("service", t.Service)
	}
	form.Set("cmd_typ", strconv.Itoa(number))
	form.Set("cmd_mod", "2") // commit, and not show the form
	form.Set("host", t.Host)
	form.Set("btnSubmit", "Commit")
	answer, text, err := c.post(ctx, form, nil)
	if err != nil {
		return err
	}
	// Newer versions want a number of their own back, in a cookie and in the form,
	// which they give with the first answer: a page of others cannot read it.
	if i := indexOf(answer.Cookies(), "NagFormId"); i >= 0 && !submitted(text) {
		cookie := answer.Cookies()[i]
		form.Set("nagFormId", cookie.Value)
		if answer, text, err = c.post(ctx, form, cookie); err != nil {
			return err
		}
	}
	return judgePage(answer.StatusCode, text)
}

func indexOf(cookies []*http.Cookie, name string) int {
	for i, c := range cookies {
		if c.Name == name {
			return i
		}
	}
	return -1
}

func (c *CGI) post(ctx context.Context, form url.Values, cookie *http.Cookie) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, permanent("%v", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != nil {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	return c.server.send(c.client, r)
}

// submitted looks for the words of cmd.cgi: its status is 200 whatever happened.
func submitted(page []byte) bool {
	return bytes.Contains(page, []byte("successfully submitted")) || bytes.Contains(page, []byte("submitted sucessfully"))
}

// judgePage reads the page that cmd.cgi answers with.
func judgePage(status int, page []byte) error {
	switch {
	case status == http.StatusOK && submitted(page):
		return nil
	case status == http.StatusOK && bytes.Contains(page, []byte("not authorized")):
		return permanent("nagios cmd.cgi: the user may not do this, or there is no such host or service")
	case status == http.StatusOK && bytes.Contains(page, []byte("not checking for external commands")):
		return fmt.Errorf("writeback: nagios cmd.cgi: Nagios does not check for external commands")
	case status == http.StatusOK && bytes.Contains(page, []byte("was not entered")):
		return permanent("nagios cmd.cgi: %s", message(page))
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return permanent("nagios cmd.cgi: %d %s", status, http.StatusText(status))
	}
	return fmt.Errorf("writeback: nagios cmd.cgi: %d %s", status, message(page))
}

// message returns what a page says in its place for errors, or its beginning.
func message(page []byte) string {
	text := string(page)
	if _, after, ok := strings.Cut(text, "'errorMessage'>"); ok {
		text, _, _ = strings.Cut(after, "<")
	}
	return strconv.Quote(cut(oneLine(text), 200))
}
