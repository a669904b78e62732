package email

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/alert/alerttest"
	"github.com/tocsin-gateway/tocsin/ingest"
)

var received = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// decode decodes a mail as a source without a configuration does.
func decode(tb testing.TB, raw string) ingest.Batch {
	tb.Helper()
	b, err := Format.Decode(ingest.Request{Source: "email", Body: []byte(raw), ReceivedAt: received})
	if err != nil {
		tb.Fatalf("%v\n%s", err, raw)
	}
	return b
}

// decodeOne decodes a mail that is one alert.
func decodeOne(tb testing.TB, raw string) alert.Alert {
	tb.Helper()
	b := decode(tb, raw)
	if len(b.Alerts) != 1 {
		tb.Fatalf("got %d alerts, want one\n%s", len(b.Alerts), raw)
	}
	return b.Alerts[0]
}

// letter writes a mail with a subject and a text.
func letter(subject, text string, more ...string) string {
	return strings.Join(more, "") + "From: Robot <Robot@Example.com>\r\nDate: Sat, 21 Nov 2026 01:31:28 +0000\r\nMessage-Id: <1@example.com>\r\nSubject: " +
		subject + "\r\n\r\n" + text
}

// captures are the mails of the capture folders.
func captures(tb testing.TB) map[string][]byte {
	tb.Helper()
	const root = "../formats/testdata/captures"
	all := map[string][]byte{}
	err := filepath.WalkDir(root, func(file string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".eml" {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err == nil {
			all[filepath.ToSlash(name)], err = os.ReadFile(file)
		}
		return err
	})
	if err != nil || len(all) < 150 {
		tb.Fatalf("found %d mails, %v", len(all), err)
	}
	return all
}

// TestEveryCaptureIsKnown: a mail that a program sent is never left to guessing.
func TestEveryCaptureIsKnown(t *testing.T) {
	for name, raw := range captures(t) {
		if !Sniff(raw) {
			t.Errorf("%s: not seen as a mail", name)
		}
		b := decode(t, string(raw))
		for _, a := range b.Alerts {
			if a.Flags != 0 || a.Source != "email" || !a.ReceivedAt.Equal(received) {
				t.Errorf("%s: flags %v, source %q, received %v", name, a.Flags.Names(), a.Source, a.ReceivedAt)
			}
			checkMail(t, &a)
		}
		if len(b.Unparsed) > 0 && b.Alerts[0].Kind != alert.KindInformation {
			t.Errorf("%s: %s", name, b.Unparsed[0].Reason)
		}
	}
}

// TestRecoveriesPair: what ends a problem has the problem's key, or its labels.
func TestRecoveriesPair(t *testing.T) {
	type pair struct{ fired, ended bool }
	seen := map[string]*pair{}
	all := captures(t)
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, a := range decode(t, string(all[name])).Alerts {
			if a.Kind != alert.KindAlert {
				continue
			}
			key := filepath.Dir(name) + "|" + a.Key
			if a.Key == "" {
				for _, l := range a.Labels {
					key += "|" + l.Name + "=" + l.Value
				}
			}
			p := seen[key]
			if p == nil {
				p = &pair{}
				seen[key] = p
			}
			if a.Status == alert.Resolved {
				if p.ended = true; !p.fired {
					t.Errorf("%s: %s ends nothing", name, key)
				}
			} else {
				p.fired = true
			}
		}
	}
	ended := 0
	for _, p := range seen {
		if p.ended {
			ended++
		}
	}
	if ended < 25 {
		t.Errorf("only %d problems ended", ended)
	}
}

// TestKeysOfWebhooks: Nagios' and Icinga's mails and their webhooks are about the
// same thing.
func TestKeysOfWebhooks(t *testing.T) {
	all := captures(t)
	for name, want := range map[string]string{
		"icinga2/email/001-service-problem-warning.eml": "web-01!load|alertname=load,host=web-01,service=load,severity=warning",
		"icinga2/email/022-host-problem-down.eml":       "gw-01|alertname=Host,host=gw-01,severity=critical",
		"nagios/email/035-host-problem-down.eml":        "gw-01|alertname=Host,host=gw-01,severity=critical",
		"nagios/email/036-host-problem-unreachable.eml": "db-02|alertname=Host,host=db-02,severity=critical",
		"nagios/email/038-host-recovery-up.eml":         "gw-01|alertname=Host,host=gw-01",
	} {
		a := decodeOne(t, string(all[name]))
		if got := a.Key + "|" + labels(a); got != want || !a.PerHost {
			t.Errorf("%s: got %s, per host %v; want %s", name, got, a.PerHost, want)
		}
	}
}

