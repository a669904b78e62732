package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/web"
)

// pageSize is how many rows are asked for at a time.
const pageSize = 1000

// incidents are the commands on incidents.
type incidents struct {
	*client
	output string
	width  int

	state, severity, service, team, text, from, to string
	limit                                          int
	all                                            bool

	name    string // of show, announcement and note
	zone    string
	names   []string // of the others
	by      string
	comment string
	note    []string
	at      string
	report  map[string]*string
	drill   bool
}

func registerIncident(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	cmd := app.Command("incident", "Look at incidents and work on them, in a running gateway.")
	i := &incidents{client: newClient(cmd, s), report: map[string]*string{}}
	cmd.Flag("output", "table for people, json for scripts.").Short('o').Default("table").EnumVar(&i.output, "table", "json")
	cmd.Flag("width", "Columns of a table.").Default("110").IntVar(&i.width)
	list := i.registerList(cmd)
	show := cmd.Command("show", "Show one incident: what it is, what happened, what fires.")
	i.takesName(show)
	spoken := cmd.Command("announcement", "Show what a telephone line may say of an incident: what is public of it, to be read aloud.")
	i.takesName(spoken)
	spoken.Flag("tz", "The time zone of the times; default: that of process.calendar.").StringVar(&i.zone)
	report := i.registerReport(cmd)
	commands := map[string]func(context.Context) error{list: i.list, show.FullCommand(): i.show, spoken.FullCommand(): i.announcement, report: i.reportOne}
	for _, c := range []struct{ name, command, help string }{
		{"ack", "acknowledge", "Say that you work on incidents."}, {"unack", "unacknowledge", "Say that nobody works on incidents any more."}, {"resolve", "resolve", "Say that incidents are over."},
		{"close", "close", "Close resolved incidents."}, {"reopen", "reopen", "Say that incidents are not over after all."},
		{"rest", "rest", "Say that you do not work on incidents any more."}, {"accept", "accept", "Say that you took incidents over, after they were explained to you."},
		{"answer", "answer", "Answer the calls about incidents."}, {"workaround-removed", "workaround-removed", "Say that the workaround is removed."},
		{"unmerge", "unmerge", "Make incidents that were merged ones of their own again."}, {"unsnooze", "unsnooze", "Let people be told of incidents again."}} {
		action := cmd.Command(c.name, c.help)
		if c.name != c.command {
			action.Alias(c.command)
		}
		action.Arg("incident", "References or ids.").Required().StringsVar(&i.names)
		i.takesWhoAndWhy(action)
		commands[action.FullCommand()] = func(ctx context.Context) error { return i.act(ctx, c.command) }
	}
	note := cmd.Command("note", "Write into the timeline of an incident.")
	i.takesName(note)
	note.Arg("text", "What there is to note.").StringsVar(&i.note)
	note.Flag("at", "When it happened, if earlier: RFC 3339, or how long ago, such as 20m.").StringVar(&i.at)
	i.takesWhoAndWhy(note)
	note.Validate(func(*kingpin.CmdClause) error {
		if len(i.note) == 0 && i.comment == "" {
			return errors.New("incident note: say what there is to note")
		}
		return i.times()
	})
	commands[note.FullCommand()] = i.noteOne
	maps.Copy(commands, i.registerProcess(cmd))
	return commands
}

