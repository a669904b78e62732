package module

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/notify"
)

// apart is a character without width. Put behind a sign that begins a mention or
// a tag, it leaves the text as people read it, and nothing for the tool to find.
const apart = "\u200b"

// clean returns a text as valid UTF-8 without what nobody should see: control
// characters but line ends and tabs, and what turns the direction of writing.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), unicode.In(r, unicode.Bidi_Control), r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// words applies a function to the links of a text, and another one to what is
// between them. Begins says that it is the beginning of a line.
func words(s string, word func(s string, begins bool) string, link func(string) string) string {
	var b strings.Builder
	begins := true
	for s = clean(s); s != ""; {
		n := strings.IndexFunc(s, unicode.IsSpace)
		switch n {
		case 0:
			r, size := utf8.DecodeRuneInString(s)
			b.WriteString(s[:size])
			begins = begins || r == '\n'
			s = s[size:]
			continue
		case -1:
			n = len(s)
		}
		if one := s[:n]; notify.WebURL(one) != "" {
			b.WriteString(link(one))
		} else {
			b.WriteString(word(one, begins))
		}
		begins, s = false, s[n:]
	}
	return b.String()
}

// markdown makes a text inert for tools that read Markdown: Discord, Mattermost,
// Webex and Microsoft Teams. They have in common that a backslash takes the
// meaning of the sign behind it (https://spec.commonmark.org/0.31.2/#backslash-escapes),
// and that mentions, and tags of HTML, begin with @ or <.
func markdown(s string) string { return words(s, markdownWord, markdownLink) }

func markdownWord(s string, begins bool) string {
	var b strings.Builder
	for n, r := range s {
		switch r {
		case '\\', '`', '*', '_', '~', '|', '[', ']', '#', '>', '!', '&':
			b.WriteByte('\\')
		case '-', '+', '=':
			if begins && n == 0 { // a list, a line, or the line under a heading
				b.WriteByte('\\')
			}
		}
		b.WriteRune(r)
		if r == '@' || r == '<' {
			b.WriteString(apart)
		}
	}
	return b.String()
}

// markdownLink spells the signs of a link that mean something in Markdown so that
// they mean the same in a link, and nothing else (RFC 3986 section 2.1). The
// host stays as it is.
func markdownLink(s string) string {
	scheme := strings.Index(s, "://") + len("://")
	end := strings.IndexAny(s[scheme:], "/?#")
	if end < 0 {
		return s
	}
	end += scheme
	return s[:end] + linkSigns.Replace(s[end:])
}

var linkSigns = strings.NewReplacer(`\`, "%5C", "*", "%2A", "_", "%5F", "~", "%7E", "[", "%5B", "]", "%5D", "(", "%28", ")", "%29", "!", "%21", "@", "%40")

// mentions takes the meaning of mentions only, for tools without markup, or whose
// markup is taken care of by the template: Telegram in HTML.
func mentions(s string) string {
	return words(s, func(s string, _ bool) string { return strings.ReplaceAll(s, "@", "@"+apart) }, func(s string) string { return s })
}

// telegramMarkdown escapes for the older Markdown of Telegram, and telegramMarkdownV2
// for the newer one: https://core.telegram.org/bots/api#formatting-options.
func telegramMarkdown(s string) string { return telegramSigns.Replace(mentions(s)) }

func telegramMarkdownV2(s string) string { return telegramSignsV2.Replace(mentions(s)) }

var (
	telegramSigns   = escapeSigns("_*`[")
	telegramSignsV2 = escapeSigns("\\_*[]()~`>#+-=|{}.!")
)

func escapeSigns(signs string) *strings.Replacer {
	var pairs []string
	for _, r := range signs {
		pairs = append(pairs, string(r), `\`+string(r))
	}
	return strings.NewReplacer(pairs...)
}

// wechatText takes the meaning of links in HTML, the only markup of WeChat's texts,
// and wechatMarkdown that of its Markdown, which has no escapes, so that the signs
// are replaced by their wide forms: https://developer.work.weixin.qq.com/document/path/90236.
func wechatText(s string) string { return strings.ReplaceAll(clean(s), "<", "<"+apart) }

func wechatMarkdown(s string) string {
	return words(s, func(s string, _ bool) string { return wideSigns.Replace(s) }, markdownLink)
}

var wideSigns = strings.NewReplacer("<", "＜", ">", "＞", "[", "［", "]", "］", "*", "＊", "`", "｀", "#", "＃", "@", "@"+apart)

// asHTML writes a text of ours as HTML.
func asHTML(escape func(string) string) func(string) string {
	return func(s string) string { return html.EscapeString(escape(s)) }
}
