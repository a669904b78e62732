package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// answerTime is how long a gateway may take to answer.
	answerTime = 30 * time.Second
	// answerLimit is how much of an answer is read, in bytes.
	answerLimit = 64 << 20
	// tokenLimit is how large the file of a token may be, in bytes.
	tokenLimit = 4 << 10
)

// client talks to the API of a running gateway.
type client struct {
	streams
	base, tokenFile string
	http            http.Client
	// date is what the gateway said the time is: ages are by its clock.
	date time.Time
}

// newClient returns a client whose address and token come from flags of cmd.
func newClient(cmd *kingpin.CmdClause, s streams) *client {
	c := &client{streams: s}
	cmd.Flag("url", "Address of the gateway.").Default("http://127.0.0.1:9095").Envar("TOCSIN_URL").StringVar(&c.base)
	cmd.Flag("token-file", "File with the API token; the environment variable TOCSIN_TOKEN holds a token itself.").Envar("TOCSIN_TOKEN_FILE").StringVar(&c.tokenFile)
	// A token is for the address that was given, and for no other.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// token is the API token, "" if there is none.
func (c *client) token() (string, error) {
	if c.tokenFile == "" {
		return strings.TrimSpace(os.Getenv("TOCSIN_TOKEN")), nil
	}
	f, err := os.Open(c.tokenFile)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, tokenLimit))
	token := strings.TrimSpace(string(b))
	if err == nil && token == "" {
		err = fmt.Errorf("%s is empty", c.tokenFile)
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return token, nil
}

// request sends body (nil for none) as JSON and returns the answer if it is a good one.
func (c *client) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	base, err := url.Parse(c.base)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("--url: %q is not an address such as http://127.0.0.1:9095", c.base)
	}
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.base, "/")+path, payload)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "tocsin")
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, unreachable(c.base, err)
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		c.date = dateOf(answer)
		return answer, nil
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	return nil, refused(answer)
}

// dateOf is the time that an answer was made.
func dateOf(answer *http.Response) time.Time {
	if t, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// unreachable says in a line why there is no answer. The address may hold a
// password, and net/http repeats it.
func unreachable(base string, err error) error {
	if u, perr := url.Parse(base); perr == nil {
		base = u.Redacted()
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return fmt.Errorf("cannot reach %s: %w (is `tocsin serve` running there? --url or TOCSIN_URL says where)", base, err)
}

// refused makes an error of an answer that is not a good one.
func refused(answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	var p web.Problem
	var alertmanagers string // under /api/v2 an error is a text
	if err == nil && json.Unmarshal(body, &alertmanagers) == nil && alertmanagers != "" {
		return errors.New(visible(alertmanagers))
	}
	if err != nil || json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return fmt.Errorf("the gateway answered %s, and not as Tocsin does", visible(answer.Status))
	}
	text := p.Detail
	if len(p.Errors) > 1 {
		parts := make([]string, len(p.Errors))
		for n, e := range p.Errors {
			parts[n] = e.Field + ": " + e.Detail
		}
		text = strings.Join(parts, "; ")
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		text += " (--token-file, TOCSIN_TOKEN_FILE or TOCSIN_TOKEN)"
	case p.RequestID != "":
		text += " " + p.RequestID
	}
	return errors.New(visible(text))
}

// do sends a request and reads the JSON that is answered into v, which may be nil.
func (c *client) do(ctx context.Context, method, path string, body, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the answer is not understood; is this a Tocsin of the same version? %w", err)
	}
	return nil
}

// download writes what is answered to a POST to w.
func (c *client) download(ctx context.Context, path string, w io.Writer) error {
	answer, err := c.request(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if _, err := io.Copy(w, answer.Body); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return nil
}
