package targettest

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Twilio is the part of Twilio's REST API that calls people and writes to them:
// https://www.twilio.com/docs/voice/api/call-resource and
// https://www.twilio.com/docs/messaging/api/message-resource, with the TwiML of
// https://www.twilio.com/docs/voice/twiml.
type Twilio struct {
	Server
	// Account and Token are the credentials.
	Account, Token string
	invalid        string
	calls          []TwilioCall
}

// TwilioCall is one call, or one text message.
type TwilioCall struct {
	To string
	// Said are the texts that are read, Action is who is told of a key; Body is the
	// text of a message.
	Said         []string
	Action, Body string
}

// NewTwilio starts the API.
func NewTwilio(t testing.TB) *Twilio {
	s := &Twilio{Account: "AC" + strings.Repeat("0a", 16), Token: "twilio-token"}
	s.start(t, s.handle)
	return s
}

// Invalid makes a number one that cannot be called.
func (s *Twilio) Invalid(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalid = number
}

// Calls are those that were made.
func (s *Twilio) Calls() []TwilioCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

var (
	twilioNumber = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	twilioVerbs  = map[string][]string{"Response": nil, "Say": {"language", "voice", "loop"}, "Pause": {"length"}, "Gather": {"action", "method", "input", "numDigits", "timeout", "finishOnKey"}, "Hangup": nil}
)

func (s *Twilio) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status, code int, wrong string) string {
		return answer(w, status, map[string]any{"code": code, "message": wrong, "status": status}, wrong)
	}
	if r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(s.Account+":"+s.Token)) {
		return refuse(http.StatusUnauthorized, 20003, "the credentials are wrong")
	}
	kind, ok := strings.CutPrefix(r.URL.Path, "/2010-04-01/Accounts/"+s.Account+"/")
	form, err := url.ParseQuery(string(body))
	if !ok || err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return refuse(http.StatusNotFound, 20404, r.Method+" "+r.URL.Path)
	}
	call := TwilioCall{To: form.Get("To"), Body: form.Get("Body")}
	allowed := map[string][]string{"Calls.json": {"From", "To", "Twiml", "Timeout"}, "Messages.json": {"From", "To", "Body"}}[kind]
	for name, values := range form {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			return refuse(http.StatusBadRequest, 20001, "parameter "+name)
		}
	}
	switch {
	case allowed == nil:
		return refuse(http.StatusNotFound, 20404, kind)
	case !twilioNumber.MatchString(call.To):
		return refuse(http.StatusBadRequest, 21211, "to "+call.To)
	case form.Get("From") == "":
		return refuse(http.StatusBadRequest, 21212, "no from")
	case kind == "Messages.json":
		if n := utf8.RuneCountInString(call.Body); n == 0 || n > 1600 || !utf8.ValidString(call.Body) {
			return refuse(http.StatusBadRequest, 21617, fmt.Sprintf("a text of %d characters", n))
		}
	default:
		if err := call.read(form.Get("Twiml")); err != nil {
			return refuse(http.StatusBadRequest, 12100, err.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if call.To == s.invalid {
		return refuse(http.StatusBadRequest, 21211, "nobody is "+call.To)
	}
	s.calls = append(s.calls, call)
	return answer(w, http.StatusCreated, map[string]any{"sid": fmt.Sprintf("CA%032x", len(s.calls)), "status": "queued"}, "")
}

// read looks at TwiML as a strict reader would.
func (c *TwilioCall) read(twiml string) error {
	if len(twiml) > 4000 {
		return fmt.Errorf("TwiML of %d bytes", len(twiml))
	}
	d := xml.NewDecoder(strings.NewReader(twiml))
	depth, verb := 0, ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			attributes, known := twilioVerbs[t.Name.Local]
			if !known || (depth == 0) != (t.Name.Local == "Response") || depth > 2 {
				return fmt.Errorf("verb %s", t.Name.Local)
			}
			for _, a := range t.Attr {
				if !slices.Contains(attributes, a.Name.Local) {
					return fmt.Errorf("attribute %s of %s", a.Name.Local, t.Name.Local)
				}
				if a.Name.Local == "action" {
					c.Action = a.Value
				}
			}
			depth++
			verb = t.Name.Local
		case xml.EndElement:
			depth--
			verb = ""
		case xml.CharData:
			if text := string(t); verb == "Say" {
				c.Said = append(c.Said, text)
			} else if strings.TrimSpace(text) != "" {
				return fmt.Errorf("text in %s", verb)
			}
		default:
			return fmt.Errorf("%T in TwiML", t)
		}
	}
	if len(c.Said) == 0 {
		return errors.New("nothing is said")
	}
	return nil
}
