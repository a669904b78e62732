package config

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redisurl"
)

const (
	// leastTimeout and mostTimeout are what an operation of the store may take: less
	// than a busy Redis needs now and then, and more than senders wait.
	leastTimeout = 100 * time.Millisecond
	mostTimeout  = 30 * time.Second
	// inFlightLimit is how many updates may be under way at most.
	inFlightLimit = 1_000_000
	// replicasLimit is how many replicas may be waited for.
	replicasLimit = 16
)

// durabilities are the words of store.durability.
var durabilities = []string{"local", "replicated", "synced"}

// redisKeys are the keys of the section that only Redis understands.
var redisKeys = []string{"username", "password", "password_file", "tls", "timeout", "max_in_flight", "durability", "replicas"}

// filesOf makes the names of files complete.
func (d *decoder) filesOf(t store.TLS) store.TLS {
	t.CAFile, t.CertFile, t.KeyFile = d.beside(t.CAFile), d.beside(t.CertFile), d.beside(t.KeyFile)
	return t
}

// store checks where the state is kept. The URL may hold a password, so
// messages name its scheme only.
func (c *checker) store() {
	const path = "store.url"
	scheme, rest, found := strings.Cut(c.c.Store.URL.Reveal(), ":")
	switch {
	case c.c.Store.URL == "":
		c.mistake(path, "the URL is empty", "write file:DIR for a folder, redis://HOST, or mem: for nothing that lasts")
	case !found:
		c.mistake(path, "the URL has no scheme", "write file:DIR for a folder, redis://HOST, or mem: for nothing that lasts")
	case redisurl.Handles(c.c.Store.URL.Reveal()):
		c.redis()
	case scheme == "file" && rest == "":
		c.mistake(path, "the URL names no folder", "write file:DIR, such as file:data")
	case scheme == "mem" && rest != "":
		c.mistake(path, "nothing can follow mem:", "write mem:")
	case scheme != "file" && scheme != "mem":
		c.mistake(path, "unknown scheme "+quote(scheme), "write file:DIR, mem:, or redis:, redis-sentinel: or redis-cluster: with // and the hosts")
	default:
		c.noRedis(map[string]string{"file": "in a folder", "mem": "in memory"}[scheme])
	}
	c.limits()
	c.tls("store.tls", c.c.Store.TLS)
}

// noRedis records what only Redis understands; where says where the state is.
func (c *checker) noRedis(where string) {
	for _, key := range redisKeys {
		path := "store." + key
		switch {
		case !c.given(path):
		case c.given("store.url"):
			c.mistake(path, "this is for Redis, and the state is "+where, "remove it, or write url: redis://HOST")
		default: // the flag may name one
			c.warn(path, "this is for Redis, and the file names none", "write url: redis://HOST, unless --store.url or TOCSIN_STORE_URL says it")
		}
	}
}

// redis checks a URL of Redis, and what must fit it.
func (c *checker) redis() {
	const path = "store.url"
	s := c.c.Store
	target, err := redisurl.Parse(s.URL.Reveal())
	if err != nil {
		c.mistake(path, err.Error(), "")
		return
	}
	if target.Username != "" && s.Username != "" {
		c.mistake("store.username", "there is a user, and the URL names one too", "remove one of them")
	}
	// What the file tries to set counts: if that went wrong it has been said.
	for _, key := range []string{"store.password", "store.password_file"} {
		if target.Password != "" && c.given(key) {
			c.mistake(key, "there is a password, and the URL holds one too", "take it out of the URL")
			return
		}
	}
	if target.Password != "" {
		c.warn(path, "the URL holds a password, and lists of processes and copies of this file show it", "use password_file, or TOCSIN_STORE_PASSWORD_FILE")
	}
	if !target.TLS && c.given("store.tls") && c.c.Store.TLS != (store.TLS{}) {
		c.mistake("store.tls", "the URL does not use TLS", "write rediss in place of redis at its beginning")
	}
}

// limits checks times and numbers.
func (c *checker) limits() {
	s := c.c.Store
	if d := time.Duration(s.Timeout); d < leastTimeout || d > mostTimeout {
		c.mistake("store.timeout", fmt.Sprintf("the time is not between %s and %s", leastTimeout, mostTimeout), "write such as 2s")
	}
	if s.MaxInFlight < 1 || s.MaxInFlight > inFlightLimit {
		c.mistake("store.max_in_flight", fmt.Sprintf("the number is not between 1 and %d", inFlightLimit), "write such as 2048")
	}
	c.oneOf("store.durability", "durability", s.Durability, durabilities)
	if s.Replicas < 1 || s.Replicas > replicasLimit {
		c.mistake("store.replicas", fmt.Sprintf("the number is not between 1 and %d", replicasLimit), "write how many replicas can take over")
	} else if s.Replicas > 1 && s.Durability != "replicated" {
		c.mistake("store.replicas", "durability "+s.Durability+" waits for no replicas", "write durability: replicated")
	}
}

// tls reads what the section names, as the start will.
func (c *checker) tls(path string, t store.TLS) {
	if _, err := t.Authorities(); err != nil {
		c.mistake(path+".ca_file", err.Error(), "")
	}
	switch {
	case t.CertFile != "" && t.KeyFile == "":
		c.mistake(path+".cert_file", "there is a certificate, but no key", "add key_file")
	case t.CertFile == "" && t.KeyFile != "":
		c.mistake(path+".key_file", "there is a key, but no certificate", "add cert_file")
	case t.CertFile != "":
		if _, err := t.Certificate(); err != nil {
			c.mistake(path+".cert_file", err.Error(), "")
		} else if info, err := os.Stat(t.KeyFile); err == nil {
			c.warnOpen(info, t.KeyFile, path+".key_file")
		}
	}
	if t.InsecureSkipVerify {
		c.warn(path+".insecure_skip_verify", "whoever answers in the place of Redis is believed, and gets the password and every alert", "name who signs its certificate in ca_file")
	}
}
