package openid

import (
	"fmt"
	"slices"
	"strings"
)

// defaultGroups is the claim that has the groups if the configuration names none.
const defaultGroups = "groups"

// claims are what a provider says of somebody.
type claims map[string]any

// find is a claim by its name, or by a path of names with dots between them, nil if
// there is none.
func (c claims) find(name string) any {
	if v, there := c[name]; there {
		return v
	}
	first, rest, more := strings.Cut(name, ".")
	inner, _ := c[first].(map[string]any)
	if !more {
		return nil
	}
	return claims(inner).find(rest)
}

// text is a claim that is a text, "" if it is none.
func (c claims) text(name string) string {
	v, _ := c.find(name).(string)
	return strings.TrimSpace(v)
}

// list is a claim that is a text or a list of texts.
func (c claims) list(name string) []string {
	switch v := c.find(name).(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func (c *Client) groupsClaim() string {
	if name := c.o.Config.GroupsClaim; name != "" {
		return name
	}
	return defaultGroups
}

// incomplete reports whether a claim is missing that the configuration needs.
func (c *Client) incomplete(said claims) bool {
	return c.name(said) == "" || len(c.o.Config.Roles) > 0 && said.find(c.groupsClaim()) == nil
}

// name is what somebody goes by, without the last resort.
func (c *Client) name(said claims) string {
	if name := c.o.Config.NameClaim; name != "" {
		return said.text(name)
	}
	if name := said.text("preferred_username"); name != "" {
		return name
	}
	// Some providers let people claim any address, and say that they did not look: some
	// of them in a text (Amazon Cognito).
	if verified, stated := said["email_verified"]; !stated || verified == true || verified == "true" {
		if address := said.text("email"); address != "" {
			return address
		}
	}
	return said.text("name")
}

// person says who somebody is and what they may do.
func (c *Client) person(subject string, said claims) (Person, error) {
	p := Person{Name: c.name(said), Subject: subject}
	if p.Name == "" && c.o.Config.NameClaim != "" {
		return p, fmt.Errorf("%w: the claim %s (web.oidc.name_claim) is missing", ErrRefused, c.o.Config.NameClaim)
	}
	if p.Name == "" {
		p.Name = subject
	}
	highest := slices.Index(c.o.Roles, c.o.Config.DefaultRole)
	for _, group := range said.list(c.groupsClaim()) {
		highest = max(highest, slices.Index(c.o.Roles, c.o.Config.Roles[group]))
	}
	if highest < 0 {
		return p, ErrNoRole
	}
	p.Role = c.o.Roles[highest]
	return p, nil
}
