package sns

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

// signer signs as SNS does.
type signer struct {
	key *rsa.PrivateKey
	pem []byte
}

func newSigner(t *testing.T, until time.Time) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign signs a text, which tests write out as the documentation has it.
func (s signer) sign(t *testing.T, version, text string) string {
	t.Helper()
	hash, digest := crypto.SHA1, sha1.Sum([]byte(text))
	sum := digest[:]
	if version == "2" {
		other := sha256.Sum256([]byte(text))
		hash, sum = crypto.SHA256, other[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, hash, sum)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

const (
	topic   = "arn:aws:sns:eu-central-1:123456789012:alerts"
	host    = "sns.eu-central-1.amazonaws.com"
	certURL = "https://" + host + "/SimpleNotificationService-1.pem"
	link    = "https://" + host + "/?Action=ConfirmSubscription&Token=t"
)

type message map[string]string

func (m message) with(name, value string) message {
	out := message{}
	for k, v := range m {
		out[k] = v
	}
	out[name] = value
	if value == "" {
		delete(out, name)
	}
	return out
}

func (m message) request(t *testing.T) ingest.Request {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return ingest.Request{Body: body, ReceivedAt: ingesttest.Received}
}

// signedMessages are one of each type, with the text that is signed.
func signedMessages(t *testing.T, s signer, version string) (note, noSubject, confirm message) {
	t.Helper()
	note = message{"Type": "Notification", "MessageId": "m1", "TopicArn": topic, "Subject": "S", "Message": "a\nb", "Timestamp": "2026-11-21T01:00:00.000Z",
		"SignatureVersion": version, "SigningCertURL": certURL}
	note["Signature"] = s.sign(t, version, "Message\na\nb\nMessageId\nm1\nSubject\nS\nTimestamp\n2026-11-21T01:00:00.000Z\nTopicArn\n"+topic+"\nType\nNotification\n")
	noSubject = note.with("Subject", "")
	noSubject["Signature"] = s.sign(t, version, "Message\na\nb\nMessageId\nm1\nTimestamp\n2026-11-21T01:00:00.000Z\nTopicArn\n"+topic+"\nType\nNotification\n")
	confirm = note.with("Subject", "").with("Type", confirmation).with("Token", "t").with("SubscribeURL", link)
	confirm["Signature"] = s.sign(t, version, "Message\na\nb\nMessageId\nm1\nSubscribeURL\n"+link+"\nTimestamp\n2026-11-21T01:00:00.000Z\nToken\nt\nTopicArn\n"+topic+"\nType\nSubscriptionConfirmation\n")
	return note, noSubject, confirm
}

// fakeSNS answers in place of SNS and remembers what it was asked for.
type fakeSNS struct {
	code  int
	body  []byte
	err   error
	asked []string
}

func (f *fakeSNS) RoundTrip(r *http.Request) (*http.Response, error) {
	f.asked = append(f.asked, r.URL.String())
	if f.err != nil {
		return nil, f.err
	}
	header := http.Header{}
	header.Set("Location", "https://192.0.2.1/")
	return &http.Response{StatusCode: f.code, Header: header, Body: io.NopCloser(strings.NewReader(string(f.body))), Request: r}, nil
}

func verifierOf(t *testing.T, c ingest.SNSConfig, fake *fakeSNS) *verifier {
	t.Helper()
	v, mistakes := newVerifier(ingest.SourceConfig{SNS: c})
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	v.client.Transport = fake
	return v
}

// says is what the sender is told.
func says(err error) string {
	switch {
	case err == nil:
		return "good"
	case errors.Is(err, ingest.ErrUnavailable):
		return "later"
	}
	return err.Error()
}

func TestSignatures(t *testing.T) {
	good, other := newSigner(t, ingesttest.Received.Add(time.Hour)), newSigner(t, ingesttest.Received.Add(time.Hour))
	file := filepath.Join(t.TempDir(), "sns.pem")
	if err := os.WriteFile(file, append(append([]byte{}, other.pem...), good.pem...), 0o600); err != nil {
		t.Fatal(err)
	}
	wrongFile := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(wrongFile, other.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	const notSigned = "the Signature is not one of this message by SNS"
	for _, version := range []string{"1", "2"} {
		note, noSubject, confirm := signedMessages(t, good, version)
		for name, c := range map[string]struct {
			m    message
			want string
		}{
			"notification":         {note, "good"},
			"without a subject":    {noSubject, "good"},
			"confirmation":         {confirm, "good"},
			"other text":           {note.with("Message", "b"), notSigned},
			"other topic":          {note.with("TopicArn", topic+"2"), notSigned},
			"subject taken away":   {note.with("Subject", ""), notSigned},
			"other link":           {confirm.with("SubscribeURL", link+"&x"), notSigned},
			"a type as another":    {note.with("Type", confirmation), notSigned},
			"version exchanged":    {note.with("SignatureVersion", map[string]string{"1": "2", "2": "1"}[version]), notSigned},
			"version to come":      {note.with("SignatureVersion", "3"), "SignatureVersion: neither 1 nor 2"},
			"no signature":         {note.with("Signature", ""), notSigned},
			"signature not base64": {note.with("Signature", "*"), "the Signature is not base64"},
			"raw delivery":         {message{"AlarmName": "a", "NewStateValue": "ALARM"}, "SignatureVersion: neither 1 nor 2"},
		} {
			for where, config := range map[string]ingest.SNSConfig{"file": {CertificateFile: file}, "host": {CertificateHosts: []string{host}},
				"both": {CertificateFile: wrongFile, CertificateHosts: []string{host}}} {
				v := verifierOf(t, config, &fakeSNS{code: 200, body: good.pem})
				if got := says(v.verify(nil, c.m.request(t))); got != c.want {
					t.Errorf("version %s, %s, %s: got %s, want %s", version, name, where, got, c.want)
				}
			}
			v := verifierOf(t, ingest.SNSConfig{CertificateFile: wrongFile}, &fakeSNS{})
			if got := says(v.verify(nil, c.m.request(t))); got == "good" {
				t.Errorf("version %s, %s, another's certificate: got %s", version, name, got)
			}
		}
	}
}

func TestCertificateAddresses(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	const refused = "SigningCertURL: not a certificate on one of the hosts of this source"
	for address, want := range map[string]string{
		certURL: "good", "http://" + host + "/a.pem": refused, "https://" + host + ":8443/a.pem": refused, "https://u:p@" + host + "/a.pem": refused,
		"https://" + host + ".example.net/a.pem": refused, "https://example.net/" + host + "/a.pem": refused, "https://" + host + "/a.pem?x": refused,
		certURL + "#x": refused, certURL + "?": refused, "https://" + host + "//a.pem": refused, "https://" + host + "/./a.pem": refused, "https://" + host + "/%61.pem": refused,
		"HTTPS://" + host + "/a.pem": refused, "https://" + host + "/a": refused, "https://" + host: refused, "": refused, "https://" + host + "/%zz.pem": refused, "https://sns.eu-west-1.amazonaws.com/a.pem": refused,
	} {
		fake := &fakeSNS{code: 200, body: s.pem}
		v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, fake)
		if got := says(v.verify(nil, note.with("SigningCertURL", address).request(t))); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
		if want != "good" && len(fake.asked) > 0 {
			t.Errorf("%s: asked for %v", address, fake.asked)
		}
	}
}

func TestCertificatesAreKept(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	fake := &fakeSNS{code: 200, body: s.pem}
	v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, fake)
	r := note.request(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := says(v.verify(nil, r)); got != "good" {
				t.Error(got)
			}
		})
	}
	all.Wait()
	if len(fake.asked) != 1 {
		t.Errorf("asked %d times, want once", len(fake.asked))
	}
	for i := range 2 * maxCached {
		v.verify(nil, note.with("SigningCertURL", certURL[:len(certURL)-4]+strings.Repeat("x", i)+".pem").request(t))
	}
	if len(v.fetched) > maxCached {
		t.Errorf("kept %d certificates, want at most %d", len(v.fetched), maxCached)
	}
	late := note.request(t)
	late.ReceivedAt = ingesttest.Received.Add(2 * time.Hour)
	if got := says(v.verify(nil, late)); got != "SigningCertURL: the certificate is not valid at this time" {
		t.Errorf("expired: got %s", got)
	}
}

