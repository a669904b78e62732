package outgoing

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
)

// secretLimit is how large the file of a secret may be, in bytes.
const secretLimit = 64 << 10

// With returns a Client of the same target whose errors do not show these secrets
// either. It is for those that are read from a file at each message.
func (c *Client) With(secrets ...string) *Client {
	d := *c
	d.pairs = slices.Clone(c.pairs)
	for _, s := range secrets {
		if s != "" {
			d.pairs = append(d.pairs, s, hidden)
		}
	}
	d.secrets = strings.NewReplacer(d.pairs...)
	return &d
}

// hidden is shown in place of a secret.
const hidden = "<secret>"

// Scrub hides secrets that were read after the client was made, also as they are
// in a URL or in JSON, and also in what was captured. It returns nil for nil.
func Scrub(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	var pairs []string
	longest := func(a, b string) int { return len(b) - len(a) } // one may begin like another one
	for _, s := range slices.SortedFunc(slices.Values(secrets), longest) {
		if s != "" {
			pairs = append(pairs, s, hidden, url.PathEscape(s), hidden, url.QueryEscape(s), hidden)
			if text, err := json.Marshal(s); err == nil {
				pairs = append(pairs, string(text[1:len(text)-1]), hidden)
			}
		}
	}
	all := strings.NewReplacer(pairs...)
	var c *notify.CapturedError
	if errors.As(err, &c) {
		c.Capture.Body = []byte(all.Replace(string(c.Capture.Body)))
		return err
	}
	before := err.Error()
	text := all.Replace(before)
	if text == before {
		return err
	}
	out := notify.Error{Reason: notify.ReasonOther}
	var e *notify.Error
	if errors.As(err, &e) {
		out = *e
	}
	out.Err = errors.New(text)
	return &out
}

// ReadSecret returns a secret as it is now: what its file says, without white
// space around it, or the value if there is no file. An error is worth another
// attempt, because the file may be replaced at this moment.
func ReadSecret(value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	text, err := readFile(file)
	if err != nil {
		return "", &notify.Error{Reason: notify.ReasonAuth, Err: fmt.Errorf("notify: %w", err)}
	}
	return text, nil
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, secretLimit+1))
	if err != nil {
		return "", err
	}
	if len(content) > secretLimit {
		return "", fmt.Errorf("%s is larger than %d bytes", name, secretLimit)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return text, nil
}

// Secret is one that stands in the configuration or in a file, and may be a
// template, as Alertmanager allows for keys.
type Secret struct {
	// Setting is its name in the configuration, for errors.
	Setting     string
	Value, File string
}

// Read returns the secret as it is now. An error is worth another attempt.
func (s Secret) Read() (string, error) {
	if s.File == "" || s.Value != "" {
		return s.Value, nil
	}
	text, err := readFile(s.File)
	if err != nil {
		return "", &notify.Error{Reason: notify.ReasonAuth, Err: fmt.Errorf("%s_file: %w", s.Setting, err)}
	}
	return text, nil
}

// Rendered returns a secret that may be a template, such as one that takes the key
// from a label.
func (s Secret) Rendered(x *notify.Texts) (string, error) {
	text, err := s.Read()
	if err != nil {
		return "", err
	}
	if strings.Contains(text, "{{") {
		text = strings.TrimSpace(x.Text(s.Setting, text, ""))
	}
	if text == "" {
		return "", notify.Permanent("%s: the template makes nothing of it for this incident", s.Setting)
	}
	return text, nil
}

// httpSecrets are those that stand in an http_config.
func httpSecrets(c *commoncfg.HTTPClientConfig) (out []string) {
	add := func(s commoncfg.Secret) {
		if s != "" {
			out = append(out, string(s))
		}
	}
	add(c.BearerToken)
	if c.BasicAuth != nil {
		add(c.BasicAuth.Password)
	}
	if c.Authorization != nil {
		add(c.Authorization.Credentials)
	}
	if c.OAuth2 != nil {
		add(c.OAuth2.ClientSecret)
	}
	if c.HTTPHeaders != nil {
		for _, h := range c.HTTPHeaders.Headers {
			for _, s := range h.Secrets {
				add(s)
			}
		}
	}
	return out
}
