// Package route finds the routes of an incident in Alertmanager's route tree, as
// https://prometheus.io/docs/alerting/latest/configuration/#route describes it.
// A large tree is searched by the values that its routes ask for, not one route
// after the other.
package route

import (
	"slices"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/match"
)

// Alertmanager's defaults of the root route.
const (
	defaultGroupWait      = 30 * time.Second
	defaultGroupInterval  = 5 * time.Minute
	defaultRepeatInterval = 4 * time.Hour
)

// Route is one node of the tree, with what it inherits.
type Route struct {
	Receiver                                 string
	GroupWait, GroupInterval, RepeatInterval time.Duration
	// MuteTimeIntervals and ActiveTimeIntervals are the node's own.
	MuteTimeIntervals, ActiveTimeIntervals []string
	// Labels are the route labels, which may be templates.
	Labels map[string]string
	// Path says where it is, as the matchers from the root on.
	Path []string

	matchers   labels.Matchers
	continues  bool
	children   []*Route
	byValue    []byValue
	unindexed  []int
	isLargeOne bool
}

// byValue are the children that ask for a value of a name.
type byValue struct {
	name   string
	values map[string][]int
}

// indexedFrom is from how many children on a node is indexed.
const indexedFrom = 16

// New compiles a tree.
func New(root *amconfig.Route) *Route {
	return compile(root, &Route{GroupWait: defaultGroupWait, GroupInterval: defaultGroupInterval, RepeatInterval: defaultRepeatInterval})
}

func compile(c *amconfig.Route, parent *Route) *Route {
	r := &Route{Receiver: parent.Receiver, GroupWait: parent.GroupWait, GroupInterval: parent.GroupInterval, RepeatInterval: parent.RepeatInterval,
		MuteTimeIntervals: c.MuteTimeIntervals, ActiveTimeIntervals: c.ActiveTimeIntervals, Labels: parent.Labels, continues: c.Continue}
	if c.Receiver != "" {
		r.Receiver = c.Receiver
	}
	if c.GroupWait != nil {
		r.GroupWait = time.Duration(*c.GroupWait)
	}
	if c.GroupInterval != nil {
		r.GroupInterval = time.Duration(*c.GroupInterval)
	}
	if c.RepeatInterval != nil {
		r.RepeatInterval = time.Duration(*c.RepeatInterval)
	}
	if len(c.Labels) > 0 {
		own := map[string]string{}
		for name, value := range parent.Labels {
			own[name] = value
		}
		for name, value := range c.Labels {
			own[string(name)] = string(value)
		}
		r.Labels = own
	}
	r.matchers = matchersOf(c)
	r.Path = slices.Clip(parent.Path)
	if len(r.matchers) > 0 {
		r.Path = append(r.Path, r.matchers.String())
	}
	for _, child := range c.Routes {
		r.children = append(r.children, compile(child, r))
	}
	r.index()
	return r
}

func matchersOf(c *amconfig.Route) (ms labels.Matchers) {
	add := func(t labels.MatchType, name, value string) {
		if m, err := labels.NewMatcher(t, name, value); err == nil { // the loader has checked it
			ms = append(ms, m)
		}
	}
	for name, value := range c.Match {
		add(labels.MatchEqual, name, value)
	}
	for name, value := range c.MatchRE {
		add(labels.MatchRegexp, name, value.String())
	}
	ms = append(ms, c.Matchers...)
	slices.SortFunc(ms, func(a, b *labels.Matcher) int { return slices.Compare([]byte(a.String()), []byte(b.String())) })
	return ms
}

// index sorts the children by the first value that each asks for.
func (r *Route) index() {
	if r.isLargeOne = len(r.children) >= indexedFrom; !r.isLargeOne {
		return
	}
	for n, child := range r.children {
		at := slices.IndexFunc(child.matchers, func(m *labels.Matcher) bool { return m.Type == labels.MatchEqual && m.Value != "" })
		if at < 0 {
			r.unindexed = append(r.unindexed, n)
			continue
		}
		m := child.matchers[at]
		of := slices.IndexFunc(r.byValue, func(b byValue) bool { return b.name == m.Name })
		if of < 0 {
			of = len(r.byValue)
			r.byValue = append(r.byValue, byValue{m.Name, map[string][]int{}})
		}
		r.byValue[of].values[m.Value] = append(r.byValue[of].values[m.Value], n)
	}
}

// Match returns the routes that an incident takes, in their order.
func (r *Route) Match(l match.Labels) []*Route {
	if !l.All(r.matchers) {
		return nil
	}
	return r.inside(l, nil)
}

// inside appends the routes that what has reached r takes.
func (r *Route) inside(l match.Labels, to []*Route) []*Route {
	before := len(to)
	visit := func(child *Route) (goOn bool) {
		if !l.All(child.matchers) {
			return true
		}
		to = child.inside(l, to)
		return child.continues
	}
	if r.isLargeOne {
		for _, n := range r.candidates(l) {
			if !visit(r.children[n]) {
				break
			}
		}
	} else {
		for _, child := range r.children {
			if !visit(child) {
				break
			}
		}
	}
	if len(to) == before {
		to = append(to, r)
	}
	return to
}

// candidates are the children that may match, in their order.
func (r *Route) candidates(l match.Labels) []int {
	list := slices.Clone(r.unindexed)
	for _, b := range r.byValue {
		values, n := l.Values(b.name)
		for _, v := range values[:n] {
			list = append(list, b.values[v]...)
		}
	}
	slices.Sort(list)
	return list
}

// Walk calls do for each route, the root first.
func (r *Route) Walk(do func(*Route)) {
	do(r)
	for _, child := range r.children {
		child.Walk(do)
	}
}
