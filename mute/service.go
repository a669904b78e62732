package mute

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Service is an entry of the section services.
type Service struct {
	// Name is what incidents have as their service.
	Name string `yaml:"name"`
	// DependsOn are the services that it cannot do without.
	DependsOn []string `yaml:"depends_on"`
	// Owner is who answers for it, and Description says what it is.
	Owner       string `yaml:"owner"`
	Description string `yaml:"description"`
	// Populations are those who use it, as reports say it, and Customers those of the
	// section process.customers that an incident of it affects, until a person says
	// otherwise.
	Populations []string `yaml:"populations"`
	Customers   []string `yaml:"customers"`
	// Instructions is the URL of what to know about it.
	Instructions string `yaml:"instructions"`
	// Priorities are objectives of its own, in place of those of incidents.priorities.
	Priorities map[string]incident.Objectives `yaml:"priorities"`
}

// ServiceProblems says what is wrong with the section, by path, such as
// [1].depends_on[0].
func ServiceProblems(list []Service) map[string]string {
	problems, first := map[string]string{}, map[string]int{}
	for n, s := range list {
		before, taken := first[s.Name]
		switch {
		case s.Name == "":
			problems[at("", n)+".name"] = "the service has no name; add name:"
		case taken:
			problems[at("", n)+".name"] = fmt.Sprintf("the name %q is also that of %s; describe each service once", s.Name, at("", before))
		default:
			first[s.Name] = n
		}
	}
	for n, s := range list {
		if u, err := url.Parse(s.Instructions); s.Instructions != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			problems[at("", n)+".instructions"] = fmt.Sprintf("%q is none of http or https; write a URL", s.Instructions)
		}
		for k, name := range s.DependsOn {
			path := at(at("", n)+".depends_on", k)
			_, known := first[name]
			switch {
			case name == s.Name:
				problems[path] = fmt.Sprintf("the service %q depends on itself; remove it", name)
			case !known:
				problems[path] = fmt.Sprintf("there is no service %q; add it to services:", name)
			case slices.Index(s.DependsOn, name) < k:
				problems[path] = fmt.Sprintf("the service %q is there twice; remove one of them", name)
			}
		}
	}
	circles(list, first, problems)
	return problems
}

// circles finds dependencies that lead back to where they began. Each circle is
// reported once, where it closes.
func circles(list []Service, number map[string]int, problems map[string]string) {
	const onTheWay, done = 1, 2
	state := make([]int, len(list))
	var way []string
	var visit func(n int)
	visit = func(n int) {
		state[n] = onTheWay
		way = append(way, list[n].Name)
		for k, name := range list[n].DependsOn {
			next, known := number[name]
			switch {
			case !known || next == n:
			case state[next] == 0:
				visit(next)
			case state[next] == onTheWay:
				round := append(slices.Clone(way[slices.Index(way, name):]), name)
				problems[at(at("", n)+".depends_on", k)] = "the services depend on each other in a circle: " + strings.Join(round, " → ") + "; remove one of the dependencies"
			}
		}
		state[n] = done
		way = way[:len(way)-1]
	}
	for n := range list {
		if state[n] == 0 && number[list[n].Name] == n {
			visit(n)
		}
	}
}

// Graph knows which services depend on which.
type Graph struct{ upstream map[string][]string }

// NewGraph compiles the section services. The error says all that
// ServiceProblems finds.
func NewGraph(list []Service) (*Graph, error) {
	if problems := ServiceProblems(list); len(problems) > 0 {
		return nil, problemsError("services", problems)
	}
	direct, g := map[string][]string{}, &Graph{map[string][]string{}}
	for _, s := range list {
		direct[s.Name] = s.DependsOn
	}
	for _, s := range list {
		if len(s.DependsOn) > 0 {
			g.upstream[s.Name] = everything(s.Name, direct)
		}
	}
	return g, nil
}

// everything lists all that a service depends on, the nearest first.
func everything(name string, direct map[string][]string) (all []string) {
	seen := map[string]bool{name: true}
	for queue := slices.Clone(direct[name]); len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		all = append(all, queue[0])
		queue = append(queue, direct[queue[0]]...)
	}
	return all
}

// Upstream are the services that a service depends on, also by way of others,
// the nearest first.
func (g *Graph) Upstream(service string) []string {
	if g == nil {
		return nil
	}
	return g.upstream[service]
}
