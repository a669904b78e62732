// Package block holds what the receiver blocks of our own, which Alertmanager's file
// does not know, have in common: the settings that every one of them has, the check
// of what somebody wrote, and that each of several recipients is told once. What is
// said to them is not its subject; wire and the senders see to that.
package block

import (
	"net/url"
	"strings"

	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// Common are the settings that each of our own blocks has, beside its own.
type Common struct {
	// SendResolved and Acknowledges are those of notify.Integration; nil is the default.
	SendResolved *bool `yaml:"send_resolved,omitempty"`
	Acknowledges *bool `yaml:"acknowledges,omitempty"`
	// HTTPConfig is Alertmanager's http_config.
	HTTPConfig *commoncfg.HTTPClientConfig `yaml:"http_config,omitempty"`
	// Timeout is the longest time that one request may take; 0 leaves it to the worker.
	Timeout model.Duration `yaml:"timeout,omitempty"`
}

// Or returns what was set, or the default.
func Or(set *bool, otherwise bool) bool {
	if set == nil {
		return otherwise
	}
	return *set
}

// Mistakes are the fields that are wrong, with what to write instead.
type Mistakes map[string]string

// Need says that one of the ways to give a value has to be used.
func (m Mistakes) Need(field string, value secret.String, file string) {
	switch {
	case !value.IsSet() && file == "":
		m[field] = "is missing; set it, or " + field + "_file"
	case value.IsSet() && file != "":
		m[field] = "is set beside " + field + "_file; only one of them can be right"
	}
}

// Set says that a text is missing.
func (m Mistakes) Set(field, value string) {
	if strings.TrimSpace(value) == "" {
		m[field] = "is missing"
	}
}

// URL says what is wrong with a base address; empty is not.
func (m Mistakes) URL(field, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		m[field] = "is not a URL; write one that begins with https://"
	}
}