func TestCertificateCannotBeHad(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	for name, fake := range map[string]*fakeSNS{
		"no answer": {err: errors.New("no route")}, "redirect": {code: 302}, "not found": {code: 404}, "no certificate": {code: 200, body: []byte("<html>")},
	} {
		v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, fake)
		for range 3 {
			if got := says(v.verify(nil, note.request(t))); got != "later" {
				t.Errorf("%s: got %s, want it sent again", name, got)
			}
		}
		if len(fake.asked) != 1 {
			t.Errorf("%s: asked for %v, want one question and then a pause", name, fake.asked)
		}
	}
}

// files is a host with files on it by their paths.
type files map[string]*fakeSNS

func (f files) RoundTrip(r *http.Request) (*http.Response, error) {
	if file := f[r.URL.Path]; file != nil {
		return file.RoundTrip(r)
	}
	return (&fakeSNS{code: 404}).RoundTrip(r)
}

// TestForgedAddresses: anybody can name a certificate, which must not keep the
// gateway from having those of real messages.
func TestForgedAddresses(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, nil)
	good := &fakeSNS{code: 200, body: s.pem}
	v.client.Transport = files{"/SimpleNotificationService-1.pem": good}
	for i := range 2 * maxCached {
		forged := note.with("SigningCertURL", "https://"+host+"/nothing"+strings.Repeat("x", i%90)+".pem")
		if got := says(v.verify(nil, forged.request(t))); got != "later" {
			t.Errorf("forged: %s", got)
		}
		if got := says(v.verify(nil, note.request(t))); got != "good" {
			t.Errorf("a real message behind a forged one: %s", got)
		}
	}
	if len(good.asked) != 1 {
		t.Errorf("the certificate was fetched %d times, want once", len(good.asked))
	}
}