func labels(a alert.Alert) string {
	var out []string
	for _, l := range a.Labels {
		out = append(out, l.Name+"="+l.Value)
	}
	return strings.Join(out, ",")
}

func checkMail(t testing.TB, a *alert.Alert) {
	t.Helper()
	alerttest.WellFormed(t, a, "email", received)
	if a.Annotations.Get("via") != "email" {
		t.Errorf("nothing says that it came by mail: %v", a.Annotations)
	}
}

// TestUnknown: mails that no parser knows become alerts, and their ends end them.
func TestUnknown(t *testing.T) {
	for _, c := range []struct{ name, problem, end string }{
		{"in brackets", "[CRITICAL] Replication lag on db-02", "[OK] Replication lag on db-02"},
		{"in front of a colon", "CRITICAL: disk full on srv9", "RECOVERY: disk full on srv9"},
		{"a word of one's own", "Disk usage 93% on web-01 at 03:14", "Disk usage 41% on web-01 at 03:55 recovered"},
		{"numbers, dates, times", "Backup 2026-11-21 01:30 job #1283 late by 3h", "Re-check: ignored"},
		{"tickets", "[OPS-1234] Queue length warning", "[OPS-1239] Queue length cleared"},
		{"is down, is up", "Host 10.0.0.1 is DOWN", "Host 10.0.0.1 is UP"},
		{"a noun", "Alert: link to Frankfurt down", "Alert resolved: link to Frankfurt"},
		{"stars", "** PROBLEM: ups-3 on battery **", "** RECOVERED: ups-3 on battery **"},
		{"an arrow", "Sensor 7b door: OK -> CRITICAL", "Sensor 7b door: CRITICAL -> OK"},
		{"forwarded", "WARNING fan speed chassis-2", "Fwd: RESOLVED fan speed chassis-2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := decode(t, letter(c.problem, "text"))
			p, e := b.Alerts[0], decodeOne(t, letter(c.end, "text"))
			if p.Status != alert.Firing || p.Flags&alert.FlagUnparsed == 0 || len(b.Unparsed) != 1 || p.Identity != "1@example.com" || p.EventAt.IsZero() {
				t.Errorf("%s: got %v, flags %v, %d dead letters, identity %q, at %v", c.problem, p.Status, p.Flags.Names(), len(b.Unparsed), p.Identity, p.EventAt)
			}
			if c.end == "Re-check: ignored" {
				return
			}
			if e.Status != alert.Resolved || e.Key != p.Key || e.Name() != p.Name() {
				t.Errorf("%s: got %v, key %q, name %q; want it to end key %q, name %q", c.end, e.Status, e.Key, e.Name(), p.Key, p.Name())
			}
		})
	}
}

// TestUnknownIsNotOver: when in doubt it is a problem.
func TestUnknownIsNotOver(t *testing.T) {
	for _, subject := range []string{
		"NOT OK: replication", "Host name could not be resolved", "Problem is not yet resolved", "CRITICAL: was OK an hour ago", "Recovery of database failed",
		"Cannot clear queue", "Backup failed", "Please clear the cache", "Set up of node-3 needed", "[ERROR] OK button broken", "Disk / OK => WARNING", "help", "",
		"unresolved: lag", "No recovery of web-01",
	} {
		if a := decodeOne(t, letter(subject, "text")); a.Status != alert.Firing || a.Kind != alert.KindAlert {
			t.Errorf("%q: got %v, %v; want it firing", subject, a.Kind, a.Status)
		}
	}
}

// TestUnknownKeepsThingsApart: what is a different machine is a different problem.
func TestUnknownKeepsThingsApart(t *testing.T) {
	seen := map[string]string{}
	for _, subject := range []string{"Disk full on web-01", "Disk full on web-02", "Disk full on 10.0.0.1", "Disk full on 10.0.0.2", "Disk full on srv9",
		"Disk full on 2001:db8::1", "Disk full on db1.example.com", "Disk full"} {
		key := decodeOne(t, letter(subject, "")).Key
		if other := seen[key]; other != "" {
			t.Errorf("%q and %q have the same key %q", subject, other, key)
		}
		seen[key] = subject
	}
	other := strings.Replace(letter("Disk full", ""), "Robot@Example.com", "other@example.com", 1)
	if key := decodeOne(t, other).Key; seen[key] != "" {
		t.Errorf("two senders have the same key %q", key)
	}
}

