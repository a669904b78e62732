package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
)

var (
	sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
)

// namespaceLimit is how long a namespace may be, in bytes.
const namespaceLimit = 128

func (c *checker) sources() {
	for _, name := range slices.Sorted(maps.Keys(c.c.Sources)) {
		c.source(name, c.c.Sources[name])
	}
	if len(c.enabled) == 0 {
		c.mistake("sources", "every source is disabled", "keep one, so that alerts have a way in")
	}
}

func (c *checker) source(name string, s ingest.SourceConfig) {
	path := keyPath("sources", name)
	if !sourceName.MatchString(name) {
		c.mistake(path, "the name "+quote(name)+" cannot be part of a URL",
			"use a to z, 0 to 9, - and _, at most 63 of them, beginning with a letter or digit")
	}
	if what := ownSources[name]; what != "" {
		c.mistake(path, "the name "+quote(name)+" is taken: metrics use it for "+what, "write another one")
	}
	if s.Format != "" {
		c.oneOf(path+".format", "format", s.Format, formatNames)
	} else if !slices.Contains(formatNames, name) {
		c.mistake(path, "the source has no format", "add format:, one of "+strings.Join(formatNames, ", "))
	}
	if len(s.Namespace) > namespaceLimit {
		c.mistake(path+".namespace", fmt.Sprintf("the namespace is longer than %d bytes", namespaceLimit), "")
	}
	if s.BodyLimit < 0 {
		c.mistake(path+".body_limit", "the limit is negative", "write 0 for the default of the format")
	}
	c.distinct(path+".ignore_labels", "label", s.IgnoreLabels)
	c.distinct(path+".volatile_annotations", "annotation", s.VolatileAnnotations)
	if s.OnStoreFailure != "" {
		c.oneOf(path+".on_store_failure", "way", s.OnStoreFailure, []string{ingest.Refuse, ingest.ToSpool})
	}
	c.auth(path+".auth", s.Auth)
	c.api(path+".api", completeSource(name, s))
	c.options(path, completeSource(name, s))
}

// optionsOf are the sections of a source that are for one format only.
var optionsOf = []struct{ section, format string }{{"sns", "sns"}, {"mapping", "mapping"}, {"email", "email"}}

// keyed are the formats whose alerts have keys of their own.
var keyed = map[string]bool{"nagios": true, "nrdp": true, "nsca": true, "icinga": true, "monit": true, "zabbix": true, "uptime-kuma": true, "kibana": true, "sns": true, "email": true}

// options checks what a source wants of its format, by asking the format.
func (c *checker) options(path string, s ingest.SourceConfig) {
	for _, o := range optionsOf {
		if at := path + "." + o.section; c.given(at) && s.Format != o.format {
			c.mistake(at, "this is for the format "+o.format+", and the source has the format "+quote(s.Format), "remove it, or write format: "+o.format)
		}
	}
	if len(s.IgnoreLabels) > 0 && keyed[s.Format] {
		c.warn(path+".ignore_labels", "alerts of the format "+s.Format+" are told apart by the sender's own names and not by labels, so this has no effect on that", "remove it")
	}
	configure := formats.All[s.Format].Configure
	if configure == nil || s.Disabled {
		return
	}
	_, err := configure(s)
	var mistakes ingest.ConfigMistakes
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			c.mistake(path+"."+m.Path, m.Message, m.Suggestion)
		}
	}
	if len(s.SNS.CertificateHosts) > 0 && len(s.SNS.Topics) == 0 {
		c.warn(path+".sns.certificate_hosts", "everybody with an account at Amazon can sign such messages", "name your topics in topics")
	}
	if e := s.Email; len(e.Require) > 0 && !slices.Contains(e.Require, "dmarc") && !slices.Contains(e.Require, "spf") {
		c.warn(path+".email.require", "a mail may carry the signature of any domain", "add dmarc, which compares it with the sender's")
	}
	if s.SNS.Confirm && len(s.SNS.Topics) == 0 {
		c.warn(path+".sns.confirm", "whoever can send to this source can subscribe it to topics of theirs", "name yours in topics")
	}
}

