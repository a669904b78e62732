package targettest

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/notify"
)

// TemplateSet is Alertmanager's own templates, at https://tocsin.example.com.
func TemplateSet(t testing.TB) *notify.Templates {
	t.Helper()
	set, err := notify.NewTemplates(nil, &url.URL{Scheme: "https", Host: "tocsin.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// HTTPFailures checks what a sender makes of the answers that every tool may give.
// Start returns a fresh server, and a sender of one request to it. Secrets, which
// the server repeats in its errors, must not be in those of the sender.
func HTTPFailures(t *testing.T, start func(t *testing.T) (*Server, notify.Sender), secrets ...string) {
	t.Helper()
	echo := "you said " + strings.Join(secrets, " and ")
	for name, c := range map[string]struct {
		failure   Failure
		reason    string
		permanent bool
		after     time.Duration
	}{
		"429":                 {Failure{Status: 429, RetryAfter: 7 * time.Second, Body: echo}, notify.ReasonRateLimited, false, 7 * time.Second},
		"500":                 {Failure{Status: 500, Body: echo}, notify.ReasonServer, false, 0},
		"503, 1 MiB":          {Failure{Status: 503, Body: strings.Repeat("x", 1<<20)}, notify.ReasonServer, false, 0},
		"401":                 {Failure{Status: 401, Body: echo}, notify.ReasonAuth, false, 0},
		"400":                 {Failure{Status: 400, Body: echo}, notify.ReasonClient, true, 0},
		"redirect":            {Failure{Status: 302}, notify.ReasonClient, true, 0},
		"dropped":             {Failure{}, notify.ReasonOther, false, 0},
		"dropped after doing": {Failure{After: true}, notify.ReasonOther, false, 0},
		"hangs":               {Failure{Hang: true}, notify.ReasonTimeout, false, 0},
	} {
		t.Run("failure/"+name, func(t *testing.T) {
			server, sender := start(t)
			server.Fail(c.failure)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if c.failure.Hang {
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
			}
			_, err := sender.Send(ctx, Message(notify.Opened))
			var e *notify.Error
			if !errors.As(err, &e) || e.Reason != c.reason || e.Permanent != c.permanent || e.RetryAfter != c.after {
				t.Fatalf("got %#v (%.500v), want %s, permanent %v, after %s", e, err, c.reason, c.permanent, c.after)
			}
			text := err.Error()
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("the error shows %q: %.500s", s, text)
				}
			}
			if len(text) > 2000 {
				t.Errorf("the error has %d bytes", len(text))
			}
		})
	}
}
