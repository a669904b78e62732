// Package email tells people of incidents by mail. Alertmanager's own mailer waits
// for ever for a server that says nothing, and cannot tell one recipient from
// another; apart from that this one does what it does, of the same configuration.
package email

import (
	"context"
	"maps"
	"net"
	"net/textproto"
	"regexp"
	"slices"

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
			return nil, notify.Permanent("notify: email: %q cannot be the name of a header", name)
		}
		if name = textproto.CanonicalMIMEHeaderKey(name); name != "Subject" && !slices.Contains(ours, name) {
			s.names = append(s.names, name)
		}
	}
	return s, nil
}

// Send implements notify.Sender. A recipient who already got this very mail does
// not get it again when it is repeated for the others.
func (s *Sender) Send(ctx context.Context, m *notify.Message) (notify.Memory, error) {
	e, err := s.write(m)
	if err != nil {
		return nil, err
	}
	if look := notify.CaptureOf(ctx); look != nil {
		return nil, look.Fill("", "message/rfc822", e.text)
	}
	reached := block.ReachedBy(m)
	waiting := slices.DeleteFunc(slices.Clone(e.to), reached.Has)
	var r result
	if len(waiting) > 0 {
		r = s.deliver(ctx, e, waiting)
	}
	for _, one := range r.accepted {
		reached.Add(one)
	}
	more := notify.Memory{}
	if m.Memory[threadFirst] == "" {
		more[threadFirst] = e.id
	}
	return reached.Result(r.err, more)
}
