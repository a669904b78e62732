// Package statuspage shows incidents on a public page of Atlassian Statuspage:
// https://developer.statuspage.io/. The public reads only what was written for it
// in the configuration: by itself this package says nothing that came with an alert.
package statuspage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Config is a block of statuspage_configs.
type Config struct {
	block.Common `yaml:",inline"`
	// APIURL is the API, without the version.
	APIURL string `yaml:"api_url,omitempty"`
	PageID string `yaml:"page_id"`
	// APIKey or APIKeyFile is a key of a member of the team.
	APIKey     secret.String `yaml:"api_key,omitempty"`
	APIKeyFile string        `yaml:"api_key_file,omitempty"`
	// Components are the ids of the page's components that a service is shown as;
	// the service "*" stands for all others.
	Components map[string][]string `yaml:"components,omitempty"`
	// ComponentStatus is how the components are shown while an incident has a
	// severity, such as major_outage; they are left alone without it, and are
	// operational when it is over.
	ComponentStatus map[string]string `yaml:"component_status,omitempty"`
	// Title is a template for the name of the incident on the page, and Texts those
	// for what is said in each status. They may use everything of an alert; what is
	// built in does not.
	Title string            `yaml:"title,omitempty"`
	Texts map[string]string `yaml:"texts,omitempty"`
	// NotifySubscribers: those who subscribed to the page hear of it; default true.
	NotifySubscribers *bool `yaml:"notify_subscribers,omitempty"`
}

const (
	defaultURL   = "https://api.statuspage.io"
	defaultTitle = "Service disruption"
	// The limits of the API, in bytes so that nothing is longer.
	titleLimit, textLimit = 255, 25000
	// The names in the memory: the id on the page, whose it is, and what is shown.
	memoryID, memoryKey, memoryStatus = "page_incident", "page_key", "page_status"
	// namespace is where our key is in the metadata.
	namespace = "tocsin"
)

// The statuses of an incident on a page, and what is said in each.
const (
	investigating = "investigating"
	identified    = "identified"
	monitoring    = "monitoring"
	resolved      = "resolved"
)

var defaultTexts = map[string]string{
	investigating: "We are looking into a problem with this service.",
	identified:    "We know what the problem is and are working on it.",
	monitoring:    "The problem should be solved. We are watching whether it stays so.",
	resolved:      "The problem is solved.",
}

var componentStatuses = []string{"operational", "under_maintenance", "degraded_performance", "partial_outage", "major_outage"}

// Problems returns what is wrong with the block, by field.
func (c *Config) Problems() map[string]string {
	p := block.Mistakes{}
	p.URL("api_url", c.APIURL)
	p.Need("api_key", c.APIKey, c.APIKeyFile)
	p.Set("page_id", c.PageID)
	for status := range c.Texts {
		if defaultTexts[status] == "" {
			p["texts."+status] = "is no status of an incident; there are investigating, identified, monitoring and resolved"
		}
	}
	for severity, status := range c.ComponentStatus {
		if !slices.Contains(componentStatuses, status) {
			p["component_status."+severity] = "is no status of a component; there are " + strings.Join(componentStatuses, ", ")
		}
	}
	for service, ids := range c.Components {
		if len(ids) == 0 || slices.Contains(ids, "") {
			p["components."+service] = "is without ids; write a list of those of the page's components"
		}
	}
	return p
}

// Sender shows what a block of statuspage_configs says.
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

// shown is an incident of the page.
type shown struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Metadata any    `json:"metadata"`
}

// key is ours, if it was made by us.
func (s *shown) key() any {
	all, _ := s.Metadata.(map[string]any)
	ours, _ := all[namespace].(map[string]any)
	return ours["key"]
}

// wanted is what the page is told.
type wanted struct {
	Name         string                       `json:"name,omitzero"`
	Status       string                       `json:"status"`
	Body         string                       `json:"body"`
	ComponentIDs []string                     `json:"component_ids,omitempty"`
	Components   map[string]string            `json:"components,omitempty"`
	Metadata     map[string]map[string]string `json:"metadata,omitempty"`
	Deliver      bool                         `json:"deliver_notifications"`
}

// Send implements notify.Sender. There is one incident on the page for each cycle,
// and the page is told when its status changes, not of each alert.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	key, err := outgoing.ReadSecret(s.config.APIKey.Reveal(), s.config.APIKeyFile)
	if err != nil {
		return nil, err
	}
	memory, err := s.show(ctx, m, "OAuth "+key)
	return memory, outgoing.Scrub(err, key)
}

