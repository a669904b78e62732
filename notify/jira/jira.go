// Package jira keeps an issue for each incident: it creates one, updates it,
// reopens it and moves it to where it is resolved.
//
// Cloud: https://developer.atlassian.com/cloud/jira/platform/rest/v3/. Data Center:
// https://developer.atlassian.com/server/jira/platform/rest/. Which of them it is,
// and which version of the API, is said by api_type and api_url as for
// Alertmanager.
package jira

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	amjira "github.com/prometheus/alertmanager/notify/jira"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

const (
	// memoryIssue is where a Memory has the issue's key.
	memoryIssue = "issue"
	// searchable is how long Cloud may take until its search finds a new issue, see
	// https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/. When
	// it is not known whether one was created, that is waited for.
	searchable = 15 * time.Second
)

// Sender keeps issues in one project. Each has Message.Key as a label, by which it
// is found when it is not remembered, so that what is said twice makes one issue.
type Sender struct {
	config    *amjira.JiraConfig
	templates *notify.Templates
	client    *outgoing.Client
	// cloud: the search is the one of Cloud. adf: texts are documents, as in version
	// 3; else they are wiki markup.
	cloud, adf bool
}

// New returns a Sender for a block of jira_configs, as config.Load left it.
func New(c *amjira.JiraConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	if c.APIURL == nil || c.APIURL.URL == nil {
		return nil, errors.New("notify: jira_configs: api_url is missing")
	}
	client, err := outgoing.New(c.HTTPConfig, dial)
	if err != nil {
		return nil, err
	}
	return &Sender{config: c, templates: t, client: client, cloud: isCloud(c), adf: strings.HasSuffix(strings.TrimRight(c.APIURL.Path, "/"), "/3")}, nil
}

func isCloud(c *amjira.JiraConfig) bool {
	host := c.APIURL.Hostname()
	return c.APIType == "cloud" || c.APIType != "datacenter" && (strings.HasSuffix(host, ".atlassian.net") || host == "api.atlassian.com")
}

// Send brings the issue to the state of the incident. It remembers the issue:
// Cloud's search does not find at once what was created.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	t := s.texts(m)
	i, err := s.find(ctx, m, t)
	switch {
	case err != nil:
		return nil, err
	case i == nil && m.Resolved():
		return nil, nil // there is nothing that could be resolved
	case i == nil:
		if i, err = s.create(ctx, m, t); err != nil {
			return nil, err
		}
	case i.done() && m.Resolved():
	default:
		if err := s.change(ctx, m, t, i); err != nil {
			return nil, err
		}
	}
	if err := s.say(ctx, m, i.Key); err != nil {
		return nil, err
	}
	return notify.Memory{memoryIssue: i.Key}, nil
}

// issue is what is read of one.
type issue struct {
	Key    string `json:"key"`
	Fields struct {
		Status struct {
			Category struct {
				Key string `json:"key"`
			} `json:"statusCategory"`
		} `json:"status"`
		Resolution *named `json:"resolution"`
		ResolvedAt string `json:"resolutiondate"`
	} `json:"fields"`
}

type named struct {
	Name string `json:"name"`
}

func (i *issue) done() bool { return i.Fields.Status.Category.Key == "done" }

// readFields are the fields of it.
var readFields = []string{"status", "resolution", "resolutiondate"}

// find returns the issue of the incident, nil if there is none that is open or may
// be reopened.
func (s *Sender) find(ctx context.Context, m *notify.Message, t *texts) (*issue, error) {
	if key := m.Memory[memoryIssue]; key != "" {
		i, err := s.read(ctx, key)
		if err != nil {
			return nil, err
		}
		if i != nil && (!i.done() || m.Resolved() || s.reopens(i, m.SentAt)) {
			return i, nil
		}
	}
	return s.search(ctx, m, t)
}

// read returns an issue, nil if it was deleted.
func (s *Sender) read(ctx context.Context, key string) (*issue, error) {
	a, err := s.request(ctx, http.MethodGet, s.api("issue", key)+"?fields="+strings.Join(readFields, ","), nil)
	if a.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var i issue
	if json.Unmarshal(a.Body, &i) != nil || i.Key == "" {
		return nil, outgoing.Untold("Jira")
	}
	return &i, nil
}

// reopens says whether an issue that is done is opened again.
func (s *Sender) reopens(i *issue, now time.Time) bool {
	if !s.mayReopen() || i.Fields.Resolution != nil && s.config.WontFixResolution != "" && i.Fields.Resolution.Name == s.config.WontFixResolution {
		return false
	}
	at, err := time.Parse("2006-01-02T15:04:05.000-0700", i.Fields.ResolvedAt)
	return err != nil || now.Sub(at) <= time.Duration(s.config.ReopenDuration)
}

