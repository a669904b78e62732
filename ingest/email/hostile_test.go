package email

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

const head = "From: a@example.com\r\nSubject: hello\r\n"

// nested is a mail of so many levels.
func nested(levels int) string {
	var b strings.Builder
	b.WriteString(head)
	for i := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\r\n\r\ndeep\r\n")
	return b.String()
}

// attached is a mail in a mail in a mail.
func attached(levels int) string {
	return strings.Repeat(head+"Content-Type: message/rfc822\r\n\r\n", levels) + head + "\r\ndeep\r\n"
}

// wide is a mail of so many parts.
func wide(parts int) string {
	return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n", parts) + "--b--\r\n"
}

func hostile() map[string]string {
	const multipart = head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	return map[string]string{
		"5,000 levels":           nested(5000),
		"5,000 attached levels":  attached(5000),
		"100,000 parts":          wide(100_000),
		"parts with headers":     multipart + strings.Repeat("--b\r\n"+strings.Repeat("a:\r\n", 500)+"\r\n", 4000),
		"mails with headers":     multipart + strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\n"+strings.Repeat("a:\r\n", 500)+"\r\n", 1000),
		"mails in mails":         multipart + strings.Repeat("--b\r\nContent-Type: message/rfc822\r\n\r\n"+attached(9), 50),
		"addresses":              "Subject: x\r\nFrom: " + strings.Repeat("<,(\"", 1<<18) + "\r\n\r\nx",
		"a boundary of dashes":   head + "Content-Type: multipart/mixed; boundary=" + strings.Repeat("-", 60) + "\r\n\r\n" + strings.Repeat("-", 4<<20),
		"delimiters on one line": multipart + strings.Repeat("--b ", 1<<20),
		"a header without end":   head + strings.Repeat("X-A: b\r\n", 500_000),
		"one long field":         head + "X-A: " + strings.Repeat("a", 4<<20) + "\r\n\r\nx",
		"a field of many lines":  head + "X-A: b\r\n" + strings.Repeat(" c\r\n", 1<<20) + "\r\nx",
		"a long subject":         "From: a@b\r\nSubject: " + strings.Repeat("=?utf-8?Q?", 100_000) + "\r\n\r\nx",
		"words without end":      "From: a@b\r\nSubject: " + strings.Repeat("=?utf-8?Q?=41?= ", 100_000) + "\r\n\r\nx",
		"half words":             "From: a@b\r\nSubject: " + strings.Repeat("=?", 1<<20) + "\r\n\r\nx",
		"a large attachment":     multipart + "--b\r\nContent-Type: application/zip\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("UEsDBBQAAAAIAA==\r\n", 1<<20) + "--b--\r\n",
		"a large text":           head + "\r\n" + strings.Repeat("hello world\r\n", 1<<20),
		"a text without lines":   head + "\r\n" + strings.Repeat("a", 8<<20),
		"a text of empty lines":  head + "\r\n" + strings.Repeat("\n", 8<<20),
		"many texts":             multipart + strings.Repeat("--b\r\n\r\n"+strings.Repeat("a", 300<<10)+"\r\n", 20),
		"base64 of one line":     head + "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUFB", 2<<20),
		"quoted-printable":       head + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=\t", 2<<20),
		"a page of open tags":    head + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<div><table><tr><td>", 1<<18),
		"a page of attributes":   head + "Content-Type: text/html\r\n\r\n<a " + strings.Repeat("href=x ", 1<<19),
		"a page of entities":     head + "Content-Type: text/html\r\n\r\n" + strings.Repeat("&amp;&#x1F534;&", 1<<18),
		"a page never closed":    head + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<!--<script>", 1<<18),
		"UTF-16":                 head + "Content-Type: text/plain; charset=utf-16\r\n\r\n" + strings.Repeat("\xd8\x00", 1<<20),
		"UTF-7":                  head + "Content-Type: text/plain; charset=utf-7\r\n\r\n" + strings.Repeat("+ADw-", 1<<20),
		"ISO-2022-JP":            head + "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + strings.Repeat("\x1b$B\x1b(B", 1<<18),
		"parameters":             head + "Content-Type: text/plain" + strings.Repeat("; a=b", 1<<18) + "\r\n\r\nx",
		"forwarded, many times":  "From: a@b\r\nSubject: Fwd: x\r\n\r\n" + strings.Repeat("-----Original Message-----\r\n\r\n", 1<<16),
		"Alertmanager's page":    "From: a@b\r\nSubject: [FIRING:1] x\r\nContent-Type: text/html\r\n\r\n" + strings.Repeat("[1] Firing<br>Labels<br>a = b<br>", 1<<16),
		"Nagios' fields":         "From: a@b\r\nSubject: x\r\n\r\n" + strings.Repeat("Notification Type: PROBLEM\r\nHost\r\n", 1<<16),
		"Zabbix' first line":     "From: a@b\r\nSubject: Updated problem: x\r\nIn-Reply-To: <1." + strings.Repeat("a", 32) + ".1>\r\n\r\n" + strings.Repeat("a (b) ", 1<<16),
	}
}

