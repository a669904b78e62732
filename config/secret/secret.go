// Package secret holds the type of values that must not be seen.
package secret

import (
	"fmt"
	"io"
)

// hidden stands in the place of a secret wherever it would be shown.
const hidden = "<secret>"

// String is a secret. It prints, logs and encodes as <secret>, or as nothing
// if it is empty; Reveal is the only way to its value.
type String struct{ value string }

// New returns a secret with the given value.
func New(value string) String { return String{value} }

// Reveal returns the value.
func (s String) Reveal() string { return s.value }

// IsSet reports whether there is a value.
func (s String) IsSet() bool { return s.value != "" }

// String implements fmt.Stringer.
func (s String) String() string {
	if s.value == "" {
		return ""
	}
	return hidden
}

// GoString implements fmt.GoStringer.
func (s String) GoString() string { return s.String() }

// Format implements fmt.Formatter. Without it a verb that does not fit, such
// as %d, would make fmt show the value in its complaint.
func (s String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and slog use.
func (s String) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *String) UnmarshalText(b []byte) error {
	s.value = string(b)
	return nil
}
