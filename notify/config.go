package notify

import (
	"time"

	"github.com/prometheus/common/model"
)

// Config is the section notify: of the configuration file. Who is told what is
// in Alertmanager's sections route and receivers.
type Config struct {
	// Fallback is the receiver that is told when another one has not answered for
	// FallbackAfter; empty means that nobody is.
	Fallback      string         `yaml:"fallback"`
	FallbackAfter model.Duration `yaml:"fallback_after"`
	// GiveUpAfter is how long a message is tried before it is given up, 0 is for ever.
	GiveUpAfter model.Duration `yaml:"give_up_after"`
	// RepeatAcknowledged: repeat_interval counts also while somebody works on it.
	RepeatAcknowledged bool `yaml:"repeat_acknowledged"`
	// DenyNetworks are those that no message goes to, in CIDR notation. What stands
	// here replaces the built-in list of link-local, metadata and multicast addresses.
	DenyNetworks []string `yaml:"deny_networks"`
	// Rates bound the messages to each receiver's integrations of a name, such as slack.
	Rates map[string]RateConfig `yaml:"rates"`
	// Storms are, by the name of an integration, from when on one message lists what
	// would be many.
	Storms map[string]StormConfig `yaml:"storms"`
}

// StormConfig is from when on a target gets one message that lists everything.
type StormConfig struct {
	// Messages in Within are the most that go out one by one; 0 is no bound.
	Messages int            `yaml:"messages"`
	Within   model.Duration `yaml:"within"`
}

// RateConfig is so many messages in a period.
type RateConfig struct {
	Messages int            `yaml:"messages"`
	Per      model.Duration `yaml:"per"`
}

// DefaultConfig is the section where the file has none. The rates are below what
// the tools document: Slack takes one message a second and channel with short
// bursts (https://docs.slack.dev/apis/web-api/rate-limits), Teams four a second,
// PagerDuty's published figures disagree and the lowest is 120 a minute.
func DefaultConfig() Config {
	storms := map[string]StormConfig{"call": {Messages: 5, Within: model.Duration(10 * time.Minute)}}
	for _, read := range []string{"discord", "email", "mattermost", "msteams", "msteamsv2", "pushover", "rocketchat", "slack", "telegram", "threema", "webex", "wechat", "zoom"} {
		storms[read] = StormConfig{Messages: 30, Within: model.Duration(5 * time.Minute)}
	}
	return Config{
		Storms:        storms,
		FallbackAfter: model.Duration(5 * time.Minute),
		GiveUpAfter:   model.Duration(72 * time.Hour),
		Rates: map[string]RateConfig{
			"slack":     {Messages: 10, Per: model.Duration(10 * time.Second)},
			"msteamsv2": {Messages: 4, Per: model.Duration(2 * time.Second)},
			"pagerduty": {Messages: 120, Per: model.Duration(time.Minute)},
		},
	}
}
