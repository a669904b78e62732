package config

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
)

const (
	// The largest mail may be set between these.
	leastMessage = ingest.KiB
	mostMessage  = 64 * ingest.MiB
	// connectionsLimit is how many connections may be allowed.
	connectionsLimit = 10_000
)

// smtp checks the listener for mail.
func (c *checker) smtp() {
	s := c.c.SMTP
	if s.Listen == "" {
		if len(s.Recipients) > 0 || len(s.Users) > 0 || s.TLS != (smtp.TLSConfig{}) || s.LMTP {
			c.mistake("smtp", "there is no address to listen on", "add listen, such as 127.0.0.1:2525")
		}
		return
	}
	if !c.smtpAddress(s) {
		return
	}
	if s.Hostname != "" && (len(s.Hostname) > 253 || strings.ContainsAny(s.Hostname, " \t\r\n;\"()<>@")) {
		c.mistake("smtp.hostname", quote(s.Hostname)+" cannot be the name of a host", "write such as gw.example.com")
	}
	c.smtpTLS(s)
	c.smtpUsers(s)
	c.smtpAddresses(s)
	if s.CheckSenders && (s.LMTP || strings.HasPrefix(s.Listen, "unix:")) {
		c.warn("smtp.check_senders", "with LMTP the client is the mail server, and not who sent the mail", "let the mail server check, and name it in authserv_id of the source")
	}
	if s.MaxMessageSize < leastMessage || s.MaxMessageSize > mostMessage {
		c.mistake("smtp.max_message_size", fmt.Sprintf("the size is not between %v and %v", leastMessage, mostMessage), "write such as 32MiB")
	}
	for path, n := range map[string]int{"smtp.max_connections": s.MaxConnections, "smtp.max_connections_per_client": s.MaxConnectionsPerClient} {
		if n < 1 || n > connectionsLimit {
			c.mistake(path, fmt.Sprintf("the number is not between 1 and %d", connectionsLimit), "")
		}
	}
	if s.MessagesPerMinute < 0 {
		c.mistake("smtp.messages_per_minute", "the number is negative", "write 0 for no limit")
	}
	if d := time.Duration(s.Timeout); d < time.Second || d > 10*time.Minute {
		c.mistake("smtp.timeout", "the time is not between 1s and 10m", "write such as 1m")
	}
	if d := time.Duration(s.DataTimeout); d < time.Second || d > time.Hour {
		c.mistake("smtp.data_timeout", "the time is not between 1s and 1h", "write such as 5m")
	}
}

// smtpAddress reports whether the address to listen on is one.
func (c *checker) smtpAddress(s smtp.Config) bool {
	if path, ok := strings.CutPrefix(s.Listen, "unix:"); ok {
		if path == "" {
			c.mistake("smtp.listen", "the path of the socket is empty", "write such as unix:/run/tocsin/lmtp.sock")
		}
		return path != ""
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
		c.mistake("smtp.listen", quote(s.Listen)+" is not an address", "write such as 127.0.0.1:2525 or unix:/run/tocsin/lmtp.sock")
		return false
	}
	return true
}

// smtpTLS reads the certificate, as the start will.
func (c *checker) smtpTLS(s smtp.Config) {
	switch t := s.TLS; {
	case t.CertFile != "" && t.KeyFile == "":
		c.mistake("smtp.tls.cert_file", "there is a certificate, but no key", "add key_file")
	case t.CertFile == "" && t.KeyFile != "":
		c.mistake("smtp.tls.key_file", "there is a key, but no certificate", "add cert_file")
	case t.CertFile == "" && t.Required:
		c.mistake("smtp.tls.required", "there is no certificate", "add cert_file and key_file")
	default:
		if err := t.Check(); err != nil {
			c.mistake("smtp.tls.cert_file", err.Error(), "")
		}
	}
}

// smtpUsers checks who may send. Elsewhere than on this machine somebody has to
// be named, and passwords need encryption.
func (c *checker) smtpUsers(s smtp.Config) {
	seen := map[string]bool{}
	for i, u := range s.Users {
		path := indexPath("smtp.users", i)
		switch {
		case u.Username == "":
			c.mistake(path, "the user has no name", "add username")
		case seen[u.Username]:
			c.mistake(path+".username", "the user "+quote(u.Username)+" is there twice", "remove one of them")
		case !c.given(path+".password") && !c.given(path+".password_file"):
			c.mistake(path, "the user has no password", "add password or password_file")
		}
		seen[u.Username] = true
	}
	switch {
	case s.Local():
	case len(s.Users) == 0 && !s.AllowUnauthenticated:
		c.mistake("smtp.listen", "everybody who reaches it could send alerts", "add users with tls, listen on 127.0.0.1 or a socket, or write allow_unauthenticated: true")
	case len(s.Users) > 0 && s.TLS.CertFile == "":
		c.mistake("smtp.users", "passwords would be sent unencrypted", "add tls with cert_file and key_file")
	}
	if len(s.Users) > 0 && s.AllowUnauthenticated {
		c.mistake("smtp.allow_unauthenticated", "there are users, and nobody else may send", "remove one of the two")
	}
}

// smtpAddresses checks recipients and senders.
func (c *checker) smtpAddresses(s smtp.Config) {
	if len(s.Recipients) == 0 {
		c.mistake("smtp", "there are no recipients, so every mail would be refused", "add recipients, such as alerts@gw.example.com: email")
	}
	for _, to := range slices.Sorted(maps.Keys(s.Recipients)) {
		path := keyPath("smtp.recipients", to)
		if !isMailbox(to) {
			c.mistake(path, quote(to)+" is neither an address nor a domain", "write such as alerts@gw.example.com or gw.example.com")
		}
		c.oneOf(path, "source", s.Recipients[to], c.enabled)
	}
	for i, from := range s.Senders {
		if !isMailbox(from) {
			c.mistake(indexPath("smtp.senders", i), quote(from)+" is neither an address nor a domain", "write such as nagios@example.com or example.com")
		}
	}
}

func isMailbox(s string) bool {
	return s != "" && len(s) <= 320 && !strings.ContainsAny(s, " \t\r\n<>,;:\"%!/\\") && strings.Count(s, "@") <= 1 && !strings.HasSuffix(s, "@")
}
