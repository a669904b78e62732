// Package rocketchat tells people in Rocket.Chat, with the block
// rocketchat_configs of an alertmanager.yml.
//
// It uses chat.postMessage and chat.update
// (https://developer.rocket.chat/apidocs/post-message,
// https://developer.rocket.chat/apidocs/update-message): an incident has one
// message, whose text always says how it is, and a thread that says what happened.
// What is attached to a message cannot be changed later, so it stays as it was.
package rocketchat

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/alertmanager/config"
	commoncfg "github.com/prometheus/common/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// What a Memory holds.
const (
	memoryCycle   = "cycle"
	memoryRoom    = "room"
	memoryID      = "id"      // the first message
	memoryReplies = "replies" // how many events were told after it
)

const (
	// lookTime bounds a look-up, which only avoids doubles.
	lookTime = 3 * time.Second
	// lookPages and lookLimit bound how many messages are looked through.
	lookPages, lookLimit = 4, 50
	// skew is how far apart our clock and the server's may be.
	skew = time.Minute
	// waitLimit is the longest pause that the server may ask for.
	waitLimit = time.Hour
	// begunKept bounds what is remembered of failed attempts.
	begunKept = 1000
)

// Sender tells one room.
type Sender struct {
	config    *config.RocketchatConfig
	templates *notify.Templates
	client    *outgoing.Client
	now       func() time.Time

	mu sync.Mutex
	// begun is what attempts that failed in the end have done, by the message's Key.
	begun map[string]begun
	// unasked is until when a method is not worth asking.
	unasked map[string]time.Time
}

// begun is what an attempt has added to what was known.
type begun struct{ known, memory notify.Memory }

// New returns the sender of a block.
func New(c *config.RocketchatConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	if c.APIURL == nil {
		return nil, errors.New("rocketchat_configs: api_url is missing")
	}
	client, err := outgoing.New(c.HTTPConfig, dial, value(c.Token), value(c.TokenID))
	if err != nil {
		return nil, err
	}
	return &Sender{config: c, templates: t, client: client, now: time.Now, begun: map[string]begun{}, unasked: map[string]time.Time{}}, nil
}

func value(s *commoncfg.Secret) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

// telling is one message on its way.
type telling struct {
	s      *Sender
	m      *notify.Message
	client *outgoing.Client
	// token and user are those of the account that writes.
	token, user string
	// known is what is remembered for certain, and memory what attempts have added.
	known, memory notify.Memory
}

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	t := &telling{s: s, m: m, known: notify.Memory{}}
	var err error
	if t.token, err = outgoing.ReadSecret(value(s.config.Token), s.config.TokenFile); err != nil {
		return nil, err
	}
	if t.user, err = outgoing.ReadSecret(value(s.config.TokenID), s.config.TokenIDFile); err != nil {
		return nil, err
	}
	t.client = s.client.With(t.token, t.user)
	cycle := strconv.Itoa(m.Incident.Reopens)
	if m.Memory[memoryCycle] == cycle {
		t.known = m.Memory
	}
	t.memory = s.goOn(m.Key(), t.known)
	t.memory[memoryCycle] = cycle
	if err := t.tell(ctx); err != nil {
		s.putOff(m.Key(), &begun{t.known, t.memory})
		return nil, err
	}
	s.putOff(m.Key(), nil)
	return t.memory, nil
}

// goOn returns what an attempt that failed has done already, or else what is known.
func (s *Sender) goOn(key string, known notify.Memory) notify.Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.begun[key]; ok && maps.Equal(b.known, known) {
		known = b.memory
	}
	return maps.Clone(known)
}

// putOff keeps what an attempt has done for the next one; nil forgets it.
func (s *Sender) putOff(key string, b *begun) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case b == nil:
		delete(s.begun, key)
		return
	case len(s.begun) >= begunKept:
		clear(s.begun) // then a look-up has to do
	}
	s.begun[key] = *b
}

// tell makes the first message say how the incident is, and says the event after it.
func (t *telling) tell(ctx context.Context) error {
	p := t.s.write(t.m)
	again, err := t.first(ctx, p)
	if err != nil || !again || t.known[memoryID] == "" {
		return err // a first message says the event itself
	}
	return t.event(ctx)
}

