package icinga

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// maxVariables bounds the arguments and variables of one body.
const maxVariables = 1000

// separator stands between the arguments of a command and its environment.
const separator = "--- environment"

// options are the command line options of Icinga's own notification scripts.
// https://icinga.com/docs/icinga-2/latest/doc/10-icinga-template-library/
var options = map[string]string{"-t": "NOTIFICATIONTYPE", "-l": "HOSTNAME", "-e": "SERVICENAME", "-b": "NOTIFICATIONAUTHORNAME",
	"-c": "NOTIFICATIONCOMMENT", "-d": "LONGDATETIME", "-n": "HOSTDISPLAYNAME", "-u": "SERVICEDISPLAYNAME", "-4": "HOSTADDRESS", "-6": "HOSTADDRESS6",
	"-s": "STATE", "-o": "OUTPUT"}

// variables reads what a notification command was given: NAME=value on each line
// and, above a separator, its arguments as arg[0]=value, quoted as for a shell.
// It returns nil if that is not what the body is.
func variables(body []byte) (notification, alert.Flag, error) {
	if bytes.IndexByte(body, '\n') < 0 {
		return nil, 0, nil
	}
	text, flags := fields.Clean(string(body))
	above, below, both := strings.Cut(text, "\n"+separator+"\n")
	switch {
	case !strings.HasPrefix(text, "arg["):
		above, below = "", text
	case !both:
		above, below = text, ""
	}
	arguments, environment := argumentsOf(above), environmentOf(below)
	if len(arguments)+len(environment) > maxVariables {
		return nil, 0, fmt.Errorf("more than %d arguments and variables", maxVariables)
	}
	// An argument says what it is, whatever is in it, so it rules.
	for i := 0; i+1 < len(arguments); i++ {
		if variable := options[arguments[i]]; variable != "" {
			i++
			if arguments[i] != "" {
				environment[variable] = arguments[i]
			}
		}
	}
	n := notificationOf(environment)
	if n["host"] == "" || strings.Contains(n["type"], "&") {
		return nil, 0, nil // a form with a line break in it
	}
	return n, flags, nil
}

func argumentsOf(text string) (all []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r"), "="); ok && strings.HasPrefix(name, "arg[") && len(all) <= maxVariables {
			all = append(all, unquote(value))
		}
	}
	return all
}

// environmentOf reads NAME=value. What a plugin wrote stands there as it is, on
// several lines, and must not say who is meant: the first of two equal names counts.
func environmentOf(text string) map[string]string {
	all := map[string]string{}
	name, begins, end := "", 0, 0
	keep := func() {
		if _, twice := all[name]; !twice && name != "" {
			all[name] = strings.TrimRight(text[begins:end], "\r\n")
		}
	}
	for at := 0; at < len(text) && len(all) <= maxVariables; {
		line, _, _ := strings.Cut(text[at:], "\n")
		if before, _, ok := strings.Cut(line, "="); ok && isVariable(before) {
			keep()
			name, begins = before, at+len(before)+1
		}
		end = at + len(line)
		at = end + 1
	}
	keep()
	return all
}

// isVariable reports whether s is a name as those that commands are given have.
// Lower-case words before = are common in the output of plugins.
func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// unquote reads one word as bash quotes it (printf %q): with backslashes, as
// '...' or, where there are control characters, as $'...'.
// https://www.gnu.org/software/bash/manual/html_node/ANSI_002dC-Quoting.html
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	special := len(s) >= 3 && strings.HasPrefix(s, "$'") && s[len(s)-1] == '\''
	if special {
		s = s[2 : len(s)-1]
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		if !special {
			out.WriteByte(s[i])
			continue
		}
		i += escape(&out, s[i:])
	}
	clean, _ := fields.Clean(out.String())
	return clean
}

// escapes are those of one letter.
var escapes = map[byte]byte{'a': 7, 'b': 8, 'e': 27, 'E': 27, 'f': 12, 'n': '\n', 'r': '\r', 't': '\t', 'v': 11}

// escape writes what the escape at the beginning of s stands for, and returns
// how many bytes it has after its first.
func escape(out *strings.Builder, s string) int {
	if c, ok := escapes[s[0]]; ok {
		out.WriteByte(c)
		return 0
	}
	if s[0] >= '0' && s[0] <= '7' {
		n := 1
		for n < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7' {
			n++
		}
		v, _ := strconv.ParseUint(s[:n], 8, 16)
		out.WriteByte(byte(v))
		return n - 1
	}
	_, size := utf8.DecodeRuneInString(s)
	out.WriteString(s[:size])
	return size - 1
}
