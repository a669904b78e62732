// Package generic tells tools of incidents that take JSON over HTTP, such as
// Blameless, in whatever shape the configuration writes.
package generic

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of generic_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// URL or URLFile is where messages go. It may be a template, in which what came
	// with an alert is escaped, so that it stays within its part of the URL.
	URL     secret.String `yaml:"url,omitempty"`
	URLFile string        `yaml:"url_file,omitempty"`
	// Method is POST if it is empty.
	Method string `yaml:"method,omitempty"`
	// Headers are sent as they are, and HeaderFiles from the files that they name.
	Headers     map[string]secret.String `yaml:"headers,omitempty"`
	HeaderFiles map[string]string        `yaml:"header_files,omitempty"`
	// Body is a template of JSON, and Bodies are those for single events, such as
	// resolved. Text of an alert belongs between quotes: it is escaped for that.
	Body   string            `yaml:"body,omitempty"`
	Bodies map[string]string `yaml:"bodies,omitempty"`
	// Events are those that are sent; empty is all.
	Events []string `yaml:"events,omitempty"`
}

var (
	events  = []string{string(notify.Opened), string(notify.Updated), string(notify.Acknowledged), string(notify.Unacknowledged), string(notify.Resolved), string(notify.Repeated), string(notify.Noticed)}
	methods = []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	// ours are the headers that the configuration cannot set.
	ours = []string{"Content-Type", "Content-Length", "Host", "Transfer-Encoding", "Connection"}
)

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.Need("url", c.URL, c.URLFile)
	if c.URL.IsSet() {
		scheme, rest, ok := strings.Cut(c.URL.Reveal(), "://")
		host, _, _ := strings.Cut(rest, "/")
		if !ok || scheme != "http" && scheme != "https" || host == "" || strings.Contains(host, "{{") {
			p["url"] = "is not a URL with a fixed host; write one that begins with https:// and a name"
		}
	}
	if c.Method != "" && !slices.Contains(methods, c.Method) {
		p["method"] = "is not one of " + strings.Join(methods, ", ")
	}
	for _, event := range append(slices.Collect(maps.Keys(c.Bodies)), c.Events...) {
		if !slices.Contains(events, event) {
			p["events"] = fmt.Sprintf("%q is no event; there are %s", event, strings.Join(events, ", "))
		}
	}
	for name, value := range c.Headers {
		c.header(p, "headers."+name, name)
		if strings.ContainsAny(value.Reveal(), "\r\n\x00") {
			p["headers."+name] = "has a line end in it"
		}
	}
	for name := range c.HeaderFiles {
		c.header(p, "header_files."+name, name)
		if _, twice := c.Headers[name]; twice {
			p["header_files."+name] = "is also in headers; only one of them can be right"
		}
	}
	return p
}

func (c *Config) header(p block.Mistakes, field, name string) {
	valid := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) // RFC 9110 section 5.6.2
	})
	if !valid || slices.Contains(ours, http.CanonicalHeaderKey(name)) {
		p[field] = "is not a header that can be set"
	}
}

// Sender sends what a block of generic_configs says.
type Sender struct {
	config    *Config
	templates *notify.Templates
	client    *outgoing.Client
}

// New makes a Sender of a block without Problems.
func New(c *Config, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Sender{c, t, client}, nil
}

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	if len(s.config.Events) > 0 && !slices.Contains(s.config.Events, string(m.Event)) {
		return nil, nil
	}
	to, err := s.target(m)
	if err != nil {
		return nil, err
	}
	// It is the same for the same message: draft-ietf-httpapi-idempotency-key-header.
	headers := []string{"Idempotency-Key", m.MessageID()}
	secrets := []string{to}
	for name, value := range s.config.Headers {
		headers, secrets = append(headers, name, value.Reveal()), append(secrets, value.Reveal())
	}
	for name, file := range s.config.HeaderFiles {
		value, err := outgoing.ReadSecret("", file)
		if err != nil {
			return nil, err
		}
		headers, secrets = append(headers, name, value), append(secrets, value)
	}
	for _, one := range secrets {
		if _, token, ok := strings.Cut(one, " "); ok {
			secrets = append(secrets, token) // without the word Bearer
		}
	}
	content, err := s.body(m)
	if err != nil {
		return nil, err
	}
	method := s.config.Method
	if method == "" {
		method = http.MethodPost
	}
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	if _, err := s.client.Send(ctx, method, to, "application/json", bytes.NewReader(content), headers...); err != nil {
		return nil, outgoing.Scrub(err, secrets...)
	}
	return m.Counted(), nil
}

func (s *Sender) target(m *notify.Message) (string, error) {
	text, err := outgoing.ReadSecret(s.config.URL.Reveal(), s.config.URLFile)
	if err != nil {
		return "", err
	}
	to := s.templates.Texts(m, segment).Text("url", text, "")
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", notify.Permanent("the url is not one that can be sent to, once it is rendered")
	}
	return to, nil
}

// segment keeps a text within one segment, or one parameter, of a URL.
func segment(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	if strings.Trim(s, ".") == "" {
		return strings.ReplaceAll(s, ".", "%2E") // not the folder above
	}
	return s
}

// body renders the template that fits the event. What is not JSON, because the
// template fails or writes none, is replaced by what is built in.
func (s *Sender) body(m *notify.Message) ([]byte, error) {
	text, field := s.config.Body, "body"
	if own := s.config.Bodies[string(m.Event)]; own != "" {
		text, field = own, "bodies."+string(m.Event)
	}
	if text != "" {
		const failed = ""
		content := jsontext.Value(s.templates.Texts(m, quoted).Text(field, text, failed))
		if content.IsValid() {
			return content, nil
		}
		if len(content) > 0 {
			m.Warn(field, errNotJSON)
		}
	}
	return json.Marshal(standard(m), jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
}

var errNotJSON = fmt.Errorf("the template does not write JSON, so the built-in body was sent; put %s between quotes", "{{ … }}")

// quoted escapes a text for the inside of a JSON string.
func quoted(s string) string {
	text, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil {
		return "" // unreachable: it is valid
	}
	return string(text[1 : len(text)-1])
}

// standard is the built-in body.
func standard(m *notify.Message) map[string]any {
	i := m.Incident
	return map[string]any{"event": m.Event, "key": m.Key(), "id": i.ID.String(), "reference": i.Reference, "title": i.Title, "state": i.State,
		"severity": i.Severity, "priority": i.Priority, "service": i.Service, "team": i.Team, "opened_at": i.OpenedAt,
		"acknowledged_by": i.AcknowledgedBy, "summary": m.Headline(), "details": m.Plain(), "url": m.Links.Incident}
}
