package targettest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Webhook takes the messages that Alertmanager sends to a webhook_config, as
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config has
// them, and if it has keys, only those that are signed as
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
// says.
type Webhook struct {
	Server
	// Keys are the bytes of the secrets that are accepted; none asks for no signature.
	Keys [][]byte
	// Now is the receiver's clock.
	Now func() time.Time

	seen map[string]bool
	// Taken are the messages that are not repetitions of one with the same id.
	taken []WebhookMessage
}

// WebhookMessage is one message as it was understood.
type WebhookMessage struct {
	Version            string            `json:"version"`
	GroupKey           string            `json:"groupKey"`
	TruncatedAlerts    uint64            `json:"truncatedAlerts"`
	Status             string            `json:"status"`
	Receiver           string            `json:"receiver"`
	NotificationReason string            `json:"notification_reason"`
	GroupLabels        map[string]string `json:"groupLabels"`
	CommonLabels       map[string]string `json:"commonLabels"`
	CommonAnnotations  map[string]string `json:"commonAnnotations"`
	RouteLabels        map[string]string `json:"routeLabels"`
	ExternalURL        string            `json:"externalURL"`
	Alerts             []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
	// Incident is ours: Alertmanager does not send it.
	Incident map[string]any `json:"incident"`
}

// NewWebhook starts a Webhook at /hook.
func NewWebhook(t testing.TB, keys ...[]byte) *Webhook {
	w := &Webhook{Keys: keys, Now: time.Now, seen: map[string]bool{}}
	w.start(t, w.handle)
	return w
}

// Taken are the messages that were understood, each id once.
func (w *Webhook) Taken() []WebhookMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.taken)
}

func (w *Webhook) handle(rw http.ResponseWriter, r *http.Request, body []byte) string {
	m, status, wrong := w.read(r, body)
	if wrong != "" {
		http.Error(rw, wrong, status)
		return wrong
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := r.Header.Get("webhook-id")
	if id != "" && w.seen[id] {
		return ""
	}
	w.seen[id] = true
	w.taken = append(w.taken, m)
	return ""
}

var (
	fingerprintForm = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
	webhookIDForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)
)

func (w *Webhook) read(r *http.Request, body []byte) (m WebhookMessage, status int, wrong string) {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/hook") {
		return m, http.StatusNotFound, "want POST /hook, got " + r.Method + " " + r.URL.Path
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return m, http.StatusUnsupportedMediaType, "the content type is " + r.Header.Get("Content-Type")
	}
	if len(w.Keys) > 0 {
		if wrong := w.verify(r.Header, body); wrong != "" {
			return m, http.StatusUnauthorized, wrong
		}
	}
	if err := json.Unmarshal(body, &m, json.RejectUnknownMembers(true)); err != nil {
		return m, http.StatusBadRequest, err.Error()
	}
	return m, http.StatusBadRequest, m.check(body)
}

func (m *WebhookMessage) check(body []byte) string {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(body, &members); err != nil {
		return err.Error()
	}
	for _, name := range []string{"version", "groupKey", "truncatedAlerts", "status", "receiver", "notification_reason", "groupLabels", "commonLabels",
		"commonAnnotations", "routeLabels", "externalURL", "alerts"} {
		if v, ok := members[name]; !ok || v.Kind() == 'n' {
			return "without " + name
		}
	}
	switch {
	case m.Version != "4":
		return "version " + m.Version
	case m.GroupKey == "" || m.Receiver == "":
		return "an empty groupKey or receiver"
	case m.Status != "firing" && m.Status != "resolved":
		return "status " + m.Status
	case len(m.Alerts) == 0:
		return "no alerts"
	}
	for n, a := range m.Alerts {
		switch {
		case a.Status != "firing" && a.Status != "resolved":
			return fmt.Sprintf("alerts[%d] is %q", n, a.Status)
		case m.Status == "resolved" && a.Status == "firing":
			return fmt.Sprintf("alerts[%d] fires in a message that says resolved", n)
		case len(a.Labels) == 0 || a.Annotations == nil || a.StartsAt.IsZero():
			return fmt.Sprintf("alerts[%d] is without labels, annotations or a start", n)
		case a.Status == "resolved" && a.EndsAt.IsZero():
			return fmt.Sprintf("alerts[%d] ended without an end", n)
		case !fingerprintForm.MatchString(a.Fingerprint):
			return fmt.Sprintf("alerts[%d] has fingerprint %q", n, a.Fingerprint)
		}
	}
	return ""
}

// webhookTolerance is the age of a message that the specification proposes to accept.
const webhookTolerance = 5 * time.Minute

func (w *Webhook) verify(h http.Header, body []byte) string {
	id, at := h.Get("webhook-id"), h.Get("webhook-timestamp")
	if !webhookIDForm.MatchString(id) {
		return fmt.Sprintf("webhook-id %q", id)
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return "webhook-timestamp " + at
	}
	if age := w.Now().Sub(time.Unix(seconds, 0)); age > webhookTolerance || age < -webhookTolerance {
		return "webhook-timestamp is off by " + age.String()
	}
	for _, one := range strings.Fields(h.Get("webhook-signature")) {
		version, text, _ := strings.Cut(one, ",")
		got, err := base64.StdEncoding.DecodeString(text)
		if version != "v1" || err != nil {
			continue // of a version that we do not know
		}
		for _, key := range w.Keys {
			mac := hmac.New(sha256.New, key)
			fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
			if hmac.Equal(got, mac.Sum(nil)) {
				return ""
			}
		}
	}
	return "no signature fits"
}
