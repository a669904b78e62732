package smtp

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// Somebody at evil.example pretends to be nagios@victim.example, and the source
// requires that SPF and DMARC pass.
func TestForgedSender(t *testing.T) {
	records := zone{"evil.example": "v=spf1 ip4:127.0.0.1 -all", "_dmarc.evil.example": "v=DMARC1; p=reject",
		"victim.example": "v=spf1 -all", "_dmarc.victim.example": "v=DMARC1; p=reject"}
	format, err := email.Format.Configure(ingest.SourceConfig{Email: ingest.EmailConfig{Senders: []string{"victim.example"},
		AuthservID: "gw.example.org", Require: []string{"spf", "dmarc"}}})
	if err != nil {
		t.Fatal(err)
	}
	const results = "Authentication-Results: "
	for name, m := range map[string]struct{ from, head string }{
		"as it is":                              {"x@victim.example", "From: nagios@victim.example"},
		"the first line goes on with our field": {"x@victim.example", " ; spf=pass; dmarc=pass\r\nFrom: nagios@victim.example"},
		"an address in a comment":               {"me@evil.example", "From: <me@evil.example> (<nagios@victim.example>)"},
		"two addresses":                         {"me@evil.example", "From: me@evil.example, nagios@victim.example"},
		"two in brackets":                       {"me@evil.example", "From: <me@evil.example> <nagios@victim.example>"},
		"an address behind one":                 {"me@evil.example", "From: <me@evil.example> nagios@victim.example"},
		"the sender":                            {"me@evil.example", "Sender: nagios@victim.example"},
		"our name behind a comment":             {"x@victim.example", results + "(a) gw.example.org; spf=pass; dmarc=pass\r\nFrom: nagios@victim.example"},
		"a comment in our name":                 {"x@victim.example", results + "gw.(a)example.org; spf=pass; dmarc=pass\r\nFrom: nagios@victim.example"},
		"our name far behind":                   {"x@victim.example", results + "(" + strings.Repeat("a", 2000) + ") gw.example.org; spf=pass; dmarc=pass\r\nFrom: nagios@victim.example"},
		"a blank before the colon":              {"me@evil.example", "From : nagios@victim.example\r\nFrom: me@evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			conf := testConfig()
			conf.CheckSenders = true
			_, addr := serve(t, New(Options{Config: conf, Taker: s, Resolver: records, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}))
			c := greeted(t, addr)
			c.want(250, "MAIL FROM:<%s>", m.from)
			c.want(250, "RCPT TO:<alerts@gw.example.org>")
			c.want(354, "DATA")
			c.want(250, "%s\r\nSubject: ** RECOVERY Host Alert: db-1 is UP **\r\n\r\nNotification Type: RECOVERY\r\nHost: db-1\r\nState: UP\r\n.", m.head)
			mail := s.all()[0].mail
			b, err := format.Decode(ingest.Request{Source: "email", Body: []byte(mail)})
			if err == nil {
				t.Errorf("taken as %v of %v:\n%s", b.Alerts[0].Key, b.Alerts[0].Annotations.Get("from"), mail)
			}
		})
	}
}
