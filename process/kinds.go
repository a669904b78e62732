package process

import (
	"slices"
	"strings"
)

// telling are the events and facts that duties have which are about telling people.
var telling = []string{"updated", "drafted", "next_contact", "published", "customer_told", "followed_up"}

// Telling names the duties that are about telling people: what they count from, or
// what ends them, is that somebody was told.
func (g *Guide) Telling() []string {
	return g.named(func(d *duty) bool {
		tells := func(word string) bool { return slices.Contains(telling, word) }
		return d.deadline && (slices.ContainsFunc(d.on, func(e event) bool { return tells(e.name) }) || slices.ContainsFunc(d.unless, func(c condition) bool { return slices.ContainsFunc(strings.Fields(c.text), tells) }))
	})
}

// Uncounted names the duties that a review does not count: nobody can keep them,
// because they happen by themselves, or they are the objectives, which it counts apart.
func (g *Guide) Uncounted() []string {
	return g.named(func(d *duty) bool { return !d.deadline || d.objective != "" })
}

func (g *Guide) named(fits func(d *duty) bool) []string {
	var names []string
	for n := range g.duties {
		if fits(&g.duties[n]) {
			names = append(names, g.duties[n].name)
		}
	}
	return names
}
