package targettest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// SNS publishes to one topic, one queue-like topic and to phones, as
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html says, for requests that
// are signed as in https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
type SNS struct {
	Server
	mu        sync.Mutex
	published []url.Values
	// seen are the deduplication ids of the queue.
	seen map[string]time.Time
}

// Who may publish, and where to.
const (
	SNSKey    = "AKIDEXAMPLE"
	SNSSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	SNSRegion = "us-east-1"
	SNSTopic  = "arn:aws:sns:us-east-1:123456789012:alerts"
	SNSQueue  = "arn:aws:sns:us-east-1:123456789012:alerts.fifo"
)

// snsMemory is how long a queue knows a deduplication id:
// https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html.
const snsMemory = 5 * time.Minute

// NewSNS serves until the test ends.
func NewSNS(t testing.TB) *SNS {
	s := &SNS{seen: map[string]time.Time{}}
	s.start(t, s.take)
	return s
}

// Published are the parameters of what subscribers get.
func (s *SNS) Published() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.published)
}

func (s *SNS) take(w http.ResponseWriter, r *http.Request, body []byte) string {
	refuse := func(status int, code, message string) string {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`, code, message)
		return code + ": " + message
	}
	if wrong := snsSignature(r, body); wrong != "" {
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch", wrong)
	}
	v, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || v.Get("Action") != "Publish" || v.Get("Version") != "2010-03-31" {
		return refuse(http.StatusBadRequest, "InvalidAction", "no such action")
	}
	if wrong := publishWrong(v); wrong != "" {
		return refuse(http.StatusBadRequest, "InvalidParameter", "Invalid parameter: "+wrong)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, now := v.Get("MessageDeduplicationId"), time.Now()
	if at, known := s.seen[id]; id == "" || !known || now.Sub(at) >= snsMemory {
		s.seen[id] = now
		s.published = append(s.published, v)
	}
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>`)
	return ""
}

var snsPhoneNumber = regexp.MustCompile(`^\+[1-9]\d{1,14}$`)

// publishWrong says what the page does not allow.
func publishWrong(v url.Values) string {
	to := v.Get("TopicArn") + v.Get("TargetArn")
	subject, message := v.Get("Subject"), v.Get("Message")
	switch {
	case to == "" && !snsPhoneNumber.MatchString(v.Get("PhoneNumber")):
		return "PhoneNumber"
	case to != "" && to != SNSTopic && to != SNSQueue:
		return "TopicArn"
	case to == SNSQueue && (v.Get("MessageGroupId") == "" || v.Get("MessageDeduplicationId") == ""):
		return "the MessageGroupId and MessageDeduplicationId parameters are required for FIFO topics"
	case message == "" || !utf8.ValidString(message) || len(message) > 256<<10:
		return "Message"
	case to == "" && utf8.RuneCountInString(message) > 1600:
		return "Message is too long for a phone"
	case v.Has("Subject") && (subject == "" || utf8.RuneCountInString(subject) >= 100 || strings.ContainsFunc(subject, unicode.IsControl)):
		return "Subject"
	}
	for n := 1; v.Has(fmt.Sprintf("MessageAttributes.entry.%d.Name", n)); n++ {
		at := fmt.Sprintf("MessageAttributes.entry.%d.", n)
		if v.Get(at+"Name") == "" || v.Get(at+"Value.DataType") == "" || v.Get(at+"Value.StringValue") == "" {
			return "the message attribute must contain non-empty message attribute value"
		}
	}
	return ""
}

var snsAuthorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=` + SNSKey + `/(\d{8})/` + SNSRegion + `/sns/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

// snsSignature says what is wrong with the signature of a request.
func snsSignature(r *http.Request, body []byte) string {
	found := snsAuthorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil {
		return "no signature"
	}
	day, headers, signed := found[1], found[2], found[3]
	if !slices.Contains(strings.Split(headers, ";"), "host") || !strings.HasPrefix(r.Header.Get("X-Amz-Date"), day) {
		return "the host and the date must be signed"
	}
	var canonical strings.Builder
	canonical.WriteString("POST\n/\n\n")
	for _, name := range strings.Split(headers, ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	canonical.WriteString("\n" + headers + "\n" + snsHash(body))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), day + "/" + SNSRegion + "/sns/aws4_request", snsHash([]byte(canonical.String()))}, "\n")
	key := []byte("AWS4" + SNSSecret)
	for _, part := range []string{day, SNSRegion, "sns", "aws4_request"} {
		key = snsKeyed(key, part)
	}
	if hex.EncodeToString(snsKeyed(key, text)) != signed {
		return "the signature is not ours"
	}
	return ""
}

func snsHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func snsKeyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
