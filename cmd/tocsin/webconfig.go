package main

import (
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// webProtected reports whether the web configuration file asks everybody for a
// password or a certificate. The exporter toolkit checks the rest of it.
// Format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
func (v *server) webProtected() (bool, error) {
	if v.webConfig == "" {
		return false, nil
	}
	b, err := os.ReadFile(v.webConfig)
	if err != nil {
		return false, fmt.Errorf("web configuration: %w", err)
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			Certificate string `yaml:"cert_file"`
			Inline      string `yaml:"cert"`
			ClientAuth  string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(b, &c); err != nil {
		return false, fmt.Errorf("web configuration: %s: %w", v.webConfig, err)
	}
	v.tls = c.TLS.Certificate != "" || c.TLS.Inline != ""
	return len(c.Users) > 0 || c.TLS.ClientAuth == "RequireAndVerifyClientCert", nil
}
