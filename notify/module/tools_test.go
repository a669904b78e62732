package module_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/module"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

// tool is one tool of the long tail with its server.
type tool struct {
	name   string
	server *targettest.Server
	// block is its block of a receiver, with the standard templates.
	block string
	// secret is what no error may show.
	secret string
	// dial reaches the server; nil if the block names it.
	dial outgoing.DialFunc
	// texts are those of each message that was taken, in all its places.
	texts func() [][]string
	// live is what of a text would not be shown as it is.
	live func(string) []string
}

// tools starts the servers of all tools.
func tools(t *testing.T) []*tool {
	return []*tool{discordTool(t), mattermostTool(t), telegramTool(t, ""), telegramTool(t, "HTML"), telegramTool(t, "Markdown"), telegramTool(t, "MarkdownV2"), webexTool(t),
		pushoverTool(t, false), pushoverTool(t, true), snsTool(t, targettest.SNSTopic), wechatTool(t, "text"), wechatTool(t, "markdown"), incidentioTool(t), msteamsTool(t)}
}

func discordTool(t *testing.T) *tool {
	s := targettest.NewDiscord(t)
	return &tool{name: "discord", server: &s.Server, block: "webhook_url: " + s.Webhook() + "\ncontent: '{{ .CommonAnnotations.SortedPairs.Values | join \" \" }}'", secret: targettest.DiscordToken,
		texts: func() (all [][]string) {
			for _, m := range s.Messages() {
				all = append(all, []string{m.Embeds[0].Description, m.Embeds[0].Title, m.Content})
			}
			return all
		}, live: liveMarkdown}
}

func liveMarkdown(text string) []string {
	return targettest.LiveMarkdown(text, "# Alerts Firing:", "# Alerts Resolved:")
}

func mattermostTool(t *testing.T) *tool {
	s := targettest.NewMattermost(t)
	return &tool{name: "mattermost", server: &s.Server, block: "webhook_url: " + s.Webhook() + "\nchannel: ops", secret: targettest.MattermostKey,
		texts: func() (all [][]string) {
			for _, p := range s.Posts() {
				a := p.Attachments[0]
				fallback := strings.Replace(a.Fallback, " | https://tocsin", " https://tocsin", 1) // the template's
				all = append(all, []string{a.Text, a.Title, fallback, p.Username})
			}
			return all
		}, live: liveMarkdown}
}

func telegramTool(t *testing.T, mode string) *tool {
	s := targettest.NewTelegram(t)
	block := fmt.Sprintf("api_url: %s\nbot_token: %s\nchat_id: %s\nparse_mode: %q", s.URL, targettest.TelegramToken, targettest.TelegramChat, mode)
	if mode == "MarkdownV2" { // the standard template is none of it
		block += "\nmessage: '*{{ .Status }}*: {{ range .Alerts }}{{ range .Labels.SortedPairs }}{{ .Name }} {{ .Value }} {{ end }}{{ .Annotations.summary }}{{ end }} {{ .RouteLabels.summary }}'"
	}
	return &tool{name: "telegram", server: &s.Server, block: block, secret: targettest.TelegramToken,
		texts: func() (all [][]string) {
			for _, m := range s.Messages() {
				if len(m.Tags) > 2 {
					t.Errorf("%s: markup: %q", mode, m.Tags)
				}
				all = append(all, []string{m.Shown})
			}
			return all
		}, live: targettest.TelegramMentions}
}

func webexTool(t *testing.T) *tool {
	s := targettest.NewWebex(t)
	block := fmt.Sprintf("api_url: %s/v1/messages\nroom_id: %s\nhttp_config: {authorization: {credentials: %s}}", s.URL, targettest.WebexRoom, targettest.WebexToken)
	return &tool{name: "webex", server: &s.Server, block: block, secret: targettest.WebexToken,
		texts: func() (all [][]string) {
			for _, m := range s.Messages() {
				all = append(all, []string{m.Markdown})
			}
			return all
		}, live: liveMarkdown}
}

// trust is an http_config for a server with a certificate of its own.
func trust(s *httptest.Server) string {
	ca, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("http_config: {tls_config: {server_name: example.com, ca: %s}}", ca)
}

