package sns

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // SignatureVersion 1
	_ "crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
)

const (
	// patience is how long SNS is waited for, and pause how long it is not asked
	// again for a certificate after it could not be had.
	patience = 5 * time.Second
	pause    = 10 * time.Second
	// maxFile is how large a file of certificates, and an answer of SNS, may be.
	maxFile = 256 << 10
	// maxCached is how many certificates are remembered, with those that could not be
	// had, and maxFetches how many are asked for at a time.
	maxCached  = 64
	maxFetches = 4
)

// snsHost is where SNS itself is; subscriptions are confirmed nowhere else.
var snsHost = regexp.MustCompile(`^sns\.[a-z]{2}(-[a-z]{1,16}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?$`)

var (
	topicARN = regexp.MustCompile(`^arn:aws[a-z-]{0,16}:sns:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$`)
	// pemPath has one spelling for each file, so that nobody makes us ask for the
	// same one under many names.
	pemPath  = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){1,4}\.pem$`)
	hostName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,252}$`)
)

// configure implements ingest.Format.Configure.
func configure(c ingest.SourceConfig) (ingest.Format, error) {
	v, mistakes := newVerifier(c)
	if len(mistakes) > 0 {
		return plain, mistakes
	}
	f := plain
	f.Batches = ingest.Whole(decoder{confirms: c.SNS.Confirm}.decode)
	if len(c.SNS.Topics) > 0 || v.checks() || c.SNS.Confirm {
		f.Verify = v.verify
	}
	return f, nil
}

func newVerifier(c ingest.SourceConfig) (_ *verifier, mistakes ingest.ConfigMistakes) {
	for i, topic := range c.SNS.Topics {
		if !topicARN.MatchString(topic) {
			mistakes = append(mistakes, ingest.ConfigMistake{Path: fmt.Sprintf("sns.topics[%d]", i), Message: fmt.Sprintf("%q is not the ARN of a topic", topic),
				Suggestion: "write such as arn:aws:sns:eu-central-1:123456789012:alerts"})
		}
	}
	for i, host := range c.SNS.CertificateHosts {
		if !hostName.MatchString(host) {
			mistakes = append(mistakes, ingest.ConfigMistake{Path: fmt.Sprintf("sns.certificate_hosts[%d]", i), Message: fmt.Sprintf("%q is not the name of a host", host),
				Suggestion: "write such as sns.eu-central-1.amazonaws.com"})
		}
	}
	v := &verifier{SNSConfig: c.SNS, client: client()}
	if c.SNS.CertificateFile != "" {
		var err error
		if v.pinned, err = certificates(c.SNS.CertificateFile); err != nil {
			mistakes = append(mistakes, ingest.ConfigMistake{Path: "sns.certificate_file", Message: err.Error(), Suggestion: "write a file with certificates in PEM form"})
		}
	}
	return v, mistakes
}