// TestNoAlert: what answers for a person, comes from one, or is about a mail opens nothing.
func TestNoAlert(t *testing.T) {
	const nagios = "** PROBLEM Service Alert: web-01/Disk / is CRITICAL **"
	const quoted = "> Notification Type: PROBLEM\r\n> Host: web-01\r\n> Service: Disk /\r\n> State: CRITICAL\r\n\r\nI am on it."
	for name, raw := range map[string]string{
		"automatic reply":    letter("Automatic reply: "+nagios, "I am away.", "Auto-Submitted: auto-replied\r\n"),
		"without the field":  letter("Out of Office: "+nagios, "I am away."),
		"German":             letter("Abwesenheitsnotiz: "+nagios, "Ich bin weg."),
		"old field":          letter(nagios, "I am away.", "X-Autoreply: yes\r\n"),
		"precedence":         letter(nagios, "I am away.", "Precedence: auto_reply\r\n"),
		"reply":              letter("Re: "+nagios, quoted),
		"German reply":       letter("AW: "+nagios, quoted),
		"numbered reply":     letter("Re[2]: "+nagios, quoted),
		"reply to a forward": letter("Re: Fwd: "+nagios, quoted),
		"reply without Re":   letter("thanks", quoted, "In-Reply-To: <x@example.com>\r\n"),
		"bounce":             strings.Replace(letter("Undelivered Mail Returned to Sender", "no such user", "Return-Path: <>\r\n"), "Robot@Example.com", "MAILER-DAEMON@example.com", 1),
		"bounce by sender":   strings.Replace(letter(nagios, "no such user"), "Robot@Example.com", "MAILER-DAEMON@example.com", 1),
		"delivery report":    letter("x", "--b\r\nContent-Type: text/plain\r\n\r\nfailed\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"+letter(nagios, quoted), "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			b := decode(t, raw)
			a := b.Alerts[0]
			why := a.Annotations.Get("reason")
			if a.Kind != alert.KindInformation || why == "" || len(b.Alerts) != 1 {
				t.Errorf("got %v, %v, reason %q; want information\n%s", a.Kind, a.Status, why, raw)
			}
			// Nothing is lost without a trace, but for what is automatic.
			if got := len(b.Unparsed); got > 1 || (got == 1) == (why == automatic) {
				t.Errorf("%s: %d letters", why, got)
			}
		})
	}
	for name, raw := range map[string]string{
		"a program's own report":    letter("Cron <root@web-01> backup", "failed", "Auto-Submitted: auto-generated\r\n"),
		"a queue of mail":           letter("Undelivered mail queue on mx-1 is CRITICAL", "5000 mails"),
		"a gateway of the office":   letter("Out of office VPN gateway: no answer", "x"),
		"a server named SV":         letter("SV: no answer", "x"),
		"a monitor at its limit":    letter("CPU", "> 90% for 5 min\r\n> 95% now\r\n", "In-Reply-To: <x@example.com>\r\n", "Auto-Submitted: auto-generated\r\n"),
		"a list, other words":       letter("Disk space low on db-1", "5% left", "List-Id: <alerts.example.com>\r\n"),
		"bulk, other words":         letter("Certificate of shop.example expires in 1 day", "x", "Precedence: bulk\r\n"),
		"bulk, in German":           letter("Server db-1 nicht erreichbar", "x", "Precedence: bulk\r\n"),
		"no bounce":                 strings.Replace(letter("x", "y", "Return-Path: <root@example.com>\r\n"), "Robot@Example.com", "MAILER-DAEMON@example.com", 1),
		"an alert through a list":   letter("Site is down", "502", "List-Id: <oncall.example.com>\r\n", "Precedence: list\r\n"),
		"a monitor's thread":        letter("Disk full", "text", "In-Reply-To: <x@example.com>\r\n"),
		"somebody writes something": letter("The shop is slow", "please look"),
	} {
		if a := decodeOne(t, raw); a.Kind != alert.KindAlert || a.Status != alert.Firing {
			t.Errorf("%s: got %v, %v; want it firing", name, a.Kind, a.Status)
		}
	}
}