func (i *incidents) registerList(cmd *kingpin.CmdClause) string {
	list := cmd.Command("list", "List incidents, newest first.")
	list.Flag("state", "open, acknowledged, resolved, closed; several with commas. Default: all.").StringVar(&i.state)
	list.Flag("severity", "Severities, with commas.").StringVar(&i.severity)
	list.Flag("service", "Services, with commas.").StringVar(&i.service)
	list.Flag("team", "Teams, with commas.").StringVar(&i.team)
	list.Flag("q", "Text in the title, reference, hosts or labels.").Short('q').StringVar(&i.text)
	list.Flag("from", "Opened since: RFC 3339, or how long ago, such as 2h or 7d.").StringVar(&i.from)
	list.Flag("to", "Opened before: likewise.").StringVar(&i.to)
	list.Flag("limit", "At most so many.").Default("50").IntVar(&i.limit)
	list.Flag("all", "All of them, however many.").BoolVar(&i.all)
	list.Validate(func(*kingpin.CmdClause) error {
		if i.limit < 1 {
			return errors.New("incident list: --limit must be 1 or more")
		}
		return i.times()
	})
	return list.FullCommand()
}

func (i *incidents) registerReport(cmd *kingpin.CmdClause) string {
	report := cmd.Command("report", "Report an incident that no tool has noticed.")
	for _, f := range [...][2]string{{"title", "In a few words; default: the first line of the description."}, {"description", "What happened."},
		{"severity", "How bad it is."}, {"impact", "high, medium or low."}, {"urgency", "high, medium or low."},
		{"category", "Such as hardware, software, network."}, {"service", "What is affected."}, {"host", "Which machine."}, {"team", "Whose it is."},
		{"reporter", "Who noticed it; default: who reports it."}, {"reporter_contact", "Such as a telephone number."}, {"reporter_role", "Such as customer."},
		{"channel", "How it was reported: phone, chat, person, email or form."}} {
		i.report[f[0]] = report.Flag(strings.ReplaceAll(f[0], "_", "-"), f[1]).String()
	}
	report.Flag("started-at", "When it began, if that is known: RFC 3339, or how long ago.").StringVar(&i.at)
	report.Flag("drill", "It is an exercise.").BoolVar(&i.drill)
	report.Flag("by", "Who reports it; with a token, its name counts.").Envar("USER").Default(login()).StringVar(&i.by)
	report.Validate(func(*kingpin.CmdClause) error { return i.times() })
	return report.FullCommand()
}

func (i *incidents) takesName(cmd *kingpin.CmdClause) {
	cmd.Arg("incident", "Reference or id.").Required().StringVar(&i.name)
}

func (i *incidents) takesWhoAndWhy(cmd *kingpin.CmdClause) {
	cmd.Flag("by", "Who does it; with a token, its name counts.").Envar("USER").Default(login()).StringVar(&i.by)
	cmd.Flag("comment", "Why.").Short('m').StringVar(&i.comment)
}

// login is the name of the user of this process, for where $USER is not set.
func login() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// times turns what the flags say about times into RFC 3339.
func (i *incidents) times() error {
	for _, t := range []*string{&i.from, &i.to, &i.at} {
		var err error
		if *t, err = pointInTime(*t, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// pointInTime returns text, which is RFC 3339 or a duration before now, as RFC 3339.
func pointInTime(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if _, err := time.Parse(time.RFC3339, text); err == nil {
		return text, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%q is neither RFC 3339, such as 2026-11-21T03:00:00Z, nor a duration such as 2h", text)
	}
	return now.Add(-time.Duration(d)).UTC().Format(time.RFC3339), nil
}

// list runs incident list.
func (i *incidents) list(ctx context.Context) error {
	q := url.Values{}
	for name, value := range map[string]string{"state": i.state, "severity": i.severity, "service": i.service, "team": i.team, "q": i.text,
		"from": i.from, "to": i.to} {
		if value != "" {
			q.Set(name, value)
		}
	}
	type page struct {
		Incidents  []jsontext.Value `json:"incidents"`
		NextCursor string           `json:"next_cursor"`
	}
	whole := page{Incidents: []jsontext.Value{}}
	for i.all || len(whole.Incidents) < i.limit {
		ask := pageSize
		if !i.all {
			ask = min(ask, i.limit-len(whole.Incidents))
		}
		q.Set("limit", strconv.Itoa(ask))
		var p page
		if err := i.do(ctx, http.MethodGet, "/api/v1/incidents?"+q.Encode(), nil, &p); err != nil {
			return err
		}
		whole.Incidents, whole.NextCursor = append(whole.Incidents, p.Incidents...), p.NextCursor
		if p.NextCursor == "" {
			break
		}
		q.Set("cursor", p.NextCursor)
	}
	if i.output == "json" {
		return i.printJSON(whole)
	}
	return i.printList(whole.Incidents, whole.NextCursor != "")
}

func (i *incidents) printList(list []jsontext.Value, more bool) error {
	if len(list) == 0 {
		fmt.Fprintln(i.err, "no incidents")
		return nil
	}
	t := &table{}
	t.add("REFERENCE", "STATE", "SEVERITY", "PRIO", "AGE", "FIRING", "SERVICE", "TITLE")
	for _, raw := range list {
		var v web.IncidentJSON
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("the answer is not understood: %w", err)
		}
		t.add(v.Reference, v.State, v.Severity, v.Priority, age(i.date, v.OpenedAt), fmt.Sprintf("%d/%d", v.Alerts.Firing, v.Alerts.Total), v.Service, v.Title)
	}
	t.write(i.out, "", i.width)
	if more {
		fmt.Fprintln(i.err, "there may be more: --limit or --all")
	}
	return nil
}

// printJSON writes v for scripts.
func (i *incidents) printJSON(v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), jsontext.EscapeForHTML(true))
	b = escapeOdd(b)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(i.out, "%s\n", b)
	return err
}

