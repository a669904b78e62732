package openid

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// Config is the section web.oidc: of the configuration file.
type Config struct {
	// Issuer is the provider's URL, exactly as it states it itself.
	Issuer string `yaml:"issuer"`
	// ClientID and ClientSecret are what Tocsin is known by there; a public client
	// has no secret.
	ClientID         string        `yaml:"client_id"`
	ClientSecret     secret.String `yaml:"client_secret"`
	ClientSecretFile string        `yaml:"client_secret_file"`
	// Scopes are asked for beside openid; nil are DefaultScopes.
	Scopes []string `yaml:"scopes"`
	// NameClaim is the claim that people go by in timelines; empty is the first of
	// preferred_username, a verified email, name and sub that is there.
	NameClaim string `yaml:"name_claim"`
	// GroupsClaim is the claim with a person's groups; dots lead into objects. Empty
	// is groups.
	GroupsClaim string `yaml:"groups_claim"`
	// Roles are those of groups; of several the highest counts.
	Roles map[string]string `yaml:"roles"`
	// DefaultRole is that of people without any of these groups; empty refuses them.
	DefaultRole string `yaml:"default_role"`
	// Button is what the button says; empty is "Sign in with" and the issuer's host.
	Button string `yaml:"button"`
}

// DefaultScopes are asked for if the configuration names none.
var DefaultScopes = []string{"profile", "email"}

// buttonLimit is how long the text of the button may be, in bytes.
const buttonLimit = 100

// Problems returns what is wrong, by the path of the field, and what to write. The
// roles are all there are.
func (c *Config) Problems(roles []string) map[string]string {
	out := map[string]string{}
	if reason := issuerProblem(c.Issuer); reason != "" {
		out["issuer"] = reason
	}
	if c.ClientID == "" {
		out["client_id"] = "is missing: write the id that the provider gave to Tocsin"
	}
	for i, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			out[fmt.Sprintf("scopes[%d]", i)] = "not a scope: write a word such as profile"
		}
	}
	unknown := func(path, role string) {
		if !slices.Contains(roles, role) {
			out[path] = fmt.Sprintf("unknown role %q: write one of %s", role, strings.Join(roles, ", "))
		}
	}
	for group, role := range c.Roles {
		unknown(rolePath(group), role)
	}
	if c.DefaultRole != "" {
		unknown("default_role", c.DefaultRole)
	} else if len(c.Roles) == 0 {
		out["roles"] = "nobody could sign in, as no group has a role: write roles: {GROUP: responder}, or default_role"
	}
	if len(c.Button) > buttonLimit {
		out["button"] = fmt.Sprintf("longer than %d bytes: write a shorter text", buttonLimit)
	}
	return out
}

// rolePath is the path of a group's role, written as package config does.
func rolePath(group string) string {
	if group == "" || strings.ContainsFunc(group, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return fmt.Sprintf("roles[%q]", group)
	}
	return "roles." + group
}

func issuerProblem(issuer string) string {
	const form = "write such as https://id.example.com"
	u, err := url.Parse(issuer)
	switch {
	case issuer == "":
		return "is missing: " + form
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "not the URL of a provider: " + form
	case !safe(u):
		return "a secret and who people are would travel unprotected, it has to begin with https: " + form
	}
	return ""
}

// safe reports whether nobody can listen to what goes to u: https, or this machine.
func safe(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}

// button is what the button says.
func (c *Config) button() string {
	if c.Button != "" {
		return c.Button
	}
	u, err := url.Parse(c.Issuer)
	if err != nil {
		return "Sign in" // unreachable: it was checked
	}
	host := u.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return "Sign in with " + host
}
