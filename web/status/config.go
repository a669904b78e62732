package status

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Config is the section status: of the configuration file.
type Config struct {
	// Enabled: there is a status page. Everybody who reaches it may read it.
	Enabled bool `yaml:"enabled"`
	// Title stands above the page.
	Title string `yaml:"title"`
	// ListenAddress is a listener that has the status page and nothing else; without
	// one the page is at /status of the listener that has everything.
	ListenAddress string `yaml:"listen_address"`
	// ExternalURL is the URL that the public uses, without the /status of the page;
	// feeds have links.
	ExternalURL string `yaml:"external_url"`
	// Contact says whom to ask, and ContactURL is a link for it.
	Contact    string `yaml:"contact"`
	ContactURL string `yaml:"contact_url"`
	// History is how long what is over is shown.
	History model.Duration `yaml:"history"`
	// Components are what the page is about. No other service is ever named.
	Components []Component `yaml:"components"`
}

// Component is a part of what we offer, as the public knows it.
type Component struct {
	// Name, Description and Group are public. Components of a group stand together.
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Group       string `yaml:"group"`
	// Services are those of the section services whose incidents affect it. They are
	// not public.
	Services []string `yaml:"services"`
}

const (
	leastHistory = 24 * time.Hour
	mostHistory  = 90 * 24 * time.Hour
	// lineLimit and textLimit are how long what is shown may be, in bytes.
	lineLimit = 200
	textLimit = 1000
	// componentsLimit is how many components there may be.
	componentsLimit = 500
)

// DefaultConfig is no status page.
func DefaultConfig() Config {
	return Config{Title: "Service status", History: model.Duration(14 * 24 * time.Hour)}
}

// Problems returns what is wrong, by the path of the field, and what to write.
// Services are those of the catalogue.
func (c *Config) Problems(services []string) map[string]string {
	out := map[string]string{}
	if strings.TrimSpace(c.Title) == "" {
		out["title"] = "the page has no title: write one, such as Service status"
	}
	if _, port, err := net.SplitHostPort(c.ListenAddress); c.ListenAddress != "" && (err != nil || port == "") {
		out["listen_address"] = fmt.Sprintf("%.60q is not an address: write such as 127.0.0.1:9096", c.ListenAddress)
	}
	u, err := url.Parse(c.ExternalURL)
	switch {
	case c.ExternalURL == "" && c.Enabled:
		out["external_url"] = "the feeds of the page have no links without it: write the URL that the public uses, such as https://status.example.com"
	case c.ExternalURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != ""):
		out["external_url"] = fmt.Sprintf("%.60q is not a URL of a page: write such as https://status.example.com", c.ExternalURL)
	}
	if u, err := url.Parse(c.ContactURL); c.ContactURL != "" && (err != nil || !slices.Contains([]string{"http", "https", "mailto", "tel"}, u.Scheme)) {
		out["contact_url"] = fmt.Sprintf("%.60q is none of http, https, mailto and tel: write such as mailto:help@example.com", c.ContactURL)
	} else if c.ContactURL != "" && c.Contact == "" {
		out["contact_url"] = "the link has no text: add contact"
	}
	if d := time.Duration(c.History); d < leastHistory || d > mostHistory {
		out["history"] = fmt.Sprintf("the time is not between %s and %s: write such as 14d", model.Duration(leastHistory), model.Duration(mostHistory))
	}
	for path, text := range map[string]string{"title": c.Title, "contact": c.Contact} {
		if len(text) > lineLimit {
			out[path] = fmt.Sprintf("the text is longer than %d bytes: write less", lineLimit)
		}
	}
	c.components(services, out)
	return out
}

func (c *Config) components(services []string, out map[string]string) {
	switch {
	case len(c.Components) == 0 && c.Enabled:
		out["components"] = "there are no components, so the page would never show anything: add some with the services that they stand for"
	case len(c.Components) > componentsLimit:
		out["components"] = fmt.Sprintf("there are more than %d components: group what people need not tell apart", componentsLimit)
	}
	first := map[string]int{}
	for n, one := range c.Components {
		at := fmt.Sprintf("components[%d]", n)
		before, taken := first[one.Name]
		switch {
		case strings.TrimSpace(one.Name) == "":
			out[at+".name"] = "the component has no name: add name, which is public"
		case taken:
			out[at+".name"] = fmt.Sprintf("the name %.60q is also that of components[%d]: give each component a name of its own", one.Name, before)
		default:
			first[one.Name] = n
		}
		for path, text := range map[string]string{".name": one.Name, ".group": one.Group} {
			if len(text) > lineLimit {
				out[at+path] = fmt.Sprintf("the text is longer than %d bytes: write less", lineLimit)
			}
		}
		if len(one.Description) > textLimit {
			out[at+".description"] = fmt.Sprintf("the text is longer than %d bytes: write less", textLimit)
		}
		if len(one.Services) == 0 {
			out[at+".services"] = "the component stands for no service: name those of the section services whose incidents affect it"
		}
		for k, name := range one.Services {
			if !slices.Contains(services, name) {
				out[fmt.Sprintf("%s.services[%d]", at, k)] = fmt.Sprintf("there is no service %.60q: add it to services", name)
			}
		}
	}
}
