package targettest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// JiraUser and JiraToken are what Jira takes as basic authentication.
const (
	JiraUser  = "tocsin@example.com"
	JiraToken = "ATATT3xFfGF0token"
)

// Jira is a server of Jira with the project OPS. As Cloud it has
// https://developer.atlassian.com/cloud/jira/platform/rest/v3/ and version 2 of
// it, without the search that was removed
// (https://developer.atlassian.com/changelog/#CHANGE-2046); else it is a Data
// Center, https://developer.atlassian.com/server/jira/platform/rest/, with version
// 2 only.
type Jira struct {
	Server
	cloud bool
	state sync.Mutex
	// now is the clock of Jira.
	now      time.Time
	issues   []*JiraIssue
	searches int
	// lag is how many searches do not find what was just created, as on Cloud:
	// https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/.
	lag int
	// missing are fields that are on no screen of the project, and forbidden labels.
	missing []string
}

// JiraIssue is one issue.
type JiraIssue struct {
	Key, Summary, Type, Priority, Resolution string
	// Description is a text, or a document of the Atlassian Document Format.
	Description any
	Labels      []string
	Fields      map[string]any
	Comments    []any
	Done        bool
	Resolved    time.Time
	// Live are the links and mentions in a document, and in its comments.
	Live []string
	// Log are the changes that came, in their order.
	Log []string

	foundAfter int
}

const (
	jiraSummary     = 255
	jiraLabel       = 255
	jiraDescription = 32_767
)

var (
	jiraPriorities = []string{"Highest", "High", "Medium", "Low", "Lowest"}
	jiraTypes      = []string{"Bug", "Incident", "Task"}
	// jiraOpen and jiraDone are the transitions of an issue that is open, and of one
	// that is done.
	jiraOpen = map[string]string{"21": "Start", "31": "Resolve"}
	jiraDone = map[string]string{"41": "Reopen"}
)

// NewJira serves until the test ends.
func NewJira(t testing.TB, cloud bool) *Jira {
	j := &Jira{cloud: cloud, now: SentAt}
	j.start(t, j.handle)
	return j
}

// API is the api_url of a version.
func (j *Jira) API(version string) string { return j.URL + "/rest/api/" + version }

// Set changes what Jira is like: its clock, how many searches do not find what was
// just created, and which fields are on no screen; "label x" is one that an
// administrator has forbidden.
func (j *Jira) Set(now time.Time, lag int, missing ...string) {
	j.state.Lock()
	defer j.state.Unlock()
	j.now, j.lag, j.missing = now, lag, missing
}

// CloseIssue closes an issue as a person would.
func (j *Jira) CloseIssue(key, resolution string) {
	j.state.Lock()
	defer j.state.Unlock()
	i := j.issue(key)
	i.Done, i.Resolution, i.Resolved = true, resolution, j.now
}

// Delete deletes an issue as a person would.
func (j *Jira) Delete(key string) {
	j.state.Lock()
	defer j.state.Unlock()
	j.issues = slices.DeleteFunc(j.issues, func(i *JiraIssue) bool { return i.Key == key })
}

// Label adds a label as a person would.
func (j *Jira) Label(key, label string) {
	j.state.Lock()
	defer j.state.Unlock()
	i := j.issue(key)
	i.Labels = append(i.Labels, label)
}

// Issues are all there are, oldest first.
func (j *Jira) Issues() (out []JiraIssue) {
	j.state.Lock()
	defer j.state.Unlock()
	for _, i := range j.issues {
		out = append(out, *i)
	}
	return out
}

func (j *Jira) issue(key string) *JiraIssue {
	for _, i := range j.issues {
		if i.Key == key {
			return i
		}
	}
	return nil
}

var jiraPath = regexp.MustCompile(`^/rest/api/([23])/(search|search/jql|issue|issue/([A-Z]+-\d+)(?:/(comment|transitions))?)$`)

// jiraCall is one request.
type jiraCall struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	// adf: texts are documents.
	adf   bool
	issue *JiraIssue
}

