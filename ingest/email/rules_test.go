package email

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

var testConfig = ingest.EmailConfig{Parsers: []ingest.EmailParser{
	{
		Name:        "tape robot",
		Match:       ingest.EmailMatch{From: `^robot@`, Subject: `^Tape library`},
		Fields:      []string{`^Tape library (?P<host>\S+): (?P<status>\w+)`, `(?m)^Level: (?P<severity>\w+)$`, `(?m)^Slot: (?P<service>.+)$`, `(?m)^What: (?P<summary>.+)$`},
		StatusMap:   map[string]string{"broken": "firing", "Fine": "resolved", "seen": "acknowledged", "report": "ignore"},
		SeverityMap: map[string]string{"RED": "critical"},
	},
	{Name: "by key", Match: ingest.EmailMatch{Body: `(?m)^Ref: `}, Fields: []string{`(?m)^Ref: (?P<key>\S+)`}, DefaultStatus: "ignore"},
	{Name: "plain", Match: ingest.EmailMatch{Subject: `^Generator`}, Fields: []string{`nothing (?P<host>x)`}},
}}

func configured(tb testing.TB, c ingest.EmailConfig) ingest.Format {
	tb.Helper()
	f, err := Format.Configure(ingest.SourceConfig{Email: c})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestRules(t *testing.T) {
	f := configured(t, testConfig)
	const text = "Level: Red\r\nSlot: 4\r\nWhat: it is stuck\r\n"
	for _, c := range []struct {
		subject, text string
		kind          alert.Kind
		status        alert.Status
		key, labels   string
		summary       string
	}{
		{"Tape library lib-1: BROKEN", text, alert.KindAlert, alert.Firing, "lib-1!4", "alertname=4,host=lib-1,service=4,severity=critical", "it is stuck"},
		{"Tape library lib-1: fine", text, alert.KindAlert, alert.Resolved, "lib-1!4", "alertname=4,host=lib-1,service=4,severity=critical", "it is stuck"},
		{"Tape library lib-1: seen", text, alert.KindAcknowledgement, alert.Firing, "lib-1!4", "alertname=4,host=lib-1,service=4,severity=critical", "it is stuck"},
		{"Tape library lib-1: report", text, alert.KindInformation, alert.Unknown, "lib-1!4", "alertname=4,host=lib-1,service=4,severity=critical", "it is stuck"},
		{"Tape library lib-1: recovered", "", alert.KindAlert, alert.Resolved, "lib-1!Tape library lib-1", "alertname=Tape library lib-1,host=lib-1", "Tape library lib-1: recovered"},
		{"hello", "Ref: 4711", alert.KindInformation, alert.Unknown, "4711", "alertname=hello", "hello"},
		{"Generator 2 on", "", alert.KindAlert, alert.Firing, "mail!robot@example.com!generator 2", "alertname=Generator 2", "Generator 2 on"},
		{"Generator 2: OK", "", alert.KindAlert, alert.Resolved, "mail!robot@example.com!generator 2", "alertname=Generator 2", "Generator 2: OK"},
	} {
		b, err := f.Decode(ingest.Request{Body: []byte(letter(c.subject, c.text))})
		if err != nil || len(b.Alerts) != 1 || len(b.Unparsed) > 0 {
			t.Fatalf("%s: %+v, %v", c.subject, b, err)
		}
		a := b.Alerts[0]
		if a.Kind != c.kind || a.Status != c.status || a.Key != c.key || labels(a) != c.labels || a.Annotations.Get("summary") != c.summary || a.Annotations.Get("parser") == "" {
			t.Errorf("%s: got %v, %v, key %q, %s, %q", c.subject, a.Kind, a.Status, a.Key, labels(a), a.Annotations.Get("summary"))
		}
	}
	if a := mustOne(t, f, letter("Tape library", "x")); a.Flags != 0 {
		t.Errorf("a rule without a finding: flags %v", a.Flags.Names())
	}
	other := strings.Replace(letter("Tape library lib-1: broken", text), "Robot@", "x@", 1)
	if a := mustOne(t, f, other); a.Flags&alert.FlagUnparsed == 0 {
		t.Error("a rule took the mail of another sender")
	}
	if a := mustOne(t, f, letter("Re: Tape library lib-1: broken", "x")); a.Kind != alert.KindInformation {
		t.Errorf("a reply is %v", a.Kind)
	}
}

func mustOne(t *testing.T, f ingest.Format, raw string) alert.Alert {
	t.Helper()
	b, err := f.Decode(ingest.Request{Body: []byte(raw)})
	if err != nil || len(b.Alerts) != 1 {
		t.Fatalf("%+v, %v", b, err)
	}
	return b.Alerts[0]
}

// TestRuleLimits: expressions from a configuration cannot take long.
func TestRuleLimits(t *testing.T) {
	for pattern, want := range map[string]string{
		strings.Repeat("a", maxPattern+1): "longer than",
		"(":                               "not a regular expression",
		"(a{100}){100}":                   "not a regular expression",
		"(x{30}){30}":                     "too large",
		"(a?){180}b":                      "too large",
	} {
		if _, err := compileBounded(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", pattern, err, want)
		}
	}
	if _, err := compileBounded(`(?i)^\[(\w+)\] (?P<host>[a-z0-9.-]+): (?P<summary>.*)$`); err != nil {
		t.Errorf("a usual one: %v", err)
	}
}

// BenchmarkRuleWorst: the worst expression that is allowed, on the longest text.
func BenchmarkRuleWorst(b *testing.B) {
	for _, pattern := range []string{`(?P<host>(a+)+)$`, `(a|a?)+(a|a?)+(a|a?)+b`, `(?s).*.*.*.*=.*`, `(a?){90}b`, `([ab]{1,9}){1,5}c`} {
		b.Run(pattern, func(b *testing.B) {
			re, err := compileBounded(pattern)
			if err != nil {
				b.Skip(err)
			}
			text := strings.Repeat("a", maxInput)
			for b.Loop() {
				re.FindStringSubmatch(text)
			}
		})
	}
}

func TestConfigureMistakes(t *testing.T) {
	_, err := Format.Configure(ingest.SourceConfig{Email: ingest.EmailConfig{Require: []string{"spf"}, Senders: []string{"a b"}, Parsers: []ingest.EmailParser{{}}}})
	var mistakes ingest.ConfigMistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 3 || !strings.Contains(err.Error(), "email.parsers[0]") {
		t.Errorf("got %v, want three mistakes", err)
	}
	for _, m := range mistakes {
		if !strings.HasPrefix(m.Path, "email.") || m.Message == "" {
			t.Errorf("got %+v", m)
		}
	}
}

// TestAdmission: who may send to a source, and what must be known of the sender.
func TestAdmission(t *testing.T) {
	const results = "Authentication-Results: mx.example.net 1; spf=pass smtp.mailfrom=robot@example.com;\r\n dkim=fail header.d=x.example; dkim=pass header.d=example.com;\r\n dmarc=pass header.from=example.com\r\n"
	const forged = "Authentication-Results: other.example.net; spf=pass; dkim=pass; dmarc=pass\r\n"
	to := "To: Ops <ops@example.org>, alerts@gw.example.org\r\n"
	for _, c := range []struct {
		name   string
		config ingest.EmailConfig
		more   string
		want   string // what the refusal says; empty: let in
	}{
		{"everybody", ingest.EmailConfig{}, "", ""},
		{"the address", ingest.EmailConfig{Senders: []string{"Robot@example.com"}}, "", ""},
		{"the domain", ingest.EmailConfig{Senders: []string{"example.com"}}, "", ""},
		{"the domain with @", ingest.EmailConfig{Senders: []string{"@example.com"}}, "", ""},
		{"another address", ingest.EmailConfig{Senders: []string{"other@example.com", "ple.com"}}, "", "none of the senders"},
		{"the recipient", ingest.EmailConfig{Recipients: []string{"alerts@gw.example.org"}}, to, ""},
		{"the recipient's domain", ingest.EmailConfig{Recipients: []string{"gw.example.org"}}, to, ""},
		{"delivered to", ingest.EmailConfig{Recipients: []string{"gw.example.org"}}, "Delivered-To: x@gw.example.org\r\n", ""},
		{"another recipient", ingest.EmailConfig{Recipients: []string{"x@gw.example.org"}}, to, "none of the recipients"},
		{"checked", ingest.EmailConfig{AuthservID: "MX.example.net", Require: []string{"spf", "dkim", "dmarc"}}, results, ""},
		{"not checked", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"spf"}}, "", "SPF passes, but it is: not checked"},
		{"by somebody else", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"dkim"}}, forged, "DKIM passes, but it is: not checked"},
		{"a quoted sender", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"dkim"}},
			"Authentication-Results: mx.example.net; spf=fail smtp.mailfrom=\"x; dkim=pass ;\"@evil.example (a; dkim=pass); dkim=none\r\n", "it is: none"},
		{"signed by somebody else", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"dkim"}},
			"Authentication-Results: mx.example.net; dkim=pass header.d=evil.example\r\n", "it is: pass of evil.example"},
		{"sent by somebody else", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"spf"}},
			"Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=x@notexample.com\r\n", "it is: pass of notexample.com"},
		{"signed by two", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"dkim"}},
			"Authentication-Results: mx.example.net; dkim=pass header.d=evil.example; dkim=pass header.i=@mail.example.com\r\n", ""},
		{"failed", ingest.EmailConfig{AuthservID: "mx.example.net", Require: []string{"dmarc"}}, "Authentication-Results: mx.example.net; dmarc=fail (p=none)\r\n", "it is: fail"},
	} {
		b, err := configured(t, c.config).Decode(ingest.Request{Body: []byte(letter("** PROBLEM Host Alert: a is DOWN **", "Notification Type: PROBLEM\r\n", c.more))})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case c.name == "checked":
			for _, method := range methods {
				if got := b.Alerts[0].Annotations.Get(method); got != "pass" {
					t.Errorf("%s: got %q", method, got)
				}
			}
		}
	}
	b := decode(t, letter("x", "y", results))
	if got := b.Alerts[0].Annotations.Get("spf"); got != "" {
		t.Errorf("nobody is trusted, but spf is %q", got)
	}
}