// first edits the first message, or posts it if there is none; again reports that
// there was one.
func (t *telling) first(ctx context.Context, p *post) (again bool, err error) {
	room, id := t.memory[memoryRoom], t.memory[memoryID]
	if id == "" {
		room, id = t.find(ctx, p.Channel, firstEnd(t.m))
	}
	if id != "" {
		gone, err := t.edit(ctx, room, id, p.Text)
		if err != nil {
			return false, err
		}
		if !gone {
			t.memory[memoryRoom], t.memory[memoryID] = room, id
			return true, nil
		}
	}
	room, id, err = t.post(ctx, p)
	if err == nil {
		t.memory[memoryRoom], t.memory[memoryID] = room, id
		delete(t.memory, memoryReplies)
	}
	return false, err
}

// event tells what happened after the first message, once however often it is
// tried. A reminder stands beside the thread, where everybody sees it.
func (t *telling) event(ctx context.Context) error {
	told, _ := strconv.Atoi(t.known[memoryReplies])
	n := strconv.Itoa(told + 1)
	if t.memory[memoryReplies] == n {
		return nil
	}
	p := &post{RoomID: t.memory[memoryRoom], Thread: t.memory[memoryID], Text: said(t.m, n), Attachments: []attachment{}}
	if t.m.Event == notify.Repeated {
		p.Thread = ""
	}
	var id string
	if p.Thread == "" {
		_, id = t.find(ctx, p.RoomID, eventEnd(t.m, n))
	} else {
		id = t.findReply(ctx, p.Thread, told, eventEnd(t.m, n))
	}
	if id == "" {
		if _, _, err := t.post(ctx, p); err != nil {
			return err
		}
	}
	t.memory[memoryReplies] = n
	return nil
}

// result is what all answers have.
type result struct {
	Success bool   `json:"success"`
	Error   string `json:"error"`
	Type    string `json:"errorType"`
	Message struct {
		ID   string `json:"_id"`
		Room string `json:"rid"`
	} `json:"message"`
	Messages []stored `json:"messages"`
}

type stored struct {
	ID     string `json:"_id"`
	Room   string `json:"rid"`
	Thread string `json:"tmid"`
	Text   string `json:"msg"`
	User   struct {
		ID string `json:"_id"`
	} `json:"u"`
}

var lax = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// decode reads an answer. The member message is an object or, with a refused
// token, a text.
func decode(a outgoing.Answer) (r result, ok bool) {
	err := json.Unmarshal(a.Body, &r, lax)
	return r, err == nil
}

// post sends a new message.
func (t *telling) post(ctx context.Context, p *post) (room, id string, err error) {
	if p.Channel == "" && p.RoomID == "" {
		return "", "", &notify.Error{Reason: notify.ReasonClient, Permanent: true, Err: errors.New("rocketchat: there is no channel to post to; set channel")}
	}
	a, err := t.do(ctx, http.MethodPost, "chat.postMessage", nil, p)
	if err != nil {
		return "", "", err
	}
	r, ok := decode(a)
	if !ok || r.Message.ID == "" {
		return "", "", t.client.Refused(a, "an answer that is not Rocket.Chat's")
	}
	return r.Message.Room, r.Message.ID, nil
}

// noMessage begins what chat.update says of a message that was deleted.
const noMessage = "No message found"

// edit changes the text of a message. Gone: it is not there any more. A server that
// does not let it be edited is no reason not to tell the event.
func (t *telling) edit(ctx context.Context, room, id, text string) (gone bool, err error) {
	a, err := t.do(ctx, http.MethodPost, "chat.update", nil, map[string]string{"roomId": room, "msgId": id, "text": text})
	var e *notify.Error
	if err == nil || !errors.As(err, &e) || !e.Permanent {
		return false, err
	}
	r, _ := decode(a)
	return strings.HasPrefix(r.Error, noMessage), nil
}

var waits = regexp.MustCompile(`must wait (\d{1,6}) seconds`)

// tooMany is the type of the error of the rate limiter.
const tooMany = "error-too-many-requests"

