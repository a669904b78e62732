package nagios

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// macros are what Nagios knows at the time of a notification.
type macros struct {
	// values are those that are set, by the names of the manual; those of custom
	// variables begin with an underscore.
	values map[string]string
	// ranks say how each was named: what people call it gives way to the manual's
	// name, and that to the one with Nagios' own prefix, because HOSTNAME is also
	// what a shell calls the machine that it runs on.
	ranks map[string]int
	flags alert.Flag
}

func newMacros(flags alert.Flag) *macros {
	return &macros{map[string]string{}, map[string]int{}, flags}
}

// prefix stands before the names of macros in the environment.
const prefix = "NAGIOS_"

// byHand are names that people choose for the macros they paste into JSON, without
// underscores. Those that belong to a host or a service alike have the prefix @,
// which stands for HOST or SERVICE.
var byHand = map[string]string{
	"TYPE":               "NOTIFICATIONTYPE",
	"NOTIFICATION":       "NOTIFICATIONTYPE",
	"HOST":               "HOSTNAME",
	"ADDRESS":            "HOSTADDRESS",
	"SERVICE":            "SERVICEDESC",
	"SERVICENAME":        "SERVICEDESC",
	"SERVICEDESCRIPTION": "SERVICEDESC",
	"STATE":              "@STATE",
	"STATUS":             "@STATE",
	"STATETYPE":          "@STATETYPE",
	"OUTPUT":             "@OUTPUT",
	"PLUGINOUTPUT":       "@OUTPUT",
	"MESSAGE":            "@OUTPUT",
	"LONGOUTPUT":         "LONG@OUTPUT",
	"DURATION":           "@DURATIONSEC",
	"LASTSTATECHANGE":    "LAST@STATECHANGE",
	"TIMESTAMP":          "TIMET",
	"AUTHOR":             "NOTIFICATIONAUTHOR",
	"ACKAUTHOR":          "@ACKAUTHOR",
	"COMMENT":            "NOTIFICATIONCOMMENT",
	"ACKCOMMENT":         "@ACKCOMMENT",
}

var withoutGaps = strings.NewReplacer("_", "", "-", "", " ", "")

// set adds a macro under the name of the manual. Of those that are named alike the
// first counts.
func (m *macros) set(name, value string) {
	name, rank := strings.ToUpper(strings.Trim(name, "$ ")), 2
	if own, ok := strings.CutPrefix(name, prefix); ok {
		name, rank = own, 3
	}
	if !strings.HasPrefix(name, "_") {
		name = withoutGaps.Replace(name)
	}
	if of, ok := byHand[name]; ok {
		name, rank = of, 1
	}
	value = strings.TrimSpace(value)
	if value == "" || value == "$" || isMacro(value) {
		return // what is not defined comes as one of these
	}
	if rank > m.ranks[name] {
		m.values[name], m.ranks[name] = value, rank
	}
}

// isMacro reports whether a value is a macro that Nagios did not know, and left as it is.
func isMacro(s string) bool {
	if len(s) < 3 || s[0] != '$' || s[len(s)-1] != '$' {
		return false
	}
	for _, c := range []byte(s[1 : len(s)-1]) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != ':' {
			return false
		}
	}
	return true
}

// of returns a macro of the object: @ in the name stands for HOST or SERVICE.
func (m *macros) of(name string) string {
	object := "HOST"
	if m.values["SERVICEDESC"] != "" {
		object = "SERVICE"
	}
	if v := m.values[strings.Replace(name, "@", object, 1)]; v != "" {
		return v
	}
	return m.values[name] // as somebody named it by hand
}

// known reports whether any of it is what a notification is made of.
func (m *macros) known() bool {
	for _, name := range []string{"NOTIFICATIONTYPE", "HOSTNAME", "SERVICEDESC", "HOSTSTATE", "SERVICESTATE", "@STATE"} {
		if m.values[name] != "" {
			return true
		}
	}
	return false
}

