package recorder

import (
	"fmt"
	"regexp"
)

// growth is how much longer than twice itself a body may become by redaction, in
// bytes: a rule that matches single letters must not make gigabytes of it.
const growth = 64 << 10

// rule is a Rule at work.
type rule struct {
	match   *regexp.Regexp
	replace []byte
}

func compile(rules []Rule) ([]rule, error) {
	var out []rule
	for i, r := range rules {
		match, err := regexp.Compile(r.Match)
		if err != nil {
			return nil, fmt.Errorf("recorder: redact[%d]: %w", i, err)
		}
		replace := r.Replace
		if replace == "" {
			replace = DefaultReplace
		}
		out = append(out, rule{match, []byte(replace)})
	}
	return out, nil
}

// redact returns the body with nothing in it that a rule matches. What would make
// it too long is taken out without a replacement. The body itself stays as it is.
func redact(rules []rule, body []byte) []byte {
	limit := 2*len(body) + growth
	for _, r := range rules {
		if !r.match.Match(body) {
			continue // most bodies: no copy
		}
		room := limit - len(body)
		body = r.match.ReplaceAllFunc(body, func(match []byte) []byte {
			if room < len(r.replace)-len(match) {
				return nil
			}
			room -= len(r.replace) - len(match)
			return r.replace
		})
	}
	return body
}