// slow answers when it is told to.
type slow struct{ asked, answer chan struct{} }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked <- struct{}{}
	<-s.answer
	return nil, errors.New("no answer")
}

// TestSlowFetches: a host that does not answer holds a few requests, and not
// those whose certificate is known.
func TestSlowFetches(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	v := verifierOf(t, ingest.SNSConfig{CertificateHosts: []string{host}}, &fakeSNS{code: 200, body: s.pem})
	if got := says(v.verify(nil, note.request(t))); got != "good" {
		t.Fatal(got)
	}
	fake := slow{make(chan struct{}), make(chan struct{})}
	v.client.Transport = fake
	var all sync.WaitGroup
	for i := range maxFetches {
		r := note.with("SigningCertURL", "https://"+host+"/"+strings.Repeat("x", i+1)+".pem").request(t)
		for range 2 { // the second waits for the first
			all.Go(func() { _ = v.verify(nil, r) })
		}
		<-fake.asked
	}
	if got := says(v.verify(nil, note.request(t))); got != "good" {
		t.Errorf("a known certificate while others are fetched: %s", got)
	}
	if got := says(v.verify(nil, note.with("SigningCertURL", "https://"+host+"/y.pem").request(t))); got != "later" {
		t.Errorf("one more: %s", got)
	}
	close(fake.answer)
	all.Wait()
	if v.running != 0 {
		t.Errorf("%d are still fetched", v.running)
	}
}

func TestTopics(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, _ := signedMessages(t, s, "2")
	v := verifierOf(t, ingest.SNSConfig{Topics: []string{topic}}, &fakeSNS{})
	if got := says(v.verify(nil, note.with("Signature", "x").request(t))); got != "good" {
		t.Errorf("got %s, want it taken: no signature is checked", got)
	}
	if got := says(v.verify(nil, note.with("TopicArn", topic+"2").request(t))); got != "TopicArn: not one of the topics of this source" {
		t.Errorf("got %s", got)
	}
	// What cannot be read is for the decoder to refuse.
	r := ingest.Request{Body: []byte(`{"Type":"X"}`)}
	if got := says(v.verify(nil, r)); got != "good" {
		t.Errorf("got %s", got)
	}
	if _, err := Format.Decode(r); err == nil {
		t.Error("the decoder takes what was not verified")
	}
}

