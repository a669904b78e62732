package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web"
)

// notifying are the commands on who is told.
type notifying struct {
	*client
	incident, receiver, target, by string
	width, limit                   int
}

func registerNotify(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("notify", "See who is told of incidents, and try it, in a running gateway.")
	n := &notifying{client: newClient(cmd, s)}
	cmd.Flag("width", "Columns of a table.").Default("110").IntVar(&n.width)
	who := func(c *kingpin.CmdClause) {
		c.Flag("by", "Who does it; with a token, its name counts.").Envar("USER").Default(login()).StringVar(&n.by)
	}
	test := cmd.Command("test", "Send a receiver a test message, and say how it went.")
	test.Arg("receiver", "Its name in the configuration.").Required().StringVar(&n.receiver)
	who(test)
	preview := cmd.Command("preview", "Show what a receiver would be told of an incident now; nothing is sent.")
	preview.Arg("receiver", "Its name in the configuration.").Required().StringVar(&n.receiver)
	preview.Arg("incident", "Reference or id.").Required().StringVar(&n.incident)
	list := cmd.Command("list", "Show who was told of an incident, and who was not and why.")
	list.Arg("incident", "Reference or id.").Required().StringVar(&n.incident)
	undelivered := cmd.Command("undelivered", "List the messages that were given up.")
	undelivered.Flag("limit", "At most so many.").Default("50").IntVar(&n.limit)
	notices := cmd.Command("notices", "List what was told that is no incident, such as planned downtimes.")
	notices.Flag("limit", "At most so many.").Default("50").IntVar(&n.limit)
	retry := cmd.Command("retry", "Try a message again that was given up.")
	retry.Arg("incident", "Reference or id.").Required().StringVar(&n.incident)
	retry.Arg("target", "As notify list shows it, such as dba/slack[0].").Required().StringVar(&n.target)
	who(retry)
	return map[string]func(context.Context) error{test.FullCommand(): n.test, preview.FullCommand(): n.preview, list.FullCommand(): n.list,
		undelivered.FullCommand(): n.undelivered, notices.FullCommand(): n.notices, retry.FullCommand(): n.retry}
}

// errNotTold: a test message did not arrive, which has been said.
var errNotTold = errors.New("not all integrations of the receiver took the test message")

func (n *notifying) test(ctx context.Context) error {
	var v web.TestedJSON
	if err := n.do(ctx, http.MethodPost, "/api/v1/receivers/"+url.PathEscape(n.receiver)+"/test", map[string]any{"by": n.by}, &v); err != nil {
		return err
	}
	failed := false
	for _, r := range v.Results {
		result := "sent"
		if !r.Sent {
			failed, result = true, "not sent: "+r.Error
		}
		fmt.Fprintf(n.out, "%s: %s (%d ms)\n", visible(r.Target), visible(result), int(r.Took*1000))
	}
	if failed {
		return errNotTold
	}
	return nil
}

func (n *notifying) preview(ctx context.Context) error {
	var v web.PreviewsJSON
	if err := n.do(ctx, http.MethodGet, path(n.incident, "/notifications/preview?receiver="+url.QueryEscape(n.receiver)), nil, &v); err != nil {
		return err
	}
	for _, p := range v.Previews {
		fmt.Fprintf(n.out, "=== %s\n", visible(p.Target))
		if p.Error != "" {
			fmt.Fprintf(n.out, "it would fail: %s\n", visible(p.Error))
		}
		text := p.Text
		if p.Body != "" {
			text = shown(p.ContentType, p.Body)
		}
		for line := range strings.Lines(text) {
			fmt.Fprintln(n.out, visible(strings.TrimSuffix(line, "\n")))
		}
	}
	return nil
}

func (n *notifying) list(ctx context.Context) error {
	var v web.NotificationsJSON
	if err := n.do(ctx, http.MethodGet, path(n.incident, "/notifications"), nil, &v); err != nil {
		return err
	}
	if len(v.Notifications) == 0 {
		fmt.Fprintln(n.err, "nobody was told of it")
		return nil
	}
	t := &table{}
	t.add("TARGET", "KNOWS", "TOLD", "MESSAGES", "NOW")
	for _, told := range v.Notifications {
		at := ""
		if !told.ToldAt.IsZero() {
			at = told.ToldAt.UTC().Format(time.RFC3339)
		}
		t.add(told.Target, told.State, at, fmt.Sprint(told.Sent), standing(&told))
	}
	t.write(n.out, "", n.width)
	return nil
}

// standing says in words how it stands with a target.
func standing(told *notify.Notification) string {
	last := ""
	if a := len(told.Attempts); a > 0 {
		last = told.Attempts[a-1].Text
	}
	switch {
	case told.GivenUp:
		return "given up: " + last
	case told.Failures == 1:
		return "failed once: " + last
	case told.Failures > 1:
		return fmt.Sprintf("failed %d times: %s", told.Failures, last)
	case told.Hidden != nil:
		return "hidden by " + told.Hidden.By + ": " + told.Hidden.Text
	}
	return "ok"
}

func (n *notifying) undelivered(ctx context.Context) error {
	var v web.UndeliveredJSON
	if err := n.do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/undelivered?limit=%d", n.limit), nil, &v); err != nil {
		return err
	}
	if len(v.Undelivered) == 0 {
		fmt.Fprintln(n.err, "nothing was given up")
		return nil
	}
	t := &table{}
	t.add("INCIDENT", "TARGET", "GIVEN UP", "BECAUSE")
	for _, u := range v.Undelivered {
		t.add(u.Reference, u.Target, u.At.UTC().Format(time.RFC3339), u.Error)
	}
	t.write(n.out, "", n.width)
	if v.NextCursor != "" {
		fmt.Fprintln(n.err, "there may be more: --limit")
	}
	return nil
}

func (n *notifying) notices(ctx context.Context) error {
	var v web.NoticesJSON
	if err := n.do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/notices?limit=%d", n.limit), nil, &v); err != nil {
		return err
	}
	if len(v.Notices) == 0 {
		fmt.Fprintln(n.err, "there were no notices")
		return nil
	}
	t := &table{}
	t.add("TOLD", "NOTICE", "TARGET", "HOW")
	for _, one := range v.Notices {
		at, title := one.At.UTC().Format(time.RFC3339), one.Title
		if one.Short {
			title += " (later than promised)"
		}
		if len(one.Notifications) == 0 {
			t.add(at, title, "", "nobody was told yet")
		}
		for i := range one.Notifications {
			told := &one.Notifications[i]
			t.add(at, title, told.Target, standing(told))
		}
	}
	t.write(n.out, "", n.width)
	return nil
}

func (n *notifying) retry(ctx context.Context) error {
	var v web.IncidentJSON
	if err := n.do(ctx, http.MethodPost, path(n.incident, "/notifications/retry"), map[string]any{"by": n.by, "target": n.target}, &v); err != nil {
		return err
	}
	_, err := fmt.Fprintf(n.out, "%s: %s is told again\n", visible(v.Reference), visible(n.target))
	return err
}
