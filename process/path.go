package process

import (
	"cmp"
	"slices"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
)

type path struct {
	name  string
	match labels.Matchers
}

// Categories are those that the paths of the configuration and of its profile are for.
func (c Config) Categories() []string {
	var out []string
	for _, p := range slices.Concat(c.Paths, profiles()[cmp.Or(c.Profile, ProfileLight)].Paths) {
		for _, text := range p.Match {
			ms, err := parse.Matchers(text)
			if err != nil {
				continue // which the compiler says
			}
			for _, m := range ms {
				if m.Name == "category" && m.Type == labels.MatchEqual && m.Value != "" && !slices.Contains(out, m.Value) {
					out = append(out, m.Value)
				}
			}
		}
	}
	return out
}

// paths compiles those of the configuration, and of the profile those that are not
// replaced by one of the same name.
func (k *compiler) paths() {
	add := func(at string, p Path) {
		k.g.paths = append(k.g.paths, path{p.Name, k.matchers(at+".match", p.Match)})
	}
	for n, p := range k.c.Paths {
		here := at(".paths", n)
		switch {
		case p.Name == "":
			k.wrong(here+".name", "the path has no name; add name:")
		case slices.ContainsFunc(k.c.Paths[:n], func(o Path) bool { return o.Name == p.Name }):
			k.wrong(here+".name", "there is a path %q already; give each one a name of its own", p.Name)
		}
		if len(p.Match) == 0 {
			k.wrong(here+".match", `the path does not say which incidents are on it; write matchers such as ['category="vulnerability"']`)
		}
		add(here, p)
	}
	for _, p := range profiles()[cmp.Or(k.c.Profile, ProfileLight)].Paths {
		if !slices.ContainsFunc(k.c.Paths, func(o Path) bool { return o.Name == p.Name }) {
			add("", p)
		}
	}
}

// onPath checks the path that a duty or a gate is on.
func (k *compiler) onPath(at, name string) {
	if name == "" || slices.ContainsFunc(k.g.paths, func(p path) bool { return p.name == name }) {
		return
	}
	var known []string
	for _, p := range k.g.paths {
		known = append(known, p.name)
	}
	k.wrong(at, "there is no path %q; %s", name, suggest(name, known, "add it to process.paths"))
}

// path is the one that an incident is on, empty for none.
func (g *Guide) path(i *incident.Incident) string {
	if len(g.paths) == 0 {
		return ""
	}
	of := match.Of(i)
	for n := range g.paths {
		if of.All(g.paths[n].match) {
			return g.paths[n].name
		}
	}
	return ""
}
