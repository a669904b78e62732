package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/mute"
	"github.com/tocsin-gateway/tocsin/process"
)

// ProcessOptions are what the process takes from other sections.
func (c *Config) ProcessOptions() process.Options {
	o := process.Options{Severities: c.Classify.Severities, Objectives: c.Incidents.Priorities, Services: map[string]process.Service{}}
	for _, s := range c.Services {
		o.Services[s.Name] = process.Service{Owner: s.Owner, Customers: s.Customers, Instructions: s.Instructions, Objectives: s.Priorities}
	}
	if c.Alertmanager != nil {
		for _, r := range c.Alertmanager.Receivers {
			o.Receivers = append(o.Receivers, r.Name)
		}
	}
	return o
}

// announced checks who is told of windows of maintenance.
func (c *checker) announced() {
	known := slices.Collect(maps.Keys(c.c.Process.Rotas))
	for _, contact := range c.c.Process.Contacts {
		known = append(known, contact.Name)
	}
	known = append(known, c.c.ProcessOptions().Receivers...)
	slices.Sort(known)
	for n, w := range c.c.Maintenance {
		for k, name := range w.Announce {
			at := indexPath(indexPath("maintenance", n)+".announce", k)
			switch {
			case slices.Contains(known, name):
			case len(known) == 0:
				c.mistake(at, "there is no contact, rota or receiver "+quote(name), "add it to process.contacts")
			default:
				c.mistake(at, "there is no contact, rota or receiver "+quote(name), nearest.Suggest(name, known))
			}
		}
	}
}

// services checks the section of this name.
func (c *checker) services() {
	c.listed("services", mute.ServiceProblems(c.c.Services))
	var customers []string
	for _, customer := range c.c.Process.Customers {
		customers = append(customers, customer.Name)
	}
	for n, s := range c.c.Services {
		path := indexPath("services", n)
		c.objectives(path+".priorities", s.Priorities)
		for k, name := range s.Customers {
			switch {
			case slices.Contains(customers, name):
			case len(customers) == 0:
				c.mistake(indexPath(path+".customers", k), "there is no customer "+quote(name), "add it to process.customers")
			default:
				c.mistake(indexPath(path+".customers", k), "there is no customer "+quote(name), nearest.Suggest(name, customers))
			}
		}
		for k, name := range s.Populations {
			if strings.TrimSpace(name) == "" {
				c.mistake(indexPath(path+".populations", k), "the population has no name", "write who uses the service, or remove it")
			}
		}
	}
}
