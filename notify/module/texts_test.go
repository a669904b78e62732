package module

import (
	"net/url"
	"strings"
	"testing"

	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	commoncfg "github.com/prometheus/common/config"
)

func TestEscape(t *testing.T) {
	for _, c := range []struct {
		name     string
		escape   func(string) string
		in, want string
	}{
		{"markdown", markdown, "node_exporter *x* `y` [a](b) ![c](d)", "node\\_exporter \\*x\\* \\`y\\` \\[a\\](b) \\!\\[c\\](d)"},
		{"markdown", markdown, "&commat;channel &#64;here", `\&commat;channel \&\#64;here`},
		{"markdown", markdown, "a\n---\n- b\n  + c\n===", "a\n\\---\n\\- b\n  \\+ c\n\\==="},
		{"markdown", markdown, "see https://x.example.com/a_b?c=*#d_e now", "see https://x.example.com/a%5Fb?c=%2A#d%5Fe now"},
		{"markdown", markdown, "https://a_b.example.com", "https://a_b.example.com"},
		{"markdown", markdown, "https://x.example.com/)[y](https://evil.example.com", "https://x.example.com/%29%5By%5D%28https://evil.example.com"},
		{"markdown", markdown, "<!here> @all", "<" + apart + "\\!here\\> @" + apart + "all"},
		{"mentions", mentions, "@all https://x.example.com/@all a@b", "@" + apart + "all https://x.example.com/@all a@" + apart + "b"},
		{"old Telegram", telegramMarkdown, `a_b \_ [x`, `a\_b \\_ \[x`},
		{"new Telegram", telegramMarkdownV2, `a_b \ 1.5!`, `a\_b \\ 1\.5\!`},
		{"WeChat text", wechatText, `<a href="x">`, "<" + apart + `a href="x">`},
		{"WeChat Markdown", wechatMarkdown, "**[a](b)** https://x_y.example.com/_", "＊＊［a］(b)＊＊ https://x_y.example.com/%5F"},
		{"clean", clean, "a\x00b\u202ec\xffd\re\tf\n", "abc\uFFFDde\tf\n"},
	} {
		if got := c.escape(c.in); got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.name, c.in, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		limit    limit
		in, want string
	}{
		{characters(5), "abcde", "abcde"},
		{characters(5), "abcdef", "abcd…"},
		{characters(3), "日本語文", "日本…"},
		{octets(8), "日本語文", "日…"},
		{octets(3), "日本語文", "…"},
		{octets(2), "日本語文", ""},
		{octets(-1), "abc", ""},
		{characters(4), `ab\\cd`, "ab…"},
		{asJSON(8), "<<<", "…"},
		{asJSON(4), "<<<", ""},
		{asJSON(11), "<<<", "<…"},
		{characters(9).less("12345"), "abcdef", "abc…"},
		{limit{}, strings.Repeat("x", 100_000), strings.Repeat("x", 100_000)},
	} {
		if got := c.limit.cut(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// TestSecretsAreFoundByTheirTypes in whatever the module has, and hidden in every
// spelling.
func TestSecretsAreFoundByTheirTypes(t *testing.T) {
	hook, err := url.Parse("https://hooks.example.com/services/abcdefghijklmnopqrst/7?key=k%26y")
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse("http://me:proxypass@proxy.example.com")
	if err != nil {
		t.Fatal(err)
	}
	block := struct {
		Token      commoncfg.Secret
		Hook       *amcommoncfg.SecretURL
		HTTPConfig *commoncfg.HTTPClientConfig
	}{"to<k>en", (*amcommoncfg.SecretURL)(&amcommoncfg.URL{URL: hook}), &commoncfg.HTTPClientConfig{BasicAuth: &commoncfg.BasicAuth{Username: "u", Password: "basicpass"},
		ProxyConfig: commoncfg.ProxyConfig{ProxyURL: commoncfg.URL{URL: proxy}},
		HTTPHeaders: &commoncfg.Headers{Headers: map[string]commoncfg.Header{"X-Key": {Secrets: []commoncfg.Secret{"headersecret"}}}}}}
	s := secretsOf(block)
	for _, text := range []string{"to<k>en", "to%3Ck%3Een", `to\u003ck\u003een`, "https://hooks.example.com/services/abcdefghijklmnopqrst/7?key=k%26y", "abcdefghijklmnopqrst", "k&y", "k%26y",
		"basicpass", "dTpiYXNpY3Bhc3M=", "proxypass", "headersecret"} {
		if got := s.in("before " + text + " behind"); got != "before <secret> behind" {
			t.Errorf("%q: got %q", text, got)
		}
	}
	if got := s.in("nothing"); got != "nothing" {
		t.Errorf("got %q", got)
	}
}
