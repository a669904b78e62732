// Package formats is the list of everything that Tocsin understands.
package formats

import (
	"errors"
	"iter"
	"net/http"

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

// orMail is f, and takes mails if it believes what nobody has signed.
func orMail(f ingest.Format) ingest.Format {
	if f.Verify != nil {
		return withoutMail(f)
	}
	batches := f.Batches
	f.Batches = func(r ingest.Request) (iter.Seq[ingest.Batch], error) {
		if email.Sniff(r.Body) {
			return email.Format.Batches(r)
		}
		return batches(r)
	}
	if tokens := f.Tokens; tokens != nil {
		f.Tokens = func(r ingest.Request) ([]string, []byte) {
			if email.Sniff(r.Body) {
				return nil, r.Body
			}
			return tokens(r)
		}
	}
	if wrap := f.Wrap; wrap != nil {
		f.Wrap = func(elements [][]byte) []byte {
			if len(elements) > 0 && email.Sniff(elements[0]) { // each of them is the whole mail
				return elements[0]
			}
			return wrap(elements)
		}
	}
	return f
}

// withoutMail is f, and says why it takes no mails. One can come without a request
// that would be verified.
func withoutMail(f ingest.Format) ingest.Format {
	const why = "a mail, which has no signature; this source takes only what it can verify"
	verify, batches := f.Verify, f.Batches
	f.Verify = func(h http.Header, r ingest.Request) error {
		if email.Sniff(r.Body) {
			return errors.New(why)
		}
		return verify(h, r)
	}
	f.Batches = func(r ingest.Request) (iter.Seq[ingest.Batch], error) {
		if email.Sniff(r.Body) {
			return nil, ingest.Errorf("", why)
		}
		return batches(r)
	}
	return f
}
