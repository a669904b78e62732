package email

import (
	"strings"
	"testing"
)

func TestDecodeWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                    "plain",
		"=?utf-8?Q?Gr=C3=B6=C3=9Fe?=":              "Größe",
		"=?UTF-8?b?R3LDtsOfZQ==?= x":               "Größe x",
		"=?utf-8?Q?a?= =?utf-8?Q?b?=":              "ab",
		"=?utf-8?Q?a?= =?iso-8859-1?Q?=F6?=":       "aö",
		"a =?utf-8?Q?b?= c":                        "a b c",
		"=?utf-8?Q?a_b?=":                          "a b",
		"=?utf-8?B?8J+U?= =?utf-8?B?tA==?=":        "🔴", // cut within a character
		"=?utf-8?Q?with blank?=":                   "with blank",
		"=?utf-8?Q?never ends":                     "=?utf-8?Q?never ends",
		"=?utf-8?X?what?=":                         "=?utf-8?X?what?=",
		"=?nonsense-9?Q?Gr=F6=DFe?=":               "Größe",
		"=?utf-8*en?Q?lang?=":                      "lang",
		"=? =?utf-8?Q?a?=":                         "=? a",
		"Gr\xf6\xdfe":                              "Größe",
		"Größe":                                    "Größe",
		"=?us-ascii?Q?Gr=C3=B6=C3=9Fe?=":           "Größe",
		"=?utf-8?Q?a=00b?=":                        "a\uFFFDb",
		"=?iso-2022-jp?B?GyRCJDMkcxsoQg==?=":       "こん",
		"=?utf-8?Q??=":                             "",
		"=?utf-8?B?!!!!?=":                         "",
		"=?utf-8?Q?=5BKeyword?=\r\n =?utf-8?Q?x?=": "[Keywordx",
	} {
		h, _, _ := splitHeader([]byte("Subject: " + in + "\r\n\r\n"))
		if got, _ := h.text("Subject"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	h, body, whole := splitHeader([]byte("A: 1\nb : 2\r\nC: 3\r\n\t4\r\n 5\nA: 6\n\nbody"))
	if !whole || string(body) != "body" || h.get("a") != "1" || h.get("B") != "2" || h.get("C") != "3\t4 5" || h.get("D") != "" {
		t.Errorf("got %q, body %q", h, body)
	}
	if h, body, _ := splitHeader([]byte("A: 1\nno field here\nB: 2\n\nx")); len(h) != 1 || string(body) != "no field here\nB: 2\n\nx" {
		t.Errorf("a line that is none: got %d fields, body %q", len(h), body)
	}
	if h, body, _ := splitHeader([]byte("\r\nA: 1\r\n")); len(h) != 0 || string(body) != "A: 1\r\n" {
		t.Errorf("a part without a header: got %d fields, body %q", len(h), body)
	}
	for in, want := range map[string]address{
		"Robot <Robot@Example.com>":            {"Robot", "robot@example.com"},
		`"Doe, Jane" <j@example.com>`:          {"Doe, Jane", "j@example.com"},
		"root@web-01 (Cron Daemon)":            {"Cron Daemon", "root@web-01"},
		"a@example.com, b@example.com":         {"", "a@example.com"},
		"mdadm monitoring <root>":              {"mdadm monitoring", "root"},
		"<zabbix@example.com>":                 {"", "zabbix@example.com"},
		"=?utf-8?Q?J=C3=BCrgen?= <j@x.example": {"Jürgen", "j@x.example"},
		"":                                     {},
		"<>":                                   {},
	} {
		if got := parseAddress(in); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
	for field, want := range map[string]string{
		"From: Robot <Robot@Example.com>":             "robot@example.com",
		"From : a@example.com":                        "a@example.com",
		"From: a@example.com (<b@example.com>)":       "a@example.com",
		"From: <a@example.com> (<b@example.com>)":     "a@example.com",
		`From: "<b@example.com>" <a@example.com>`:     "a@example.com",
		`From: "a\" <b@example.com>" <a@example.com>`: "a@example.com",
		"From: (a (b) <b@example.com>) a@example.com": "a@example.com",
		"From: b@example.com <a@example.com>":         "a@example.com",
		"From: Doe, Jane <a@example.com>":             "a@example.com",
		"From: a@example.com, b@example.com":          "",
		"From: <a@example.com> <b@example.com>":       "",
		"From: <a@example.com> b@example.com":         "",
		"From: a@example.com b@example.com":           "",
		"From: <a@example.com,b@example.com>":         "",
		"From: a@example.com\r\nFROM : a@example.com": "",
		"Sender: a@example.com":                       "",
		"\r\n\r\nFrom: a@example.com":                 "a@example.com",
		"X: y\r\n\r\nFrom: a@example.com":             "",
	} {
		if got := From([]byte(field + "\r\n\r\n")); got != want {
			t.Errorf("%q: got %q, want %q", field, got, want)
		}
	}
	for in, want := range map[string]string{
		`text/plain; charset="utf-8"`:                   "text/plain utf-8 ",
		"TEXT/HTML;Charset=UTF-8":                       "text/html UTF-8 ",
		`multipart/mixed;  boundary=a;x;charset = utf8`: "multipart/mixed utf8 a",
		`multipart/mixed; boundary="a;b"; charset=x`:    "multipart/mixed x a;b",
		";;;":        "  ",
		"text; =; a": "text  ",
	} {
		media, params := contentType(in)
		if got := media + " " + params["charset"] + " " + params["boundary"]; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if d := parseDate("Sat, 21 Nov 2026 01:31:27 +0000 (UTC)"); d.IsZero() {
		t.Error("a date with a remark is not read")
	}
	for _, bad := range []string{"", "yesterday", "Sat, 21 Nov 0001 01:31:27 +0000", strings.Repeat("x", 1000)} {
		if d := parseDate(bad); !d.IsZero() {
			t.Errorf("%q: got %v", bad, d)
		}
	}
}

func TestTransfer(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "aGVs\r\nbG8=", "hello"},
		{"base64", "aGVsbG8", "hello"},
		{"base64", "aGVs!bG8=aGVsbG8=", "hellohello"},
		{"base64", "=====", ""},
		{"quoted-printable", "a=3Db=\r\nc=20\nd", "a=bc \nd"},
		{"quoted-printable", "a=  \r\nb", "ab"},
		{"quoted-printable", "100%=zz=", "100%=zz"},
		{"7bit", "as it is", "as it is"},
		{"x-unknown", "as it is", "as it is"},
	} {
		if got, cut := decodeTransfer([]byte(c.in), c.encoding, 1000); string(got) != c.want || cut {
			t.Errorf("%s %q: got %q, cut %v; want %q", c.encoding, c.in, got, cut, c.want)
		}
	}
	for _, encoding := range []string{"base64", "quoted-printable", "8bit"} {
		if got, cut := decodeTransfer([]byte(strings.Repeat("aaaa", 100)), encoding, 10); len(got) != 10 || !cut {
			t.Errorf("%s: got %d bytes, cut %v", encoding, len(got), cut)
		}
	}
}

func TestCharset(t *testing.T) {
	for _, c := range []struct{ label, raw, want string }{
		{"utf-8", "Größe", "Größe"},
		{"ANSI_X3.4-1968", "Köln", "Köln"},
		{"us-ascii", "K\xf6ln", "Köln"},
		{"iso-8859-1", "\x80 5", "€ 5"},
		{"iso-8859-1", "Köln", "Köln"}, // UTF-8 that says it is not
		{"x-unknown-9", "Köln", "Köln"},
		{"x-unknown-9", "K\xf6ln", "Köln"},
		{"utf-16", "\xff\xfeK\x00\xf6\x00", "Kö"},
		{"utf-16be", "\x00K\x00\xf6", "Kö"},
		{"koi8-r", "\xf0\xd2\xc9", "При"},
		{"shift_jis", "\x82\xb1", "こ"},
		{"gb2312", "\xc4\xe3", "你"},
		{"", "\xef\xbb\xbfx", "x"},
		{"'UTF-8'", "x\x00", "x\uFFFD"},
	} {
		if got, _ := toUTF8(c.label, []byte(c.raw)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.label, c.raw, got, c.want)
		}
	}
}

func TestHTMLText(t *testing.T) {
	for in, want := range map[string]string{
		"<p>a</p><p>b</p>": "a\nb",
		"<style>p{}</style><script>x</script>a <b>b</b>":             "a b",
		"<table><tr><td>Host</td><td>web-01</td></tr><tr><td>x</td>": "Host\tweb-01\nx",
		"a<br>b<br/>c":                                        "a\nb\nc",
		"a &amp; &lt;b&gt; &#34;c&#34; &nbsp;d":               `a & <b> "c" d`,
		`<a href="https://x.example/?a=1&amp;b=2">Source</a>`: "Source <https://x.example/?a=1&b=2>",
		`<a href="javascript:alert(1)">x</a>`:                 "x",
		"<pre>a\n  b</pre>c":                                  "a\n  b\nc",
		"<head><title>t</title></head><body>x":                "x",
		"<head><style>never closed":                           "",
		"plain":                                               "plain",
		"<":                                                   "<",
		"":                                                    "",
	} {
		if got := htmlText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
