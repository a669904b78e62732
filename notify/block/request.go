package block

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/notify/outgoing"
)

// Within bounds one request by the block's timeout.
func (c *Common) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(c.Timeout))
}

// Base returns an address to which paths are added: what was set, or the usual one.
func Base(set, usual string) string {
	if set == "" {
		set = usual
	}
	return strings.TrimRight(set, "/")
}

// Form sends a form.
func Form(ctx context.Context, c *outgoing.Client, to string, form url.Values, headers ...string) (outgoing.Answer, error) {
	return c.Send(ctx, "POST", to, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), headers...)
}
