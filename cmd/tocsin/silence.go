package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"golang.org/x/term"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/mute/silences"
)

// silenceCommands are the commands on silences.
type silenceCommands struct {
	*client
	output string
	width  int

	matchers                       []string
	duration, start, end           string
	author, comment                string
	yes, expired, quiet            bool
	within, createdBy              string
	ids                            []string
	startsAt, endsAt               time.Time
	durationValue, withinRemaining time.Duration
}

func registerSilence(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("silence", "Silences, in a running gateway: they hide messages, never incidents.")
	c := &silenceCommands{client: newClient(cmd, s)}
	cmd.Flag("output", "simple for people, json for scripts.").Short('o').Default("simple").EnumVar(&c.output, "simple", "json")
	cmd.Flag("width", "Columns of a table.").Default("110").IntVar(&c.width)
	const matchersHelp = "Matchers, such as instance=~\"web.*\"; a first one without an operator is the name of an alert."

	add := cmd.Command("add", "Make a silence. What it hits is shown first; its id alone goes to standard output.")
	add.Arg("matchers", matchersHelp).Required().StringsVar(&c.matchers)
	add.Flag("duration", "How long it holds, such as 30m, 2h or 7d.").Short('d').Default("1h").StringVar(&c.duration)
	add.Flag("start", "When it begins, if not now: RFC 3339.").StringVar(&c.start)
	add.Flag("end", "When it ends, in place of --duration: RFC 3339.").StringVar(&c.end)
	add.Flag("author", "Whose it is.").Short('a').Envar("USER").Default(login()).StringVar(&c.author)
	add.Flag("comment", "Why.").Short('c').Required().StringVar(&c.comment)
	add.Flag("yes", "Do not ask, even on a terminal.").Short('y').BoolVar(&c.yes)
	add.Validate(func(*kingpin.CmdClause) error { return c.times() })

	query := cmd.Command("query", "List silences: those that hold or will hold, with these matchers among theirs.")
	query.Arg("matchers", matchersHelp).StringsVar(&c.matchers)
	query.Flag("expired", "Those that are over, of the last 120 hours, instead.").BoolVar(&c.expired)
	query.Flag("quiet", "Ids only.").Short('q').BoolVar(&c.quiet)
	query.Flag("created-by", "Only those of this person.").StringVar(&c.createdBy)
	query.Flag("within", "Only those that end, or ended, within this time, such as 8h.").StringVar(&c.within)
	query.Validate(func(*kingpin.CmdClause) error { return c.times() })

	expire := cmd.Command("expire", "End silences now.")
	expire.Arg("id", "Their ids.").Required().StringsVar(&c.ids)
	return map[string]func(context.Context) error{add.FullCommand(): c.add, query.FullCommand(): c.query, expire.FullCommand(): c.expire}
}

// times reads what the flags say about times.
func (c *silenceCommands) times() (err error) {
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{c.start, &c.startsAt}, {c.end, &c.endsAt}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = time.Parse(time.RFC3339, t.text); err != nil {
			return fmt.Errorf("%q is not RFC 3339, such as 2026-11-21T03:00:00Z", t.text)
		}
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{c.duration, &c.durationValue}, {c.within, &c.withinRemaining}} {
		if d.text == "" {
			continue
		}
		v, err := model.ParseDuration(d.text)
		if err != nil || v <= 0 {
			return fmt.Errorf("%q is not a duration such as 2h", d.text)
		}
		*d.to = time.Duration(v)
	}
	return nil
}

