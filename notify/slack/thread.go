package slack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

// What a Memory holds. A place is where an incident is told: the channel of the
// block, or the incident's own, whose names begin with room.
const (
	memoryCycle    = "cycle"
	memoryChannel  = "channel"  // of a place: the channel's id
	memoryTS       = "ts"       // of a place: the first message
	memoryReplies  = "replies"  // of a place: how many events were told after it
	memoryReplyTS  = "reply_ts" // of a place: the latest of those
	roomPrefix     = "room_"
	memoryNamed    = "room_named" // the purpose of the channel says which incident it is for
	memoryNoRoom   = "room_refused"
	memoryAnnounce = "announced" // in how many channels
)

// The parts of an incident's cycle that metadata tell apart; further ones are the
// numbers of the events.
const (
	partFirst    = "first"
	partAnnounce = "announce"
	partNoRoom   = "no_channel"
)

const (
	// lookTime bounds a look-up, which only avoids doubles.
	lookTime = 3 * time.Second
	// lookPages and lookLimit bound how many messages are looked through.
	lookPages, lookLimit = 4, 50
	// skew is how far apart our clock and Slack's may be.
	skew = time.Minute
	// waitLimit is the longest that a method is not asked because it was asked too
	// often, and deniedFor how long one that the token does not allow.
	waitLimit, deniedFor = 5 * time.Minute, time.Hour
)

// place is where an incident is told.
type place struct {
	// prefix is that of its names in the Memory, and to the channel, by name or id.
	prefix, to string
	// threaded: events are replies to the first message, else messages beside it.
	threaded bool
}

// telling is one message on its way.
type telling struct {
	*api
	s *Sender
	m *notify.Message
	// known is what is remembered for certain, and memory what this attempt and
	// failed ones before it have added.
	known, memory notify.Memory
}

// tell says the message through the Web API.
func (s *Sender) tell(ctx context.Context, a *api, m *notify.Message, p *message) (notify.Memory, error) {
	cycle := strconv.Itoa(m.Incident.Reopens)
	t := &telling{api: a, s: s, m: m, known: ofCycle(m.Memory, cycle)}
	t.memory = s.goOn(m.Key(), t.known)
	t.memory[memoryCycle] = cycle
	err := t.say(ctx, place{to: p.Channel, threaded: true}, p)
	if err == nil && s.options.ChannelPerMajor {
		err = t.room(ctx, p)
	}
	if err != nil {
		s.putOff(m.Key(), begun{t.known, t.memory})
		return nil, err
	}
	s.finish(m.Key())
	return t.memory, nil
}

// ofCycle is what of a Memory holds for a cycle: the incident's own channel stays,
// the messages are of the last one.
func ofCycle(memory notify.Memory, cycle string) notify.Memory {
	kept := maps.Clone(memory)
	if kept == nil {
		kept = notify.Memory{}
	}
	if kept[memoryCycle] == cycle {
		return kept
	}
	for _, prefix := range []string{"", roomPrefix} {
		for _, name := range []string{memoryTS, memoryReplies, memoryReplyTS} {
			delete(kept, prefix+name)
		}
	}
	delete(kept, memoryChannel)
	return kept
}

// goOn returns what an attempt that failed has done already, or else what is known.
func (s *Sender) goOn(key string, known notify.Memory) notify.Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.begun[key]; ok && maps.Equal(b.known, known) {
		return maps.Clone(b.memory)
	}
	return maps.Clone(known)
}

func (s *Sender) putOff(key string, b begun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.begun) >= begunKept {
		clear(s.begun) // then a look-up has to do
	}
	s.begun[key] = b
}

func (s *Sender) finish(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.begun, key)
}

// say makes the first message of a place show how the incident is, and tells the
// event after it.
func (t *telling) say(ctx context.Context, at place, p *message) error {
	again, err := t.first(ctx, at, p)
	if err != nil || !again || t.known[at.prefix+memoryTS] == "" {
		return err // a first message says the event itself
	}
	if at.threaded && t.s.config.UpdateMessage && t.m.Event != notify.Repeated {
		return nil // as configured; but an edit reminds nobody
	}
	return t.event(ctx, at)
}

