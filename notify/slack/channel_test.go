package slack_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
	"github.com/tocsin-gateway/tocsin/notify/slack"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func denyAll(context.Context, string, string) (net.Conn, error) { return nil, outgoing.ErrDenied }

var perMajor = slack.Options{ChannelPerMajor: true, AnnounceIn: []string{"#news"}}

func named(m *notify.Message, id byte, reference string) *notify.Message {
	m.Incident.ID[3], m.Incident.Reference = id, reference
	return m
}

func today() string { return "incident-" + started.Format("2006-01-02") }

// TestChannel of a major incident: made once, announced once, told until the end.
func TestChannel(t *testing.T) {
	s := targettest.NewSlack(t, "alerts", "news")
	to := sender(t, apiBlock(s), perMajor)
	var memory notify.Memory
	for _, e := range []notify.Event{notify.Opened, notify.Acknowledged, notify.Resolved} {
		memory = send(t, to, message(e), memory)
	}
	room := s.Channel(today())
	if !strings.HasPrefix(room.Purpose, "INC-20261121-7KQ2 ") || memory["room_channel"] != room.ID {
		t.Errorf("purpose %q, memory %v", room.Purpose, memory)
	}
	if len(room.Messages) != 3 || room.Messages[0].Edits != 2 || !strings.Contains(room.Messages[2].Text, "[RESOLVED]") || room.Messages[2].ThreadTS != "" {
		t.Errorf("the channel has %d messages", len(room.Messages))
	}
	news := s.Channel("news").Messages
	if len(news) != 1 || !strings.Contains(news[0].Text, "<#"+room.ID+">") || !strings.Contains(news[0].Text, "INC-20261121-7KQ2") {
		t.Errorf("announced %d times", len(news))
	}
	if n := len(s.Channel("alerts").Messages); n != 3 {
		t.Errorf("%d messages where they always are, want 3", n)
	}
	again := message(notify.Opened)
	again.Incident.Reopens = 1
	send(t, to, again, memory)
	if n := len(s.Channel(today()).Messages); n != 4 || len(s.Channels()) != 3 {
		t.Errorf("a new cycle goes on in the same channel: %d messages, channels %v", n, s.Channels())
	}
}

// TestChannelNames are unique, whatever the order and the process.
func TestChannelNames(t *testing.T) {
	s := targettest.NewSlack(t, "alerts", "news")
	for n := range 3 {
		send(t, sender(t, apiBlock(s), perMajor), named(message(notify.Opened), byte(n), "INC-"+string(rune('A'+n))), nil)
	}
	want := []string{"alerts", "news", today(), today() + "-2", today() + "-3"}
	if got := s.Channels(); !slices.Equal(got, want) {
		t.Errorf("channels %v, want %v", got, want)
	}
	if p := s.Channel(today() + "-3").Purpose; !strings.HasPrefix(p, "INC-C ") {
		t.Errorf("purpose %q", p)
	}
}

// TestChannelOfWhom: critical by severity, or major by level, and also later.
func TestChannelOfWhom(t *testing.T) {
	for name, c := range map[string]struct {
		severity, level string
		want            bool
	}{"critical": {"critical", "minor", true}, "major": {"warning", "major", true}, "continuity": {"info", "continuity", true}, "minor": {"warning", "minor", false}, "error": {"error", "trivial", false}} {
		s := targettest.NewSlack(t, "alerts", "news")
		to := sender(t, apiBlock(s), perMajor)
		small := message(notify.Opened)
		small.Incident.Severity, small.Incident.Level = "warning", "minor"
		memory := send(t, to, small, nil)
		m := message(notify.Updated)
		m.Incident.Severity, m.Incident.Level = c.severity, c.level
		send(t, to, m, memory)
		if got := slices.Contains(s.Channels(), today()); got != c.want {
			t.Errorf("%s: a channel %v, want %v", name, got, c.want)
		}
	}
}

// TestChannelKilled: the process ends after each of the calls in turn, and another
// one sends again.
func TestChannelKilled(t *testing.T) {
	whole := targettest.NewSlack(t, "alerts", "news")
	send(t, sender(t, apiBlock(whole), perMajor), message(notify.Opened), nil)
	calls := len(whole.Requests())
	if calls < 6 {
		t.Fatalf("only %d calls", calls)
	}
	for n := range calls {
		s := targettest.NewSlack(t, "alerts", "news")
		s.Cut(n + 1)
		_, _ = sender(t, apiBlock(s), perMajor).Send(t.Context(), message(notify.Opened)) // it was killed
		s.Cut(-1)
		for _, name := range s.Channels() {
			s.Change(name, func(c *targettest.SlackChannel) { c.Created = c.Created.Add(-20 * time.Second) })
		}
		send(t, sender(t, apiBlock(s), perMajor), message(notify.Opened), nil)
		if got := s.Channels(); len(got) != 3 {
			t.Errorf("killed after call %d: channels %v", n+1, got)
		}
		for _, name := range s.Channels() {
			if got := s.Channel(name).Messages; len(got) != 1 {
				t.Errorf("killed after call %d: %d messages in %s", n+1, len(got), name)
			}
		}
		if p := s.Channel(today()).Purpose; !strings.HasPrefix(p, "INC-20261121-7KQ2 ") {
			t.Errorf("killed after call %d: purpose %q", n+1, p)
		}
	}
}