const mailgunForm = "recipient=alerts%40gw.example.org&sender=nagios%40mon.example.net&subject=%2A%2A+PROBLEM+Host+Alert%3A+gw-01+is+DOWN+%2A%2A&from=Nagios+%3Cnagios%40mon.example.net%3E" +
	"&Message-Id=%3Cx1%40mon.example.net%3E&Date=Sat%2C+21+Nov+2026+01%3A31%3A28+%2B0000&body-plain=Notification+Type%3A+PROBLEM%0AHost%3A+gw-01%0AState%3A+DOWN%0AInfo%3A+no+ping%0A" +
	"&message-headers=%5B%5B%22Auto-Submitted%22%2C+%22auto-generated%22%5D%5D&timestamp=1&token=secret&signature=s"

var sendgridForm = sendgrid("from", "Nagios <nagios@mon.example.net>", "subject", "** PROBLEM Host Alert: gw-01 is DOWN **", "text",
	"Notification Type: PROBLEM\nHost: gw-01\nState: DOWN\nInfo: no ping\n", "headers", "Message-Id: <x1@mon.example.net>\nDate: Sat, 21 Nov 2026 01:31:28 +0000\n")

const postmarkJSON = `{"From":"nagios@mon.example.net","Subject":"** PROBLEM Host Alert: gw-01 is DOWN **","MessageID":"22c74902","Date":"Sat, 21 Nov 2026 01:31:28 +0000",
"TextBody":"Notification Type: PROBLEM\nHost: gw-01\nState: DOWN\nInfo: no ping\n","HtmlBody":"","Headers":[{"Name":"Message-ID","Value":"<x1@mon.example.net>"}],"Attachments":[]}`

