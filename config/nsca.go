package config

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/tocsin-gateway/tocsin/ingest/nsca"
)

// nsca checks the listener for NSCA.
func (c *checker) nsca() {
	const path = "nsca"
	n := c.c.NSCA
	if n.Listen == "" {
		if c.given(path) && (n.Method != 0 || n.Source != "" || n.MaxAge != 0 || c.given(path+".password") || c.given(path+".password_file")) {
			c.mistake(path, "there is no address to listen on", "add listen, such as 127.0.0.1:5667")
		}
		return
	}
	host, port, err := net.SplitHostPort(n.Listen)
	if err != nil || port == "" {
		c.mistake(path+".listen", quote(n.Listen)+" is not an address", "write such as 127.0.0.1:5667")
		return
	}
	if err := n.Check(); err != nil {
		c.mistake(path+".encryption_method", err.Error(), "write 16 here and in send_nsca.cfg")
	}
	secret := n.Method != 0 && (c.given(path+".password") || c.given(path+".password_file"))
	if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback()) && !secret {
		// NSCA knows no other authentication than the encryption.
		c.mistake(path+".listen", "everybody who can reach "+n.Listen+" could send results", "add encryption_method and password, or listen on 127.0.0.1")
	}
	source := cmp.Or(n.Source, nsca.DefaultSource)
	if !slices.Contains(c.enabled, source) {
		c.oneOf(path+".source", "source", source, c.enabled)
	} else if s := completeSource(source, c.c.Sources[source]); s.Format != nsca.Format.Name {
		c.mistake(path+".source", "the source "+quote(source)+" has the format "+quote(s.Format)+", not nsca", "name a source with format: nsca")
	}
}
