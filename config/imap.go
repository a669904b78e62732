package config

import (
	"fmt"
	"net"
	"time"

	"github.com/tocsin-gateway/tocsin/ingest/imap"
)

// imap checks the mailboxes that are polled.
func (c *checker) imap() {
	for i, box := range c.c.IMAP {
		c.mailbox(indexPath("imap", i), box.Complete())
	}
}

func (c *checker) mailbox(path string, m imap.Config) {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil || host == "" {
		c.mistake(path+".server", quote(m.Server)+" is not a server", "write such as imap.example.com:993")
	}
	c.oneOf(path+".encryption", "encryption", m.Encryption, []string{imap.TLS, imap.StartTLS, imap.Plain})
	if ip := net.ParseIP(host); m.Encryption == imap.Plain && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		c.mistake(path+".encryption", "the password would be sent unencrypted", "write tls or starttls")
	}
	if _, err := m.Authorities(); err != nil {
		c.mistake(path+".ca_file", err.Error(), "")
	}
	if m.Username == "" {
		c.mistake(path, "there is no user to log in as", "add username")
	}
	if !c.given(path+".password") && !c.given(path+".password_file") {
		c.mistake(path, "there is no password", "add password or password_file")
	}
	c.oneOf(path+".source", "source", m.Source, c.enabled)
	c.oneOf(path+".afterwards", "way", m.Afterwards, []string{imap.MarkSeen, imap.Delete})
	if d := time.Duration(m.Interval); d < 5*time.Second || d > 24*time.Hour {
		c.mistake(path+".interval", fmt.Sprintf("the time %s is not between 5s and 24h", d), "write such as 1m")
	}
}