// TestForwarded: who passes an alert on means the alert.
func TestForwarded(t *testing.T) {
	const inner = "***** Nagios *****\n\nNotification Type: PROBLEM\n\nService: Disk /\nHost: web-01\nState: CRITICAL\n\nAdditional Info:\n\nDISK CRITICAL\n"
	const head = "Subject: ** PROBLEM Service Alert: web-01/Disk / is CRITICAL **\nFrom: nagios@mon.example.net\nDate: Sat, 21 Nov 2026 00:31:28 +0000\nTo: a@example.com\n\n"
	for name, text := range map[string]string{
		"Thunderbird": "FYI\n\n-------- Forwarded Message --------\n" + head + inner,
		"Gmail":       "---------- Forwarded message ---------\n" + head + "\n" + inner,
		"Outlook":     "-----Original Message-----\n" + head + inner,
		"Apple Mail":  "Begin forwarded message:\n\n" + "> " + strings.ReplaceAll(head+inner, "\n", "\n> "),
		"German":      "-------- Weitergeleitete Nachricht --------\n" + strings.NewReplacer("Subject:", "Betreff:", "From:", "Von:", "Date:", "Datum:").Replace(head) + inner,
	} {
		a := decodeOne(t, letter("Fwd: ** PROBLEM Service Alert: web-01/Disk / is CRITICAL **", text))
		if a.Key != "web-01!Disk /" || a.Status != alert.Firing || a.Flags != 0 || a.EventAt.UTC().Hour() != 0 {
			t.Errorf("%s: got key %q, %v, flags %v, at %v", name, a.Key, a.Status, a.Flags.Names(), a.EventAt)
		}
	}
	unknown := decodeOne(t, letter("Fwd: tape stuck", "-------- Forwarded Message --------\nSubject: tape stuck\nFrom: lib@example.com\n\nslot 4"))
	direct := decodeOne(t, strings.Replace(letter("tape stuck", "slot 4"), "Robot@Example.com", "lib@example.com", 1))
	if unknown.Key != direct.Key {
		t.Errorf("forwarded: key %q, directly: %q", unknown.Key, direct.Key)
	}
}

// TestPageSaysMore: where the plain text is but a remark, the page counts.
func TestPageSaysMore(t *testing.T) {
	const page = "<table><tr><td>Notification Type:</td><td>PROBLEM</td></tr><tr><td>Host:</td><td>web-01</td></tr><tr><td>State:</td><td>DOWN</td></tr></table>"
	a := decodeOne(t, letter("alert", "--b\r\n\r\nYour program shows no pages.\r\n--b\r\nContent-Type: text/html\r\n\r\n"+page+"\r\n--b--\r\n", "Content-Type: multipart/alternative; boundary=b\r\n"))
	if a.Key != "web-01" || a.Flags != 0 {
		t.Errorf("got key %q, flags %v", a.Key, a.Flags.Names())
	}
}

// TestDigest: each of several attached mails is an alert.
func TestDigest(t *testing.T) {
	part := func(host string) string {
		return "--b\r\n\r\n" + letter("** PROBLEM Host Alert: "+host+" is DOWN **", "Notification Type: PROBLEM\r\nHost: "+host+"\r\nState: DOWN\r\n")
	}
	b := decode(t, letter("digest", part("a")+part("b")+"--b--\r\n", "Content-Type: multipart/digest; boundary=b\r\n"))
	if len(b.Alerts) != 2 || b.Alerts[0].Key != "a" || b.Alerts[1].Key != "b" {
		t.Errorf("got %+v, want a and b", b.Alerts)
	}
}

// TestNotAMail: what is none is refused with words that say what is expected.
func TestNotAMail(t *testing.T) {
	for _, body := range []string{"", "hello", `{"alerts":[]}`, "a=b&c=d", "<xml/>", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "NAGIOS_HOSTNAME=web-01\n"} {
		_, err := Format.Decode(ingest.Request{Body: []byte(body)})
		bad, ok := err.(*ingest.BodyError)
		if !ok || !bad.Foreign || !strings.Contains(bad.Reason, "From and Subject") {
			t.Errorf("%q: got %v", body, err)
		}
	}
	for _, body := range []string{`{"alerts":`, `{"a":1,"a":2}`} {
		if _, err := Format.Decode(ingest.Request{Body: []byte(body)}); err == nil {
			t.Errorf("%q: no error", body)
		}
	}
}

func TestSniff(t *testing.T) {
	for body, want := range map[string]bool{
		letter("x", "y"):                                  true,
		"\r\n" + letter("x", "y"):                         true,
		"From a@b Sat Nov 21\nFrom: a@b\nSubject: x\n\ny": true,
		"Received: by x\n\tfrom y\nX-A: b\nTo: c\n\n":     true,
		"From: a@b\n\nonly one":                           false,
		"Host: web-01\nState: DOWN\nService: x\n":         false,
		"To: x\nDate: y\n\n":                              false,
		`{"From": "x", "Subject": "y"}`:                   false,
		"host=web-01&From: x":                             false,
		"":                                                false,
	} {
		if got := Sniff([]byte(body)); got != want {
			t.Errorf("%q: got %v, want %v", body, got, want)
		}
	}
}