func (s *Sender) show(ctx context.Context, m *notify.Message, authorization string) (notify.Memory, error) {
	// Nothing of an exercise, or of one customer's part, is for the public; that the page
	// lets us in is seen all the same.
	if m.Incident.Drill || m.Incident.Proceedings().Customer != "" {
		_, err := s.find(ctx, m, authorization)
		return nil, err
	}
	status := statusOf(m)
	if m.Memory[memoryKey] == m.Key() && m.Memory[memoryStatus] == status {
		return nil, nil // the public knows
	}
	there, err := s.find(ctx, m, authorization)
	if err != nil {
		return nil, err
	}
	want := s.want(m, status)
	switch {
	case there == nil && (status == resolved || m.Memory[memoryKey] == m.Key()):
		// Somebody took it off the page, or solved it there. That is theirs to decide.
		return remember(m, m.Memory[memoryID], status), nil
	case there == nil:
		want.Metadata = map[string]map[string]string{namespace: {"key": m.Key()}}
		if there, err = s.change(ctx, http.MethodPost, "", authorization, want); err != nil {
			return nil, err
		}
	case there.Status != status && there.Status != resolved:
		want.Name = "" // somebody may have given it a better one
		if _, err = s.change(ctx, http.MethodPatch, there.ID, authorization, want); err != nil {
			return nil, err
		}
	}
	return remember(m, there.ID, status), nil
}

func remember(m *notify.Message, id, status string) notify.Memory {
	return notify.Memory{memoryID: id, memoryKey: m.Key(), memoryStatus: status}
}

// statusOf is what the public is told of the phase.
func statusOf(m *notify.Message) string {
	switch {
	case m.Resolved():
		return resolved
	case m.Incident.Phase == incident.Observing:
		return monitoring
	case m.Incident.Phase == incident.Mitigating:
		return identified
	}
	return investigating
}

// want makes what the page is told. A template that fails is replaced by what is
// built in, never by a text about alerts: this is public.
func (s *Sender) want(m *notify.Message, status string) wanted {
	texts := s.templates.Texts(m, plain)
	w := wanted{Status: status, Name: defaultTitle, Body: defaultTexts[status], Deliver: block.Or(s.config.NotifySubscribers, true)}
	if s.config.Title != "" {
		w.Name = texts.Text("title", s.config.Title, w.Name)
	}
	if own := s.config.Texts[status]; own != "" {
		w.Body = texts.Text("texts."+status, own, w.Body)
	}
	if w.Name = notify.Cut(notify.Line(w.Name), titleLimit); w.Name == "" {
		w.Name = defaultTitle // the page refuses an empty one
	}
	if w.Body = notify.Cut(strings.TrimSpace(strings.ToValidUTF8(w.Body, "\uFFFD")), textLimit); w.Body == "" {
		w.Body = defaultTexts[status]
	}
	ids, ok := s.config.Components[m.Incident.Service]
	if !ok {
		ids = s.config.Components["*"]
	}
	w.ComponentIDs = ids
	component := s.config.ComponentStatus[m.Incident.Severity]
	if component != "" && status == resolved {
		component = "operational"
	}
	if component != "" && len(ids) > 0 {
		w.Components = map[string]string{}
		for _, id := range ids {
			w.Components[id] = component
		}
	}
	return w
}

// plain takes away what would be markup on the page, which shows some HTML.
var plain = strings.NewReplacer("<", "‹", ">", "›", "&", "＆").Replace

func (s *Sender) url(path ...string) string {
	return block.Base(s.config.APIURL, defaultURL) + "/v1/pages/" + url.PathEscape(s.config.PageID) + "/incidents" + strings.Join(path, "")
}

// find looks for the incident on the page: the one that we remember, else the one
// that has our key, which is there if nobody recorded that we made it.
func (s *Sender) find(ctx context.Context, m *notify.Message, authorization string) (*shown, error) {
	if id := m.Memory[memoryID]; id != "" && m.Memory[memoryKey] == m.Key() {
		var one shown
		switch answer, err := s.ask(ctx, http.MethodGet, s.url("/", url.PathEscape(id)), authorization, nil, &one); {
		case answer.Status == http.StatusNotFound:
			return nil, nil
		case err != nil:
			return nil, err
		}
		return &one, nil
	}
	var open []shown
	if _, err := s.ask(ctx, http.MethodGet, s.url("/unresolved"), authorization, nil, &open); err != nil {
		return nil, err
	}
	for n := range open {
		if open[n].key() == m.Key() {
			return &open[n], nil
		}
	}
	return nil, nil
}

func (s *Sender) change(ctx context.Context, method, id, authorization string, w wanted) (*shown, error) {
	to := s.url()
	if id != "" {
		to = s.url("/", url.PathEscape(id))
	}
	var one shown
	answer, err := s.ask(ctx, method, to, authorization, map[string]any{"incident": w}, &one)
	if err == nil && one.ID == "" {
		return nil, s.client.Refused(answer, "the answer has no id")
	}
	return &one, err
}

// statusCalm is how the API asks for fewer requests, beside 429.
const statusCalm = 420

func (s *Sender) ask(ctx context.Context, method, to, authorization string, body, into any) (outgoing.Answer, error) {
	ctx, cancel := s.config.Within(ctx)
	defer cancel()
	answer, err := s.client.JSON(ctx, method, to, body, "Authorization", authorization)
	var e *notify.Error
	if answer.Status == statusCalm && errors.As(err, &e) {
		calm := *e
		calm.Reason, calm.Permanent = notify.ReasonRateLimited, false
		return answer, &calm
	}
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(answer.Body, into); err != nil {
		return answer, s.client.Refused(answer, fmt.Sprintf("the answer is not what the API promises: %v", err))
	}
	return answer, nil
}