// seconds reads a macro that is a time in seconds since 1970; 0 means never.
func (m *macros) seconds(name string) time.Time {
	n, err := strconv.ParseInt(m.of(name), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return unix(n)
}

// unix is the time so many seconds after 1970, if it can be written.
func unix(n int64) time.Time {
	if n <= 0 || n > 253402300799 { // the end of the year 9999
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// since is when the object got into its state.
func (m *macros) since() time.Time {
	if t := m.seconds("LAST@STATECHANGE"); !t.IsZero() {
		return t
	}
	at, duration := m.seconds("TIMET"), m.of("@DURATIONSEC")
	n, err := strconv.ParseInt(duration, 10, 32)
	if err != nil || n < 0 || at.IsZero() {
		return time.Time{}
	}
	if t := at.Add(-time.Duration(n) * time.Second); t.Unix() > 0 {
		return t
	}
	return time.Time{} // it never changed
}

// maxCustom is how many custom variables become labels.
const maxCustom = 64

// custom makes labels of the custom variables of the object, as names and values
// in turn. Many keep there what their checks log in with; that stays out.
func (m *macros) custom() (pairs []string) {
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		if len(pairs) == 2*maxCustom {
			break
		}
		kind, rest := "host_", ""
		if v, ok := strings.CutPrefix(name, "_HOST"); ok {
			rest = v
		} else if v, ok := strings.CutPrefix(name, "_SERVICE"); ok {
			kind, rest = "service_", v
		}
		if rest = labelName(rest); rest != "" && !IsSecret(rest) {
			pairs = append(pairs, kind+rest, m.values[name])
		}
	}
	return pairs
}

// IsSecret reports whether a custom variable sounds like something to keep quiet about.
func IsSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token", "community", "cred", "auth", "key", "login", "snmp"},
		func(word string) bool { return strings.Contains(name, word) })
}

// labelName writes a name in lower case, with nothing in it but letters, digits
// and underscores, and none of those at its ends.
func labelName(s string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '_'
	}, s), "_")
}

// setAll adds macros in the order of their names: of two names for the same it is
// always the same one that counts.
func (m *macros) setAll(values map[string]string) *macros {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		m.set(name, values[name])
	}
	return m
}

// fromJSON takes the members of an object that are plain values.
func fromJSON(v any, flags alert.Flag) *macros {
	o, _ := v.(fields.Object)
	values := make(map[string]string, len(o))
	for name, v := range o {
		values[name] = fields.Text(v)
	}
	return newMacros(flags).setAll(values)
}

// isEnvironment reports whether a body is lines (or, from env -0, pieces that end
// in NUL) of which some are macros, and no form.
func isEnvironment(body []byte) bool {
	if !bytes.HasPrefix(body, []byte(prefix)) {
		return bytes.Contains(body, []byte("\n"+prefix)) || bytes.Contains(body, []byte("\x00"+prefix))
	}
	line, _, _ := bytes.Cut(body, []byte("\n"))
	return bytes.ContainsAny(body, "\n\x00") || !bytes.Contains(line, []byte("&"))
}

// readEnvironment reads lines NAGIOS_NAME=value. Other variables are not the
// notification's business. A line that is no variable is more of the value before.
func readEnvironment(body []byte) *macros {
	separator := "\n"
	if bytes.IndexByte(body, 0) >= 0 {
		separator = "\x00"
	}
	text, flags := fields.Clean(strings.ReplaceAll(string(body), separator, "\n"))
	m := newMacros(flags)
	name, begin := "", 0
	for at := 0; at < len(text); {
		line, _, _ := strings.Cut(text[at:], "\n")
		if n, _, ok := strings.Cut(line, "="); ok && isVariable(n) {
			m.setOwn(name, text[begin:at])
			name, begin = n, at+len(n)+1
		}
		at += len(line) + 1
	}
	m.setOwn(name, text[begin:])
	return m
}

// setOwn adds a variable of the environment if it is a macro.
func (m *macros) setOwn(name, value string) {
	if strings.HasPrefix(name, prefix) {
		m.set(name, value)
	}
}

func isVariable(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}