func sendgrid(pairs ...string) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString("--xYzZY\r\nContent-Disposition: form-data; name=\"" + pairs[i] + "\"\r\n\r\n" + pairs[i+1] + "\r\n")
	}
	return b.String() + "--xYzZY--\r\n"
}

// TestProviders: what services post is the mail that they received.
func TestProviders(t *testing.T) {
	raw := strings.ReplaceAll(letter("** PROBLEM Host Alert: gw-01 is DOWN **", "Notification Type: PROBLEM\r\nHost: gw-01\r\nState: DOWN\r\nInfo: no ping\r\n"), "1@example.com", "x1@mon.example.net")
	for name, body := range map[string]string{
		"Mailgun, in fields":    mailgunForm,
		"Mailgun, as it came":   sendgrid("recipient", "x", "body-mime", raw, "token", "t"),
		"SendGrid, in fields":   sendgridForm,
		"SendGrid, as it came":  sendgrid("from", "other", "email", raw),
		"SendGrid, with a file": strings.Replace(sendgridForm, "--xYzZY--", "--xYzZY\r\nContent-Disposition: form-data; name=\"attachment1\"; filename=\"text\"\r\n\r\nzip\r\n--xYzZY--", 1),
		"Postmark":              postmarkJSON,
		"Postmark, as it came":  `{"From":"x","RawEmail":` + quoteJSON(raw) + `}`,
		"raw":                   raw,
		"Mailgun, 8 bit in fields": sendgrid("from", "nagios@mon.example.net", "subject", "** PROBLEM Host Alert: gw-01 is DOWN **", "body-plain", "Notification Type: PROBLEM\nHost: gw-01\nState: DOWN\nInfo: no ping\n\nK\xf6ln",
			"Message-Id", "<x1@mon.example.net>", "Date", "Sat, 21 Nov 2026 01:31:28 +0000"),
	} {
		b, err := Format.Decode(ingest.Request{Source: "email", Body: []byte(body), ReceivedAt: received})
		if err != nil || len(b.Alerts) != 1 {
			t.Fatalf("%s: %+v, %v", name, b, err)
		}
		a := b.Alerts[0]
		if a.Key != "gw-01" || a.Status != alert.Firing || a.Identity != "x1@mon.example.net" || a.Annotations.Get("summary") != "no ping" ||
			!a.EventAt.Equal(time.Date(2026, 11, 21, 1, 31, 28, 0, time.UTC)) {
			t.Errorf("%s: got key %q, %v, identity %q, %q, at %v", name, a.Key, a.Status, a.Identity, a.Annotations.Get("summary"), a.EventAt)
		}
		for _, l := range a.Annotations {
			if strings.Contains(l.Value, "secret") {
				t.Errorf("%s: %s holds a credential", name, l.Name)
			}
		}
	}
	for name, body := range map[string]string{"too many fields": strings.Repeat("a=b&", 1000), "escapes": "from=%zz", "headers": "from=a&subject=b&message-headers=x"} {
		if _, err := Format.Decode(ingest.Request{Body: []byte(body)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`, `"`, `\"`).Replace(s) + `"`
}
