package links

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// Action is what a link does.
type Action byte

// The actions. Their numbers are in links that people have.
const (
	Acknowledge Action = 1
	Resolve     Action = 2
)

// String returns the action's name in the API.
func (a Action) String() string {
	switch a {
	case Acknowledge:
		return "acknowledge"
	case Resolve:
		return "resolve"
	}
	return "nothing"
}

// Token is what a link says. In the link it is base64url (RFC 4648 section 5)
// without padding of
//
//	version 1, action, incident (16 bytes), cycle, hour of expiry (uvarints), target
//
// and of the first 16 bytes of an HMAC-SHA256 (RFC 2104, section 5 on truncation)
// over that.
type Token struct {
	Action   Action
	Incident incident.ID
	// Cycle is the number of the incident's cycle: a link of one that is over does
	// not act on the next.
	Cycle int
	// Target is who was told, for the record.
	Target string
	// Expires is in whole hours.
	Expires time.Time
}

const (
	tokenVersion = 1
	macSize      = 16
	// targetKept bounds the target's name in a link, and tokenLimit a token, in bytes.
	targetKept = 100
	tokenLimit = 300
)

// purpose keeps what is signed here apart from all else that the key might sign.
const purpose = "tocsin link 1\x00"

func (t *Token) sign(secret []byte) string {
	body := make([]byte, 0, 64+len(t.Target)+macSize)
	body = append(body, tokenVersion, byte(t.Action))
	body = append(body, t.Incident[:]...)
	body = binary.AppendUvarint(body, uint64(max(t.Cycle, 0)))
	body = binary.AppendUvarint(body, uint64(max(t.Expires.Unix()/3600, 0)))
	body = append(body, notify.Cut(t.Target, targetKept)...)
	return base64.RawURLEncoding.EncodeToString(append(body, sum(secret, body)...))
}

func sum(secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write([]byte(purpose)) // a hash takes everything
	_, _ = h.Write(body)
	return h.Sum(nil)[:macSize]
}

// parse takes a token apart, without believing it.
func parse(token string) (body, mac []byte, err error) {
	if len(token) > tokenLimit {
		return nil, nil, ErrNotOurs
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= macSize || raw[0] != tokenVersion {
		return nil, nil, ErrNotOurs
	}
	return raw[:len(raw)-macSize], raw[len(raw)-macSize:], nil
}

// decode reads a body whose signature is good.
func decode(body []byte) (t Token, ok bool) {
	const fixed = 2 + len(t.Incident)
	if len(body) < fixed {
		return t, false
	}
	t.Action = Action(body[1])
	copy(t.Incident[:], body[2:])
	rest := body[fixed:]
	cycle, n := binary.Uvarint(rest)
	if n <= 0 || cycle > 1<<31 {
		return t, false
	}
	hour, m := binary.Uvarint(rest[n:])
	if m <= 0 || hour > 1<<31 || t.Action != Acknowledge && t.Action != Resolve {
		return t, false
	}
	t.Cycle, t.Expires, t.Target = int(cycle), time.Unix(int64(hour)*3600, 0).UTC(), string(rest[n+m:])
	return t, utf8.ValidString(t.Target)
}
