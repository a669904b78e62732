package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Config is the section smtp: of the configuration file. Without Listen there is
// no listener.
type Config struct {
	// Listen is host:port, or unix: and the path of a socket.
	Listen string `yaml:"listen"`
	// LMTP speaks RFC 2033 in place of SMTP, for a mail server that delivers here.
	LMTP bool `yaml:"lmtp"`
	// Hostname is what the listener calls itself, also in Authentication-Results;
	// empty means the machine's name.
	Hostname string    `yaml:"hostname"`
	TLS      TLSConfig `yaml:"tls"`
	// Users may send if there are any; nobody else may.
	Users []User `yaml:"users"`
	// AllowUnauthenticated lets everybody send who can reach the listener.
	AllowUnauthenticated bool `yaml:"allow_unauthenticated"`
	// Recipients are the addresses and domains that mail is taken for, and the
	// source of each.
	Recipients map[string]string `yaml:"recipients"`
	// Senders are the addresses and domains of the envelope's sender; empty means all.
	Senders []string `yaml:"senders"`
	// CheckSenders looks SPF, DKIM and DMARC up and writes the results into the mail.
	CheckSenders bool `yaml:"check_senders"`
	// MaxMessageSize is the largest mail in bytes.
	MaxMessageSize ingest.ByteSize `yaml:"max_message_size"`
	// MaxConnections is how many there may be, and MaxConnectionsPerClient of one address.
	MaxConnections          int `yaml:"max_connections"`
	MaxConnectionsPerClient int `yaml:"max_connections_per_client"`
	// MessagesPerMinute is what one address may send; 0 means no limit.
	MessagesPerMinute int `yaml:"messages_per_minute"`
	// Timeout is how long a client may be silent, and DataTimeout how long it may
	// take for a whole mail.
	Timeout     model.Duration `yaml:"timeout"`
	DataTimeout model.Duration `yaml:"data_timeout"`
}

// TLSConfig is the certificate for STARTTLS. Its files are read again for each handshake.
type TLSConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// Required takes no mail without TLS.
	Required bool `yaml:"required"`
}

// User may send after AUTH PLAIN.
type User struct {
	Username     string        `yaml:"username"`
	Password     secret.String `yaml:"password"`
	PasswordFile string        `yaml:"password_file"`
}

// DefaultConfig returns what holds where the file says nothing.
func DefaultConfig() Config {
	return Config{MaxMessageSize: 32 * ingest.MiB, MaxConnections: 200, MaxConnectionsPerClient: 50,
		Timeout: model.Duration(time.Minute), DataTimeout: model.Duration(5 * time.Minute)}
}

// Local reports whether only this machine can reach the listener.
func (c Config) Local() bool {
	if strings.HasPrefix(c.Listen, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// certificate reads the files of the certificate.
func (c TLSConfig) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("smtp: certificate: %w", err)
	}
	return &pair, nil
}

// Check reads the certificate, if there is one.
func (c TLSConfig) Check() error {
	if c.CertFile == "" {
		return nil
	}
	_, err := c.certificate(nil)
	return err
}

const unixPrefix = "unix:"

// Listen opens the socket. One that a process left behind is replaced.
func Listen(c Config) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(c.Listen, unixPrefix)
	if !isUnix {
		return net.Listen("tcp", c.Listen)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if old, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = old.Close() // it was only asked whether somebody is there
			return nil, fmt.Errorf("smtp: %s: another process listens there", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("smtp: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Mail servers run as other users. Its folder says who may come near it.
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
