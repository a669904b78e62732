package targettest

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TeamsConnector takes cards for a channel of Microsoft Teams in the old way, as
// https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
// and https://learn.microsoft.com/en-us/outlook/actionable-messages/message-card-reference say.
type TeamsConnector struct {
	Server
	mu    sync.Mutex
	cards []ConnectorCard
}

// ConnectorCard is one card as it was taken. The page has the type as @type; connectors
// also take type, as Alertmanager has always sent it.
type ConnectorCard struct {
	Context    string `json:"@context"`
	AtType     string `json:"@type"`
	Type       string `json:"type"`
	Title      string `json:"title"`
	Summary    string `json:"summary"`
	Text       string `json:"text"`
	ThemeColor string `json:"themeColor"`
}

// TeamsConnectorKey is the secret in the connector's URL.
const TeamsConnectorKey = "8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a"

const teamsConnectorPath = "/webhookb2/c9b5/IncomingWebhook/" + TeamsConnectorKey + "/44cc"

// NewTeamsConnector serves until the test ends.
func NewTeamsConnector(t testing.TB) *TeamsConnector {
	s := &TeamsConnector{}
	s.start(t, s.take)
	return s
}

// Webhook is the URL that takes cards.
func (s *TeamsConnector) Webhook() string { return s.URL + teamsConnectorPath }

// Cards are those that were taken.
func (s *TeamsConnector) Cards() []ConnectorCard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cards)
}

func (s *TeamsConnector) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, message string) string {
		http.Error(w, message, status)
		return message
	}
	if r.Method != http.MethodPost || r.URL.Path != teamsConnectorPath {
		return refuse(http.StatusNotFound, "No connector configuration found")
	}
	var c ConnectorCard
	wrong := readStrictly(r, body, &c)
	switch {
	case wrong != "":
		return refuse(http.StatusBadRequest, wrong)
	case len(body) > 28<<10:
		return refuse(http.StatusRequestEntityTooLarge, "the card is larger than 28 KB")
	case c.AtType+c.Type != "MessageCard" || !strings.HasSuffix(c.Context, "//schema.org/extensions"):
		return refuse(http.StatusBadRequest, "not a card")
	case c.Summary == "" && c.Text == "":
		return refuse(http.StatusBadRequest, "Summary or Text is required.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cards = append(s.cards, c)
	_, _ = io.WriteString(w, "1") // the client may have gone
	return ""
}