// postedAnew are the words for a message that cannot be edited any more.
var postedAnew = []string{"message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found", "is_inactive"}

// first edits the first message of a place, or posts it if there is none; again
// reports that there was one.
func (t *telling) first(ctx context.Context, at place, p *message) (again bool, err error) {
	channel, ts := t.memory[at.prefix+memoryChannel], t.memory[at.prefix+memoryTS]
	if ts == "" {
		if id, found := t.find(ctx, at.to, "", partFirst); found != "" {
			channel, ts = id, found
		}
	}
	if ts != "" {
		err := t.edit(ctx, channel, ts, p, partFirst)
		if err == nil {
			t.memory[at.prefix+memoryChannel], t.memory[at.prefix+memoryTS] = channel, ts
			return true, nil
		}
		if !slices.Contains(postedAnew, word(err)) {
			return false, err
		}
	}
	channel, ts, err = t.post(ctx, at.to, "", p, partFirst)
	if err != nil {
		return false, err
	}
	t.memory[at.prefix+memoryChannel], t.memory[at.prefix+memoryTS] = channel, ts
	delete(t.memory, at.prefix+memoryReplies)
	return false, nil
}

// event tells what happened after the first message, once however often it is tried.
func (t *telling) event(ctx context.Context, at place) error {
	told, _ := strconv.Atoi(t.known[at.prefix+memoryReplies])
	part := strconv.Itoa(told + 1)
	channel, thread, ts := t.memory[at.prefix+memoryChannel], "", ""
	if at.threaded {
		thread = t.memory[at.prefix+memoryTS]
	}
	if t.memory[at.prefix+memoryReplies] == part {
		ts = t.memory[at.prefix+memoryReplyTS]
	} else {
		_, ts = t.find(ctx, channel, thread, part)
	}
	p := t.words(said(t.m))
	var err error
	if ts != "" { // said by an attempt whose end we do not know; there may be news since
		if err = t.edit(ctx, channel, ts, p, part); slices.Contains(postedAnew, word(err)) {
			err = nil
		}
	} else {
		p.ReplyBroadcast = at.threaded && t.m.Event == notify.Repeated
		_, ts, err = t.post(ctx, channel, thread, p, part)
	}
	if err != nil {
		return err
	}
	t.memory[at.prefix+memoryReplies], t.memory[at.prefix+memoryReplyTS] = part, ts
	return nil
}

// words is a message of a few plain lines.
func (t *telling) words(text string) *message {
	clean := escape
	if t.s.config.LinkNames {
		clean = escapeNames
	}
	return &message{Text: cut(clean(text), pretextLimit), UnfurlLinks: new(bool), UnfurlMedia: new(bool)}
}

// posted is the answer to chat.postMessage and chat.update.
type posted struct {
	result
	Channel string `json:"channel"`
	TS      string `json:"ts"`
}

func (t *telling) mark(part string) *metadata {
	return &metadata{metadataType, payload{t.m.Key(), part}}
}

func (t *telling) post(ctx context.Context, to, thread string, p *message, part string) (channel, ts string, err error) {
	if to == "" {
		return "", "", &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("slack: there is no channel to post to; set channel")}
	}
	body := *p
	body.Channel, body.ThreadTS, body.Metadata, body.Parse = to, thread, t.mark(part), "none"
	var got posted
	if err := t.call(ctx, postMessage, &body, &got); err != nil {
		return "", "", in(to, err)
	}
	if got.Channel == "" {
		got.Channel = to
	}
	t.s.learn(to, got.Channel)
	return got.Channel, got.TS, nil
}

// edit replaces a message. Unlike a new one it would be searched for bare mentions
// if it did not say otherwise, see parse at
// https://docs.slack.dev/reference/methods/chat.update.
func (t *telling) edit(ctx context.Context, channel, ts string, p *message, part string) error {
	body := message{Channel: channel, TS: ts, Text: p.Text, Attachments: p.Attachments, LinkNames: p.LinkNames, Metadata: t.mark(part), Parse: "none"}
	if err := t.call(ctx, update, &body, &posted{}); err != nil {
		return in(channel, err)
	}
	return nil
}

// in adds the channel to what an error says.
func in(channel string, err error) error {
	var e *notify.Error
	if errors.As(err, &e) {
		e.Err = fmt.Errorf("channel %s: %w", notify.Line(channel), e.Err)
	}
	return err
}

