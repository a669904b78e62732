package email

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

func batchOf(head, text string) ingest.Batch {
	b, err := Format.Decode(ingest.Request{Source: "email", ReceivedAt: time.Now(), Body: []byte(strings.ReplaceAll(head+"\n\n"+text+"\n", "\n", "\r\n"))})
	if err != nil {
		panic(err)
	}
	return b
}

// Information is not kept at all, so these problems would be lost without a trace.
func TestNothingIsSwallowed(t *testing.T) {
	for name, m := range map[string][2]string{
		"to a list, in other words": {"From: mon@x.example\nList-Id: <alerts.x.example>\nSubject: Disk space low on db-1", "5% left"},
		"bulk, in other words":      {"From: mon@x.example\nPrecedence: bulk\nSubject: Certificate of shop.example expires in 1 day", "x"},
		"bulk, in German":           {"From: mon@x.example\nPrecedence: bulk\nSubject: Server db-1 nicht erreichbar", "x"},
		"about a queue of mail":     {"From: mon@x.example\nSubject: Undelivered mail queue on mx-1 is CRITICAL", "5000 mails"},
		"about mail, by Nagios":     {"From: nagios@x.example\nSubject: Mail delivery failure on mx-1", "Notification Type: PROBLEM\nService: Queue\nHost: mx-1\nState: CRITICAL"},
		"in a thread, with > in it": {"From: zabbix@x.example\nIn-Reply-To: <7.0123456789abcdef0123456789abcdef.web@x>\nSubject: Problem: CPU\n", "Problem started at 02:00:00 on 2026.11.21\nProblem name: CPU\nHost: web\nSeverity: High\n> 90% for 5 min\n> 95% now\nOriginal problem ID: 7"},
	} {
		b := batchOf(m[0], m[1])
		if a := b.Alerts[0]; a.Kind == alert.KindInformation {
			t.Errorf("%s: %v: %s", name, a.Kind, a.Annotations.Get("reason"))
		}
	}
}

// A digest of many mails, and of more than are read.
func TestLargeDigest(t *testing.T) {
	digest := func(n int) ingest.Batch {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, "--b\n\nFrom: nagios@x.example\nSubject: ** PROBLEM Host Alert: h%d is DOWN **\n\nNotification Type: PROBLEM\nHost: h%d\nState: DOWN\n\n", i, i)
		}
		text.WriteString("--b--")
		return batchOf("From: list@x.example\nSubject: digest\nContent-Type: multipart/digest; boundary=b", text.String())
	}
	if b := digest(60); len(b.Alerts) != 60 || len(b.Unparsed) != 0 || b.Alerts[59].Flags != 0 {
		t.Errorf("60 problems became %d alerts and %d letters", len(b.Alerts), len(b.Unparsed))
	}
	if b := digest(maxMails + 10); len(b.Alerts) != maxMails-1 || len(b.Unparsed) != 1 || b.Alerts[0].Flags&alert.FlagCut == 0 {
		t.Errorf("%d problems became %d alerts and %d letters", maxMails+10, len(b.Alerts), len(b.Unparsed))
	}
}

// Part of what a check says stands for the name of the service.
func TestOutputNamesService(t *testing.T) {
	of := func(typ, state, info string) string {
		b := batchOf("From: nagios@x.example\nSubject: ** "+typ+" Host Alert: web is "+state+" **", "***** Nagios *****\n\nNotification Type: "+typ+"\nHost: web\nState: "+state+"\n\nAdditional Info:\n"+info)
		return b.Alerts[0].Key
	}
	if p, r := of("PROBLEM", "DOWN", "ping failed\nService: sshd does not answer"), of("RECOVERY", "UP", "ping ok"); p != r {
		t.Errorf("the problem is %q, its recovery %q", p, r)
	}
	icinga := batchOf("From: icinga@x.example\nSubject: [PROBLEM] web is DOWN!", "***** Host Monitoring on mon *****\n\nweb is DOWN!\n\nInfo:    ping failed\nHost: other\nService: sshd\n\nWhen:    now\nHost:    web\n\nComment by ann:\n  Host: x")
	if a := icinga.Alerts[0]; a.Key != "web" || a.Flags != 0 {
		t.Errorf("Icinga: key %q, flags %v", a.Key, a.Flags.Names())
	}
}
