package incident

import (
	"cmp"
	"slices"
)

// The words of impact and urgency.
const (
	High   = "high"
	Medium = "medium"
	Low    = "low"
)

// Grades lists the words of impact and urgency, worst first.
func Grades() []string { return []string{High, Medium, Low} }

// Priorities lists the priorities, most urgent first.
func Priorities() []string { return []string{"P1", "P2", "P3", "P4"} }

// DefaultMatrix is the usual one of ITIL: both high is P1, both low P4.
func DefaultMatrix() Matrix {
	return Matrix{
		High:   {High: "P1", Medium: "P2", Low: "P3"},
		Medium: {High: "P2", Medium: "P3", Low: "P4"},
		Low:    {High: "P3", Medium: "P4", Low: "P4"},
	}
}

// Priority returns the priority of an impact and an urgency, P4 for unknown words.
func (m Matrix) Priority(impact, urgency string) string {
	if p := m[impact][urgency]; p != "" {
		return p
	}
	return "P4"
}

// Scale orders severities, worst first.
type Scale []string

// Worse reports whether a is worse than b. Unknown words, and none, are the least.
func (s Scale) Worse(a, b string) bool { return s.rank(a) < s.rank(b) }

// Compare is negative if a is worse than b, and 0 if they are equally bad.
func (s Scale) Compare(a, b string) int { return cmp.Compare(s.rank(a), s.rank(b)) }

func (s Scale) rank(severity string) int {
	if i := slices.Index(s, severity); i >= 0 {
		return i
	}
	return len(s)
}

// Grades returns the impact and urgency of a severity for which no rule says
// them: high for the worst, low for the last, medium between.
func (s Scale) Grades(severity string) (impact, urgency string) {
	switch i := s.rank(severity); {
	case i == 0:
		return High, High
	case i >= len(s)-1:
		return Low, Low
	case i == 1:
		return Medium, High
	}
	return Medium, Medium
}
