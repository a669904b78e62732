package email

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

// FuzzMail checks what holds for any body: the walker, the parsers and the posts
// of services are behind it.
func FuzzMail(f *testing.F) {
	for _, raw := range captures(f) {
		if len(raw) < 4<<10 {
			f.Add(raw)
		}
	}
	for _, raw := range []string{nested(12), attached(12), wide(120), letter("Fwd: x", "-----Original Message-----\nSubject: y\n\nz"), mailgunForm, sendgridForm, postmarkJSON} {
		f.Add([]byte(raw))
	}
	format, err := Format.Configure(ingest.SourceConfig{Email: testConfig})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, format := range []ingest.Format{Format, format} {
			r := ingest.Request{Source: "email", Body: body, ReceivedAt: received}
			got, err := ingesttest.Check(t, format, r)
			if err != nil {
				var bad *ingest.BodyError
				if errors.As(err, &bad) && Sniff(body) && bad.Foreign {
					t.Fatalf("error %#v", err)
				}
				continue
			}
			if len(got.Alerts) == 0 || len(got.Alerts) > maxLines {
				t.Fatalf("%d alerts", len(got.Alerts))
			}
			for i := range got.Alerts {
				checkMail(t, &got.Alerts[i])
			}
		}
	})
}

// FuzzHeader: fields, addresses, dates and encoded words, of which the first two
// are as long as what they are made of at most.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"=?utf-8?Q?a=C3=B6?= =?utf-8?B?w7Y=?=", "Robot <robot@example.com> (x)", `text/plain; charset="x"; boundary=b`, "Sat, 21 Nov 2026 01:31:28 +0000",
		"A: b\r\n c\r\nD: e\n\nbody", "=?=?=?", "Re: [OPS-1] OK -> CRITICAL 10.0.0.1:80 12% 1m 2s"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, body, _ := splitHeader(raw)
		n := len(body)
		for _, field := range h {
			n += len(field.name) + len(field.value)
		}
		if n > len(raw) {
			t.Fatalf("%d bytes made %d", len(raw), n)
		}
		s := string(raw)
		text, _ := decodeWords(s)
		a := parseAddress(s)
		_, params := contentType(s)
		_ = parseDate(s)
		name, key, _ := subjectName(text)
		for _, out := range []string{text, a.addr, a.name, name, key} {
			if !utf8.ValidString(out) {
				t.Fatalf("%q is not valid UTF-8", out)
			}
		}
		if len(params) > 20 || name == "" || key != strings.ToLower(name) || len(name) > maxSubjectName {
			t.Fatalf("%d parameters, name %q, key %q", len(params), name, key)
		}
	})
}

// FuzzText: charsets, transfer encodings and pages give clean text, which is not
// much longer than what it was made of.
func FuzzText(f *testing.F) {
	for _, s := range []string{"utf-16|\xff\xfea\x00", "iso-2022-jp|\x1b$B$3\x1b(B", "windows-1252|\x80", "x|<p>a<br>b<td>c", "gb2312|\xc4\xe3", "|a=3D=\r\nb", "|aGVsbG8=",
		"utf-7|+ADw-", `|<a href="https://x.example">y</a><pre> z`, "hz-gb-2312|~{VP~}", "utf-32|\x00\x00\xfe\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		label, raw, _ := strings.Cut(s, "|")
		text, _ := toUTF8(label, []byte(raw))
		page := htmlText(text)
		for _, out := range []string{text, page} {
			if !utf8.ValidString(out) || strings.ContainsRune(out, 0) {
				t.Fatalf("%q is not clean", out)
			}
		}
		if len(text) > 8*len(raw)+8 || len(page) > 3*len(text)+8 {
			t.Fatalf("%d bytes made %d, and %d", len(raw), len(text), len(page))
		}
		for _, encoding := range []string{"base64", "quoted-printable"} {
			if out, _ := decodeTransfer([]byte(raw), encoding, 100); len(out) > min(100, len(raw)) {
				t.Fatalf("%s: %d bytes made %d", encoding, len(raw), len(out))
			}
		}
	})
}
