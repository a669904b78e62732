// Package formats is the list of everything that Tocsin understands.
package formats

import (
	"iter"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// All are the formats by name. Without a configuration there is an open source
// for each, of the same name.
var All = byName(
	ingest.Alertmanager,
	ingest.Prometheus,
	email.Format,
)

func byName(list ...ingest.Format) map[string]ingest.Format {
	all := make(map[string]ingest.Format, len(list))
	for _, f := range list {
		all[f.Name] = withMail(f)
	}
	return all
}

// takesNoMail are formats that read mails themselves, or whose bodies may be
// anything.
var takesNoMail = map[string]bool{email.Name: true, "mapping": true}

// withMail makes a format take the mails of its senders too: most monitoring
// programs notify by mail as well.
func withMail(f ingest.Format) ingest.Format {
	if takesNoMail[f.Name] {
		return f
	}
	if configure := f.Configure; configure != nil {
		f.Configure = func(c ingest.SourceConfig) (ingest.Format, error) {
			made, err := configure(c)
			return orMail(made), err
		}
	}
	return orMail(f)
}

func orMail(f ingest.Format) ingest.Format {
	batches := f.Batches
	f.Batches = func(r ingest.Request) (iter.Seq[ingest.Batch], error) {
		if email.Sniff(r.Body) {
			return email.Format.Batches(r)
		}
		return batches(r)
	}
	return f
}
