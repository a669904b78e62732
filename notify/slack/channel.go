package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

const (
	// purposeLimit bounds a channel's purpose, in characters,
	// https://docs.slack.dev/reference/methods/conversations.setPurpose.
	purposeLimit = 250
	// listPages bounds how many pages of channels are looked through.
	listPages = 20
	// channelsPerDay bounds the numbers that are tried for one name.
	channelsPerDay = 200
	// orphanAge is after how long a channel without a purpose was left by an attempt
	// that has ended: no attempt takes so long.
	orphanAge = 15 * time.Second
	// The types of channels.
	publicChannel, privateChannel = "public_channel", "private_channel"
)

// conversation is a channel,
// https://docs.slack.dev/reference/objects/conversation-object.
type conversation struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Creator  string `json:"creator"`
	Created  int64  `json:"created"`
	Archived bool   `json:"is_archived"`
	Purpose  struct {
		Value string `json:"value"`
	} `json:"purpose"`
}

type conversations struct {
	result
	Channels []conversation `json:"channels"`
	More     struct {
		Cursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

type created struct {
	result
	Channel conversation `json:"channel"`
}

// channels lists those that are wanted; ok is false if not all could be seen.
func (t *telling) channels(ctx context.Context, kind string, wanted func(*conversation) bool) (all []conversation, ok bool) {
	query := url.Values{"types": {kind}, "exclude_archived": {"false"}}
	for range listPages {
		var got conversations
		if !t.look(ctx, list, query, &got) {
			return all, false
		}
		for n := range got.Channels {
			if wanted(&got.Channels[n]) {
				all = append(all, got.Channels[n])
			}
		}
		if got.More.Cursor == "" {
			return all, true
		}
		query.Set("cursor", got.More.Cursor)
	}
	return all, false
}

// room tells a major incident in a channel of its own, and announces that channel.
func (t *telling) room(ctx context.Context, p *message) error {
	id := t.memory[roomPrefix+memoryChannel]
	if id == "" {
		if !major(t.m.Incident) || t.m.Resolved() || t.memory[memoryNoRoom] != "" {
			return nil
		}
		var err error
		if id, err = t.create(ctx); err != nil {
			return t.noRoom(ctx, err)
		}
		t.memory[roomPrefix+memoryChannel] = id
	}
	if t.memory[memoryNamed] == "" {
		if err := t.name(ctx, id); lasting(err) == nil && err != nil {
			return err
		}
		t.memory[memoryNamed] = "yes"
	}
	if err := t.say(ctx, place{prefix: roomPrefix, to: id}, p); err != nil {
		return t.noRoom(ctx, err)
	}
	return t.announce(ctx, id)
}

// lasting returns err if another attempt cannot mend it, else nil.
func lasting(err error) error {
	var e *notify.Error
	if errors.As(err, &e) && (e.Permanent || e.Reason == notify.ReasonAuth) {
		return err
	}
	return nil
}

// noRoom says in the thread why there is no channel, if that will not change. The
// incident itself has been told.
func (t *telling) noRoom(ctx context.Context, err error) error {
	if lasting(err) == nil {
		return err
	}
	for _, name := range []string{memoryChannel, memoryTS, memoryReplies, memoryReplyTS} {
		delete(t.memory, roomPrefix+name)
	}
	delete(t.memory, memoryNamed)
	t.memory[memoryNoRoom] = word(err)
	if t.memory[memoryNoRoom] == "" {
		t.memory[memoryNoRoom] = "refused"
	}
	text := "This incident has no channel of its own: " + notify.Cut(notify.Line(err.Error()), 200)
	_, _, err = t.post(ctx, t.memory[memoryChannel], t.memory[memoryTS], t.words(text), partNoRoom)
	if lasting(err) != nil {
		return nil
	}
	return err
}

// create makes the incident's channel, or finds the one that an attempt has made
// whose end nobody recorded.
func (t *telling) create(ctx context.Context) (id string, err error) {
	select {
	case t.s.creating <- struct{}{}:
		defer func() { <-t.s.creating }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	base := t.s.options.Prefix + t.m.Incident.OpenedAt.UTC().Format("2006-01-02")
	id, err = t.make(ctx, base)
	if word(err) != "name_taken" {
		return id, err
	}
	taken, all := t.channels(ctx, publicChannel, func(c *conversation) bool { return strings.HasPrefix(c.Name, base) })
	if id := t.ours(ctx, taken); id != "" {
		return id, nil
	}
	if !all && !t.s.denied(list+publicChannel) {
		// It may be among those that we did not see.
		return "", &notify.Error{Reason: notify.ReasonServer, Err: errors.New(list + ": the channels cannot be listed now")}
	}
	for n := 2; n < channelsPerDay; n++ {
		name := base + "-" + strconv.Itoa(n)
		if slices.ContainsFunc(taken, func(c conversation) bool { return c.Name == name }) {
			continue
		}
		if id, err = t.make(ctx, name); word(err) != "name_taken" {
			return id, err
		}
	}
	return "", err
}

func (t *telling) make(ctx context.Context, name string) (string, error) {
	var got created
	err := t.call(ctx, create, map[string]any{"name": name, "is_private": false}, &got)
	if err == nil && got.Channel.ID == "" {
		err = &notify.Error{Reason: notify.ReasonOther, Err: errors.New(create + ": an answer without a channel")}
	}
	return got.Channel.ID, err
}

// ours is the channel whose purpose names the incident, or one that we have left
// without a purpose: its attempt ended between the two calls.
func (t *telling) ours(ctx context.Context, all []conversation) string {
	orphans := make([]conversation, 0, len(all))
	for _, c := range all {
		switch {
		case c.Archived:
		case named(c.Purpose.Value, t.m.Incident.Reference):
			return c.ID
		case c.Purpose.Value == "" && !time.Unix(c.Created, 0).Before(t.m.Incident.OpenedAt.Add(-skew)):
			orphans = append(orphans, c)
		}
	}
	if len(orphans) == 0 {
		return ""
	}
	var me struct {
		result
		User string `json:"user_id"`
	}
	got, err := t.get(ctx, authTest, nil, &me)
	if err != nil || me.User == "" {
		return ""
	}
	now, err := http.ParseTime(got.Header.Get("Date")) // Slack's clock, as the channels' times are
	if err != nil {
		return ""
	}
	for _, c := range orphans {
		if c.Creator == me.User && now.Sub(time.Unix(c.Created, 0)) >= orphanAge {
			return c.ID
		}
	}
	return ""
}

// named: the purpose begins with the incident's reference.
func named(purpose, reference string) bool {
	first, _, _ := strings.Cut(purpose, " ")
	return first == reference
}

// name gives the channel its purpose, by which it is found again.
func (t *telling) name(ctx context.Context, id string) error {
	purpose := cut(t.m.Incident.Reference+" "+escapeNames(notify.Line(t.m.Incident.Title)), purposeLimit)
	return t.call(ctx, setPurpose, map[string]string{"channel": id, "purpose": purpose}, &created{})
}

// announce says in the configured channels that there is a new one.
func (t *telling) announce(ctx context.Context, id string) error {
	done, _ := strconv.Atoi(t.memory[memoryAnnounce])
	for n, to := range t.s.options.AnnounceIn {
		if n < done {
			continue
		}
		if _, ts := t.find(ctx, to, "", partAnnounce); ts == "" {
			p := t.words(t.m.Headline())
			p.Text = fmt.Sprintf("<#%s> is the channel of %s", id, p.Text)
			if _, _, err := t.post(ctx, to, "", p, partAnnounce); err != nil && lasting(err) == nil {
				return err
			}
		}
		t.memory[memoryAnnounce] = strconv.Itoa(n + 1)
	}
	return nil
}
