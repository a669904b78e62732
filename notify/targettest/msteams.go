package targettest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// TeamsHook is the path and query of the workflow's webhook.
const TeamsHook = "/workflows/0123456789abcdef/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=tEaMsSeCrEt"

// Teams has the webhook of one workflow that posts cards, as in
// https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook, with
// cards as in https://adaptivecards.io/explorer/AdaptiveCard.html and the limit of
// https://learn.microsoft.com/en-us/microsoftteams/limits-specifications-teams.
type Teams struct {
	Server
	state sync.Mutex
	cards []*TeamsCard
}

// TeamsCard is a card as people see it.
type TeamsCard struct {
	// Title is the first text, Text all of them, Color that of the first.
	Title, Text, Color string
	// Facts and Actions are by title.
	Facts, Actions map[string]string
	// Live is what of the texts is a mention or markup.
	Live []string
}

// NewTeams serves a workflow until the test ends.
func NewTeams(t testing.TB) *Teams {
	s := &Teams{}
	s.start(t, s.serveTeams)
	return s
}

// HookURL is what webhook_url is set to.
func (s *Teams) HookURL() string { return s.URL + TeamsHook }

// Cards are those that were posted, oldest first.
func (s *Teams) Cards() []*TeamsCard {
	s.state.Lock()
	defer s.state.Unlock()
	return slices.Clone(s.cards)
}

// teamsLimit is 28 KB.
const teamsLimit = 28 << 10

func (s *Teams) serveTeams(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, code, wrong string) string {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": wrong}}) // the client may have gone
		return wrong
	}
	path, query, _ := strings.Cut(TeamsHook, "?")
	switch {
	case r.URL.Path != path:
		return refuse(http.StatusNotFound, "WorkflowNotFound", "there is no such workflow")
	case r.URL.RawQuery != query:
		return refuse(http.StatusUnauthorized, "DirectApiAuthorizationRequired", "the signature is another one")
	case r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		return refuse(http.StatusBadRequest, "TriggerInputSchemaMismatch", "not a POST of application/json")
	case len(body) > teamsLimit:
		return refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "more than 28 KB")
	}
	var message map[string]any
	if err := json.Unmarshal(body, &message); err != nil || !utf8.Valid(body) {
		return refuse(http.StatusBadRequest, "TriggerInputSchemaMismatch", "the body is not a JSON object in UTF-8")
	}
	card, wrong := readTeamsMessage(message)
	if wrong != "" {
		return refuse(http.StatusBadRequest, "TriggerInputSchemaMismatch", wrong)
	}
	s.state.Lock()
	defer s.state.Unlock()
	s.cards = append(s.cards, card)
	w.WriteHeader(http.StatusAccepted)
	return ""
}

func readTeamsMessage(message map[string]any) (*TeamsCard, string) {
	attachments := listOf(message["attachments"])
	if message["type"] != "message" || len(attachments) != 1 || len(message) != 2 {
		return nil, "a message has the type message and one attachment"
	}
	at := objectOf(attachments[0])
	content := objectOf(at["content"])
	_, hasURL := at["contentUrl"]
	switch {
	case at["contentType"] != "application/vnd.microsoft.card.adaptive" || !hasURL || at["contentUrl"] != nil:
		return nil, "the attachment is not an Adaptive Card"
	case content["type"] != "AdaptiveCard" || content["$schema"] != "http://adaptivecards.io/schemas/adaptive-card.json":
		return nil, "the content is not an Adaptive Card"
	case !slices.Contains([]string{"1.2", "1.3", "1.4", "1.5"}, textOf(content["version"])):
		return nil, "Teams does not show version " + textOf(content["version"])
	}
	for name := range content {
		if !slices.Contains([]string{"$schema", "type", "version", "body", "actions", "msteams"}, name) {
			return nil, "a card has no " + name
		}
	}
	for name := range objectOf(content["msteams"]) {
		if name != "width" {
			return nil, "msteams: " + name // entities would make mentions live
		}
	}
	c := &TeamsCard{Facts: map[string]string{}, Actions: map[string]string{}}
	for _, one := range listOf(content["body"]) {
		if wrong := c.element(objectOf(one)); wrong != "" {
			return nil, wrong
		}
	}
	if c.Title == "" {
		return nil, "the card says nothing"
	}
	return c, c.actions(listOf(content["actions"]))
}

func (c *TeamsCard) actions(all []any) string {
	if len(all) > 6 {
		return "Teams shows at most 6 actions"
	}
	for _, one := range all {
		a := objectOf(one)
		if a["type"] != "Action.OpenUrl" || textOf(a["title"]) == "" || !isFullURL(textOf(a["url"])) {
			return "an action opens a URL"
		}
		c.Actions[textOf(a["title"])] = textOf(a["url"])
	}
	return ""
}

var teamsValues = map[string][]string{
	"weight": {"Default", "Lighter", "Bolder"}, "size": {"Default", "Small", "Medium", "Large", "ExtraLarge"}, "style": {"default", "heading"},
	"color": {"Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"},
}

func (c *TeamsCard) element(e map[string]any) string {
	switch e["type"] {
	case "TextBlock":
		text := textOf(e["text"])
		if text == "" {
			return "a TextBlock has a text"
		}
		for name, v := range e {
			if values, ok := teamsValues[name]; ok && !slices.Contains(values, textOf(v)) {
				return "TextBlock: " + name + " is " + textOf(v)
			}
		}
		if c.Title == "" {
			c.Title, c.Color = text, textOf(e["color"])
		}
		c.read(text)
	case "FactSet":
		facts := listOf(e["facts"])
		if len(facts) == 0 {
			return "a FactSet has facts"
		}
		for _, one := range facts {
			f := objectOf(one)
			if textOf(f["title"]) == "" || textOf(f["value"]) == "" {
				return "a fact has a title and a value"
			}
			c.Facts[textOf(f["title"])] = textOf(f["value"])
			c.read(textOf(f["value"]))
		}
	default:
		return "an element of type " + textOf(e["type"])
	}
	return ""
}

var (
	teamsEscaped = regexp.MustCompile("\\\\[\\\\`*_\\[\\]~{}|#+.)=>-]")
	teamsMarkup  = []*regexp.Regexp{
		regexp.MustCompile(`<\s*/?\s*[a-zA-Z!]`), regexp.MustCompile(`\]\(`), regexp.MustCompile(`\*[^*\n]+\*`), regexp.MustCompile("`[^`\n]+`"), regexp.MustCompile(`~~[^~\n]+~~`),
		regexp.MustCompile(`(?m)(^|\W)_[^_\n]+_`), regexp.MustCompile(`\{\{`), regexp.MustCompile(`\\`),
	}
)

// read finds what is live in a text once the signs that are escaped are gone.
func (c *TeamsCard) read(text string) {
	c.Text += text + "\n"
	bare := teamsEscaped.ReplaceAllString(text, "")
	for _, one := range teamsMarkup {
		c.Live = append(c.Live, one.FindAllString(bare, -1)...)
	}
}