// mayReopen: the search for such issues counts in minutes.
func (s *Sender) mayReopen() bool {
	return s.config.ReopenTransition != "" && time.Duration(s.config.ReopenDuration) >= time.Minute
}

// search finds the issue by its label.
func (s *Sender) search(ctx context.Context, m *notify.Message, t *texts) (*issue, error) {
	where := s.api("search")
	if s.cloud {
		// Version 2 of Cloud has no search that lasts.
		where = strings.Replace(s.api("search", "jql"), "/rest/api/2/", "/rest/api/3/", 1)
	}
	a, err := s.request(ctx, http.MethodPost, where, map[string]any{"jql": s.query(m, t), "maxResults": 10, "fields": readFields})
	if err != nil {
		return nil, err
	}
	var found struct {
		Issues *[]issue `json:"issues"`
	}
	if json.Unmarshal(a.Body, &found) != nil || found.Issues == nil {
		return nil, outgoing.Untold("Jira")
	}
	all := *found.Issues
	if open := slices.IndexFunc(all, func(i issue) bool { return !i.done() }); open >= 0 {
		return &all[open], nil
	}
	if len(all) == 0 {
		return nil, nil
	}
	return &all[0], nil
}

// cyclesSearched bounds how many cycles of an incident are searched for.
const cyclesSearched = 20

// query is JQL for the issues of the incident, of this cycle and those before it.
func (s *Sender) query(m *notify.Message, t *texts) string {
	var labels []string
	before := *m
	cycle := *m.Incident
	before.Incident = &cycle
	for ; cycle.Reopens >= 0 && len(labels) < cyclesSearched; cycle.Reopens-- {
		labels = append(labels, quote(before.Key()))
	}
	q := "project = " + quote(t.project) + " and labels in (" + strings.Join(labels, ", ") + ")"
	if s.config.WontFixResolution != "" {
		// An issue without a resolution does not differ from one, in JQL.
		q += " and (resolution is EMPTY or resolution != " + quote(s.config.WontFixResolution) + ")"
	}
	if s.mayReopen() && !m.Resolved() {
		q += fmt.Sprintf(" and (resolutiondate is EMPTY or resolutiondate >= -%dm)", int(time.Duration(s.config.ReopenDuration).Minutes()))
	} else {
		q += " and statusCategory != Done"
	}
	return q + " order by status ASC, resolutiondate DESC"
}

// quote makes a string of JQL.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(wire.Line(s)) + `"`
}

func (s *Sender) create(ctx context.Context, m *notify.Message, t *texts) (*issue, error) {
	fields := t.fields()
	fields["project"], fields["issuetype"] = map[string]string{"key": t.project}, named{t.issueType}
	fields["labels"] = append(slices.Clone(t.labels), m.Key())
	a, err := s.write(ctx, http.MethodPost, s.api("issue"), map[string]any{"fields": fields}, m.Key())
	var e *notify.Error
	if s.cloud && errors.As(err, &e) && !e.Permanent && e.Reason != notify.ReasonAuth && e.Reason != notify.ReasonRateLimited {
		e.RetryAfter = max(e.RetryAfter, searchable)
	}
	if err != nil {
		return nil, err
	}
	var i issue
	if json.Unmarshal(a.Body, &i) != nil || i.Key == "" {
		return nil, outgoing.Untold("Jira")
	}
	return &i, nil
}

// change updates an issue, and moves it to where the incident's state belongs.
func (s *Sender) change(ctx context.Context, m *notify.Message, t *texts, i *issue) error {
	if i.done() {
		if err := s.move(ctx, i.Key, s.config.ReopenTransition); err != nil {
			return err // one that is done may not be edited
		}
	}
	fields := t.fields()
	if !s.config.Summary.EnableUpdateValue() {
		delete(fields, "summary")
	}
	if !s.config.Description.EnableUpdateValue() {
		delete(fields, "description")
	}
	// Labels are added, so that those that people gave remain.
	labels := []map[string]string{{"add": m.Key()}}
	for _, label := range t.labels {
		labels = append(labels, map[string]string{"add": label})
	}
	body := map[string]any{"fields": fields, "update": map[string]any{"labels": labels}}
	if err := done(s.write(ctx, http.MethodPut, s.api("issue", i.Key), body, m.Key())); err != nil {
		return err
	}
	if m.Resolved() {
		return s.move(ctx, i.Key, s.config.ResolveTransition)
	}
	return nil
}

