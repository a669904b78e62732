package process

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// BenchmarkReview is what each commit of an incident pays for the process, beside
// the edit itself.
func BenchmarkReview(b *testing.B) {
	i := &incident.Incident{ID: incident.ID{1}, State: incident.Open, Severity: "critical", SeverityWord: "page", Service: "db", Impact: "low", Level: "minor",
		OpenedAt: monday, CycleOpenedAt: monday, StartedAt: monday, ChangedAt: monday, Labels: map[string]string{"alertname": "Down"}}
	for _, profile := range []string{"none", "light", "itil-basic", "vshn-like"} {
		b.Run(profile, func(b *testing.B) {
			c := Config{Profile: profile}
			for _, name := range []string{"on-call", "operations", "communications", "help", "account-management"} {
				c.Contacts = append(c.Contacts, Contact{Name: name, Receiver: "ops"})
			}
			g, err := New(c, options())
			if err != nil {
				b.Fatal(err)
			}
			policy := incident.Policy{Guide: g, Severities: g.severities}
			b.ReportAllocs()
			for b.Loop() {
				policy.Change(i, monday.Add(time.Minute)).Review()
			}
		})
	}
}