func TestConfirm(t *testing.T) {
	s := newSigner(t, ingesttest.Received.Add(time.Hour))
	note, _, confirm := signedMessages(t, s, "2")
	for name, c := range map[string]struct {
		m     message
		on    bool
		fake  *fakeSNS
		want  string
		asked int
	}{
		"confirmed":           {confirm, true, &fakeSNS{code: 200}, "good", 1},
		"not wanted":          {confirm, false, &fakeSNS{code: 200}, "good", 0},
		"a notification":      {note, true, &fakeSNS{code: 200}, "good", 0},
		"no answer":           {confirm, true, &fakeSNS{err: errors.New("no route")}, "later", 1},
		"redirect":            {confirm, true, &fakeSNS{code: 301}, "later", 1},
		"elsewhere":           {confirm.with("SubscribeURL", "https://192.0.2.1/"), true, &fakeSNS{code: 200}, "SubscribeURL: not a link to SNS", 0},
		"no TLS":              {confirm.with("SubscribeURL", "http://"+host+"/"), true, &fakeSNS{code: 200}, "SubscribeURL: not a link to SNS", 0},
		"a host behind a dot": {confirm.with("SubscribeURL", "https://"+host+".example.net/"), true, &fakeSNS{code: 200}, "SubscribeURL: not a link to SNS", 0},
		"another service":     {confirm.with("SubscribeURL", "https://s3.eu-central-1.amazonaws.com/"), true, &fakeSNS{code: 200}, "SubscribeURL: not a link to SNS", 0},
		"in China":            {confirm.with("SubscribeURL", "https://sns.cn-north-1.amazonaws.com.cn/"), true, &fakeSNS{code: 200}, "good", 1},
		"a port":              {confirm.with("SubscribeURL", "https://"+host+":22/"), true, &fakeSNS{code: 200}, "SubscribeURL: not a link to SNS", 0},
	} {
		v := verifierOf(t, ingest.SNSConfig{Confirm: c.on}, c.fake)
		if got := says(v.verify(nil, c.m.request(t))); got != c.want || len(c.fake.asked) != c.asked {
			t.Errorf("%s: got %s and %d questions, want %s and %d", name, got, len(c.fake.asked), c.want, c.asked)
		}
	}
	// Without its signature nobody is asked.
	fake := &fakeSNS{code: 200, body: s.pem}
	v := verifierOf(t, ingest.SNSConfig{Confirm: true, CertificateHosts: []string{host}}, fake)
	if got := says(v.verify(nil, confirm.with("Message", "x").request(t))); got == "good" || len(fake.asked) != 1 || fake.asked[0] != certURL {
		t.Errorf("forged: got %s and questions %v, want only the one for the certificate", got, fake.asked)
	}
}

func TestConfigure(t *testing.T) {
	for name, c := range map[string]struct {
		config ingest.SNSConfig
		checks bool
	}{
		"nothing": {ingest.SNSConfig{}, false}, "topics": {ingest.SNSConfig{Topics: []string{topic}}, true}, "confirm": {ingest.SNSConfig{Confirm: true}, true},
		"hosts": {ingest.SNSConfig{CertificateHosts: []string{host}}, true},
	} {
		f, err := Format.Configure(ingest.SourceConfig{SNS: c.config})
		if err != nil || (f.Verify != nil) != c.checks {
			t.Errorf("%s: checks %v (%v), want %v", name, f.Verify != nil, err, c.checks)
		}
		// The link is kept for people, unless it was followed.
		b, err := f.Decode(ingest.Request{Body: []byte(`{"Type":"SubscriptionConfirmation","SubscribeURL":"` + link + `"}`)})
		if err != nil || (len(b.Unparsed) == 1) == c.config.Confirm {
			t.Errorf("%s: %d dead letters, %v", name, len(b.Unparsed), err)
		}
	}
	_, err := Format.Configure(ingest.SourceConfig{SNS: ingest.SNSConfig{Topics: []string{"x"}, CertificateHosts: []string{"a/b"}, CertificateFile: t.TempDir()}})
	var mistakes ingest.ConfigMistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 3 {
		t.Errorf("got %v, want three mistakes", err)
	}
}
