package dedupe

import "slices"

// DefaultBy returns the labels that make the key of the built-in rule, which
// takes the alerts that no other rule matches. A configuration is checked
// against them.
func DefaultBy() []string { return slices.Clone(defaultRule.by) }