func (j *Jira) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	if user, token, ok := r.BasicAuth(); !ok || user != JiraUser || token != JiraToken {
		w.WriteHeader(http.StatusUnauthorized)
		return "the authentication is wrong"
	}
	path := jiraPath.FindStringSubmatch(r.URL.Path)
	if path == nil || path[1] == "3" && !j.cloud {
		w.WriteHeader(http.StatusNotFound)
		return "there is no such path"
	}
	j.state.Lock()
	defer j.state.Unlock()
	c := jiraCall{w: w, r: r, body: body, adf: path[1] == "3"}
	if r.Method != http.MethodGet {
		if wrong := wrongJSON(r, r.Method, body); wrong != "" {
			return j.refuse(c, "", wrong)
		}
	}
	if path[3] != "" {
		if c.issue = j.issue(path[3]); c.issue == nil {
			answerJSON(w, http.StatusNotFound, map[string]any{"errorMessages": []string{"Issue does not exist or you do not have permission to see it."}})
			return "" // it may have been deleted
		}
	}
	where := r.Method + " /" + path[2]
	if path[3] != "" {
		where = strings.Replace(where, path[3], "KEY", 1)
	}
	switch where {
	case "POST /search", "POST /search/jql":
		return j.search(c, strings.HasSuffix(where, "jql"))
	case "POST /issue":
		return j.create(c)
	case "GET /issue/KEY":
		answerJSON(w, http.StatusOK, jiraShown(c.issue))
		return ""
	case "PUT /issue/KEY":
		return j.edit(c)
	case "GET /issue/KEY/transitions":
		return j.transitions(c)
	case "POST /issue/KEY/transitions":
		return j.transition(c)
	case "GET /issue/KEY/comment":
		answerJSON(w, http.StatusOK, map[string]any{"comments": c.issue.Comments, "maxResults": 50, "total": len(c.issue.Comments), "startAt": 0})
		return ""
	case "POST /issue/KEY/comment":
		return j.comment(c)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return "there is no " + where
	}
}

func (j *Jira) refuse(c jiraCall, field, wrong string) string {
	answer := map[string]any{"errorMessages": []string{wrong}, "errors": map[string]string{}}
	if field != "" {
		answer = map[string]any{"errorMessages": []string{}, "errors": map[string]string{field: wrong}}
	}
	answerJSON(c.w, http.StatusBadRequest, answer)
	return strings.TrimSpace(field + " " + wrong)
}

func jiraShown(i *JiraIssue) map[string]any {
	category := "indeterminate"
	if i.Done {
		category = "done"
	}
	fields := map[string]any{"status": map[string]any{"name": category, "statusCategory": map[string]any{"key": category}}, "resolution": nil, "resolutiondate": nil}
	if i.Resolution != "" {
		fields["resolution"] = map[string]any{"name": i.Resolution}
	}
	if !i.Resolved.IsZero() {
		fields["resolutiondate"] = i.Resolved.Format("2006-01-02T15:04:05.000-0700")
	}
	return map[string]any{"id": "10000", "key": i.Key, "fields": fields}
}

func (j *Jira) search(c jiraCall, enhanced bool) string {
	if enhanced != j.cloud {
		answerJSON(c.w, http.StatusGone, map[string]any{"errorMessages": []string{"The requested API has been removed."}})
		return "that search does not exist here"
	}
	var q struct {
		JQL        string   `json:"jql"`
		MaxResults int      `json:"maxResults"`
		Fields     []string `json:"fields"`
	}
	if err := json.Unmarshal(c.body, &q); err != nil {
		return j.refuse(c, "", err.Error())
	}
	matches, err := parseJQL(q.JQL, j.now)
	if err != nil {
		return j.refuse(c, "", err.Error())
	}
	j.searches++
	found := []any{}
	issues := slices.Clone(j.issues)
	slices.SortStableFunc(issues, func(a, b *JiraIssue) int { // status, then the one that was resolved last
		if a.Done != b.Done {
			if b.Done {
				return -1
			}
			return 1
		}
		return b.Resolved.Compare(a.Resolved)
	})
	for _, i := range issues {
		if j.searches > i.foundAfter && matches(i) && len(found) < q.MaxResults {
			found = append(found, jiraShown(i))
		}
	}
	answerJSON(c.w, http.StatusOK, map[string]any{"issues": found})
	return ""
}