// act runs ack, resolve, close and reopen, on each incident in its turn.
func (i *incidents) act(ctx context.Context, command string) error {
	var errs []string
	for _, name := range i.names {
		var raw jsontext.Value
		err := i.do(ctx, http.MethodPost, path(name, "/"+command), i.body(nil), &raw)
		if err == nil {
			err = i.printDone(raw)
		}
		if err != nil {
			errs = append(errs, visible(name)+": "+err.Error())
		}
	}
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

// body is that of a command: who, why, and what else there is.
func (i *incidents) body(more map[string]any) map[string]any {
	body := map[string]any{"by": i.by, "comment": i.comment}
	for name, value := range more {
		body[name] = value
	}
	for name, value := range body {
		if value == "" {
			delete(body, name)
		}
	}
	return body
}

// path is the address of an incident.
func path(name, rest string) string { return "/api/v1/incidents/" + url.PathEscape(name) + rest }

func (i *incidents) printDone(raw jsontext.Value) error {
	if i.output == "json" {
		return i.printJSON(raw)
	}
	var v web.IncidentJSON
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("the answer is not understood: %w", err)
	}
	_, err := fmt.Fprintf(i.out, "%s %s: %s\n", visible(v.Reference), visible(v.State), cut(visible(v.Title), i.width))
	return err
}

// noteOne runs incident note.
func (i *incidents) noteOne(ctx context.Context) error {
	var raw jsontext.Value
	body := i.body(map[string]any{"text": strings.Join(i.note, " "), "at": i.at})
	if err := i.do(ctx, http.MethodPost, path(i.name, "/note"), body, &raw); err != nil {
		return err
	}
	return i.printDone(raw)
}

// reportOne runs incident report.
func (i *incidents) reportOne(ctx context.Context) error {
	body := map[string]any{"started_at": i.at}
	for name, value := range i.report {
		body[name] = *value
	}
	token, err := i.token()
	if err != nil {
		return err
	}
	if body["reporter"] == "" && token == "" { // with a token the gateway knows who reports it
		body["reporter"] = i.by
	}
	for name, value := range body {
		if value == "" {
			delete(body, name)
		}
	}
	if i.drill {
		body["drill"] = true
	}
	var raw jsontext.Value
	if err := i.do(ctx, http.MethodPost, "/api/v1/incidents", body, &raw); err != nil {
		return err
	}
	return i.printDone(raw)
}
