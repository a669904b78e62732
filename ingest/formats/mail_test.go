package formats

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// TestEveryFormatTakesMail: a program's mails go to the same source as its webhooks.
func TestEveryFormatTakesMail(t *testing.T) {
	mail, err := os.ReadFile(captureRoot + "/nagios/email/035-host-problem-down.eml")
	if err != nil {
		t.Fatal(err)
	}
	for name, format := range All {
		if name == "mapping" {
			continue
		}
		b, err := format.Decode(ingest.Request{Source: name, Body: mail})
		if err != nil || len(b.Alerts) != 1 || b.Alerts[0].Key != "gw-01" || b.Alerts[0].Status != alert.Firing || b.Alerts[0].Source != name {
			t.Errorf("%s: got %+v, %v", name, b.Alerts, err)
		}
	}
}

// inMail corrects what is expected of a mail where it was written down from
// what the sender knew, and is not what the mail says.
func (e expectation) inMail(name string) expectation {
	switch {
	case name == "synthesized-mails/encodings/latin1-8bit.eml":
		// The dash is not in the charset, so the sender wrote a question mark.
		e.object["text"] = strings.ReplaceAll(e.object["text"].(string), "–", "?")
	case name == "elastalert/email/05-firing.eml":
		// A text of the rule's own, without the document.
		delete((*e.Alerts)[0], "host")
	case path.Dir(name) == "alertmanager/0.34/email-text-only-part":
		// A text of the user's own: of the alerts only the group is known.
		e.Alerts = &[]object{{"name": "HighCpuLoad", "host": nil, "severity": "critical", "state": e.GroupState}}
	case path.Base(name) == "03-resolved.eml" && strings.HasPrefix(name, "alertmanager/0.34/email-"):
		// The mail lists both, though the end of the first was in the mail before it.
		first := object{"name": "HighCpuLoad", "host": "web-01", "severity": "critical", "state": "resolved"}
		*e.Alerts = append([]object{first}, *e.Alerts...)
	}
	return e
}