// TestHostileMails: what it costs is bounded, whatever is sent, and each is an
// alert. Bytes and parts are counted, because the time depends on the machine; it
// is in BenchmarkHostile.
func TestHostileMails(t *testing.T) {
	for name, raw := range hostile() {
		t.Run(name, func(t *testing.T) {
			body := []byte(raw)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := Format.Decode(ingest.Request{Source: "email", Body: body, ReceivedAt: received})
			runtime.ReadMemStats(&after)
			if err != nil || len(b.Alerts) == 0 || len(b.Alerts) > maxLines {
				t.Fatalf("got %d alerts, %v", len(b.Alerts), err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 20<<20 {
				t.Errorf("%d bytes were allocated for a mail of %d", used, len(body))
			}
			text := 0
			for i := range b.Alerts {
				checkMail(t, &b.Alerts[i])
				text += len(b.Alerts[i].Annotations.Get("description"))
			}
			if text > 3*maxKept {
				t.Errorf("%d bytes of text were kept", text)
			}
		})
	}
}

// TestLimitsOfParts: a mail at the limits is read, one over them says that
// something was left out.
func TestLimitsOfParts(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		cut       bool
	}{
		{"as deep as it may be", nested(maxDepth), false},
		{"deeper", nested(maxDepth + 1), true},
		{"as many parts as there may be", wide(maxParts - 1), false},
		{"more", wide(maxParts), true},
		{"a header as large as it may be", head + strings.Repeat("X-A: "+strings.Repeat("a", 993)+"\r\n", 250) + "\r\nx", false},
		{"larger", head + strings.Repeat("X-A: "+strings.Repeat("a", 993)+"\r\n", 300) + "\r\nx", true},
		{"a text as long as it may be", head + "\r\n" + strings.Repeat("a", maxText), false},
		{"longer", head + "\r\n" + strings.Repeat("a", maxText+1), true},
	} {
		if a := decodeOne(t, c.raw); (a.Flags&alert.FlagCut != 0) != c.cut {
			t.Errorf("%s: got flags %v", c.name, a.Flags.Names())
		}
	}
	w := &walker{}
	w.message([]byte(wide(100_000)), 0)
	if w.parts > maxParts+1 {
		t.Errorf("%d parts were looked at", w.parts)
	}
	if w = (&walker{}); w.message([]byte(nested(5000)), 0) == nil || w.parts > maxDepth+2 {
		t.Errorf("%d levels were looked at", w.parts)
	}
}

// TestBroken: mails that break the rules are read as far as it goes.
func TestBroken(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"no last boundary":       {head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe text", "the text"},
		"bare line feeds":        {"From: a@b\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\nContent-Type: text/plain\n\nthe text\n--b--\nepilogue", "the text"},
		"no boundary":            {head + "Content-Type: multipart/mixed\r\n\r\nthe text", "the text"},
		"a wrong boundary":       {head + "Content-Type: multipart/mixed; boundary=c\r\n\r\n--b\r\n\r\nthe text", "--b\n\nthe text"},
		"no body":                {head, ""},
		"nothing but a header":   {"From: a@b\r\nSubject: x", ""},
		"blanks behind boundary": {head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b  \r\n\r\nthe text\r\n--b--  \r\n", "the text"},
		"boundary in the text":   {head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe --b text\r\n--bc\r\n--b--", "the --b text\n--bc"},
		"base64 in the inner":    {head + "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nRnJvbTogYUBiClN1YmplY3Q6IHgKCnRoZSB0ZXh0", "the text"},
		"an empty text, a page":  {head + "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>the text</p>\r\n--b--", "the text"},
	} {
		b := decode(t, c.raw)
		if got := b.Alerts[0].Annotations.Get("description"); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, raw := range hostile() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Format.Decode(ingest.Request{Source: "email", Body: []byte(raw), ReceivedAt: received}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMail decodes all captured mails in turn.
func BenchmarkMail(b *testing.B) {
	all := captures(b)
	for _, name := range []string{"nagios/email/001-service-problem-warning.eml", "alertmanager/0.34/email-default/02-mixed.eml", "zabbix/email-html/01-problem.eml",
		"synthesized-mails/multipart/alternative.eml"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(all[name])))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				batch, err := Format.Decode(ingest.Request{Source: "email", Body: all[name], ReceivedAt: received})
				if err != nil {
					b.Fatal(err)
				}
				n += len(batch.Alerts)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
		})
	}
}
