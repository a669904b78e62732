// Package email tells people of incidents by mail. Alertmanager's own mailer waits
// for ever for a server that says nothing, and cannot tell one recipient from
// another; apart from that this one does what it does, of the same configuration.
package email

import (
	"context"
	"encoding/hex"
	"hash/fnv"
	"maps"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Sender sends what a block of email_configs says.
type Sender struct {
	config    *amconfig.EmailConfig
	templates *notify.Templates
	dial      outgoing.DialFunc
	// names are those of the configured headers that are used, in order.
	names []string
}

// headerName is RFC 5322 section 3.6.8.
var headerName = regexp.MustCompile(`^[!-9;-~]{1,76}$`)

// New makes a Sender of a block that config.Load of the Alertmanager module read.
func New(c *amconfig.EmailConfig, t *notify.Templates, dial outgoing.DialFunc) (*Sender, error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	s := &Sender{config: c, templates: t, dial: dial}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !headerName.MatchString(name) {
			return nil, block.Permanent("notify: email: %q cannot be the name of a header", name)
		}
		if name = textproto.CanonicalMIMEHeaderKey(name); name != "Subject" && !slices.Contains(ours, name) {
			s.names = append(s.names, name)
		}
	}
	return s, nil
}

// memoryReached is where the memory has which mail, and who of its recipients got it.
const memoryReached = "reached"

// Send implements notify.Sender. A recipient who already got this very mail does
// not get it again when it is repeated for the others.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	e, err := s.write(m)
	if err != nil {
		return nil, err
	}
	reached := reachedBy(m.Memory, m.MessageID())
	waiting := slices.DeleteFunc(slices.Clone(e.to), func(a string) bool { return slices.Contains(reached, short(a)) })
	var r result
	if len(waiting) > 0 {
		r = s.deliver(ctx, e, waiting)
	}
	for _, a := range r.accepted {
		reached = append(reached, short(a))
	}
	err = r.err
	if e, ok := err.(*notify.Error); ok && e.Permanent && len(reached) > 0 {
		// The others will never get it. What they miss is said where the message is shown.
		m.Warn("to", err)
		err = nil
	}
	if err != nil {
		if len(reached) == 0 {
			return nil, err
		}
		memory := maps.Clone(m.Memory)
		if memory == nil {
			memory = notify.Memory{}
		}
		memory[memoryReached] = m.MessageID() + " " + strings.Join(reached, " ")
		return memory, err
	}
	memory := m.Counted()
	delete(memory, memoryReached)
	if memory[threadFirst] == "" {
		memory[threadFirst] = e.id
	}
	return memory, nil
}

// reachedBy are those who got the mail with the id.
func reachedBy(memory notify.Memory, id string) []string {
	words := strings.Fields(memory[memoryReached])
	if len(words) == 0 || words[0] != id {
		return nil
	}
	return words[1:]
}

// short stands for an address in the memory, which is small.
func short(address string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(address)) // it never fails
	return hex.EncodeToString(h.Sum(nil))
}
