package answers

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Webhooks of Jira and their signature (WebSub's X-Hub-Signature):
// https://developer.atlassian.com/cloud/jira/platform/webhooks/
// https://developer.atlassian.com/server/jira/platform/webhooks/
const headerHub = "X-Hub-Signature"

// jiraBody is what we read of an event.
type jiraBody struct {
	WebhookEvent string `json:"webhookEvent"`
	// Timestamp is when it happened, in milliseconds since 1970.
	Timestamp jsontext.Value `json:"timestamp"`
	User      *jiraUser      `json:"user"`
	Issue     struct {
		Key    string `json:"key"`
		Fields struct {
			Labels []string `json:"labels"`
			Status struct {
				Name           string `json:"name"`
				StatusCategory struct {
					Key string `json:"key"`
				} `json:"statusCategory"`
			} `json:"status"`
		} `json:"fields"`
	} `json:"issue"`
	Changelog struct {
		Items []jiraChange `json:"items"`
	} `json:"changelog"`
	Comment *struct {
		Author *jiraUser `json:"author"`
		// Body is text, or a document in Atlassian's format.
		Body jsontext.Value `json:"body"`
	} `json:"comment"`
}

// jiraUser is a person, or a program with an account.
type jiraUser struct {
	AccountID    string `json:"accountId"`
	AccountType  string `json:"accountType"`
	Name         string `json:"name"`
	DisplayName  string `json:"displayName"`
	EmailAddress string `json:"emailAddress"`
}

// jiraChange is one field that changed.
type jiraChange struct {
	Field string `json:"field"`
	// To is the id of the new value; null if there is none.
	To *string `json:"to"`
}

// jira answers POST /hooks/jira.
func (h *Handler) jira(c *gin.Context, r *request) (Answer, error) {
	const tool = "jira"
	conf := &r.config.Jira
	if len(conf.Secrets) == 0 {
		return Answer{}, off(tool)
	}
	given, ok := strings.CutPrefix(r.Header.Get(headerHub), "sha256=")
	if !ok || !signed(conf.Secrets, given, r.body) {
		return Answer{}, h.refuse(c, headerHub+": not signed with a secret of the configuration")
	}
	var b jiraBody
	if err := decode(r.body, &b); err != nil {
		return Answer{}, err
	}
	switch {
	case b.WebhookEvent == "":
		return Answer{}, invalid("webhookEvent", "missing")
	case b.Issue.Key == "":
		return ignored(comment(b.WebhookEvent)), nil
	}
	key := jiraKey(b.Issue.Fields.Labels)
	var err error
	if key != "" {
		err = h.remember(r.ctx, tool, b.Issue.Key, key)
	} else { // of an issue with a new comment only some fields are sent
		key, err = h.recall(r.ctx, tool, b.Issue.Key)
	}
	if err != nil {
		return Answer{}, err
	}
	s := said{id: r.id, where: "jira webhook"}
	if ms, err := strconv.ParseInt(string(b.Timestamp), 10, 64); err == nil && ms > 0 {
		s.at = time.UnixMilli(ms)
	}
	if !s.about(key) {
		return Answer{Result: resultUnknown, Note: "not an issue of Tocsin"}, nil
	}
	who, meant := jiraDeed(&s, &b)
	switch {
	case !meant:
		return ignored(comment(b.WebhookEvent)), nil
	case who == nil || who.AccountType == "app":
		return ignored("no person did this"), nil
	case ownComment.MatchString(s.text), isOneOf(conf.IgnoreUsers, who.AccountID, who.Name, who.DisplayName, who.EmailAddress):
		return ignored("this is what Tocsin said itself"), nil
	}
	s.by = person("Jira", who.DisplayName, who.Name, who.EmailAddress, who.AccountID)
	return h.act(r.ctx, s)
}

// ownComment is the mark at the end of what our notifier comments.
var ownComment = regexp.MustCompile(`\(INC-[0-9]{8}-[0-9A-Z]{4,12} (no longer )?acknowledged [0-9T:.-]{19,}Z\)$`)

// jiraKey is the label that our notifier has given the issue, that of the latest
// cycle if there are several, and empty if there is none.
func jiraKey(labels []string) (key string) {
	latest := -1
	for _, label := range labels {
		if s := (&said{}); s.about(label) && s.cycle > latest {
			key, latest = label, s.cycle
		}
	}
	return key
}

// jiraDeed fills in what an event means, and returns who did it and whether it
// means anything. An issue that is done resolves; one that somebody takes, or that
// is in progress, is acknowledged.
func jiraDeed(s *said, b *jiraBody) (who *jiraUser, meant bool) {
	if b.WebhookEvent == "comment_created" && b.Comment != nil {
		s.do, s.text = note, comment(jiraText(b.Comment.Body))
		return b.Comment.Author, s.text != ""
	}
	if b.WebhookEvent != "jira:issue_updated" {
		return b.User, false
	}
	for _, change := range b.Changelog.Items {
		switch category := b.Issue.Fields.Status.StatusCategory.Key; {
		case change.Field == "status" && category == "done":
			s.do, s.text = resolve, "in Jira: "+comment(b.Issue.Fields.Status.Name)
			return b.User, true
		case change.Field == "status" && category == "indeterminate", change.Field == "assignee" && change.To != nil && *change.To != "":
			s.do, meant = acknowledge, true // unless it is done as well
		}
	}
	return b.User, meant
}

// jiraText is the text of a comment, as it is, or gathered from a document:
// https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
func jiraText(body jsontext.Value) string {
	var text string
	if json.Unmarshal(body, &text, jsontext.AllowInvalidUTF8(true)) == nil {
		return text
	}
	var document jiraNode
	if json.Unmarshal(body, &document, jsontext.AllowInvalidUTF8(true)) != nil {
		return ""
	}
	var out strings.Builder
	document.write(&out, 0)
	return strings.TrimSpace(out.String())
}

// jiraNode is a part of a document.
type jiraNode struct {
	Type    string     `json:"type"`
	Text    string     `json:"text"`
	Content []jiraNode `json:"content"`
	Attrs   struct {
		Text string `json:"text"`
	} `json:"attrs"`
}

// jiraDepth bounds how deep a document is read.
const jiraDepth = 32

func (n *jiraNode) write(out *strings.Builder, depth int) {
	if depth > jiraDepth || out.Len() > commentKept {
		return
	}
	switch n.Type {
	case "hardBreak":
		out.WriteByte('\n')
	case "mention", "emoji":
		out.WriteString(n.Attrs.Text)
	}
	out.WriteString(n.Text)
	for i := range n.Content {
		n.Content[i].write(out, depth+1)
	}
	if n.Type == "paragraph" || n.Type == "heading" || n.Type == "codeBlock" {
		out.WriteByte('\n')
	}
}