// client follows no redirect: they lead out of the hosts that are allowed.
func client() *http.Client {
	return &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// certificates reads a file in PEM form.
func certificates(file string) ([]*x509.Certificate, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile { // a pipe would make us wait for ever
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", file, maxFile)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := parsePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

func parsePEM(text []byte) (list []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if _, ok := c.PublicKey.(*rsa.PublicKey); !ok {
			return nil, errors.New("a certificate whose key is not RSA")
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return list, nil
}

// verifier checks the messages of one source. It is safe for concurrent use.
type verifier struct {
	ingest.SNSConfig
	pinned []*x509.Certificate
	client *http.Client

	mu sync.Mutex
	// fetched are the certificates by their URL; running of them are being fetched.
	fetched map[string]*fetch
	running int
}

// fetch is a certificate that was asked for. What is in it is there when done is closed.
type fetch struct {
	done chan struct{}
	// certificate is nil if it could not be had.
	certificate *x509.Certificate
	// failedAt is when it could not be had.
	failedAt time.Time
}

func (v *verifier) checks() bool { return len(v.pinned) > 0 || len(v.CertificateHosts) > 0 }

// errUnavailable makes SNS send the message again.
var errUnavailable = fmt.Errorf("sns: %w", ingest.ErrUnavailable)

// verify implements ingest.Format.Verify. What cannot be read is the decoder's
// business, which refuses it.
func (v *verifier) verify(_ http.Header, r ingest.Request) error {
	e, err := parse(r.Body)
	if err != nil {
		return nil
	}
	if len(v.Topics) > 0 && !slices.Contains(v.Topics, e.text("TopicArn")) {
		return errors.New("TopicArn: not one of the topics of this source")
	}
	if v.checks() {
		if err := v.signed(e, r.ReceivedAt); err != nil {
			return err
		}
	}
	if v.Confirm && e.text("Type") == confirmation {
		return v.confirm(e.text("SubscribeURL"))
	}
	return nil
}

// canonical is what is signed: names and values, each in a line.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
func canonical(e envelope) []byte {
	names := []string{"Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"}
	if e.text("Type") == notification {
		names = []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"}
	}
	var out []byte
	for _, name := range names {
		if value, there := e.Object[name].(string); there {
			out = append(out, name+"\n"+value+"\n"...)
		}
	}
	return out
}

// signed checks the signature of a message.
func (v *verifier) signed(e envelope, now time.Time) error {
	var hash crypto.Hash
	switch e.text("SignatureVersion") {
	case "1":
		hash = crypto.SHA1
	case "2":
		hash = crypto.SHA256
	default:
		return errors.New("SignatureVersion: neither 1 nor 2")
	}
	signature, err := base64.StdEncoding.DecodeString(e.text("Signature"))
	if err != nil {
		return errors.New("the Signature is not base64")
	}
	h := hash.New()
	h.Write(canonical(e))
	digest := h.Sum(nil)
	by := func(c *x509.Certificate) bool {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		return ok && rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
	}
	if slices.ContainsFunc(v.pinned, by) {
		return nil
	}
	if len(v.CertificateHosts) > 0 {
		c, err := v.certificate(e.text("SigningCertURL"), now)
		if err != nil {
			return err
		}
		if by(c) {
			return nil
		}
	}
	return errors.New("the Signature is not one of this message by SNS")
}

// certificate returns the one at an address, which the message names.
func (v *verifier) certificate(address string, now time.Time) (*x509.Certificate, error) {
	host, path, ok := strings.Cut(strings.TrimPrefix(address, "https://"), "/")
	if !ok || !strings.HasPrefix(address, "https://") || !slices.Contains(v.CertificateHosts, host) || !pemPath.MatchString("/"+path) {
		return nil, errors.New("SigningCertURL: not a certificate on one of the hosts of this source")
	}
	c := v.fetch(address)
	if c == nil {
		return nil, errUnavailable
	}
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return nil, errors.New("SigningCertURL: the certificate is not valid at this time")
	}
	return c, nil
}

// fetch returns the certificate at an address that is allowed, nil if it cannot be
// had now. Who names it need not be SNS: what is asked for one address is no matter
// of the others.
func (v *verifier) fetch(address string) *x509.Certificate {
	v.mu.Lock()
	f := v.fetched[address]
	if f != nil && (f.failedAt.IsZero() || time.Since(f.failedAt) < pause) {
		v.mu.Unlock()
		<-f.done
		return f.certificate
	}
	if v.running == maxFetches {
		v.mu.Unlock()
		return nil
	}
	f = &fetch{done: make(chan struct{})}
	v.remember(address, f)
	v.running++
	v.mu.Unlock()
	c, err := v.fetchCertificate(address)
	v.mu.Lock()
	defer v.mu.Unlock()
	if f.certificate = c; err != nil {
		f.failedAt = time.Now()
	}
	v.running--
	close(f.done)
	return c
}

// remember makes room for a fetch: those that failed go first, and those that run
// never do.
func (v *verifier) remember(address string, f *fetch) {
	if v.fetched == nil {
		v.fetched = map[string]*fetch{}
	}
	if len(v.fetched) >= maxCached {
		leaves := ""
		for other, known := range v.fetched {
			if known.certificate != nil {
				leaves = other
			} else if !known.failedAt.IsZero() {
				leaves = other
				break
			}
		}
		delete(v.fetched, leaves)
	}
	v.fetched[address] = f
}

func (v *verifier) fetchCertificate(address string) (*x509.Certificate, error) {
	text, err := v.get(address)
	if err != nil {
		return nil, err
	}
	list, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// confirm visits the link of a message that asks to confirm a subscription.
func (v *verifier) confirm(link string) error {
	if !isSNS(link) {
		return errors.New("SubscribeURL: not a link to SNS")
	}
	if _, err := v.get(link); err != nil {
		return errUnavailable
	}
	return nil
}

// isSNS reports whether a link leads to SNS.
func isSNS(link string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Scheme == "https" && u.User == nil && snsHost.MatchString(u.Host)
}

func (v *verifier) get(address string) ([]byte, error) {
	r, err := v.client.Get(address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, maxFile))
}
