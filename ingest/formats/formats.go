// Package formats is the list of everything that Tocsin understands.
package formats

import (
	"iter"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/elastalert"
	"github.com/tocsin-gateway/tocsin/ingest/email"
	"github.com/tocsin-gateway/tocsin/ingest/events"
	"github.com/tocsin-gateway/tocsin/ingest/grafana"
	"github.com/tocsin-gateway/tocsin/ingest/icinga"
	"github.com/tocsin-gateway/tocsin/ingest/kibana"
	"github.com/tocsin-gateway/tocsin/ingest/mapping"
	"github.com/tocsin-gateway/tocsin/ingest/monit"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
	"github.com/tocsin-gateway/tocsin/ingest/nsca"
	"github.com/tocsin-gateway/tocsin/ingest/sns"
	"github.com/tocsin-gateway/tocsin/ingest/uptimekuma"
	"github.com/tocsin-gateway/tocsin/ingest/zabbix"
)

// All are the formats by name. Without a configuration there is an open source
// for each, of the same name.
var All = byName(
	ingest.Alertmanager,
	ingest.Prometheus,
	grafana.Format,
	kibana.Format,
	elastalert.Format,
	zabbix.Format,
	uptimekuma.Format,
	monit.Format,
	sns.Format,
	events.Format,
	mapping.Format,
	nagios.Format,
	nagios.NRDP,
	nsca.Format,
	icinga.Format,
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

// orMail leaves a format alone that checks signatures: nobody has signed a mail.
func orMail(f ingest.Format) ingest.Format {
	if f.Verify != nil {
		return f
	}
	batches := f.Batches
	f.Batches = func(r ingest.Request) (iter.Seq[ingest.Batch], error) {
		if email.Sniff(r.Body) {
			return email.Format.Batches(r)
		}
		return batches(r)
	}
	if wrap := f.Wrap; wrap != nil {
		f.Wrap = func(elements [][]byte) []byte {
			if len(elements) == 1 && email.Sniff(elements[0]) {
				return elements[0] // there is nothing around a mail
			}
			return wrap(elements)
		}
	}
	if tokens := f.Tokens; tokens != nil {
		f.Tokens = func(r ingest.Request) ([]string, []byte) {
			if email.Sniff(r.Body) {
				return nil, r.Body
			}
			return tokens(r)
		}
	}
	return f
}
