package incident

import "github.com/prometheus/common/model"

// Config is the section incidents: of the configuration file.
type Config struct {
	// Retention is how long a closed incident is kept; 0 keeps it for ever.
	Retention model.Duration `yaml:"retention"`
	// Matrix gives the priority of each impact and urgency; see DefaultMatrix.
	Matrix Matrix `yaml:"priority_matrix"`
	// Priorities gives each priority's objectives.
	Priorities map[string]Objectives `yaml:"priorities"`
}

// Matrix maps impact to urgency to priority, all in words: high, medium, low; P1 to P4.
type Matrix map[string]map[string]string

// Objectives are a priority's promises.
type Objectives struct {
	// Response is how soon an incident is to be acknowledged.
	Response model.Duration `yaml:"response"`
	// Resolution is how soon it is to be resolved.
	Resolution model.Duration `yaml:"resolution"`
}
