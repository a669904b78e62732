package targettest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// read checks a message. Parse is what the method assumes if the message does not say.
func (s *Slack) read(args map[string]any, parse string) (m *SlackMessage, word, wrong string) {
	attachments := listOf(args["attachments"])
	blocks := listOf(args["blocks"])
	if textOf(args["text"]) == "" && len(attachments)+len(blocks) == 0 {
		return nil, "no_text", "there is nothing to say"
	}
	if len(attachments) > 100 {
		return nil, "too_many_attachments", "at most 100 attachments"
	}
	if len(blocks) > 50 {
		return nil, "invalid_blocks", "at most 50 blocks"
	}
	if given := textOf(args["parse"]); given != "" {
		parse = given
	}
	m = &SlackMessage{Body: args}
	if wrong := checkSlackMetadata(args["metadata"]); wrong != "" {
		return nil, "invalid_metadata_format", wrong
	}
	for _, one := range attachments {
		if wrong := checkSlackAttachment(objectOf(one)); wrong != "" {
			return nil, "invalid_attachments", wrong
		}
	}
	eachSlackBlock(args, func(b map[string]any) {
		if problem := checkSlackBlock(b); problem != "" {
			wrong = problem
		}
	})
	if wrong != "" {
		return nil, "invalid_blocks", wrong
	}
	links, _ := args["link_names"].(bool)
	eachSlackText(args, func(text string) {
		m.Text += text + "\n"
		m.readMarkup(text, links || parse != "none")
	})
	if utf8.RuneCountInString(m.Text) > 40_000 {
		return nil, "msg_too_long", "more than 40,000 characters"
	}
	return m, "", ""
}

var slackEventType = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func checkSlackMetadata(v any) string {
	if v == nil {
		return ""
	}
	md := objectOf(v)
	if !slackEventType.MatchString(textOf(md["event_type"])) || md["event_payload"] == nil || len(md) != 2 {
		return "metadata has an event_type and an event_payload"
	}
	for name, value := range objectOf(md["event_payload"]) {
		if _, ok := value.(string); !ok {
			return "metadata: " + name + " is not a text"
		}
	}
	return ""
}

// slackFields are those of an attachment, with the number of characters that are
// shown; https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments.
var slackFields = map[string]int{"title": 1024, "title_link": 3000, "pretext": 8000, "text": 8000, "fallback": 8000, "callback_id": 1024, "image_url": 3000, "thumb_url": 3000,
	"footer": 300, "color": 80}

func checkSlackAttachment(at map[string]any) string {
	_, hasBlocks := at["blocks"]
	for name, v := range at {
		if limit, ok := slackFields[name]; ok {
			text, isText := v.(string)
			if !isText || utf8.RuneCountInString(text) > limit {
				return "attachment: " + name + " is not a text of at most " + strconv.Itoa(limit) + " characters"
			}
			if hasBlocks && name != "color" && name != "fallback" {
				return "attachment: " + name + " beside blocks is not shown"
			}
			if strings.HasSuffix(name, "_url") || name == "title_link" {
				if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "") {
					return "attachment: " + name + " is not a URL: " + text
				}
			}
			continue
		}
		switch name {
		case "blocks", "mrkdwn_in":
		case "fields":
			for _, f := range listOf(v) {
				if _, ok := objectOf(f)["short"].(bool); !ok || objectOf(f)["title"] == nil {
					return "attachment: a field has a title, a value and short"
				}
			}
		case "actions":
			if len(listOf(v)) > 5 {
				return "attachment: at most 5 actions"
			}
		default:
			return "attachment: there is no field " + name
		}
	}
	if color := textOf(at["color"]); color != "" && !slices.Contains([]string{"good", "warning", "danger"}, color) && !regexp.MustCompile(`^#?[0-9a-fA-F]{6}$`).MatchString(color) {
		return "attachment: color " + color
	}
	return ""
}

// checkSlackBlock: https://docs.slack.dev/reference/block-kit/blocks.
func checkSlackBlock(b map[string]any) string {
	elements := listOf(b["elements"])
	switch b["type"] {
	case "context":
		if len(elements) < 1 || len(elements) > 10 {
			return "context: 1 to 10 elements"
		}
		for _, e := range elements {
			if wrong := checkSlackWords(objectOf(e), 3000); wrong != "" {
				return "context: " + wrong
			}
		}
	case "actions":
		if len(elements) < 1 || len(elements) > 25 {
			return "actions: 1 to 25 elements"
		}
		seen := map[string]bool{}
		for _, e := range elements {
			b := objectOf(e)
			id := textOf(b["action_id"])
			switch {
			case b["type"] != "button" || id == "" || len(id) > 255 || seen[id]:
				return "actions: a button has an action_id of its own"
			case utf8.RuneCountInString(textOf(b["value"])) > 2000 || utf8.RuneCountInString(textOf(b["url"])) > 3000:
				return "button: value or url is too long"
			case b["style"] != nil && b["style"] != "primary" && b["style"] != "danger":
				return "button: style is primary or danger"
			}
			if u := textOf(b["url"]); u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
				return "button: url is " + u
			}
			if wrong := checkSlackWords(objectOf(b["text"]), 75); wrong != "" || objectOf(b["text"])["type"] != "plain_text" {
				return "button: text " + wrong
			}
			seen[id] = true
		}
	default:
		return "a block of type " + textOf(b["type"])
	}
	return ""
}

func checkSlackWords(w map[string]any, limit int) string {
	text := textOf(w["text"])
	if w["type"] != "plain_text" && w["type"] != "mrkdwn" || text == "" || utf8.RuneCountInString(text) > limit {
		return fmt.Sprintf("a text has a type and 1 to %d characters", limit)
	}
	return ""
}

func eachSlackBlock(body map[string]any, do func(map[string]any)) {
	for _, b := range listOf(body["blocks"]) {
		do(objectOf(b))
	}
	for _, at := range listOf(body["attachments"]) {
		for _, b := range listOf(objectOf(at)["blocks"]) {
			do(objectOf(b))
		}
	}
}

// eachSlackText calls do with every text that people read.
func eachSlackText(v any, do func(string)) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			eachSlackText(one, do)
		}
	case map[string]any:
		for name, one := range v {
			text, isText := one.(string)
			switch {
			case !isText && name != "metadata":
				eachSlackText(one, do)
			case slices.Contains([]string{"text", "title", "pretext", "fallback", "footer", "value", "username", "ok_text", "dismiss_text"}, name):
				do(text)
			}
		}
	}
}

var (
	slackControl = regexp.MustCompile(`<([^<>]*)>`)
	// slackEntity are the only entities that there are; the sign that begins them is
	// not written otherwise.
	slackEntity = regexp.MustCompile(`&(amp|lt|gt);`)
	slackName2  = regexp.MustCompile(`@[\w.-]+`)
)

// readMarkup finds what is live in a text: what stands in angle brackets, and bare
// names if those are looked for.
func (m *SlackMessage) readMarkup(text string, names bool) {
	for _, found := range slackControl.FindAllStringSubmatch(text, -1) {
		inner := found[1]
		switch {
		case strings.HasPrefix(inner, "!"), strings.HasPrefix(inner, "@"):
			m.Live = append(m.Live, found[0])
		case strings.Contains(inner, "|"):
			m.Links = append(m.Links, inner)
		}
	}
	if strings.Contains(slackEntity.ReplaceAllString(text, ""), "&") {
		m.Live = append(m.Live, "&")
	}
	if names {
		m.Live = append(m.Live, slackName2.FindAllString(text, -1)...)
	}
}