// parsed reads the matchers of the command line as amtool does: a first one
// without an operator is the name of an alert. One with a mistake is a mistake.
func parsed(args []string) (out []*labels.Matcher, err error) {
	config.InitMatchers(slog.New(slog.DiscardHandler))
	for n, text := range args {
		m, err := silences.ParseMatcher(text)
		if err != nil && n == 0 && !strings.ContainsAny(text, "=~") {
			m, err = silences.ParseMatcher("alertname=" + strconv.Quote(text))
		}
		if err != nil {
			return nil, fmt.Errorf("%q is not a matcher: %w", text, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// add runs silence add.
func (c *silenceCommands) add(ctx context.Context) error {
	compiled, err := parsed(c.matchers)
	if err != nil {
		return err
	}
	matchers := make([]silences.Matcher, len(compiled))
	for n, m := range compiled {
		matchers[n] = silences.MatcherOf(m)
	}
	var p silences.Preview
	if err := c.do(ctx, http.MethodPost, "/api/v1/silences/preview", map[string]any{"matchers": matchers}, &p); err != nil {
		return err
	}
	// By the gateway's clock: ours may be wrong.
	if c.startsAt.IsZero() {
		c.startsAt = c.date
	}
	if c.endsAt.IsZero() {
		c.endsAt = c.startsAt.Add(c.durationValue)
	}
	if !c.startsAt.Before(c.endsAt) || c.endsAt.Before(c.date) {
		return errors.New("it would end before it begins, or before now")
	}
	c.printPreview(&p)
	if !c.yes && isTerminal(c.in) && !c.agreed() {
		return errors.New("nothing was done")
	}
	body := map[string]any{"matchers": matchers, "startsAt": c.startsAt.UTC(), "endsAt": c.endsAt.UTC(), "createdBy": c.author, "comment": c.comment}
	var made struct {
		ID string `json:"silenceID"`
	}
	if err := c.do(ctx, http.MethodPost, "/api/v2/silences", body, &made); err != nil {
		return err
	}
	if c.output == "json" {
		text, err := json.Marshal(made)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s\n", escapeOdd(text))
		return nil
	}
	fmt.Fprintln(c.out, visible(made.ID))
	return nil
}

// isTerminal reports whether somebody who types is at the other end.
func isTerminal(r io.Reader) bool {
	f, ok := r.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// agreed asks whether to go on.
func (c *silenceCommands) agreed() bool {
	fmt.Fprint(c.err, "Silence it? [y/N] ")
	line, _ := bufio.NewReader(c.in).ReadString('\n') // no answer is a no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// previewLines is how many incidents of a preview are printed.
const previewLines = 10

// printPreview says what a silence would hide. It goes to standard error: the
// output is for the id.
func (c *silenceCommands) printPreview(p *silences.Preview) {
	fmt.Fprintf(c.err, "It hits %s (%d as a whole: nobody would be told) and %s.\n",
		number(p.Now.Incidents, "open incident", p.Now.Truncated), p.Now.Whole, number(p.Now.Alerts, "firing alert", p.Now.Truncated))
	c.printIncidents(p.Now)
	fmt.Fprintf(c.err, "In the last %d days it would have hit %s.\n", silences.PreviewDays, number(p.Past.Incidents, "incident", p.Past.Truncated))
	if p.Now.Incidents == 0 {
		c.printIncidents(p.Past)
	}
}

// number writes how many there are.
func number(n int, what string, orMore bool) string {
	if n != 1 {
		what += "s"
	}
	if orMore {
		return fmt.Sprintf("%d or more %s", n, what)
	}
	return fmt.Sprintf("%d %s", n, what)
}

func (c *silenceCommands) printIncidents(h silences.Hits) {
	t := &table{}
	for n, i := range h.FirstIncidents {
		if n == previewLines {
			break
		}
		hit := "in part"
		if i.Whole {
			hit = "whole"
		}
		t.add(i.Reference, i.State, i.Severity, hit, i.Title)
	}
	t.write(c.err, "  ", c.width)
	if rest := h.Incidents - len(t.rows); rest > 0 {
		fmt.Fprintf(c.err, "  and %d more\n", rest)
	}
}

// silenceJSON is a silence as the gateway shows it.
type silenceJSON struct {
	ID        string             `json:"id"`
	Matchers  []silences.Matcher `json:"matchers"`
	StartsAt  time.Time          `json:"startsAt"`
	EndsAt    time.Time          `json:"endsAt"`
	CreatedBy string             `json:"createdBy"`
	Comment   string             `json:"comment"`
	Status    struct {
		State string `json:"state"`
	} `json:"status"`
}

// query runs silence query.
func (c *silenceCommands) query(ctx context.Context) error {
	compiled, err := parsed(c.matchers)
	if err != nil {
		return err
	}
	q := url.Values{"expired": {"false"}}
	if c.expired {
		q = url.Values{"active": {"false"}, "pending": {"false"}}
	}
	for _, m := range compiled {
		q.Add("filter", m.String())
	}
	var raw []jsontext.Value
	if err := c.do(ctx, http.MethodGet, "/api/v2/silences?"+q.Encode(), nil, &raw); err != nil {
		return err
	}
	var list []silenceJSON
	kept := []jsontext.Value{}
	for _, text := range raw {
		var one silenceJSON
		if err := json.Unmarshal(text, &one); err != nil {
			return fmt.Errorf("the answer is not understood: %w", err)
		}
		if c.wants(&one) {
			list, kept = append(list, one), append(kept, text)
		}
	}
	switch {
	case c.quiet:
		for _, one := range list {
			fmt.Fprintln(c.out, visible(one.ID))
		}
	case c.output == "json":
		text, err := json.Marshal(kept, jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "%s\n", escapeOdd(text))
	default:
		c.table(list)
	}
	return nil
}

// wants reports whether the flags let a silence through.
func (c *silenceCommands) wants(one *silenceJSON) bool {
	if c.createdBy != "" && one.CreatedBy != c.createdBy {
		return false
	}
	left := one.EndsAt.Sub(c.date)
	if c.expired {
		left = -left
	}
	return c.withinRemaining == 0 || left <= c.withinRemaining
}

func (c *silenceCommands) table(list []silenceJSON) {
	if len(list) == 0 {
		fmt.Fprintln(c.err, "There are none.")
		return
	}
	for _, one := range list {
		var matchers []string
		for _, m := range one.Matchers {
			typ := labels.MatchEqual
			switch {
			case m.IsRegex && m.IsEqual:
				typ = labels.MatchRegexp
			case m.IsRegex:
				typ = labels.MatchNotRegexp
			case !m.IsEqual:
				typ = labels.MatchNotEqual
			}
			matchers = append(matchers, (&labels.Matcher{Type: typ, Name: m.Name, Value: m.Value}).String())
		}
		fmt.Fprintf(c.out, "%s  %s\n", visible(one.ID), visible(strings.Join(matchers, " ")))
		until := "until " + one.EndsAt.UTC().Format("2006-01-02 15:04:05Z")
		switch one.Status.State {
		case silences.Pending:
			until = "from " + one.StartsAt.UTC().Format("2006-01-02 15:04:05Z") + " " + until
		case silences.Active:
			until += " (" + short(one.EndsAt.Sub(c.date)) + " left)"
		}
		fmt.Fprintf(c.out, "  %s\n", cut(visible(fmt.Sprintf("%s %s, by %s: %s", one.Status.State, until, one.CreatedBy, one.Comment)), max(c.width-2, 10)))
	}
}

// expire runs silence expire.
func (c *silenceCommands) expire(ctx context.Context) error {
	failed := false
	for _, id := range c.ids {
		if err := c.do(ctx, http.MethodDelete, "/api/v2/silence/"+url.PathEscape(id), nil, nil); err != nil {
			failed = true
			fmt.Fprintf(c.err, "tocsin: %s: %v\n", visible(id), err)
		}
	}
	if failed {
		return errSaid
	}
	return nil
}
