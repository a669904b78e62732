package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/process"
)

const (
	// regexLimit is how long a regular expression may be, in bytes.
	regexLimit = 1 << 10
	// matcherLimit is how long the text of a matcher may be, in bytes.
	matcherLimit = 4 << 10
)

// checker finds what is wrong with values that each look right by themselves.
type checker struct {
	*decoder
	c *Config
	// enabled are the names of the sources that are not disabled, in order.
	enabled []string
	// ignored has where sources ignore a label.
	ignored map[string][]ignoring
	// namespaces has the enabled sources of each namespace, in order.
	namespaces map[string][]string
}

// ignoring is where a source ignores a label.
type ignoring struct{ source, path string }

// check records what is wrong in cfg.
func (d *decoder) check(cfg *Config) {
	c := &checker{decoder: d, c: cfg, ignored: map[string][]ignoring{}, namespaces: map[string][]string{}}
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		s := completeSource(name, cfg.Sources[name])
		if s.Disabled {
			continue
		}
		c.enabled = append(c.enabled, name)
		c.namespaces[s.Namespace] = append(c.namespaces[s.Namespace], name)
		for i, label := range s.IgnoreLabels {
			at := indexPath(keyPath("sources", name)+".ignore_labels", i)
			c.ignored[label] = append(c.ignored[label], ignoring{name, at})
		}
	}
	c.sources()
	c.classify()
	c.correlate()
	c.stability()
	c.incidents()
	c.heartbeats()
	c.nsca()
	c.store()
	c.spool()
	c.smtp()
	c.imap()
	c.recorder()
	c.notify()
	c.receiverBlocks()
	c.services()
	c.listed("maintenance", mute.WindowProblems(c.c.Maintenance, c.c.Alertmanager))
	c.announced()
	c.listed("process", process.Problems(c.c.Process, c.c.ProcessOptions()))
	c.problems("web", c.c.Web.Problems())
	c.problems("answers", c.c.Answers.Problems())
	c.status()
}

// listed records what is wrong with the entries of a list: by the path in it, what
// it is and, after a semicolon, what to write.
func (c *checker) listed(section string, found map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(found)) {
		message, suggestion, _ := strings.Cut(found[path], "; ")
		c.mistake(section+path, message, suggestion)
	}
}

// problems records what a section finds wrong with itself: by the path in it, what
// it is and, after the last colon, what to write.
func (c *checker) problems(section string, found map[string]string) {
	for _, path := range slices.Sorted(maps.Keys(found)) {
		message, suggestion := found[path], ""
		if at := strings.LastIndex(message, ": "); at >= 0 {
			message, suggestion = message[:at], message[at+2:]
		}
		c.mistake(section+"."+path, message, suggestion)
	}
}

// mistake records what is wrong at path, unless the value there could not even
// be decoded.
func (c *checker) mistake(path, message, suggestion string) {
	if len(c.mistakes) >= mistakeLimit {
		return
	}
	for bad := range c.bad {
		if within(path, bad) || within(bad, path) {
			return
		}
	}
	c.wrong(c.find(path), path, message, suggestion)
}

// within reports whether path is inside of outer or the same.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// given reports whether the file has something at path.
func (c *checker) given(path string) bool {
	_, ok := c.at[path]
	return ok
}

// oneOf records a word that is not among the known ones; kind says what they are.
func (c *checker) oneOf(path, kind, word string, known []string) {
	if !slices.Contains(known, word) {
		c.mistake(path, "unknown "+kind+" "+quote(word), nearest.Suggest(word, known))
	}
}

// distinct records words that are empty or occur twice.
func (c *checker) distinct(path, kind string, words []string) {
	seen := map[string]bool{}
	for i, word := range words {
		at := indexPath(path, i)
		switch {
		case word == "":
			c.mistake(at, "the "+kind+" is empty", "write a name, or remove the entry")
		case seen[word]:
			c.mistake(at, "the "+kind+" "+quote(word)+" is there twice", "remove one of them")
		}
		seen[word] = true
	}
}

func indexPath(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// names records rules without a name or with one that another has.
func (c *checker) names(path, kind string, names []string) {
	first := map[string]int{}
	for i, name := range names {
		at := indexPath(path, i)
		before, taken := first[name]
		switch {
		case name == "":
			c.mistake(at, "the "+kind+" has no name", "add name:, it stands in explanations")
		case taken:
			c.mistake(at+".name", fmt.Sprintf("the name %s is also that of %s", quote(name), indexPath(path, before)),
				"give each "+kind+" a name of its own")
		default:
			first[name] = i
		}
	}
}

// matchers parses a list of matchers.
func (c *checker) matchers(path string, texts []string) {
	for i, text := range texts {
		c.matcher(indexPath(path, i), text)
	}
}

const matcherForm = `write name="value", name!="value", name=~"regex" or name!~"regex"`

func (c *checker) matcher(at, text string) {
	if len(text) > matcherLimit {
		c.mistake(at, fmt.Sprintf("the matcher is longer than %d bytes", matcherLimit), "use several matchers")
		return
	}
	parsed, err := parse.Matchers(text)
	switch {
	case err != nil:
		c.mistake(at, "not a matcher: "+err.Error(), suggestMatcher(text))
		return
	case len(parsed) == 0:
		c.mistake(at, "the matcher is empty", matcherForm)
		return
	}
	for _, m := range parsed {
		if (m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp) && len(m.Value) > regexLimit {
			c.mistake(at, fmt.Sprintf("the regular expression is longer than %d bytes", regexLimit), "use several rules")
			return
		}
	}
}

// suggestMatcher writes a matcher that the older grammar understands as the
// present one wants it.
func suggestMatcher(text string) string {
	if old, err := labels.ParseMatcher(text); err == nil {
		return "write '" + old.String() + "'"
	}
	return matcherForm
}

// regex compiles a regular expression of the file.
func (c *checker) regex(path, text string) *regexp.Regexp {
	if len(text) > regexLimit {
		c.mistake(path, fmt.Sprintf("the regular expression is longer than %d bytes", regexLimit), "use several rules")
		return nil
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		c.mistake(path, "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "see https://golang.org/s/re2syntax")
		return nil
	}
	return compiled
}

// parseQuietly parses a matcher whose mistakes are recorded elsewhere.
func parseQuietly(text string) labels.Matchers {
	if len(text) > matcherLimit {
		return nil
	}
	parsed, err := parse.Matchers(text)
	if err != nil {
		return nil
	}
	return parsed
}
