// Package formats is the list of everything that Tocsin understands.
package formats

import (
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/icinga"
)

// All are the formats by name. Without a configuration there is an open source
// for each, of the same name.
var All = byName(
	ingest.Alertmanager,
	ingest.Prometheus,
	icinga.Format,
)

func byName(list ...ingest.Format) map[string]ingest.Format {
	all := make(map[string]ingest.Format, len(list))
	for _, f := range list {
		all[f.Name] = f
	}
	return all
}
