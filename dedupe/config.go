package dedupe

import "github.com/prometheus/common/model"

// Config is the section correlate: of the configuration file.
type Config struct {
	// Rules are tried in order; the first that matches an alert gives its key.
	// Without a match: alertname, cluster, environment and service.
	Rules []Rule `yaml:"rules"`
	// ReopenWindow: an alert that fires again within it after the incident
	// resolved reopens that incident; later it opens a new one.
	ReopenWindow model.Duration `yaml:"reopen_window"`
	// LateWindow: so long after a resolve a firing that started before it is
	// taken for a late copy. After that the sender means it, see docs/decisions.
	LateWindow model.Duration `yaml:"late_window"`
	// CloseAfter: a resolved incident is closed after this time.
	CloseAfter model.Duration `yaml:"close_after"`
	// StillFiringAfter: a reminder of alerts that still fire in an incident that a person resolved.
	StillFiringAfter model.Duration `yaml:"still_firing_after"`
	Flapping         Flapping       `yaml:"flapping"`
}

// Rule is one way to put alerts together.
type Rule struct {
	Name string `yaml:"name"`
	// Matchers are in Alertmanager's syntax; all must match. None match every alert.
	Matchers []string `yaml:"matchers"`
	// By are the labels whose values make the key.
	By        []string  `yaml:"by"`
	Threshold Threshold `yaml:"threshold"`
	// ReopenWindow overrides the section's.
	ReopenWindow *model.Duration `yaml:"reopen_window"`
}

// Threshold holds alerts back until enough of them came.
type Threshold struct {
	// Count is how many alerts must start to fire within Window; 0 and 1 hold nothing.
	Count int `yaml:"count"`
	// Distinct counts the different values of this label instead of the alerts.
	Distinct string `yaml:"distinct"`
	// Window is how far back alerts count.
	Window model.Duration `yaml:"window"`
}

// Flapping says when changes are too many to be news.
type Flapping struct {
	// Changes of one alert within Window make it flap; 0 never does.
	Changes int            `yaml:"changes"`
	Window  model.Duration `yaml:"window"`
}
