package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// Config is the section store: of the configuration file. All but URL is for
// Redis only.
type Config struct {
	// URL names the store: file:DIR, mem: or a URL of Redis. The flag --store.url
	// overrides it.
	URL URL `yaml:"url"`
	// Username and Password are those of the ACL user; the URL may name them too.
	Username     string        `yaml:"username"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
	// TLS is how Redis is reached where the URL says rediss.
	TLS TLS `yaml:"tls"`
	// Timeout is how long an operation may take, all tries included.
	Timeout model.Duration `yaml:"timeout"`
	// MaxInFlight is how many updates are under way at a time; one more is refused.
	MaxInFlight int `yaml:"max_in_flight"`
	// Durability is what an answer waits for beside the master: local (nothing),
	// replicated or synced.
	Durability string `yaml:"durability"`
	// Replicas is how many replicas durability replicated waits for.
	Replicas int `yaml:"replicas"`
}

// TLS says whom to trust, and what to show.
type TLS struct {
	// CAFile has the authorities that may sign the server's certificate, as PEM;
	// empty means those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are the client's certificate, as PEM, for a server that
	// asks for one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is what the server's certificate must be for, where that is not
	// the host in the URL.
	ServerName string `yaml:"server_name"`
	// InsecureSkipVerify takes any certificate from anybody.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Authorities returns those that CAFile holds, nil for those of the system.
func (t TLS) Authorities() (*x509.CertPool, error) {
	if t.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", t.CAFile)
	}
	return pool, nil
}

// Certificate reads the client's certificate.
func (t TLS) Certificate() (*tls.Certificate, error) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("a certificate needs cert_file and key_file")
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	return &pair, err
}

// Client returns the settings of connections. The client's certificate is read
// again for each, because certificates are replaced while we run.
func (t TLS) Client() (*tls.Config, error) {
	pool, err := t.Authorities()
	if err != nil {
		return nil, fmt.Errorf("store: tls: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CertFile == "" && t.KeyFile == "" {
		return c, nil
	}
	if _, err := t.Certificate(); err != nil {
		return nil, fmt.Errorf("store: tls: %w", err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate() }
	return c, nil
}
