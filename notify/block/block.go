// Package block holds what the receiver blocks of our own have in common: the
// settings that every one of them has, secrets that may be in files, and the
// check of what somebody wrote.
package block

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/notify"
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

const (
	// secretLimit is the largest file that is read as a secret, in bytes.
	secretLimit = 64 << 10
	// secretShortest is the shortest text that Scrub hides, in bytes.
	secretShortest = 4
)

// Secret returns a value, or what its file holds now: it may have been rotated.
// The error, which does not name the value, is for a later attempt.
func Secret(value secret.String, file string) (string, error) {
	if file == "" {
		return value.Reveal(), nil
	}
	return File(file)
}

// File returns what a file with a secret holds now, without the space around it.
func File(name string) (string, error) {
	content, err := os.ReadFile(name)
	text := strings.TrimSpace(string(content))
	switch {
	case err != nil:
	case len(content) > secretLimit:
		err = fmt.Errorf("%s: is too large for a secret", name)
	case text == "":
		err = fmt.Errorf("%s: is empty", name)
	}
	if err != nil {
		// Somebody may mend the file meanwhile.
		return "", &notify.Error{Reason: notify.ReasonAuth, Err: err}
	}
	return text, nil
}

// Scrub hides secrets in what an error says. They may be longer than what one
// attempt knows, as files change, so it is done for each. What is too short to be
// one is left.
func Scrub(err error, secrets ...string) error {
	var e *notify.Error
	if !errors.As(err, &e) {
		return err
	}
	text := e.Err.Error()
	for _, s := range secrets {
		if len(s) >= secretShortest {
			text = strings.ReplaceAll(text, s, "<secret>")
			text = strings.ReplaceAll(text, url.QueryEscape(s), "<secret>")
		}
	}
	hidden := *e
	hidden.Err = errors.New(text)
	return &hidden
}

// Permanent is the error for a message that will never be taken.
func Permanent(format string, args ...any) *notify.Error {
	return &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: fmt.Errorf(format, args...)}
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
