package store

import (
	"fmt"
	"io"
	"regexp"
	"strings"
)

// URL names a store, such as file:data or redis://user:password@host. It prints,
// logs and encodes without its password; Reveal is the only way to the whole.
type URL string

// hidden stands where a password was, as net/url has it.
const hidden = "xxxxx"

// Reveal returns the URL with its password.
func (u URL) Reveal() string { return string(u) }

// passwordOption is an option of a URL that holds a password.
var passwordOption = regexp.MustCompile(`([?&][A-Za-z_]*password=)[^&]*`)

// String implements fmt.Stringer. It understands URLs that are wrong too: what
// might be part of a password is hidden.
func (u URL) String() string {
	scheme, rest, found := strings.Cut(string(u), "://")
	if !found {
		if scheme, _, _ := strings.Cut(string(u), ":"); scheme != "file" && strings.ContainsRune(string(u), '@') {
			return scheme + ":" + hidden
		}
		return string(u)
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, password := strings.Cut(rest[:at], ":")
		if password {
			user += ":" + hidden
		}
		rest = user + rest[at:]
	}
	return scheme + "://" + passwordOption.ReplaceAllString(rest, "${1}"+hidden)
}

// HasPassword reports whether there is something in it that String hides.
func (u URL) HasPassword() bool { return u.String() != string(u) }

// GoString implements fmt.GoStringer.
func (u URL) GoString() string { return fmt.Sprintf("%q", u.String()) }

// Format implements fmt.Formatter, so that no verb shows the password.
func (u URL) Format(f fmt.State, verb rune) {
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		_, _ = fmt.Fprintf(f, "%q", u.String())
		return
	}
	_, _ = io.WriteString(f, u.String())
}

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and slog use.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
