package module

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify/discord"
	"github.com/prometheus/alertmanager/notify/incidentio"
	"github.com/prometheus/alertmanager/notify/mattermost"
	"github.com/prometheus/alertmanager/notify/msteams"
	"github.com/prometheus/alertmanager/notify/telegram"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
)

// block is one block of a receiver as the module gets it.
type block struct {
	name  string
	index int
	// receiver has this block only, in a copy that nobody changes.
	receiver amconfig.Receiver
	fields   []field
	// main is the place of the text that says it all, -1 if there is none.
	main int
	// needsText: the tool refuses a message without it.
	needsText bool
	// escape makes inert what came with an alert.
	escape  func(string) string
	secrets *secrets
	// recognises: the tool shows a message once that it is sent twice.
	recognises bool
	// wholeData: the tool is sent the data that templates see.
	wholeData bool
	// keyPerMessage: the tool drops a message with the key of another one.
	keyPerMessage bool
	// unguarded: it makes its connections without our guard.
	unguarded bool
	rate      notify.Rate
	// unformatted is the block without markup, for a text that the tool cannot read.
	unformatted *block
}

// blocks are those of a receiver that are told by the module.
func blocks(r *amconfig.Receiver) []*block {
	var out []*block
	for n, c := range r.WechatConfigs {
		out = append(out, wechatBlock(n, c))
	}
	for n, c := range r.PushoverConfigs {
		out = append(out, pushoverBlock(n, c))
	}
	for n, c := range r.SNSConfigs {
		out = append(out, snsBlock(n, c))
	}
	for n, c := range r.TelegramConfigs {
		out = append(out, telegramBlock(n, c))
	}
	for n, c := range r.DiscordConfigs {
		out = append(out, discordBlock(n, c))
	}
	for n, c := range r.WebexConfigs {
		out = append(out, webexBlock(n, c))
	}
	for n, c := range r.MSTeamsConfigs {
		out = append(out, msteamsBlock(n, c))
	}
	for n, c := range r.IncidentioConfigs {
		out = append(out, incidentioBlock(n, c))
	}
	for n, c := range r.MattermostConfigs {
		out = append(out, mattermostBlock(n, c))
	}
	for _, b := range out {
		b.receiver.Name = r.Name
		if b.unformatted != nil {
			b.unformatted.receiver.Name = r.Name
		}
	}
	return out
}

// newBlock begins a block; original is it as configured.
func newBlock(name string, index int, escape func(string) string, original any) *block {
	return &block{name: name, index: index, main: -1, escape: escape, secrets: secretsOf(original)}
}

// httpConfig returns a copy for the module in which redirects are not followed: one
// would carry the message, and its secrets, to where nobody meant it to go.
func httpConfig(c *commoncfg.HTTPClientConfig) *commoncfg.HTTPClientConfig {
	own := commoncfg.DefaultHTTPClientConfig
	if c != nil {
		own = *c
	}
	own.FollowRedirects = false
	return &own
}

// take has a text of the block written here. What is empty stays so, and what is
// meant for the tool stays with the module if it is no template.
func (b *block) take(text *string, f field) {
	f.text = *text
	if f.file == "" && (f.text == "" || f.use >= code && !strings.Contains(f.text, "{{")) {
		return
	}
	f.standard = strings.TrimSpace(f.text) == fmt.Sprintf(`{{ template "%s.default.%s" . }}`, b.name, f.name)
	if f.use == body && b.main < 0 {
		b.main = len(b.fields)
	} else if f.use == body {
		f.use = aside
	}
	*text = f.lookUp(len(b.fields))
	b.fields = append(b.fields, f)
}

