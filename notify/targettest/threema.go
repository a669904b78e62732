package targettest

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

// Threema is Threema Gateway in its basic mode, as
// https://gateway.threema.ch/en/developer/api has it.
type Threema struct {
	Server
	// From and Secret are the account.
	From, Secret string
	unknown      []string
	texts        map[string][]string
	credits      int
}

// NewThreema starts a gateway with the account *TOCSIN1.
func NewThreema(t testing.TB) *Threema {
	s := &Threema{From: "*TOCSIN1", Secret: "threema-secret", texts: map[string][]string{}, credits: 1000}
	s.start(t, s.handle)
	return s
}

// Unknown makes a recipient one that does not exist.
func (s *Threema) Unknown(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = append(s.unknown, who)
}

// Credits sets how many messages can still be paid.
func (s *Threema) Credits(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.credits = n
}

// Texts are what a recipient got; phone numbers are without +.
func (s *Threema) Texts(who string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.texts[who])
}

var (
	threemaIdentity = regexp.MustCompile(`^[*A-Z0-9][A-Z0-9]{7}$`)
	threemaPhone    = regexp.MustCompile(`^[1-9][0-9]{6,14}$`)
	threemaMention  = regexp.MustCompile(`@\[[*@A-Z0-9]{8}\]`)
)

func (s *Threema) handle(w http.ResponseWriter, r *http.Request, body []byte) string {
	status, wrong := s.send(r, body)
	if status != http.StatusOK {
		w.WriteHeader(status)
		return wrong
	}
	fmt.Fprint(w, "0123456789abcdef")
	return ""
}

func (s *Threema) send(r *http.Request, body []byte) (status int, wrong string) {
	if r.Method != http.MethodPost || r.URL.Path != "/send_simple" || r.URL.RawQuery != "" {
		return http.StatusNotFound, r.Method + " " + r.URL.String()
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/x-www-form-urlencoded" {
		return http.StatusBadRequest, "the content type is " + media
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	for name, values := range form {
		if len(values) != 1 || !slices.Contains([]string{"from", "secret", "text", "to", "phone", "email"}, name) {
			return http.StatusBadRequest, "parameter " + name
		}
	}
	if form.Get("from") != s.From || form.Get("secret") != s.Secret {
		return http.StatusUnauthorized, "the account is wrong"
	}
	who := form.Get("to") + form.Get("phone") + form.Get("email")
	if len(form) != 4 || form.Has("to") && !threemaIdentity.MatchString(who) || form.Has("phone") && !threemaPhone.MatchString(who) {
		return http.StatusBadRequest, "recipient " + who
	}
	text := form.Get("text")
	switch {
	case text == "" || !utf8.ValidString(text):
		return http.StatusBadRequest, "no text"
	case len(text) > 3500:
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("a text of %d bytes", len(text))
	case threemaMention.MatchString(text):
		return http.StatusBadRequest, "mentions somebody"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case slices.Contains(s.unknown, who):
		return http.StatusNotFound, "nobody is " + who
	case s.credits == 0:
		return http.StatusPaymentRequired, "no credits"
	}
	s.credits--
	s.texts[who] = append(s.texts[who], text)
	return http.StatusOK, ""
}
