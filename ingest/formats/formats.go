// Package formats is the list of everything that Tocsin understands.
package formats

import (
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
	"github.com/tocsin-gateway/tocsin/ingest/nsca"
)

// All are the formats by name. Without a configuration there is an open source
// for each, of the same name.
var All = byName(
	ingest.Alertmanager,
	ingest.Prometheus,
	nagios.Format,
	nagios.NRDP,
	nsca.Format,
)

func byName(list ...ingest.Format) map[string]ingest.Format {
	all := make(map[string]ingest.Format, len(list))
	for _, f := range list {
		all[f.Name] = f
	}
	return all
}
