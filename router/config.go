package router

// Config is the section classify: of the configuration file.
type Config struct {
	// Severities, worst first; they are the only ones an incident can have.
	Severities []string `yaml:"severities"`
	// DefaultSeverity is given to alerts whose severity word is unknown.
	DefaultSeverity string `yaml:"default_severity"`
	// SeverityWords maps senders' words, in lower case, to severities; they are
	// added to the built-in ones.
	SeverityWords map[string]string `yaml:"severity_words"`
	// Categories are those an incident can have.
	Categories []string `yaml:"categories"`
	// Teams are those that the rules may name and metrics carry; empty means
	// those that the rules name.
	Teams []string `yaml:"teams"`
	// Rules are applied in order. Each that matches sets what it says, a later one
	// over an earlier one.
	Rules []Rule `yaml:"rules"`
}

// Rule classifies the alerts that it matches.
type Rule struct {
	Name string `yaml:"name"`
	// Matchers are in Alertmanager's syntax, over the alert's labels; all must match.
	Matchers []string `yaml:"matchers"`
	// Annotations are matchers over the alert's annotations.
	Annotations []string `yaml:"annotations"`
	// Sources limits the rule to alerts of these sources.
	Sources []string `yaml:"sources"`
	// Capture maps a label or "annotation:NAME" to a regular expression, anchored
	// at both ends. It must match too; its named groups can be used in Set as ${name}.
	Capture map[string]string `yaml:"capture"`
	Set     Set               `yaml:"set"`
	// Suppress: the alert opens nothing. A resolve of a known alert still lands.
	Suppress bool `yaml:"suppress"`
	// Stop ends the rules for the alerts that this one matches.
	Stop bool `yaml:"stop"`
}

// Set is what a rule sets. Values may use ${label:NAME}, ${annotation:NAME},
// ${source} and the ${name}s of Capture.
type Set struct {
	Severity string            `yaml:"severity"`
	Impact   string            `yaml:"impact"`
	Urgency  string            `yaml:"urgency"`
	Priority string            `yaml:"priority"`
	Category string            `yaml:"category"`
	Service  string            `yaml:"service"`
	Team     string            `yaml:"team"`
	Runbook  string            `yaml:"runbook"`
	Labels   map[string]string `yaml:"labels"`
}
