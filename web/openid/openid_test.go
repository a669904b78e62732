package openid

import (
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestPerson: who somebody is, by what the provider says of them.
func TestPerson(t *testing.T) {
	roles := []string{"viewer", "responder", "admin"}
	base := Config{Roles: map[string]string{"all": "viewer", "oncall": "responder", "boss": "admin"}}
	for name, test := range map[string]struct {
		claims     string
		change     func(*Config)
		name, role string
		err        error
	}{
		"preferred_username first": {`{"preferred_username":"ann","email":"ann@example.com","name":"Ann Lee","groups":["all"]}`, nil, "ann", "viewer", nil},
		"then the email":           {`{"email":"ann@example.com","name":"Ann Lee","groups":["all"]}`, nil, "ann@example.com", "viewer", nil},
		"unless it is unverified":  {`{"email":"boss@example.com","email_verified":false,"name":"Ann Lee","groups":["all"]}`, nil, "Ann Lee", "viewer", nil},
		"the subject at last":      {`{"groups":["all"]}`, nil, "the subject", "viewer", nil},
		"unverified, in a text":    {`{"email":"boss@example.com","email_verified":"false","name":"Ann Lee","groups":["all"]}`, nil, "Ann Lee", "viewer", nil},
		"verified, in a text":      {`{"email":"ann@example.com","email_verified":"true","name":"Ann Lee","groups":["all"]}`, nil, "ann@example.com", "viewer", nil},
		"a claim of its own":       {`{"nick":" ann ","preferred_username":"x","groups":["all"]}`, func(c *Config) { c.NameClaim = "nick" }, "ann", "viewer", nil},
		"which is missing":         {`{"preferred_username":"x","groups":["all"]}`, func(c *Config) { c.NameClaim = "nick" }, "", "", ErrRefused},
		"which is no text":         {`{"nick":7,"groups":["all"]}`, func(c *Config) { c.NameClaim = "nick" }, "", "", ErrRefused},
		"the highest role":         {`{"groups":["boss","all","oncall"]}`, nil, "the subject", "admin", nil},
		"one group as a text":      {`{"groups":"oncall"}`, nil, "the subject", "responder", nil},
		"odd groups":               {`{"groups":[1,null,{"a":"boss"},["boss"],"oncall"]}`, nil, "the subject", "responder", nil},
		"no group that counts":     {`{"groups":["Boss","oncall "]}`, nil, "", "", ErrNoRole},
		"groups of another kind":   {`{"groups":{"boss":true}}`, nil, "", "", ErrNoRole},
		"none":                     {`{}`, nil, "", "", ErrNoRole},
		"the default":              {`{}`, func(c *Config) { c.DefaultRole = "viewer" }, "the subject", "viewer", nil},
		"a path":                   {`{"realm_access":{"roles":["oncall"]}}`, func(c *Config) { c.GroupsClaim = "realm_access.roles" }, "the subject", "responder", nil},
		"a path that ends early":   {`{"realm_access":"boss"}`, func(c *Config) { c.GroupsClaim = "realm_access.roles" }, "", "", ErrNoRole},
		"a name with dots":         {`{"https://x.example/groups":["boss"]}`, func(c *Config) { c.GroupsClaim = "https://x.example/groups" }, "the subject", "admin", nil},
	} {
		t.Run(name, func(t *testing.T) {
			config, said := base, claims{}
			if test.change != nil {
				test.change(&config)
			}
			if err := json.Unmarshal([]byte(test.claims), &said); err != nil {
				t.Fatal(err)
			}
			p, err := New(Options{Config: config, Roles: roles}).person("the subject", said)
			if !errors.Is(err, test.err) || err == nil && (p.Name != test.name || p.Role != test.role || p.Subject != "the subject") {
				t.Errorf("%s: got %+v, %v, want %s, %s, %v", test.claims, p, err, test.name, test.role, test.err)
			}
		})
	}
}
