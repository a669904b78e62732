package answers

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the protocol has it
	"encoding/base64"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify/links"
)

// Key presses in a call, as Twilio and those compatible with it send them, their
// signature, and the answer, which is read out:
// https://www.twilio.com/docs/voice/twiml/gather
// https://www.twilio.com/docs/usage/security#validating-requests
// https://www.twilio.com/docs/voice/twiml/say
const headerTwilio = "X-Twilio-Signature"

const (
	// PathCall takes the keys that were pressed. Its parameter token is a token of
	// notify/links, which says what the call is about.
	PathCall = "/hooks/call"
	// CallAcknowledge is the key that acknowledges.
	CallAcknowledge = "4"
)

// CallURL is where the keys go that are pressed in a call with the given link to
// acknowledge; empty without one.
func CallURL(acknowledge string) string {
	at := strings.LastIndex(acknowledge, links.PathAct)
	if at < 0 {
		return ""
	}
	return acknowledge[:at] + PathCall + "?token=" + url.QueryEscape(acknowledge[at+len(links.PathAct):])
}

// call answers POST /hooks/call.
func (h *Handler) call(c *gin.Context, r *request) (Answer, error) {
	if len(r.config.Call.AuthTokens) == 0 || h.options.External == nil {
		return Answer{}, off("call")
	}
	form, err := url.ParseQuery(string(r.body))
	if err != nil {
		return Answer{}, invalid("body", "not a form")
	}
	// What was signed is the address as they have it, and not as it came through proxies.
	address := strings.TrimRight(h.options.External.String(), "/") + PathCall
	if r.URL.RawQuery != "" {
		address += "?" + r.URL.RawQuery
	}
	if !twilioSigned(r.config.Call.AuthTokens, r.Header.Get(headerTwilio), address, form) {
		return Answer{}, h.refuse(c, headerTwilio+": not signed with an auth token of the configuration, for "+PathCall+" below the external URL")
	}
	if !form.Has("CallSid") {
		return Answer{}, invalid("CallSid", "missing")
	}
	token, err := h.options.Links.Read(r.ctx, r.URL.Query().Get("token"))
	switch {
	case errors.Is(err, links.ErrNotOurs):
		return Answer{}, invalid("token", "not one of this Tocsin")
	case errors.Is(err, links.ErrExpired):
		return say(c, Answer{Result: resultUnchanged, Note: "the link of this call has expired"}), nil
	case err != nil:
		return Answer{}, err
	case form.Get("Digits") != CallAcknowledge:
		return say(c, ignored("another key was pressed")), nil
	}
	s := said{id: r.id, incident: token.Incident, cycle: token.Cycle, by: caller(form.Get("To")), where: "phone call", text: "by telephone", do: acknowledge}
	a, err := h.act(r.ctx, s)
	if err != nil {
		return a, err
	}
	return say(c, a), nil
}

// caller is who was called, without the number that would find them.
func caller(number string) string {
	const shown = 4
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, number)
	if len(digits) <= shown {
		return person("a call")
	}
	return "phone …" + digits[len(digits)-shown:]
}

// say answers a call with a sentence.
func say(c *gin.Context, a Answer) Answer {
	text := "Nothing was done: " + a.Note + "."
	if a.Result == resultAcknowledged {
		text = "Acknowledged. Thank you."
	}
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"Response"`
		Say     string
		Hangup  struct{}
	}{Say: text})
	if err != nil {
		return a // unreachable: it always encodes
	}
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "text/xml; charset=utf-8", append([]byte(xml.Header), body...))
	return a
}

// twilioSigned verifies the HMAC-SHA1 of an address and a form in the order of its
// names. All tokens are tried, each in constant time.
func twilioSigned(tokens []secret.String, given, address string, form url.Values) bool {
	mac, err := base64.StdEncoding.DecodeString(given)
	if err != nil || len(mac) != sha1.Size {
		return false
	}
	var text strings.Builder
	text.WriteString(address)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			text.WriteString(name + value)
		}
	}
	good := false
	for _, t := range tokens {
		h := hmac.New(sha1.New, []byte(t.Reveal()))
		_, _ = h.Write([]byte(text.String())) // a hash takes everything
		good = hmac.Equal(h.Sum(nil), mac) || good
	}
	return good
}
