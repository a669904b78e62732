package config

import (
	"maps"
	"slices"

	"github.com/tocsin-gateway/tocsin/incident"
)

func (c *checker) incidents() {
	const path = "incidents"
	grades, priorities := incident.Grades(), incident.Priorities()
	matrix := c.c.Incidents.Matrix
	for _, impact := range slices.Sorted(maps.Keys(matrix)) {
		row := keyPath(path+".priority_matrix", impact)
		c.oneOf(row, "impact", impact, grades)
		for _, urgency := range slices.Sorted(maps.Keys(matrix[impact])) {
			cell := keyPath(row, urgency)
			c.oneOf(cell, "urgency", urgency, grades)
			c.oneOf(cell, "priority", matrix[impact][urgency], priorities)
		}
	}
	c.objectives(path+".priorities", c.c.Incidents.Priorities)
}

// objectives checks those of each priority.
func (c *checker) objectives(path string, of map[string]incident.Objectives) {
	for _, priority := range slices.Sorted(maps.Keys(of)) {
		at := keyPath(path, priority)
		c.oneOf(at, "priority", priority, incident.Priorities())
		o := of[priority]
		if o.Resolution > 0 && o.Response > o.Resolution {
			c.mistake(at, "the response objective ("+o.Response.String()+") is later than the resolution objective ("+
				o.Resolution.String()+")", "respond before you resolve")
		}
	}
}
