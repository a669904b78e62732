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
	for _, priority := range slices.Sorted(maps.Keys(c.c.Incidents.Priorities)) {
		at := keyPath(path+".priorities", priority)
		c.oneOf(at, "priority", priority, priorities)
		o := c.c.Incidents.Priorities[priority]
		if o.Resolution > 0 && o.Response > o.Resolution {
			c.mistake(at, "the response objective ("+o.Response.String()+") is later than the resolution objective ("+
				o.Resolution.String()+")", "respond before you resolve")
		}
	}
}
