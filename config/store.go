package config

import "strings"

// store checks where the state is kept. The URL may hold a password, so
// messages name its scheme only.
func (c *checker) store() {
	const path = "store.url"
	scheme, rest, found := strings.Cut(c.c.Store.URL, ":")
	switch {
	case c.c.Store.URL == "":
		c.mistake(path, "the URL is empty", "write file:DIR for a folder, or mem: for nothing that lasts")
	case !found:
		c.mistake(path, "the URL has no scheme", "write file:DIR for a folder, or mem: for nothing that lasts")
	case scheme == "redis", scheme == "rediss", scheme == "redis-sentinel", scheme == "redis-cluster":
		c.mistake(path, "this version cannot keep its state in Redis yet ("+scheme+":)", "write file:DIR")
	case scheme == "file" && rest == "":
		c.mistake(path, "the URL names no folder", "write file:DIR, such as file:data")
	case scheme == "mem" && rest != "":
		c.mistake(path, "nothing can follow mem:", "write mem:")
	case scheme != "file" && scheme != "mem":
		c.mistake(path, "unknown scheme "+quote(scheme), "write file:DIR or mem:")
	}
}