func (j *Jira) create(c jiraCall) string {
	doc, err := decodeObject(c.body)
	if err != nil {
		return j.refuse(c, "", err.Error())
	}
	f := members{doc: doc}
	f.only("fields", "update")
	fields := f.object("fields", true)
	project := fields.object("project", true)
	if project.text("key", true, 0) != "OPS" {
		return j.refuse(c, "project", "valid project is required")
	}
	kind := fields.object("issuetype", true)
	i := &JiraIssue{Key: fmt.Sprintf("OPS-%d", len(j.issues)+1), Type: kind.text("name", true, 0), Fields: map[string]any{}, foundAfter: j.searches + j.lag}
	if !slices.Contains(jiraTypes, i.Type) {
		return j.refuse(c, "issuetype", "is not a type of the project")
	}
	delete(fields.doc, "project")
	delete(fields.doc, "issuetype")
	if _, there := fields.doc["summary"]; !there {
		return j.refuse(c, "summary", "You must specify a summary of the issue.")
	}
	if field, wrong := j.set(c, i, fields); wrong != "" {
		return j.wrong(c, field, wrong)
	}
	i.Log = []string{"create"}
	j.issues = append(j.issues, i)
	answerJSON(c.w, http.StatusCreated, map[string]any{"id": "10000", "key": i.Key, "self": j.URL + "/rest/api/2/issue/10000"})
	return ""
}

// wrong refuses fields. What is missing on a screen is the project's fault, not
// the request's.
func (j *Jira) wrong(c jiraCall, field, wrong string) string {
	refused := j.refuse(c, field, wrong)
	if slices.Contains(j.missing, field) || strings.HasSuffix(wrong, "is not allowed.") {
		return ""
	}
	return refused
}

// set changes an issue, and says which field is wrong.
func (j *Jira) set(c jiraCall, i *JiraIssue, fields members) (field, wrong string) {
	changed := *i
	changed.Fields = maps.Clone(i.Fields)
	for _, name := range slices.Sorted(maps.Keys(fields.doc)) {
		if slices.Contains(j.missing, name) {
			return name, "Field '" + name + "' cannot be set. It is not on the appropriate screen, or unknown."
		}
		f := members{doc: fields.doc}
		switch name {
		case "summary":
			if changed.Summary = f.text(name, true, jiraSummary); strings.ContainsAny(changed.Summary, "\r\n") {
				f.fail("The summary is invalid because it contains newline characters.")
			}
		case "description":
			changed.Description = j.document(&f, name, c.adf, &changed.Live)
		case "labels":
			changed.Labels = f.texts(name, 0, jiraLabel)
			for _, label := range changed.Labels {
				f.wrong += j.labelWrong(label)
			}
		case "priority":
			p := f.object(name, true)
			changed.Priority = p.oneOf("name", true, jiraPriorities...)
			f.add(p)
		case "project", "issuetype":
			// They are what they were.
		default:
			if !strings.HasPrefix(name, "customfield_") {
				f.fail("Field '%s' cannot be set. It is not on the appropriate screen, or unknown.", name)
			}
			changed.Fields[name] = fields.doc[name]
		}
		if f.wrong != "" {
			return name, f.wrong
		}
	}
	*i = changed
	return "", ""
}

// labelWrong says what is wrong with a label.
func (j *Jira) labelWrong(label string) string {
	switch {
	case strings.ContainsAny(label, " \t\r\n"):
		return fmt.Sprintf("The label '%s' contains spaces which is invalid.", label)
	case slices.Contains(j.missing, "label "+label):
		return "The label '" + label + "' is not allowed."
	}
	return ""
}

