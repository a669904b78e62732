package config

import (
	"net/url"
	"time"

	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/router"
)

// PingConfig is the section ping: the sign of life that Tocsin gives itself.
type PingConfig struct {
	// URL is fetched while all is well; whoever watches it notices when that ends.
	// It is a secret, because everybody who knows it can give the sign.
	URL     secret.String `yaml:"url"`
	URLFile string        `yaml:"url_file"`
	// Every is how often; 0 means once a minute.
	Every model.Duration `yaml:"every"`
}

// Interval is how often the ping is sent.
func (p PingConfig) Interval() time.Duration {
	if p.Every == 0 {
		return time.Minute
	}
	return time.Duration(p.Every)
}

// shortest is the shortest period of a heartbeat and a ping.
const shortest = model.Duration(10 * time.Second)

func (c *checker) heartbeats() {
	const path = "heartbeats"
	var names []string
	for i, h := range c.c.Heartbeats {
		names = append(names, h.Name)
		c.heartbeat(indexPath(path, i), h)
	}
	c.names(path, "heartbeat", names)
	p := c.c.Ping
	if p.URL.IsSet() {
		if u, err := url.Parse(p.URL.Reveal()); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			c.mistake("ping", "the URL is none of http or https", "write a URL such as https://example.com/ping/ID")
		}
	} else if c.given("ping.every") && !c.given("ping.url") && !c.given("ping.url_file") {
		c.mistake("ping", "there is no URL to ping", "add url or url_file")
	}
	if p.Every != 0 && p.Every < shortest {
		c.mistake("ping.every", p.Every.String()+" is too often", "write at least "+shortest.String())
	}
}

func (c *checker) heartbeat(path string, h router.Heartbeat) {
	if h.Source == "" && len(h.Matchers) == 0 {
		c.mistake(path, "the heartbeat does not say which messages it is made of", `add source:, or matchers: ['alertname="Watchdog"']`)
	}
	if h.Source != "" {
		c.oneOf(path+".source", "source", h.Source, c.enabled)
	}
	c.matchers(path+".matchers", h.Matchers)
	var ms labels.Matchers
	for _, text := range h.Matchers {
		ms = append(ms, parseQuietly(text)...)
	}
	if h.Source == "" && len(ms) > 0 && router.MatchesAll(ms) {
		c.mistake(path+".matchers", "every alert without these labels would be taken for a sign of life, and open no incident", `add source:, or a matcher such as 'alertname="Watchdog"'`)
	}
	switch {
	case h.Every == 0 && !c.given(path+".every"):
		c.mistake(path, "the heartbeat does not say how often it is expected", "add every:, such as 5m")
	case h.Every < shortest:
		c.mistake(path+".every", h.Every.String()+" is too short to tell silence from delay", "write at least "+shortest.String())
	}
	if h.Severity != "" {
		c.oneOf(path+".severity", "severity", h.Severity, c.c.Classify.Severities)
	}
	if teams := c.c.Classify.Teams; h.Team != "" && len(teams) > 0 {
		c.oneOf(path+".team", "team", h.Team, teams)
	}
}

// ownSources are names that metrics and rules know as sources, and that no source
// of the file can have.
var ownSources = map[string]string{
	ingest.SpoolSource:     "what comes out of the spool",
	router.SourceHeartbeat: "heartbeats that are missing",
	router.SourcePeople:    "what people report",
}
