package formats

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// keeper keeps what it is given.
type keeper struct {
	alerts  []alert.Alert
	letters []ingest.DeadLetter
}

func (k *keeper) Accept(_ context.Context, _ string, alerts []alert.Alert) ([]alert.Outcome, error) {
	k.alerts = append(k.alerts, alerts...)
	return make([]alert.Outcome, len(alerts)), nil
}

func (k *keeper) DeadLetter(_ context.Context, d ingest.DeadLetter) error {
	k.letters = append(k.letters, d)
	return nil
}

func attack(t *testing.T, s ingest.Source, r *http.Request, open bool) (*keeper, int, string) {
	t.Helper()
	k := &keeper{}
	h, err := ingest.New(ingest.Options{Sink: k, Formats: All, Open: func(string) bool { return open }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	s.BodyLimit = s.Format.BodyLimit
	h.Set([]ingest.Source{s})
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	h.Register(engine)
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return k, w.Code, w.Body.String()
}

func rawMail(subject, text string) string {
	return "From: a@b.example\r\nSubject: " + subject + "\r\nDate: Sat, 21 Nov 2026 02:00:00 +0000\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
}

// A source of SNS that believes only what one certificate has signed takes a mail
// that nobody has signed, which ends an alarm.
func TestSNSByMail(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := All["sns"].Configure(ingest.SourceConfig{SNS: ingest.SNSConfig{CertificateFile: file, Topics: []string{"arn:aws:sns:eu-central-1:123456789012:alerts"}}})
	if err != nil {
		t.Fatal(err)
	}
	mail := rawMail(`OK: "CPU" in EU (Frankfurt)`, "x\n- Alarm Arn: arn:aws:cloudwatch:eu-central-1:123456789012:alarm:CPU\n")
	k, code, _ := attack(t, ingest.Source{Name: "sns", Format: f}, httptest.NewRequest("POST", "/ingest/sns", strings.NewReader(mail)), true)
	if code == 200 || len(k.alerts) > 0 {
		t.Errorf("answered %d, taken: %v %v", code, k.alerts[0].Status, k.alerts[0].Key)
	}
}

// The request to confirm a subscription is kept with its link, as docs/sources.md says.
func TestConfirmationIsKept(t *testing.T) {
	body := `{"Type":"SubscriptionConfirmation","MessageId":"1","Token":"t","TopicArn":"arn:aws:sns:eu-central-1:123456789012:a","Message":"m","SubscribeURL":"https://sns.eu-central-1.amazonaws.com/?x","Timestamp":"2026-11-21T02:00:00Z"}`
	k, code, _ := attack(t, ingest.Source{Name: "sns", Format: All["sns"]}, httptest.NewRequest("POST", "/ingest/sns", strings.NewReader(body)), true)
	if code != 200 || len(k.alerts) != 1 || len(k.letters) != 1 || string(k.letters[0].Body) != body {
		t.Errorf("answered %d, %d alerts, letters %v", code, len(k.alerts), k.letters)
	}
}

// The token in the query, written another way, stays in the dead letter.
func TestTokenInQuery(t *testing.T) {
	s := ingest.Source{Name: "uptime-kuma", Format: All["uptime-kuma"], Auth: ingest.AuthConfig{BearerToken: secret.New("s3cret"), QueryToken: true}}
	k, code, answer := attack(t, s, httptest.NewRequest("GET", "/ingest/uptime-kuma?%74oken=s3cret&msg=hello", nil), false)
	if code != 200 {
		t.Fatal(code, answer)
	}
	for _, l := range k.letters {
		if strings.Contains(string(l.Body), "s3cret") {
			t.Errorf("letter: %s", l.Body)
		}
	}
}

// What the environment of Nagios holds that must stay secret.
func TestSecretsOfNagios(t *testing.T) {
	for name, body := range map[string]string{
		"environment": "NAGIOS_NOTIFICATIONTYPE=PROBLEM\nNAGIOS_SERVICESTATE=CRITICAL\nNAGIOS__HOSTSNMPCOMMUNITY=s3cret\nNAGIOS_SERVICECHECKCOMMAND=check!-p s3cret\n",
		"json":        `{"NOTIFICATIONTYPE":"PROBLEM","SERVICESTATE":"CRITICAL","_HOSTSNMPCOMMUNITY":"s3cret"}`,
	} {
		k, _, _ := attack(t, ingest.Source{Name: "nagios", Format: All["nagios"]}, httptest.NewRequest("POST", "/ingest/nagios", strings.NewReader(body)), true)
		for _, a := range k.alerts {
			if strings.Contains(a.Annotations.Get("description"), "s3cret") {
				t.Errorf("%s: in the alert's description: %q", name, a.Annotations.Get("description"))
			}
		}
		for _, l := range k.letters {
			if strings.Contains(string(l.Body), "s3cret") {
				t.Errorf("%s: in the letter", name)
			}
		}
	}
}

func TestSecretsOfPagerDutyV1(t *testing.T) {
	body := `{"service_key":"s3cret","event_type":"trigger"`
	k, _, _ := attack(t, ingest.Source{Name: "elastalert", Format: All["elastalert"]}, httptest.NewRequest("POST", "/ingest/elastalert", strings.NewReader(body)), true)
	for _, l := range k.letters {
		if strings.Contains(string(l.Body), "s3cret") {
			t.Errorf("in the letter: %s", l.Body)
		}
	}
}

func TestSecretsOfMonit(t *testing.T) {
	body := `<?xml version="1.0"?><monit id="x"><server><credentials ><username>u</username><password>s3cret</password></credentials></server>`
	k, _, _ := attack(t, ingest.Source{Name: "monit", Format: All["monit"]}, httptest.NewRequest("POST", "/ingest/monit", strings.NewReader(body)), true)
	for _, l := range k.letters {
		if strings.Contains(string(l.Body), "s3cret") {
			t.Errorf("in the letter: %s", l.Body)
		}
	}
}

// A mail to each format that takes mail: it is an alert, and the dead letter of one
// that nobody knows can be sent again.
func TestMailToFormats(t *testing.T) {
	for name, f := range All {
		if takesNoMail[name] || name == "email" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			mail := rawMail("** PROBLEM Service Alert: web/Disk is CRITICAL **", "Notification Type: PROBLEM\nService: Disk\nHost: web\nState: CRITICAL\nAdditional Info: 5% left & 100%\n")
			k, code, answer := attack(t, ingest.Source{Name: name, Format: f}, httptest.NewRequest("POST", "/ingest/"+name, strings.NewReader(mail)), true)
			if code != 200 || len(k.alerts) != 1 || k.alerts[0].Key != "web!Disk" {
				t.Errorf("answered %d %s", code, answer)
			}
			k, code, _ = attack(t, ingest.Source{Name: name, Format: f}, httptest.NewRequest("POST", "/ingest/"+name, strings.NewReader(rawMail("Backup failed", "x"))), true)
			for _, l := range k.letters {
				b, err := f.Decode(ingest.Request{Body: l.Body, ContentType: l.ContentType, ReceivedAt: time.Now()})
				if err != nil || len(b.Alerts) != 1 {
					t.Errorf("answered %d; the letter again: %v, %d alerts: %q", code, err, len(b.Alerts), l.Body)
				}
			}
		})
	}
}