// do calls a method as the account.
func (t *telling) do(ctx context.Context, how, method string, query url.Values, body any) (outgoing.Answer, error) {
	u := t.s.config.APIURL.JoinPath("api/v1", method)
	u.RawQuery = query.Encode()
	a, err := t.client.JSON(ctx, how, u.String(), body, "X-Auth-Token", t.token, "X-User-Id", t.user)
	r, ok := decode(a)
	var e *notify.Error
	switch {
	case err == nil && ok && r.Success:
		return a, nil
	case err == nil && ok && r.Error != "":
		e = t.client.Refused(a, "refused: "+notify.Cut(notify.Line(r.Error), 300))
		e.Reason, e.Permanent = notify.ReasonClient, true
	case err == nil:
		return a, t.client.Refused(a, "an answer that is not Rocket.Chat's")
	case !errors.As(err, &e):
		return a, err // unreachable: they all are
	}
	if a.Status == http.StatusTooManyRequests || r.Type == tooMany || strings.Contains(r.Error, tooMany) {
		e.Reason, e.Permanent = notify.ReasonRateLimited, false
		if found := waits.FindStringSubmatch(r.Error); found != nil && e.RetryAfter == 0 {
			seconds, _ := strconv.Atoi(found[1])
			e.RetryAfter = min(time.Duration(seconds)*time.Second, waitLimit)
		}
	}
	return a, e
}

// find looks in a room for a message of ours that ends so: it was posted by an
// attempt whose end nobody recorded. It finds nothing if the account may not look:
// then a kill at the wrong moment shows a message twice, which is better than not
// at all.
func (t *telling) find(ctx context.Context, room, end string) (in, id string) {
	query := url.Values{"oldest": {t.m.Incident.CycleOpenedAt.Add(-skew).UTC().Format("2006-01-02T15:04:05.000Z")}, "inclusive": {"true"}}
	switch {
	case room == "" || strings.HasPrefix(room, "@"):
		return "", ""
	case room == t.memory[memoryRoom]:
		query.Set("roomId", room)
	default:
		query.Set("roomName", strings.TrimPrefix(room, "#"))
	}
	for _, method := range []string{"channels.history", "groups.history"} {
		var found stored
		if t.pages(ctx, method, query, lookPages, func(one stored) bool {
			found = one
			return one.Thread == "" && t.is(one, end)
		}) {
			return found.Room, found.ID
		}
	}
	return "", ""
}

// findReply is find in a thread that has about so many messages, oldest first.
func (t *telling) findReply(ctx context.Context, thread string, about int, end string) (id string) {
	query := url.Values{"tmid": {thread}, "offset": {strconv.Itoa(max(about-lookLimit/2, 0))}}
	t.pages(ctx, "chat.getThreadMessages", query, 1, func(one stored) bool {
		if t.is(one, end) {
			id = one.ID
		}
		return id != ""
	})
	return id
}

// is: the message is ours and ends so.
func (t *telling) is(one stored, end string) bool {
	return one.User.ID == t.user && strings.HasSuffix(one.Text, end)
}

// pages reads messages until one is wanted, which it reports.
func (t *telling) pages(ctx context.Context, method string, query url.Values, pages int, wanted func(stored) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	offset, _ := strconv.Atoi(query.Get("offset"))
	for count := lookLimit; pages > 0 && count > 0; {
		if !t.s.mayAsk(method) {
			return false
		}
		query.Set("offset", strconv.Itoa(offset))
		query.Set("count", strconv.Itoa(count))
		a, err := t.do(ctx, http.MethodGet, method, query, nil)
		var e *notify.Error
		if errors.As(err, &e) {
			if e.Reason == notify.ReasonRateLimited {
				t.s.dontAsk(method, max(e.RetryAfter, skew))
			}
			if e.Reason != notify.ReasonOther || ctx.Err() != nil {
				return false
			}
			count /= 5 // it may have been cut off
			continue
		}
		r, _ := decode(a)
		for _, one := range r.Messages {
			if wanted(one) {
				return true
			}
		}
		if len(r.Messages) < count {
			return false
		}
		offset += count
		pages--
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