// dialTo reaches one server, whatever the address.
func dialTo(s *targettest.Server) outgoing.DialFunc {
	address := s.Listener.Addr().String()
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

func pushoverTool(t *testing.T, html bool) *tool {
	s := targettest.NewPushover(t)
	block := fmt.Sprintf("token: %s\nuser_key: %s\nhtml: %v\nurl_title: '{{ .RouteLabels.title }}'\n%s", targettest.PushoverToken, targettest.PushoverUser, html, trust(s.Server.Server))
	return &tool{name: "pushover", server: &s.Server, block: block, secret: targettest.PushoverToken, dial: dialTo(&s.Server),
		texts: func() (all [][]string) {
			for _, m := range s.Messages() {
				all = append(all, []string{m.Get("message")}) // titles are never HTML
			}
			return all
		}, live: func(text string) []string {
			if !html {
				return nil // it is shown as it is
			}
			return regexp.MustCompile(`<[a-z/!]`).FindAllString(text, -1)
		}}
}

func snsTool(t *testing.T, topic string) *tool {
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // AWS's library tries three times by itself
	s := targettest.NewSNS(t)
	block := fmt.Sprintf("api_url: %s\ntopic_arn: %s\nattributes: {severity: '{{ .RouteLabels.severity }}'}\nsigv4: {region: %s, access_key: %s, secret_key: %s}", s.URL, topic, targettest.SNSRegion, targettest.SNSKey, targettest.SNSSecret)
	return &tool{name: "sns", server: &s.Server, block: block, secret: targettest.SNSSecret,
		texts: func() (all [][]string) {
			for _, m := range s.Published() {
				all = append(all, []string{m.Get("Message"), m.Get("Subject")})
			}
			return all
		}, live: func(string) []string { return nil }} // it is shown as it is
}

func wechatTool(t *testing.T, kind string) *tool {
	s := targettest.NewWeChat(t)
	block := fmt.Sprintf("api_url: %s/cgi-bin/\ncorp_id: %s\napi_secret: %s\nto_user: '@all'\nagent_id: '1000002'\nsend_resolved: true\nmessage_type: %s", s.URL, targettest.WeChatCorp, targettest.WeChatSecret, kind)
	live := regexp.MustCompile(`<[a-zA-Z/@]`)
	if kind == "markdown" {
		live = regexp.MustCompile("<|\\]\\(|\\*\\*|`|(?m:^>)|(?m:^#)|@[a-z]")
	}
	return &tool{name: "wechat", server: &s.Server, block: block, secret: targettest.WeChatSecret,
		texts: func() (all [][]string) {
			for _, m := range s.Messages() {
				all = append(all, []string{m.Content()})
			}
			return all
		}, live: func(text string) []string { return live.FindAllString(text, -1) }}
}

func incidentioTool(t *testing.T) *tool {
	s := targettest.NewIncidentIO(t)
	return &tool{name: "incidentio", server: &s.Server, block: "url: " + s.Source() + "\nalert_source_token: " + targettest.IncidentIOToken, secret: targettest.IncidentIOToken,
		texts: func() (all [][]string) {
			for _, e := range s.Events() {
				all = append(all, []string{e.Status + " " + e.Alerts[0].Labels["alertname"] + " " + e.RouteLabels["summary"]})
			}
			return all
		}, live: func(string) []string { return nil }} // it is data
}

func msteamsTool(t *testing.T) *tool {
	s := targettest.NewTeamsConnector(t)
	return &tool{name: "msteams", server: &s.Server, block: "webhook_url: " + s.Webhook(), secret: targettest.TeamsConnectorKey,
		texts: func() (all [][]string) {
			for _, c := range s.Cards() {
				all = append(all, []string{c.Text, c.Title, c.Summary})
			}
			return all
		}, live: liveMarkdown}
}

// receiver loads the receiver of a block, as an alertmanager.yml has it.
func receiver(t *testing.T, name string, blocks ...string) amconfig.Receiver {
	t.Helper()
	var b strings.Builder
	b.WriteString("route: {receiver: dba}\nreceivers:\n- name: dba\n  " + name + "_configs:\n")
	for _, block := range blocks {
		b.WriteString("  - " + strings.ReplaceAll(block, "\n", "\n    ") + "\n")
	}
	c, err := amconfig.Load(b.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return c.Receivers[0]
}

// logger logs to the test, as long as it runs.
func logger(t *testing.T) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// integration is that of one block.
func integration(t *testing.T, name, block string, dial outgoing.DialFunc) notify.Integration {
	t.Helper()
	all, err := module.New(receiver(t, name, block), targettest.TemplateSet(t), dial, logger(t))
	if err != nil || len(all) != 1 {
		t.Fatalf("got %d integrations, %v", len(all), err)
	}
	return all[0]
}

// with is the tool's integration, with more settings in its block, which come last.
func (x *tool) with(t *testing.T, settings ...string) notify.Integration {
	t.Helper()
	return integration(t, x.name, strings.Join(append([]string{x.block}, settings...), "\n"), x.dial)
}

// replaced is the tool's block with one setting changed.
func (x *tool) replaced(setting, value string) string {
	lines := strings.Split(x.block, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, setting+":") })
	return strings.Join(append(lines, setting+": "+value), "\n")
}

// send sends one message that has to be taken.
func send(t *testing.T, in notify.Integration, m *notify.Message) {
	t.Helper()
	if _, err := in.Sender.Send(t.Context(), m); err != nil {
		t.Fatalf("%s %s: %v", in.Name, m.Event, err)
	}
}