// The letter of a request to NRDP can be sent again, also if it was multipart.
func TestNRDPLetter(t *testing.T) {
	for _, s := range []string{`cmd=submitcheck&token=t&XMLDATA=%3Ccheckresults%3E%3Ccheckresult%3E%3Chostname%3Eh%3C/hostname%3E%3Cstate%3Ex%3C/state%3E%3C/checkresult%3E%3C/checkresults%3E`} {
		for range 20 {
			a, _, _ := attack(t, ingest.Source{Name: "nrdp", Format: All["nrdp"]}, httptest.NewRequest("POST", "/ingest/nrdp?"+s, strings.NewReader(s)), true)
			if len(a.letters) != 1 {
				t.Fatal(len(a.letters))
			}
			if strings.Contains(string(a.letters[0].Body), "token") {
				t.Error("token")
			}
		}
	}
	// Two names for the same: which counts is a matter of chance.
	seen := map[string]bool{}
	for range 50 {
		b, err := All["nrdp"].Decode(ingest.Request{Body: []byte(`cmd=submitcheck&json={"checkresults":[{"hostname":"a","state":"0"}]}&JSONDATA={"checkresults":[{"hostname":"b","state":"1"}]}`)})
		if err != nil {
			t.Fatal(err)
		}
		seen[b.Alerts[0].Key] = true
	}
	if len(seen) > 1 {
		t.Errorf("the same body became different alerts: %v", seen)
	}
}