// document is a text: in version 3 a document.
func (j *Jira) document(f *members, name string, adf bool, live *[]string) any {
	if !adf {
		return f.text(name, true, jiraDescription)
	}
	found, err := checkADF(f.doc[name])
	if err != nil {
		f.fail("%v", err)
	}
	*live = append(*live, found...)
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(f.doc[name]); err != nil || utf8.RuneCountInString(text.String())-1 > jiraDescription {
		f.fail("The entered text is too long. It exceeds the allowed limit of 32,767 characters.")
	}
	return f.doc[name]
}

func (j *Jira) edit(c jiraCall) string {
	doc, err := decodeObject(c.body)
	if err != nil {
		return j.refuse(c, "", err.Error())
	}
	f := members{doc: doc}
	f.only("fields", "update")
	fields := f.object("fields", false)
	var added []string
	update := f.object("update", false)
	for _, op := range update.objects("labels", func(o *members) { o.only("add"); o.text("add", true, jiraLabel) }) {
		label, _ := op["add"].(string)
		added = append(added, label)
	}
	if _, both := fields.doc["labels"]; both && len(added) > 0 {
		f.fail("labels is in fields and in update")
	}
	f.add(update)
	if f.wrong != "" {
		return j.refuse(c, "", f.wrong)
	}
	for _, label := range added {
		if wrong := j.labelWrong(label); wrong != "" {
			return j.wrong(c, "labels", wrong)
		}
	}
	c.issue.Live = nil
	if field, wrong := j.set(c, c.issue, fields); wrong != "" {
		return j.wrong(c, field, wrong)
	}
	for _, label := range added {
		if !slices.Contains(c.issue.Labels, label) {
			c.issue.Labels = append(slices.Clone(c.issue.Labels), label)
		}
	}
	c.issue.Log = append(c.issue.Log, "edit")
	c.w.WriteHeader(http.StatusNoContent)
	return ""
}

func (i *JiraIssue) transitions() map[string]string {
	if i.Done {
		return jiraDone
	}
	return jiraOpen
}

func (j *Jira) transitions(c jiraCall) string {
	out := []any{}
	for _, id := range slices.Sorted(maps.Keys(c.issue.transitions())) {
		out = append(out, map[string]any{"id": id, "name": c.issue.transitions()[id]})
	}
	answerJSON(c.w, http.StatusOK, map[string]any{"transitions": out})
	return ""
}

func (j *Jira) transition(c jiraCall) string {
	doc, err := decodeObject(c.body)
	if err != nil {
		return j.refuse(c, "", err.Error())
	}
	f := members{doc: doc}
	f.only("transition")
	transition := f.object("transition", true)
	name := c.issue.transitions()[transition.text("id", true, 0)]
	f.add(transition)
	switch {
	case f.wrong != "":
		return j.refuse(c, "", f.wrong)
	case name == "":
		return j.refuse(c, "", "the transition is not valid for the issue's status")
	case name == "Resolve":
		c.issue.Done, c.issue.Resolution, c.issue.Resolved = true, "Done", j.now
	case name == "Reopen":
		c.issue.Done, c.issue.Resolution, c.issue.Resolved = false, "", time.Time{}
	}
	c.issue.Log = append(c.issue.Log, name)
	c.w.WriteHeader(http.StatusNoContent)
	return ""
}

func (j *Jira) comment(c jiraCall) string {
	doc, err := decodeObject(c.body)
	if err != nil {
		return j.refuse(c, "", err.Error())
	}
	f := members{doc: doc}
	f.only("body")
	body := j.document(&f, "body", c.adf, &c.issue.Live)
	if f.wrong != "" {
		return j.refuse(c, "comment", f.wrong)
	}
	c.issue.Comments = append(c.issue.Comments, map[string]any{"id": "1", "body": body})
	c.issue.Log = append(c.issue.Log, "comment")
	answerJSON(c.w, http.StatusCreated, map[string]any{"id": "1", "body": body})
	return ""
}

func decodeObject(body []byte) (map[string]any, error) {
	var doc map[string]any
	err := json.Unmarshal(body, &doc)
	return doc, err
}
