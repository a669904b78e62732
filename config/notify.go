package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
)

// notify checks how messages are sent.
func (c *checker) notify() {
	n := c.c.Notify
	if n.Fallback != "" {
		switch names := c.receivers(); {
		case len(names) == 0:
			c.mistake("notify.fallback", "there are no receivers", "add receivers:, or remove fallback:")
		case !slices.Contains(names, n.Fallback):
			c.mistake("notify.fallback", "there is no receiver "+quote(n.Fallback), nearest.Suggest(n.Fallback, names))
		}
	}
	c.slack()
	for i, text := range n.DenyNetworks {
		if _, err := netip.ParsePrefix(text); err != nil {
			c.mistake(indexPath("notify.deny_networks", i), quote(text)+" is not a network", "write it like 169.254.0.0/16")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Storms)) {
		path := keyPath("notify.storms", name)
		if !slices.Contains(receivers.Names(), name) {
			c.mistake(path, "there is no integration "+quote(name), nearest.Suggest(name, receivers.Names()))
		}
		if name == "statuspage" && n.Storms[name].Messages > 0 { // a digest is an incident there, which nothing would end
			c.mistake(path, "the public is not told of a storm", "remove it")
		}
		if s := n.Storms[name]; s.Messages < 0 || s.Messages > 0 && s.Within <= 0 {
			c.mistake(path, "a storm needs messages: and within:, both above 0", "write {messages: 30, within: 5m}, or {messages: 0} for no bound")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.Rates)) {
		path := keyPath("notify.rates", name)
		if !slices.Contains(receivers.Names(), name) {
			c.mistake(path, "there is no integration "+quote(name), nearest.Suggest(name, receivers.Names()))
		}
		if r := n.Rates[name]; r.Messages <= 0 || r.Per <= 0 {
			c.mistake(path, "a rate needs messages: and per:, both above 0", "write {messages: 10, per: 10s}")
		}
	}
}

// slack checks what there is beside Alertmanager's blocks.
func (c *checker) slack() {
	problems := c.c.Notify.Slack.Problems()
	for _, field := range slices.Sorted(maps.Keys(problems)) {
		what, instead, _ := strings.Cut(problems[field], "; ")
		c.mistake("notify.slack."+field, what, instead)
	}
}

// receivers are the names of those in Alertmanager's section.
func (c *checker) receivers() []string {
	if c.c.Alertmanager == nil {
		return nil
	}
	var names []string
	for _, r := range c.c.Alertmanager.Receivers {
		names = append(names, r.Name)
	}
	return names
}
