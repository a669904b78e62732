package web

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/web/openid"
	"github.com/tocsin-gateway/tocsin/web/session"
)

// Config is the section web: of the configuration file.
type Config struct {
	// AdminToken is a first token with the role admin, for containers.
	AdminToken     secret.String `yaml:"admin_token"`
	AdminTokenFile string        `yaml:"admin_token_file"`
	// Users sign in with a name and a password.
	Users []User `yaml:"users"`
	// OIDC is the OpenID provider where people sign in; nil is none.
	OIDC     *openid.Config `yaml:"oidc"`
	Sessions SessionsConfig `yaml:"sessions"`
}

// User is a person who signs in with a password.
type User struct {
	// Name is what they sign in with, and go by in timelines.
	Name string `yaml:"name"`
	// PasswordHash is what `tocsin user hash` prints.
	PasswordHash     secret.String `yaml:"password_hash"`
	PasswordHashFile string        `yaml:"password_hash_file"`
	Role             Role          `yaml:"role"`
}

// SessionsConfig says how long people stay signed in.
type SessionsConfig struct {
	// Idle is how long somebody stays who does nothing, Limit how long anybody does.
	Idle  model.Duration `yaml:"idle"`
	Limit model.Duration `yaml:"limit"`
}

const (
	// leastCost and mostCost bound how much work a password is: less is guessed fast,
	// more keeps the processor busy for seconds.
	leastCost, mostCost = 10, 14
	// leastSession is the shortest time that a session may last.
	leastSession = 5 * time.Minute
	// mostSession is the longest.
	mostSession = 90 * 24 * time.Hour
	// usersLimit is how many users there may be.
	usersLimit = 1000
)

// DefaultConfig lets in nobody who has no token.
func DefaultConfig() Config {
	return Config{Sessions: SessionsConfig{Idle: model.Duration(session.DefaultIdle), Limit: model.Duration(session.DefaultLimit)}}
}

// Problems returns what is wrong, by the path of the field, and what to write.
func (c *Config) Problems() map[string]string {
	out := map[string]string{}
	if len(c.Users) > usersLimit {
		out["users"] = fmt.Sprintf("more than %d users: use an OpenID provider (oidc)", usersLimit)
	}
	names := map[string]int{}
	for i, u := range c.Users {
		at := fmt.Sprintf("users[%d]", i)
		if first, taken := names[u.Name]; taken && u.Name != "" {
			out[at+".name"] = fmt.Sprintf("the name is also that of users[%d]: give each a name of their own", first)
		} else if reason := nameProblem(u.Name); reason != "" {
			out[at+".name"] = reason + ": write a name such as ann"
		}
		if _, taken := names[u.Name]; !taken {
			names[u.Name] = i
		}
		if reason := hashProblem(u); reason != "" {
			path := at + ".password_hash"
			if u.PasswordHashFile != "" {
				path += "_file"
			}
			out[path] = reason + ": write what `tocsin user hash` prints"
		}
		if !u.Role.Covers(RoleViewer) {
			out[at+".role"] = fmt.Sprintf("unknown role %q: write one of %s", string(u.Role), strings.Join(Roles(), ", "))
		}
	}
	if c.OIDC != nil {
		for path, problem := range c.OIDC.Problems(Roles()) {
			out["oidc."+path] = problem
		}
	}
	maps.Copy(out, c.Sessions.problems())
	return out
}

func (s SessionsConfig) problems() map[string]string {
	out := map[string]string{}
	idle, limit := time.Duration(s.Idle), time.Duration(s.Limit)
	if idle < leastSession || idle > mostSession {
		out["sessions.idle"] = fmt.Sprintf("not between %s and %s: write such as 12h", model.Duration(leastSession), model.Duration(mostSession))
	}
	if limit < leastSession || limit > mostSession {
		out["sessions.limit"] = fmt.Sprintf("not between %s and %s: write such as 7d", model.Duration(leastSession), model.Duration(mostSession))
	}
	if len(out) == 0 && idle > limit {
		out["sessions.idle"] = "longer than sessions.limit: write a shorter time"
	}
	return out
}

// nameProblem says why people cannot go by a name.
func nameProblem(name string) string {
	switch strings.TrimSpace(name) {
	case "":
		return "is missing"
	case adminName:
		return fmt.Sprintf("%q is what the admin token of the configuration goes by", name)
	}
	for _, p := range fieldProblems(checkBy("name", name)) {
		return p.Detail
	}
	return ""
}

func hashProblem(u User) string {
	cost, err := bcrypt.Cost([]byte(u.PasswordHash.Reveal()))
	switch {
	case !u.PasswordHash.IsSet():
		return "is missing"
	case err != nil || len(u.PasswordHash.Reveal()) != hashLength:
		return "not a bcrypt hash"
	case cost < leastCost || cost > mostCost:
		return fmt.Sprintf("its cost %d is not between %d and %d", cost, leastCost, mostCost)
	}
	return ""
}

// hashLength is how long bcrypt hashes are, in bytes.
const hashLength = 60
