// Package silences keeps Alertmanager's silences in the store: what they are,
// who may become what, which alerts they hit, and what they would have hit. A
// silence hides messages and never state.
//
// It follows https://prometheus.io/docs/alerting/latest/alertmanager/#silences
// and the API in
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml.
package silences

import (
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/match"
)

// The limits of a silence.
const (
	// MaxMatchers is how many matchers one may have.
	MaxMatchers = 64
	// maxName and maxValue are how long names and values may be in bytes, as those of
	// labels; maxPattern is how long a regular expression may be.
	maxName    = 256
	maxValue   = 4 << 10
	maxPattern = 1 << 10
	// maxSteps is how large a regular expression may be when it is compiled.
	maxSteps = 2000
	// maxPerson and maxComment are how long createdBy and comment may be in bytes.
	maxPerson  = 200
	maxComment = 16 << 10
	// maxAnnotations is how many annotations one may have.
	maxAnnotations = 32
)

// States are pending, active and expired.
const (
	Pending = "pending"
	Active  = "active"
	Expired = "expired"
)

// InvalidError says what is wrong with a silence, or with matchers.
type InvalidError struct{ Field, Reason string }

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

func invalid(field, format string, args ...any) error {
	return &InvalidError{field, fmt.Sprintf(format, args...)}
}

// Matcher is one condition on a label.
type Matcher struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// IsRegex: the value is an expression that the whole label must match.
	IsRegex bool `json:"isRegex"`
	// IsEqual: the label must match; if false it must not.
	IsEqual bool `json:"isEqual"`
}

