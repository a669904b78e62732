package web

import "github.com/tocsin-gateway/tocsin/config/secret"

// Config is the section web: of the configuration file.
type Config struct {
	// AdminToken is a first token with the role admin, for containers.
	AdminToken     secret.String `yaml:"admin_token"`
	AdminTokenFile string        `yaml:"admin_token_file"`
}
