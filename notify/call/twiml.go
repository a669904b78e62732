package call

import (
	"encoding/xml"
	"strings"
	"unicode"

	"github.com/tocsin-gateway/tocsin/notify"
)

// twimlLimit is the longest TwiML that a request may have:
// https://www.twilio.com/docs/api/errors/32018.
const twimlLimit = 4000

// The verbs that are used, see https://www.twilio.com/docs/voice/twiml.
type (
	say struct {
		XMLName  xml.Name `xml:"Say"`
		Language string   `xml:"language,attr"`
		Voice    string   `xml:"voice,attr,omitempty"`
		Text     string   `xml:",chardata"`
	}
	pause struct {
		XMLName xml.Name `xml:"Pause"`
		Length  int      `xml:"length,attr"`
	}
	gather struct {
		XMLName xml.Name `xml:"Gather"`
		Action  string   `xml:"action,attr"`
		Method  string   `xml:"method,attr"`
		Input   string   `xml:"input,attr"`
		Digits  int      `xml:"numDigits,attr"`
		Timeout int      `xml:"timeout,attr"`
		Verbs   []any
	}
	response struct {
		XMLName xml.Name `xml:"Response"`
		Verbs   []any
	}
)

// twiml is what the voice says: the text twice, as nobody understands it the first
// time at night, and what to press. It is cut until it fits.
func (s *Sender) twiml(text, action string) string {
	for limit := spokenLimit; ; limit /= 2 {
		out, err := xml.Marshal(s.spoken(notify.Cut(speech(text), limit), action))
		if err == nil && len(out) <= twimlLimit || limit == 0 {
			return string(out)
		}
	}
}

func (s *Sender) spoken(text, action string) response {
	language, prompt := s.config.Language, s.config.Prompt
	if language == "" {
		language = defaultLanguage
	}
	if prompt == "" {
		prompt = defaultPrompt
	}
	speak := func(text string) say { return say{Language: language, Voice: s.config.Voice, Text: text} }
	verbs := []any{speak(text), pause{Length: 1}, speak(text)}
	if action == "" {
		return response{Verbs: verbs}
	}
	return response{Verbs: []any{gather{Action: action, Method: "POST", Input: "dtmf", Digits: 1, Timeout: 10, Verbs: append(verbs, speak(prompt))}}}
}

// speech leaves away what a voice would spell out.
func speech(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case r == '[' || r == ']' || r == '·' || r == '_' || r == '*' || r == '`' || r == '|' || unicode.IsControl(r):
			return ' '
		}
		return r
	}, notify.Line(text))), " ")
}