// move makes a transition, by its name; an empty one is none.
func (s *Sender) move(ctx context.Context, key, name string) error {
	if name == "" {
		return nil
	}
	where := s.api("issue", key, "transitions")
	a, err := s.request(ctx, http.MethodGet, where, nil)
	if err != nil {
		return err
	}
	var all struct {
		Transitions *[]struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"transitions"`
	}
	if json.Unmarshal(a.Body, &all) != nil || all.Transitions == nil {
		return outgoing.Untold("Jira")
	}
	for _, one := range *all.Transitions {
		if one.Name == name {
			return done(s.request(ctx, http.MethodPost, where, map[string]any{"transition": map[string]string{"id": one.ID}}))
		}
	}
	return notify.Permanent("%s has no transition %q from where it is", key, name)
}

// say comments on what is no field of an issue: who works on it. A comment that is
// there already is not made again.
func (s *Sender) say(ctx context.Context, m *notify.Message, key string) error {
	text, mark := comment(m)
	if text == "" {
		return nil
	}
	where := s.api("issue", key, "comment")
	a, err := s.request(ctx, http.MethodGet, where+"?orderBy=-created&maxResults=20", nil)
	switch {
	case err != nil:
		return err
	case !bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("{")): // it may be long, and so only its beginning
		return outgoing.Untold("Jira")
	case bytes.Contains(a.Body, []byte(mark)):
		return nil
	}
	var body any
	if s.adf {
		body = document(text+" "+mark, nil)
	} else {
		body = wiki(text) + " " + mark
	}
	return done(s.request(ctx, http.MethodPost, where, map[string]any{"body": body}))
}

// done is the error of a change, which Jira answers without a body or with one of JSON.
func done(a outgoing.Answer, err error) error {
	if err == nil && a.Status != http.StatusNoContent && !jsontext.Value(a.Body).IsValid() {
		return outgoing.Untold("Jira")
	}
	return err
}

// comment is what there is to say, and the mark by which it is recognised: it is
// the same at each attempt.
func comment(m *notify.Message) (text, mark string) {
	acknowledged := m.Incident.State == incident.Acknowledged && (m.Event == notify.Acknowledged || m.Event == notify.Opened)
	if !acknowledged && m.Event != notify.Unacknowledged {
		return "", ""
	}
	what, who, at, action := "acknowledged", m.Incident.AcknowledgedBy, m.Incident.AcknowledgedAt, "acknowledged"
	text = notify.Line(who) + " works on it"
	if !acknowledged {
		what, action, at = "no longer acknowledged", "acknowledgement_removed", time.Time{}
		text = "No longer acknowledged: nobody works on it"
	}
	for _, e := range m.News {
		if e.Action == action {
			text = notify.Line(e.Who) + ": " + notify.Line(e.Text)
			if at.IsZero() {
				at = e.At
			}
		}
	}
	return text, fmt.Sprintf("(%s %s %s)", m.Incident.Reference, what, at.UTC().Format(time.RFC3339))
}

// api is a URL below api_url.
func (s *Sender) api(parts ...string) string {
	for n := range parts {
		parts[n] = url.PathEscape(parts[n])
	}
	return s.config.APIURL.JoinPath(parts...).String()
}

func (s *Sender) request(ctx context.Context, method, to string, body any) (outgoing.Answer, error) {
	return s.client.JSON(ctx, method, to, body, "Accept", "application/json", "Accept-Language", "en")
}

// write sends fields. If Jira refuses some that are not needed, such as a priority
// that the project does not have, it is asked again without them: an issue that
// lacks something is better than none.
func (s *Sender) write(ctx context.Context, method, to string, body map[string]any, label string) (a outgoing.Answer, err error) {
	for range 4 { // it may not complain of all at once
		a, err = s.request(ctx, method, to, body)
		if a.Status != http.StatusBadRequest || !without(body, a.Body, label) {
			break
		}
	}
	return a, err
}

// needed are the fields without which there is no issue.
var needed = []string{"project", "issuetype", "summary"}

// without takes out what an answer complains of, and reports whether that is
// anything, and nothing that is needed. Of labels, ours is tried alone: the issue
// is found by it.
func without(body map[string]any, answer []byte, label string) (changed bool) {
	var refused struct {
		Errors map[string]string `json:"errors"`
	}
	if json.Unmarshal(answer, &refused) != nil {
		return false
	}
	fields, _ := body["fields"].(map[string]any)
	update, _ := body["update"].(map[string]any)
	for name := range refused.Errors {
		if slices.Contains(needed, name) {
			return false
		}
		if all, ok := fields[name].([]string); ok && len(all) > 1 {
			fields[name], changed = []string{label}, true
			continue
		}
		if all, ok := update[name].([]map[string]string); ok && len(all) > 1 {
			update[name], changed = []map[string]string{{"add": label}}, true
			continue
		}
		_, set := fields[name]
		_, updated := update[name]
		changed = changed || set || updated
		delete(fields, name)
		delete(update, name)
	}
	return changed
}
