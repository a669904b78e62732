package receivers

import (
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/slack"
)

// Config is the section notify: of the configuration file.
type Config struct {
	notify.Config `yaml:",inline"`
	// Slack is what there is beside Alertmanager's slack_configs; it is for all of them.
	Slack slack.Options `yaml:"slack"`
}

// DefaultConfig is the section where the file has none.
func DefaultConfig() Config { return Config{Config: notify.DefaultConfig()} }
