package answers

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web"
)

// The outgoing webhook of Opsgenie, which Jira Service Management has taken over.
// It cannot sign, so it sends a token.
// https://support.atlassian.com/opsgenie/docs/integrate-opsgenie-with-webhook/
// https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/
const headerToken = "X-Tocsin-Token"

// opsgenieBody is what we read of an action.
type opsgenieBody struct {
	Action string `json:"action"`
	Source struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"source"`
	Alert struct {
		Alias    string `json:"alias"`
		Username string `json:"username"`
		Note     string `json:"note"`
	} `json:"alert"`
}

// opsgenie answers POST /hooks/opsgenie.
func (h *Handler) opsgenie(c *gin.Context, r *request) (Answer, error) {
	conf := &r.config.Opsgenie
	if len(conf.Tokens) == 0 {
		return Answer{}, off("opsgenie")
	}
	if !h.guesses.Allow(c.ClientIP()) {
		return Answer{}, errTooMany
	}
	if !presents(conf.Tokens, r.Request) {
		h.guesses.Failed(r.ctx, c.ClientIP())
		return Answer{}, refusedError{web.Refuse(http.StatusUnauthorized, "send a token of the configuration: Authorization: Bearer TOKEN, or as password")}
	}
	var b opsgenieBody
	if err := decode(r.body, &b); err != nil {
		return Answer{}, err
	}
	if b.Action == "" {
		return Answer{}, invalid("action", "missing")
	}
	s := said{id: r.id, by: person("Opsgenie", b.Alert.Username, b.Source.Name), where: "opsgenie webhook"}
	switch b.Action {
	case "Acknowledge":
		s.do, s.text = acknowledge, comment(b.Alert.Note)
	case "UnAcknowledge":
		s.do, s.text = unacknowledge, comment(b.Alert.Note)
	case "Close":
		s.do, s.text = resolve, comment(b.Alert.Note)
	case "AddNote":
		s.do, s.text = note, comment(b.Alert.Note)
	default:
		return ignored(comment(b.Action)), nil
	}
	switch {
	case b.Alert.Alias == "":
		return Answer{}, invalid("alert.alias", "missing")
	case !s.about(b.Alert.Alias):
		return Answer{Result: resultUnknown, Note: "not an incident of Tocsin"}, nil
	case isOneOf(conf.IgnoreUsers, b.Alert.Username, b.Source.Name) || opsgenieOurs(&b):
		return ignored("this is what Tocsin said itself"), nil
	case b.Action == "AddNote" && s.text == "":
		return ignored("an empty note"), nil
	}
	return h.act(r.ctx, s)
}

// opsgenieOurs recognises what we do there by the API: as the user that our
// notifier names, or as the API itself, which has no person behind it.
func opsgenieOurs(b *opsgenieBody) bool {
	return strings.EqualFold(b.Source.Type, "api") && isOneOf([]string{"tocsin", "alert api", ""}, b.Alert.Username)
}

// isOneOf reports whether one of the names is in the list, whatever the case.
func isOneOf(list []string, names ...string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(entry, name) })
	})
}

// presents reports whether a request has one of the tokens. All are compared, each
// in constant time, and by their hashes, so that not even the length shows.
func presents(tokens []secret.String, r *http.Request) bool {
	given := r.Header.Get(headerToken)
	if _, password, ok := r.BasicAuth(); ok {
		given = password
	} else if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(given))
	good := 0
	for _, t := range tokens {
		want := sha256.Sum256([]byte(t.Reveal()))
		good |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return good == 1
}
