package smtp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// insecure believes whoever answers.
var insecure = &tls.Config{InsecureSkipVerify: true}

// certificate makes one and writes it into files.
func certificate(t *testing.T) TLSConfig {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"gw.example.org"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := TLSConfig{CertFile: filepath.Join(t.TempDir(), "cert.pem"), KeyFile: filepath.Join(t.TempDir(), "key.pem")}
	for file, block := range map[string]*pem.Block{c.CertFile: {Type: "CERTIFICATE", Bytes: cert}, c.KeyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// zone answers from a map of TXT records.
type zone map[string]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := z[strings.TrimSuffix(name, ".")]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (zone) LookupMX(context.Context, string) ([]*net.MX, error)        { return nil, nil }
func (zone) LookupIPAddr(context.Context, string) ([]net.IPAddr, error) { return nil, nil }
func (zone) LookupAddr(context.Context, string) ([]string, error)       { return nil, nil }

// TestCheckSenders: the results stand in the mail, and nobody can write them in our name.
func TestCheckSenders(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	records := zone{
		"example.com":                 "v=spf1 ip4:127.0.0.1 -all",
		"bounce.example.com":          "v=spf1 ip4:127.0.0.1 -all",
		"elsewhere.example.net":       "v=spf1 ip4:192.0.2.1 -all",
		"_dmarc.example.com":          "v=DMARC1; p=reject",
		"_dmarc.strict.example.org":   "v=DMARC1; p=reject; aspf=s; adkim=s",
		"mail._domainkey.example.com": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public),
	}
	sign := func(mail string) string {
		var out bytes.Buffer
		if err := dkim.Sign(&out, strings.NewReader(mail), &dkim.SignOptions{Domain: "example.com", Selector: "mail", Signer: private}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const forged = "Authentication-Results: gw.example.org;\r\n spf=pass;\r\n dmarc=pass\r\nauthentication-results : GW.example.org 1; dkim=pass\r\nAuthentication-Results: other.example.net; spf=pass\r\n"
	c := testConfig()
	c.CheckSenders = true
	for _, test := range []struct{ name, from, mail, want string }{
		{"all is well", "robot@example.com", sign(letter), "spf=pass smtp.mailfrom=example.com; dkim=pass header.d=example.com; dmarc=pass header.from=example.com"},
		{"a subdomain sends", "x@bounce.example.com", letter, "spf=pass smtp.mailfrom=bounce.example.com; dkim=none; dmarc=pass header.from=example.com"},
		{"signed only", "x@elsewhere.example.net", sign(letter), "spf=fail smtp.mailfrom=elsewhere.example.net; dkim=pass header.d=example.com; dmarc=pass header.from=example.com"},
		{"forged", "x@elsewhere.example.net", letter, "spf=fail smtp.mailfrom=elsewhere.example.net; dkim=none; dmarc=fail header.from=example.com"},
		{"changed on the way", "x@elsewhere.example.net", strings.Replace(sign(letter), "web-01", "web-02", 1), "spf=fail smtp.mailfrom=elsewhere.example.net; dkim=fail; dmarc=fail header.from=example.com"},
		{"no policy", "x@unknown.example", strings.Replace(letter, "example.com", "unknown.example", 1), "spf=none smtp.mailfrom=unknown.example; dkim=none; dmarc=none header.from=unknown.example"},
		{"strict", "robot@example.com", strings.Replace(letter, "example.com", "strict.example.org", 1), "spf=pass smtp.mailfrom=example.com; dkim=none; dmarc=fail header.from=strict.example.org"},
		{"two in From", "robot@example.com", strings.Replace(letter, "robot@example.com", "a@example.com, b@example.net", 1), "spf=pass smtp.mailfrom=example.com; dkim=none; dmarc=permerror header.from=none"},
		{"no sender", "", letter, "spf=none smtp.mailfrom=none; dkim=none; dmarc=fail header.from=example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &sink{}
			_, addr := serve(t, New(Options{Config: c, Taker: s, Resolver: records, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}))
			conn := greeted(t, addr)
			conn.want(250, "MAIL FROM:<%s>", test.from)
			conn.want(250, "RCPT TO:<alerts@gw.example.org>")
			conn.want(354, "DATA")
			conn.want(250, "%s%s.", forged, test.mail)
			got := s.all()
			if len(got) != 1 {
				t.Fatalf("got %d messages", len(got))
			}
			mail := strings.ReplaceAll(got[0].mail, "\r\n ", " ")
			want := "Return-Path: <" + test.from + ">\r\nDelivered-To: alerts@gw.example.org\r\nAuthentication-Results: gw.example.org; " + test.want + "\r\n" +
				"Authentication-Results: other.example.net; spf=pass\r\n"
			if !strings.HasPrefix(mail, want) || strings.Count(strings.ToLower(mail), "gw.example.org; ") != 1 {
				t.Errorf("got\n%s\nwant\n%s", mail, want)
			}
		})
	}
}

// TestResultsAreNotContinued: a mail that begins with a blank does not add to our results.
func TestResultsAreNotContinued(t *testing.T) {
	c := testConfig()
	c.CheckSenders = true
	s := &sink{}
	_, addr := serve(t, New(Options{Config: c, Taker: s, Resolver: zone{}, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}))
	conn := greeted(t, addr)
	conn.want(250, "MAIL FROM:<a@example.com>")
	conn.want(250, "RCPT TO:<alerts@gw.example.org>")
	conn.want(354, "DATA")
	conn.want(250, "\t; dkim=pass\r\n%s.", letter)
	format, err := email.Format.Configure(ingest.SourceConfig{Email: ingest.EmailConfig{AuthservID: "gw.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := format.Decode(ingest.Request{Body: []byte(s.all()[0].mail)})
	if err != nil || b.Alerts[0].Annotations.Get("dkim") != "none" {
		t.Errorf("got dkim=%s, %v", b.Alerts[0].Annotations.Get("dkim"), err)
	}
}

// FuzzEnvelope: what stands in front of a mail cannot be written by its sender.
func FuzzEnvelope(f *testing.F) {
	f.Add("a@example.com", []byte("Authentication-Results: gw.example.org; spf=pass\r\n\tx\r\nA: b\r\n\r\nbody"))
	f.Add("a\r\nX: y@example.com", []byte("\r\n"))
	f.Add("", []byte("Authentication-Results:\n gw.example.org; x\n"))
	f.Add("", []byte("\t; spf=pass; dkim=pass\r\nFrom: a@b\r\n\r\nx"))
	f.Add("", []byte("A: b\r\n\rAuthentication-Results: gw.example.org; spf=pass\r\n\r\nx"))
	believes, err := email.Format.Configure(ingest.SourceConfig{Email: ingest.EmailConfig{AuthservID: "gw.example.org"}})
	if err != nil {
		f.Fatal(err)
	}
	server := New(Options{Config: testConfig(), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	f.Fuzz(func(t *testing.T, from string, raw []byte) {
		s := &session{s: server, from: from, to: []recipient{{"alerts@gw.example.org", "email"}}}
		got := s.envelope(raw, "email")
		lines := strings.SplitN(string(got), "\r\n", 3)
		if len(lines) != 3 || !strings.HasPrefix(lines[0], "Return-Path: <") || lines[1] != "Delivered-To: alerts@gw.example.org" {
			t.Fatalf("got %q", got)
		}
		b, err := believes.Decode(ingest.Request{Source: "email", Body: got})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range b.Alerts {
			for _, method := range []string{"spf", "dkim", "dmarc"} {
				if result := a.Annotations.Get(method); result != "" {
					t.Fatalf("%q says that %s is %s", raw, method, result)
				}
			}
		}
	})
}
