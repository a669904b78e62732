package sns

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

type pages map[string]*fakeSNS

func (p pages) RoundTrip(r *http.Request) (*http.Response, error) {
	if f := p[r.URL.Path]; f != nil {
		return f.RoundTrip(r)
	}
	return (&fakeSNS{code: 404}).RoundTrip(r)
}

// Anybody can keep the gateway from getting the certificate that real messages need.
func TestAttackStarvedCertificates(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, nil)
	good := &fakeSNS{code: 200, body: s.pem}
	v.client.Transport = pages{"/SimpleNotificationService-1.pem": good}
	_ = v.verify(nil, note.with("SigningCertURL", "https://"+host+"/nothing.pem").request(t)) // by anybody, unsigned
	if got := says(v.verify(nil, note.request(t))); got != "good" {
		t.Errorf("a real message behind a forged one: %s", got)
	}
	v.refusedAt = time.Time{}
	for i := range 20 { // the same certificate under many names throws all others out
		_ = v.verify(nil, note.with("SigningCertURL", certURL+"#"+strings.Repeat("x", i)).request(t))
	}
	if len(good.asked) > 1 {
		t.Errorf("one certificate was fetched %d times", len(good.asked))
	}
}