// What the tools of formats can do beside sending.
var (
	reconcilable = []string{"alertmanager", "grafana", "icinga"}
	writable     = []string{"icinga", "nagios"}
)

func (c *checker) api(path string, s ingest.SourceConfig) {
	if !c.given(path) {
		return
	}
	a := s.API
	if a.URL != "" {
		if u, err := url.Parse(a.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			c.mistake(path+".url", "the URL is none of http or https", "write one such as https://icinga.example.com:5665")
		} else if u.User != nil {
			c.mistake(path+".url", "there is a password in the URL, which is no secret there", "use username and password")
		}
	}
	uses := a.Reconcile > 0 || a.WriteBack || a.Stream
	switch {
	case a.URL == "" && a.CommandFile == "":
		c.mistake(path, "there is no URL of the tool", "add url")
	case !uses:
		c.mistake(path, "the API is used for nothing", "add reconcile: 5m, write_back: true or stream: true")
	}
	for _, use := range []struct {
		name  string
		on    bool
		knows []string
	}{{"reconcile", a.Reconcile > 0, reconcilable}, {"write_back", a.WriteBack, writable}, {"stream", a.Stream, []string{"icinga"}},
		{"command_file", a.CommandFile != "", []string{"nagios"}}, {"receiver", a.Receiver != "", []string{"alertmanager", "grafana"}}} {
		if use.on && !slices.Contains(use.knows, s.Format) {
			c.mistake(path+"."+use.name, "not possible with the format "+quote(s.Format), "it is with "+strings.Join(use.knows, ", "))
		}
	}
	if a.Reconcile > 0 && a.Reconcile < shortest {
		c.mistake(path+".reconcile", a.Reconcile.String()+" is too often", "write at least "+shortest.String())
	}
	password := c.given(path+".password") || c.given(path+".password_file")
	if (a.Username != "") != password {
		c.mistake(path, "username and password go together", "add the other one")
	}
}

func (c *checker) auth(path string, a ingest.AuthConfig) {
	// What the file tries to set counts: if that went wrong it has been said.
	token := c.given(path+".bearer_token") || c.given(path+".bearer_token_file")
	password := c.given(path+".password") || c.given(path+".password_file")
	switch {
	case a.Username != "" && !password:
		c.mistake(path+".username", "there is a username, but no password", "add password or password_file")
	case a.Username == "" && password:
		c.mistake(path, "there is a password, but no username", "add username")
	case strings.Contains(a.Username, ":"):
		c.mistake(path+".username", "a username cannot hold a colon", "") // RFC 7617, section 2
	}
	if a.Header != "" && !headerName.MatchString(a.Header) {
		c.mistake(path+".header", quote(a.Header)+" cannot be the name of a header", "write a name such as X-Tocsin-Token")
	}
	const missing, add = "carries the bearer token, but there is none", "add bearer_token or bearer_token_file"
	if a.Header != "" && !token {
		c.mistake(path+".header", "the header "+missing, add)
	}
	if a.QueryToken && !token {
		c.mistake(path+".query_token", "the query "+missing, add)
	}
	c.hmac(path+".hmac", a.HMAC)
}

func (c *checker) hmac(path string, h ingest.HMACConfig) {
	if !c.given(path) {
		return
	}
	if !c.given(path+".secret") && !c.given(path+".secret_file") {
		c.mistake(path, "there is no secret to check signatures with", "add secret or secret_file")
	}
	for name, value := range map[string]string{"header": h.Header, "timestamp_header": h.TimestampHeader} {
		if value != "" && !headerName.MatchString(value) {
			c.mistake(path+"."+name, quote(value)+" cannot be the name of a header", "write a name such as X-Signature")
		}
	}
	if h.Window > 0 && h.TimestampHeader == "" {
		c.mistake(path+".window", "there is a window, but no time is signed", "add timestamp_header, or remove window")
	}
}