// messages is the answer to conversations.history and conversations.replies.
type messages struct {
	result
	Messages []struct {
		TS       string `json:"ts"`
		Metadata struct {
			Type    string `json:"event_type"`
			Payload struct {
				Key  any `json:"key"`
				Part any `json:"part"`
			} `json:"event_payload"`
		} `json:"metadata"`
	} `json:"messages"`
	More struct {
		Cursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

// find looks for a part that was posted by an attempt whose end nobody recorded.
// It finds nothing if Slack does not let us look: then a kill at the wrong moment
// shows a message twice, which is better than not at all.
func (t *telling) find(ctx context.Context, channel, thread, part string) (id, ts string) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	method := history
	if thread != "" {
		method = replies
	}
	if !t.s.mayAsk(method) {
		return "", ""
	}
	if id = t.id(ctx, channel); id == "" {
		return "", ""
	}
	oldest := t.m.Incident.CycleOpenedAt.Add(-skew)
	query := url.Values{"channel": {id}, "include_all_metadata": {"true"}, "oldest": {fmt.Sprintf("%d.000000", oldest.Unix())}}
	if thread != "" {
		query.Set("ts", thread)
	}
	for range lookPages {
		var got messages
		if !t.look(ctx, method, query, &got) {
			return "", ""
		}
		for _, one := range got.Messages {
			if md := one.Metadata; md.Type == metadataType && md.Payload.Key == t.m.Key() && md.Payload.Part == part {
				return id, one.TS
			}
		}
		if got.More.Cursor == "" {
			return "", ""
		}
		query.Set("cursor", got.More.Cursor)
	}
	return "", ""
}

// look reads one page, a shorter one if it does not fit into an answer, and
// reports whether it could be read. What the token does not allow is not asked
// again for some time.
func (t *telling) look(ctx context.Context, method string, query url.Values, into answer) bool {
	asked := method + query.Get("types") // each type has a scope of its own
	if !t.s.mayAsk(asked) {
		return false
	}
	for limit := lookLimit; limit > 0; limit /= 5 {
		query.Set("limit", strconv.Itoa(limit))
		_, err := t.get(ctx, method, query, into)
		var e *notify.Error
		switch {
		case err == nil:
			return true
		case !errors.As(err, &e):
			return false // unreachable: they all are
		case word(err) == "missing_scope":
			t.s.dontAsk(asked, deniedFor)
			return false
		case e.Reason == notify.ReasonRateLimited:
			t.s.dontAsk(asked, min(max(e.RetryAfter, skew), waitLimit))
			return false
		case e.Reason != notify.ReasonOther || ctx.Err() != nil:
			return false
		} // else it may have been cut off
	}
	return false
}

func (s *Sender) mayAsk(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.now().Before(s.unasked[method])
}

func (s *Sender) dontAsk(method string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unasked[method] = s.now().Add(d)
}

// denied: the token does not allow the method, as far as we know.
func (s *Sender) denied(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unasked[method].Sub(s.now()) > waitLimit
}

// idsKept bounds the names of channels that are remembered; a template may make many.
const idsKept = 1000

// learn keeps the id of a channel.
func (s *Sender) learn(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) >= idsKept {
		clear(s.ids)
	}
	s.ids[strings.TrimPrefix(name, "#")] = id
}

var ids = regexp.MustCompile(`^[CGD][A-Z0-9]{7,}$`)

// id is that of a channel, which history is asked by; empty if it is not known.
func (t *telling) id(ctx context.Context, channel string) string {
	name := strings.TrimPrefix(channel, "#")
	if ids.MatchString(name) {
		return name
	}
	t.s.mu.Lock()
	id := t.s.ids[name]
	t.s.mu.Unlock()
	if id != "" || name == "" || strings.HasPrefix(name, "@") {
		return id
	}
	for _, kind := range []string{publicChannel, privateChannel} {
		all, _ := t.channels(ctx, kind, func(c *conversation) bool { return c.Name == name })
		if len(all) > 0 {
			t.s.learn(name, all[0].ID)
			return all[0].ID
		}
	}
	return ""
}