// UnmarshalJSON implements json.Unmarshaler: a matcher that does not say
// otherwise is a positive one.
func (m *Matcher) UnmarshalJSON(b []byte) error {
	var v struct {
		Name    *string `json:"name"`
		Value   *string `json:"value"`
		IsRegex bool    `json:"isRegex"`
		IsEqual *bool   `json:"isEqual"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v.Name == nil || v.Value == nil {
		return errors.New("a matcher has a name and a value")
	}
	*m = Matcher{*v.Name, *v.Value, v.IsRegex, v.IsEqual == nil || *v.IsEqual}
	return nil
}

// String writes m as people do.
func (m Matcher) String() string {
	sign := map[[2]bool]string{{true, false}: "=", {false, false}: "!=", {true, true}: "=~", {false, true}: "!~"}[[2]bool{m.IsEqual, m.IsRegex}]
	return m.Name + sign + strconv.Quote(m.Value)
}

// MatcherOf is the inverse of Matcher.compile.
func MatcherOf(m *labels.Matcher) Matcher {
	return Matcher{Name: m.Name, Value: m.Value, IsRegex: m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp,
		IsEqual: m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp}
}

func (m Matcher) compile() (*labels.Matcher, error) {
	switch {
	case m.Name == "":
		return nil, errors.New("it has no name")
	case len(m.Name) > maxName || len(m.Value) > maxValue:
		return nil, fmt.Errorf("its name is longer than %d bytes, or its value than %d", maxName, maxValue)
	case !utf8.ValidString(m.Name) || !utf8.ValidString(m.Value):
		return nil, errors.New("it is not UTF-8")
	}
	typ := labels.MatchNotEqual
	switch {
	case m.IsRegex && m.IsEqual:
		typ = labels.MatchRegexp
	case m.IsRegex:
		typ = labels.MatchNotRegexp
	case m.IsEqual:
		typ = labels.MatchEqual
	}
	if m.IsRegex {
		if err := CheckPattern(m.Value); err != nil {
			return nil, err
		}
	}
	return labels.NewMatcher(typ, m.Name, m.Value)
}

// CheckPattern refuses a regular expression that is none, or that costs too much
// to compile or to apply.
func CheckPattern(pattern string) error {
	if len(pattern) > maxPattern {
		return fmt.Errorf("the expression is longer than %d bytes", maxPattern)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return fmt.Errorf("not a regular expression: %w", err)
	}
	if steps(tree) > maxSteps {
		return fmt.Errorf("the expression is too large: it has more than %d steps", maxSteps)
	}
	return nil
}

// steps is about how large an expression is once compiled, found out without
// compiling it.
func steps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+steps(sub), maxSteps+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxSteps+1)
}

// ParseMatcher reads one matcher in Alertmanager's syntax, such as
// instance=~"web.*".
func ParseMatcher(text string) (*labels.Matcher, error) {
	// The expression in it is looked at before the module compiles it.
	if at := strings.IndexByte(text, '~'); at >= 0 {
		pattern := strings.TrimSpace(text[at+1:])
		if unquoted, err := strconv.Unquote(pattern); err == nil {
			pattern = unquoted
		}
		tree, err := syntax.Parse(pattern, syntax.Perl)
		if len(pattern) > maxPattern || err == nil && steps(tree) > maxSteps {
			return nil, fmt.Errorf("the expression is longer than %d bytes, or has more than %d steps", maxPattern, maxSteps)
		}
	}
	if len(text) > maxName+maxValue {
		return nil, errors.New("it is too long")
	}
	m, err := compat.Matcher(text, "api")
	if err == nil && (m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp) {
		err = CheckPattern(m.Value) // what was looked at above may be another text: a name in quotes can have a ~
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Compile returns the matchers as the Alertmanager module has them. The error is
// an *InvalidError.
func Compile(ms []Matcher) (labels.Matchers, error) {
	if len(ms) == 0 || len(ms) > MaxMatchers {
		return nil, invalid("matchers", "there must be 1 to %d", MaxMatchers)
	}
	out := make(labels.Matchers, len(ms))
	all := true
	for n, m := range ms {
		var err error
		if out[n], err = m.compile(); err != nil {
			return nil, invalid(fmt.Sprintf("matchers[%d]", n), "%v", err)
		}
		all = all && out[n].Matches("")
	}
	if all {
		return nil, invalid("matchers", "at least one must not match the empty string, or the silence hides everything")
	}
	return out, nil
}

// Silence is one silence, in the form in which it is stored.
type Silence struct {
	// ID is a UUID; empty for one that is to be made.
	ID       string    `json:"id"`
	Matchers []Matcher `json:"matchers"`
	// It holds from StartsAt until just before EndsAt.
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	UpdatedAt time.Time `json:"updatedAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
	// Annotations are kept and given back; nothing reads them.
	Annotations map[string]string `json:"annotations,omitempty"`
	// RecordedBy is who was authenticated when it was written, empty if nobody was.
	RecordedBy string `json:"recordedBy,omitzero"`
	// Unknown holds members that a newer version wrote.
	Unknown jsontext.Value `json:",embed"`

	compiled labels.Matchers
	version  uint64
}

// State says whether s is pending, active or expired.
func (s *Silence) State(now time.Time) string {
	switch {
	case !now.Before(s.EndsAt):
		return Expired
	case now.Before(s.StartsAt):
		return Pending
	}
	return Active
}

// Hits reports whether s, when it is active, hides what has these labels.
func (s *Silence) Hits(l match.Labels) bool { return l.All(s.compiled) }

// posted is what a client sends. Members that it does not have are ignored, as
// Alertmanager does: clients send back what they were given.
type posted struct {
	ID          string            `json:"id"`
	Matchers    []Matcher         `json:"matchers"`
	StartsAt    *time.Time        `json:"startsAt"`
	EndsAt      *time.Time        `json:"endsAt"`
	CreatedBy   string            `json:"createdBy"`
	Comment     string            `json:"comment"`
	Annotations map[string]string `json:"annotations"`
}

// Parse reads a silence as Alertmanager's API takes it. The error is an
// *InvalidError.
func Parse(body []byte) (*Silence, error) {
	var p posted
	if err := json.Unmarshal(body, &p); err != nil {
		field := ""
		if semantic := (*json.SemanticError)(nil); errors.As(err, &semantic) {
			field = strings.Join(slices.Collect(semantic.JSONPointer.Tokens()), ".")
			if semantic.Err != nil {
				return nil, invalid(field, "%v", semantic.Err)
			}
			return nil, invalid(field, "has the wrong type")
		}
		return nil, invalid(field, "the body is not a silence in JSON")
	}
	if p.EndsAt == nil {
		return nil, invalid("endsAt", "a silence needs an end")
	}
	s := &Silence{ID: p.ID, Matchers: p.Matchers, EndsAt: *p.EndsAt, CreatedBy: p.CreatedBy, Comment: p.Comment, Annotations: p.Annotations}
	if p.StartsAt != nil {
		s.StartsAt = *p.StartsAt
	}
	return s, nil
}

// check makes s one that can be stored, or says why it cannot.
func (s *Silence) check(now time.Time) error {
	s.StartsAt, s.EndsAt = moment(s.StartsAt), moment(s.EndsAt)
	if s.StartsAt.IsZero() {
		s.StartsAt = now
	}
	var err error
	if s.compiled, err = Compile(s.Matchers); err != nil {
		return err
	}
	switch {
	case !s.StartsAt.Before(s.EndsAt):
		return invalid("", "start time must be before end time")
	case s.EndsAt.Before(now):
		return invalid("", "end time can't be in the past")
	case s.StartsAt.Year() < 1 || s.EndsAt.Year() > 9999:
		return invalid("endsAt", "not a time that can be written")
	case strings.TrimSpace(s.CreatedBy) == "":
		return invalid("createdBy", "say whose silence it is")
	case strings.TrimSpace(s.Comment) == "":
		return invalid("comment", "say why")
	case len(s.CreatedBy) > maxPerson || strings.ContainsFunc(s.CreatedBy, unicode.IsControl):
		return invalid("createdBy", "longer than %d bytes, or holds a control character", maxPerson)
	case len(s.Comment) > maxComment:
		return invalid("comment", "longer than %d bytes", maxComment)
	case len(s.Annotations) > maxAnnotations:
		return invalid("annotations", "more than %d", maxAnnotations)
	}
	for name, value := range s.Annotations {
		if name == "" || len(name) > maxName || len(value) > maxValue {
			return invalid("annotations", "a name is empty or longer than %d bytes, or a value longer than %d", maxName, maxValue)
		}
	}
	return nil
}

// moment is t as it is stored and shown: to the millisecond, so that what a
// client sends back is what it was given.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// canBecome reports whether s may be changed into to, rather than be expired and
// replaced: its history must stay true.
func (s *Silence) canBecome(to *Silence, now time.Time) bool {
	if !slices.Equal(s.Matchers, to.Matchers) {
		return false
	}
	switch s.State(now) {
	case Active:
		return s.StartsAt.Unix() == to.StartsAt.Unix() && !to.EndsAt.Before(now)
	case Pending:
		return !to.StartsAt.Before(now)
	}
	return false
}

func (s *Silence) clone() *Silence {
	c := *s
	c.Matchers, c.Annotations = slices.Clone(s.Matchers), maps.Clone(s.Annotations)
	return &c
}

// Sort puts silences in the order in which Alertmanager lists them: the active
// ones, those that end first before the others; the pending ones, by their start;
// the expired ones, the latest first.
func Sort(list []*Silence, now time.Time) {
	rank := map[string]int{Active: 0, Pending: 1, Expired: 2}
	slices.SortStableFunc(list, func(a, b *Silence) int {
		x, y := a.State(now), b.State(now)
		switch {
		case x != y:
			return rank[x] - rank[y]
		case x == Active:
			return a.EndsAt.Compare(b.EndsAt)
		case x == Pending:
			return a.StartsAt.Compare(b.StartsAt)
		}
		return b.EndsAt.Compare(a.EndsAt)
	})
}

// Has reports whether s has each of the matchers, as a filter of silences asks
// in Alertmanager.
func (s *Silence) Has(filter labels.Matchers) bool {
	for _, m := range filter {
		if !slices.Contains(s.Matchers, MatcherOf(m)) {
			return false
		}
	}
	return true
}
