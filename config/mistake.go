package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one thing that is wrong in a configuration file.
type Mistake struct {
	// File is the file's name as it was given to Load.
	File string
	// Line and Column count from 1, columns in characters. Zero: not known.
	Line, Column int
	// Path names the place in the file's own keys, such as correlate.rules[0].by.
	// It is empty for what concerns the file as a whole.
	Path string
	// Message says what is wrong.
	Message string
	// Suggestion says what to write instead; it may be empty.
	Suggestion string
}

// String returns the mistake as file:line:column: path: message: suggestion,
// which editors can jump to.
func (m Mistake) String() string {
	place := m.File
	if m.Line > 0 {
		place = fmt.Sprintf("%s:%d:%d", m.File, m.Line, max(m.Column, 1))
	}
	parts := []string{place}
	for _, part := range []string{m.Path, m.Message, m.Suggestion} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// MistakesError is the error of a file that was read but is not usable. It
// holds every mistake that was found, in the order of the file.
type MistakesError struct{ Mistakes []Mistake }

// Error returns one line per mistake.
func (e *MistakesError) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

// inOrder sorts mistakes by position and drops those that are said twice,
// as happens where an alias repeats a part of the file.
func inOrder(mistakes []Mistake) []Mistake {
	slices.SortStableFunc(mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(mistakes, func(a, b Mistake) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message
	})
}

// quote shows a value from the file: quoted, and cut where it is long.
func quote(value string) string {
	const limit = 60
	if r := []rune(value); len(r) > limit {
		value = string(r[:limit]) + "…"
	}
	return fmt.Sprintf("%q", value)
}