// TestForeignChannel: a channel of the same name that a person has made, or another
// incident is about to name, is left alone.
func TestForeignChannel(t *testing.T) {
	for name, how := range map[string]func(*targettest.SlackChannel){
		"of a person": func(c *targettest.SlackChannel) { c.Created = c.Created.Add(-time.Minute / 2) },
		"just made":   func(c *targettest.SlackChannel) { c.Creator = "U0B0T0B0T0" },
		"archived": func(c *targettest.SlackChannel) {
			c.Creator, c.Archived, c.Purpose = "U0B0T0B0T0", true, "INC-20261121-7KQ2 DiskFull"
		},
		"of a longer reference": func(c *targettest.SlackChannel) { c.Purpose = "INC-20261121-7KQ2X DiskFull" },
	} {
		s := targettest.NewSlack(t, "alerts", "news", today())
		s.Change(today(), how)
		memory := send(t, sender(t, apiBlock(s), perMajor), message(notify.Opened), nil)
		if id := s.Channel(today() + "-2").ID; memory["room_channel"] != id || len(s.Channel(today()).Messages) != 0 {
			t.Errorf("%s: told in %s, want %s", name, memory["room_channel"], id)
		}
	}
}

// TestNoChannel: what cannot be mended is said in the thread, once; the rest is
// tried again. The incident itself is told in any case.
func TestNoChannel(t *testing.T) {
	s := targettest.NewSlack(t, "alerts", "news")
	s.Revoke("channels:manage")
	to := sender(t, apiBlock(s), perMajor)
	memory := send(t, to, message(notify.Opened), nil)
	send(t, to, message(notify.Acknowledged), memory)
	all := s.Channel("alerts").Messages
	if len(all) != 3 || all[1].ThreadTS != all[0].TS || !strings.Contains(all[1].Text, "channels:manage") {
		t.Errorf("%d messages, want the first, why there is no channel, and the event", len(all))
	}
	if n := s.Calls("conversations.create"); n != 1 {
		t.Errorf("tried %d times", n)
	}
	s = targettest.NewSlack(t, "alerts", "news")
	s.Refuse("conversations.create", "internal_error", "ratelimited")
	to = sender(t, apiBlock(s), perMajor)
	for range 2 {
		if _, err := to.Send(t.Context(), message(notify.Opened)); err == nil {
			t.Error("it was told that it has a channel")
		}
	}
	send(t, to, message(notify.Opened), nil)
	if all := s.Channel("alerts").Messages; len(all) != 1 || !slices.Contains(s.Channels(), today()) {
		t.Errorf("%d messages, channels %v", len(all), s.Channels())
	}
	s = targettest.NewSlack(t, "alerts")
	s.ExpectRefusals()
	send(t, sender(t, apiBlock(s), perMajor), message(notify.Opened), nil) // there is no channel news
	send(t, sender(t, hookBlock(s), perMajor), message(notify.Opened), nil)
	if got := s.Channels(); len(got) != 3 {
		t.Errorf("channels %v", got)
	}
}

// TestChannelListed: the incident's channel is found though the usual one is private
// and may not be listed; and it is not made twice because the list fails.
func TestChannelListed(t *testing.T) {
	s := targettest.NewSlack(t, "alerts", "news")
	s.Change("alerts", func(c *targettest.SlackChannel) { c.Private = true })
	first := send(t, sender(t, apiBlock(s), perMajor), message(notify.Opened), nil)
	second := send(t, sender(t, apiBlock(s), perMajor), message(notify.Opened), nil)
	if first["room_channel"] != second["room_channel"] || len(s.Channels()) != 3 {
		t.Errorf("channels %v", s.Channels())
	}
	for _, word := range []string{"internal_error", "ratelimited"} {
		to := sender(t, strings.Replace(apiBlock(s), "'#alerts'", s.Channel("alerts").ID, 1), slack.Options{ChannelPerMajor: true})
		s.Refuse("conversations.list", word)
		_, err := to.Send(t.Context(), message(notify.Opened))
		check(t, word, err, notify.Error{Reason: notify.ReasonServer})
		if len(s.Channels()) != 3 {
			t.Errorf("%s: channels %v", word, s.Channels())
		}
	}
}