// discordBlock: https://discord.com/developers/docs/resources/message#embed-object-embed-limits,
// https://discord.com/developers/docs/resources/webhook#execute-webhook. A webhook
// takes thirty messages a minute.
func discordBlock(n int, c *discord.DiscordConfig) *block {
	b := newBlock("discord", n, markdown, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	b.take(&own.Message, field{name: "message", limit: characters(4000)})
	b.take(&own.Title, field{name: "title", use: title, limit: characters(256)})
	b.take(&own.Content, field{name: "content", limit: characters(2000)})
	b.rate = notify.Rate{Messages: 30, Per: time.Minute}
	b.receiver.DiscordConfigs = []*discord.DiscordConfig{&own}
	return b
}

// telegramBlock: https://core.telegram.org/bots/api#sendmessage, and
// https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this for
// twenty messages a minute in a group.
func telegramBlock(n int, c *telegram.TelegramConfig) *block {
	b := telegramBlockAs(n, c, c.ParseMode)
	if c.ParseMode != "" {
		b.unformatted = telegramBlockAs(n, c, "")
	}
	return b
}

func telegramBlockAs(n int, c *telegram.TelegramConfig, mode string) *block {
	b := newBlock("telegram", n, mentions, c)
	own := *c
	own.HTTPConfig, own.ParseMode = httpConfig(c.HTTPConfig), mode
	switch mode {
	case "Markdown":
		b.escape = telegramMarkdown
	case "MarkdownV2":
		b.escape = telegramMarkdownV2
	}
	b.take(&own.Message, field{name: "message", html: mode == "HTML", fragile: mode != "", limit: characters(4096)})
	b.needsText = true
	b.rate = notify.Rate{Messages: 20, Per: time.Minute}
	b.receiver.TelegramConfigs = []*telegram.TelegramConfig{&own}
	return b
}

// webexBlock: https://developer.webex.com/docs/api/v1/messages/create-a-message.
func webexBlock(n int, c *amconfig.WebexConfig) *block {
	b := newBlock("webex", n, markdown, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	// The module panics where it cuts a text of many bytes and few characters.
	b.take(&own.Message, field{name: "message", limit: octets(7439)})
	b.take(&own.RoomID, field{name: "room_id", use: target})
	b.needsText = true
	b.receiver.WebexConfigs = []*amconfig.WebexConfig{&own}
	return b
}

// pushoverBlock: https://pushover.net/api. The module sends what is in token_file
// and user_key_file with the line's end, so they are read here.
func pushoverBlock(n int, c *amconfig.PushoverConfig) *block {
	b := newBlock("pushover", n, clean, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	b.take(&own.Message, field{name: "message", html: c.HTML, fragile: c.HTML, limit: characters(1024)})
	b.take(&own.Title, field{name: "title", use: title, limit: characters(250)})
	b.take(&own.URL, field{name: "url", use: link, limit: characters(512)})
	b.take(&own.URLTitle, field{name: "url_title", use: title, limit: characters(100)})
	b.take(&own.Priority, field{name: "priority", use: code})
	b.take(&own.Device, field{name: "device", use: code})
	b.take(&own.Sound, field{name: "sound", use: code})
	for _, one := range []struct {
		name       string
		text, file *string
	}{{"token_file", (*string)(&own.Token), &own.TokenFile}, {"user_key_file", (*string)(&own.UserKey), &own.UserKeyFile}} {
		if *one.file != "" && *one.text == "" {
			b.take(one.text, field{name: one.name, use: target, file: *one.file})
			*one.file = ""
		}
	}
	b.needsText = true
	b.receiver.PushoverConfigs = []*amconfig.PushoverConfig{&own}
	return b
}

// snsBlock: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html. Attributes
// count as the message does; there is room left for them. What is told to a phone
// may have 1,600 characters, which the module counts in bytes.
func snsBlock(n int, c *amconfig.SNSConfig) *block {
	b := newBlock("sns", n, clean, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	own.HTTPConfig.TLSConfig.CAFile, b.unguarded = bundleFor(c)
	size := octets(240 << 10)
	if c.PhoneNumber != "" {
		size = octets(1600)
	}
	b.take(&own.Message, field{name: "message", limit: size})
	b.take(&own.Subject, field{name: "subject", use: title, limit: characters(99)})
	b.take(&own.APIUrl, field{name: "api_url", use: target})
	b.take(&own.TopicARN, field{name: "topic_arn", use: target})
	b.take(&own.TargetARN, field{name: "target_arn", use: target})
	b.take(&own.PhoneNumber, field{name: "phone_number", use: target})
	own.Attributes = make(map[string]string, len(c.Attributes))
	for name, value := range c.Attributes {
		path := "attributes." + name
		b.take(&name, field{name: path, use: code, limit: octets(256)})
		b.take(&value, field{name: path, use: code, limit: octets(1024), instead: "-"})
		own.Attributes[name] = value
	}
	b.needsText, b.keyPerMessage = true, true
	b.receiver.SNSConfigs = []*amconfig.SNSConfig{&own}
	return b
}

// wechatBlock: https://developer.work.weixin.qq.com/document/path/90236. What is
// more than 2,048 bytes is cut there, in Markdown it is refused.
func wechatBlock(n int, c *amconfig.WechatConfig) *block {
	b := newBlock("wechat", n, wechatText, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	if c.MessageType == "markdown" {
		b.escape = wechatMarkdown
	}
	b.take(&own.Message, field{name: "message", limit: octets(2048)})
	b.take(&own.ToUser, field{name: "to_user", use: code})
	b.take(&own.ToParty, field{name: "to_party", use: code})
	b.take(&own.ToTag, field{name: "to_tag", use: code})
	b.take(&own.AgentID, field{name: "agent_id", use: code})
	b.needsText = true
	b.receiver.WechatConfigs = []*amconfig.WechatConfig{&own}
	return b
}

// msteamsBlock: https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using.
// A card has at most 28 KB as it is sent, and a connector takes four of them a second.
func msteamsBlock(n int, c *msteams.MSTeamsConfig) *block {
	b := newBlock("msteams", n, markdown, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	b.take(&own.Text, field{name: "text", limit: asJSON(22_000)})
	b.take(&own.Title, field{name: "title", use: title, limit: asJSON(2_000)})
	b.take(&own.Summary, field{name: "summary", use: title, limit: asJSON(2_000)})
	b.rate = notify.Rate{Messages: 4, Per: time.Second}
	b.receiver.MSTeamsConfigs = []*msteams.MSTeamsConfig{&own}
	return b
}

// asJSON is a limit in bytes of a text as it is sent.
func asJSON(n int) limit {
	return limit{n, func(s string) int {
		text, err := json.Marshal(s)
		if err != nil {
			return len(s) // unreachable: it is a text
		}
		return len(text)
	}}
}

// incidentioBlock: https://docs.incident.io/alerts/deduplication, and for 120 events
// a minute https://docs.incident.io/incidents/auto-create. The module reads the
// token's file once; as credentials of the request it is read at each.
func incidentioBlock(n int, c *incidentio.IncidentioConfig) *block {
	b := newBlock("incidentio", n, clean, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	if c.AlertSourceTokenFile != "" {
		own.HTTPConfig.Authorization = &commoncfg.Authorization{Type: "Bearer", CredentialsFile: c.AlertSourceTokenFile}
		own.AlertSourceTokenFile = ""
	}
	b.recognises, b.wholeData = true, true
	b.rate = notify.Rate{Messages: 120, Per: time.Minute}
	b.receiver.IncidentioConfigs = []*incidentio.IncidentioConfig{&own}
	return b
}

// mattermostText is less than the 16,383 characters that a post may have:
// https://developers.mattermost.com/integrate/webhooks/incoming/.
var mattermostText = characters(16_000)

func mattermostBlock(n int, c *mattermost.MattermostConfig) *block {
	b := newBlock("mattermost", n, markdown, c)
	own := *c
	own.HTTPConfig = httpConfig(c.HTTPConfig)
	b.take(&own.Text, field{name: "text", limit: mattermostText})
	b.take(&own.Channel, field{name: "channel", use: code})
	b.take(&own.Username, field{name: "username", use: title})
	b.take(&own.IconURL, field{name: "icon_url", use: link})
	b.take(&own.IconEmoji, field{name: "icon_emoji", use: code})
	b.take(&own.Type, field{name: "type", use: code})
	if c.Props != nil {
		props := *c.Props
		b.take(&props.Card, field{name: "props.card", use: aside, limit: mattermostText})
		own.Props = &props
	}
	if c.Priority != nil {
		priority := *c.Priority
		b.take(&priority.Priority, field{name: "priority.priority", use: code})
		own.Priority = &priority
	}
	// Those beside the attachments are shown only where there are none.
	a := mattermost.MattermostAttachment{Fallback: c.Fallback, Color: c.Color, Pretext: c.Pretext, AuthorName: c.AuthorName, AuthorLink: c.AuthorLink,
		AuthorIcon: c.AuthorIcon, Title: c.Title, TitleLink: c.TitleLink, Fields: c.Fields, ThumbURL: c.ThumbURL, Footer: c.Footer, FooterIcon: c.FooterIcon, ImageURL: c.ImageURL}
	if len(c.Attachments) == 0 {
		b.attachment("", &a)
	}
	own.Fallback, own.Color, own.Pretext, own.AuthorName, own.AuthorLink, own.AuthorIcon, own.Title, own.TitleLink = a.Fallback, a.Color, a.Pretext, a.AuthorName, a.AuthorLink, a.AuthorIcon, a.Title, a.TitleLink
	own.Fields, own.ThumbURL, own.Footer, own.FooterIcon, own.ImageURL = a.Fields, a.ThumbURL, a.Footer, a.FooterIcon, a.ImageURL
	own.Attachments = nil
	for n, one := range c.Attachments {
		a := *one
		b.attachment(fmt.Sprintf("attachments[%d].", n), &a)
		own.Attachments = append(own.Attachments, &a)
	}
	b.receiver.MattermostConfigs = []*mattermost.MattermostConfig{&own}
	return b
}

// attachment has the texts of an attachment written here; path is where it is in
// the block.
func (b *block) attachment(path string, a *mattermost.MattermostAttachment) {
	b.take(&a.Text, field{name: path + "text", limit: mattermostText})
	for _, one := range []struct {
		name string
		text *string
		use  use
	}{{"title", &a.Title, title}, {"fallback", &a.Fallback, title}, {"pretext", &a.Pretext, aside}, {"author_name", &a.AuthorName, title}, {"footer", &a.Footer, title},
		{"color", &a.Color, code}, {"author_link", &a.AuthorLink, link}, {"author_icon", &a.AuthorIcon, link}, {"title_link", &a.TitleLink, link},
		{"thumb_url", &a.ThumbURL, link}, {"footer_icon", &a.FooterIcon, link}, {"image_url", &a.ImageURL, link}} {
		b.take(one.text, field{name: path + one.name, use: one.use})
	}
	fields := a.Fields
	a.Fields = nil
	for n, one := range fields {
		f := *one
		b.take(&f.Title, field{name: fmt.Sprintf("%sfields[%d].title", path, n), use: title})
		b.take(&f.Value, field{name: fmt.Sprintf("%sfields[%d].value", path, n), use: aside, limit: characters(4000)})
		a.Fields = append(a.Fields, &f)
	}
}
