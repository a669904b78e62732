package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// Start is when the day begins if Options say nothing: a Friday.
var Start = time.Date(2026, time.November, 20, 9, 0, 0, 0, time.UTC)

// Options wire a gateway in.
type Options struct {
	// Start is when the day begins. The zero time means the variable Start.
	Start time.Time
	// Post hands one request to the gateway whose clock shows at: body is what
	// a sender would post to /ingest/{source}. It returns the gateway's answer.
	// Times never go back from call to call.
	Post func(ctx context.Context, at time.Time, source string, body []byte) (status int, answer []byte, err error)
	// Incidents returns all incidents that the gateway holds after the last Post.
	Incidents func(ctx context.Context) ([]Incident, error)
	// Preview says what people would be told of an incident now; nil leaves that out.
	Preview func(ctx context.Context, reference string) ([]Preview, error)
	// Report is what the form of a service disruption knows of an incident; nil leaves
	// that out.
	Report func(ctx context.Context, reference string) ([]Field, error)
}

// Field is one of a report. What nobody has said is not stated.
type Field struct {
	Name, Value string
	Stated      bool
}

// Preview is what would be told in one place.
type Preview struct{ Where, Text string }

// Incident is the part of an incident that the demo shows.
type Incident struct {
	// Reference is the short name for people.
	Reference string
	Severity  string
	Priority  string
	State     string
	Title     string
	// Alerts counts different alerts in it, not messages.
	Alerts int
	// OpenedAt and ResolvedAt bound its duration; a zero ResolvedAt means that it is not resolved.
	OpenedAt, ResolvedAt time.Time
}

// ErrRefused is returned when the gateway did not take a request.
var ErrRefused = errors.New("demo: the gateway refused a request")

// tally counts what was sent in a phase and what became of it.
type tally struct {
	requests, alerts int
	verdicts         map[string]int
}

// Run plays the day and prints it to w, at most 100 characters a line.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if o.Start.IsZero() {
		o.Start = Start
	}
	all, err := posts(o.Start, script())
	if err != nil {
		return err
	}
	p := &printer{w: w}
	p.printf("A bad day at a shop, as its pair of Alertmanagers would send it (virtual time, nothing is kept):\n\n")
	sum := tally{verdicts: map[string]int{}}
	var told *told
	for i, ph := range phases {
		until := time.Duration(1<<63 - 1)
		if i+1 < len(phases) {
			until = phases[i+1].at
		}
		part := slices.DeleteFunc(slices.Clone(all), func(p post) bool { return p.at < ph.at || p.at >= until })
		t, err := play(ctx, o, part)
		if err != nil {
			return err
		}
		p.phase(o.Start.Add(ph.at), ph.title, t)
		sum.add(t)
		if i == worst && o.Preview != nil {
			if told, err = preview(ctx, o); err != nil {
				return err
			}
		}
	}
	incidents, err := o.Incidents(ctx)
	if err != nil {
		return fmt.Errorf("demo: incidents: %w", err)
	}
	p.told(told)
	p.table(incidents)
	if told != nil && o.Report != nil {
		fields, err := o.Report(ctx, told.incident.Reference)
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		p.report(told.incident.Reference, fields)
	}
	p.printf("\n%s in %s became %s.\n", plural(sum.alerts, "alert"), plural(sum.requests, "request"), plural(len(incidents), "incident"))
	return p.err
}

// told is what people would have been told of an incident.
type told struct {
	incident Incident
	previews []Preview
}

// preview asks what people would be told of the most important incident that is
// open; nil if none is.
func preview(ctx context.Context, o Options) (*told, error) {
	all, err := o.Incidents(ctx)
	if err != nil {
		return nil, fmt.Errorf("demo: incidents: %w", err)
	}
	all = slices.DeleteFunc(all, func(i Incident) bool { return !i.ResolvedAt.IsZero() })
	if len(all) == 0 {
		return nil, nil
	}
	t := &told{incident: slices.MinFunc(all, func(a, b Incident) int {
		return cmp.Or(strings.Compare(a.Priority, b.Priority), b.Alerts-a.Alerts, a.OpenedAt.Compare(b.OpenedAt), strings.Compare(a.Reference, b.Reference))
	})}
	if t.previews, err = o.Preview(ctx, t.incident.Reference); err != nil {
		return nil, fmt.Errorf("demo: preview: %w", err)
	}
	return t, nil
}

func play(ctx context.Context, o Options, part []post) (tally, error) {
	t := tally{requests: len(part), verdicts: map[string]int{}}
	for _, p := range part {
		status, answer, err := o.Post(ctx, o.Start.Add(p.at), p.source, p.body)
		if err != nil {
			return t, fmt.Errorf("demo: post: %w", err)
		}
		if status != 200 {
			return t, fmt.Errorf("%w: %d %.200s", ErrRefused, status, answer)
		}
		var a struct {
			Received int `json:"received"`
			Results  []struct {
				Verdict string `json:"verdict"`
			} `json:"results"`
		}
		if err := json.Unmarshal(answer, &a); err != nil {
			return t, fmt.Errorf("demo: answer: %w", err)
		}
		if a.Received != p.alerts || len(a.Results) != p.alerts {
			return t, fmt.Errorf("demo: sent %d alerts, the answer says received %d with %d results", p.alerts, a.Received, len(a.Results))
		}
		t.alerts += p.alerts
		for _, r := range a.Results {
			t.verdicts[r.Verdict]++
		}
	}
	return t, nil
}

func (t *tally) add(o tally) {
	t.requests += o.requests
	t.alerts += o.alerts
	for verdict, n := range o.verdicts {
		t.verdicts[verdict] += n
	}
}

// verdictOrder is the order in which verdicts are told; others follow by name.
var verdictOrder = []string{"opened", "reopened", "joined", "updated", "resolved", "duplicate", "stale", "suppressed", "held", "recorded"}

func (t *tally) String() string {
	var names []string
	for verdict := range t.verdicts {
		names = append(names, verdict)
	}
	rank := func(name string) int {
		if i := slices.Index(verdictOrder, name); i >= 0 {
			return i
		}
		return len(verdictOrder)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", t.verdicts[name], name)
	}
	return strings.Join(names, ", ")
}

// printer remembers the first error of a writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) phase(at time.Time, title string, t tally) {
	p.printf("%s  %s\n", at.Format("15:04"), title)
	if t.requests == 0 {
		p.printf("       nothing was sent\n\n")
		return
	}
	p.printf("       %s, %s: %s\n\n", plural(t.requests, "request"), plural(t.alerts, "alert"), t.String())
}

// previewLines is how much of a message is shown.
const previewLines = 10

func (p *printer) told(t *told) {
	if t == nil {
		return
	}
	p.printf("What people would have been told of %s at its worst (nothing was sent):\n\n", fit(t.incident.Reference, 18))
	for _, one := range t.previews {
		p.printf("  %s\n", fit(one.Where, 98))
		lines := strings.Split(strings.TrimSpace(one.Text), "\n")
		for n, line := range lines {
			if n == previewLines && len(lines) > previewLines+1 {
				p.printf("  │ … %s\n", plural(len(lines)-n, "more line"))
				break
			}
			p.printf("%s\n", strings.TrimRight("  │ "+fit(line, 96), " "))
		}
		p.printf("\n")
	}
}

// report prints what is known, and names what nobody has said.
func (p *printer) report(reference string, fields []Field) {
	p.printf("\nThe form of the service disruption %s, filled in by what happened:\n\n", fit(reference, 18))
	var open []string
	for _, f := range fields {
		if !f.Stated {
			open = append(open, f.Name)
			continue
		}
		p.printf("  │ %-32s %s\n", fit(f.Name, 32), fit(firstLine(f.Value), 62))
	}
	line := "  │ not stated by anybody yet:"
	for n, name := range open {
		word := " " + fit(name, 40)
		if n < len(open)-1 {
			word += ","
		}
		if utf8.RuneCountInString(line+word) > 98 {
			p.printf("%s\n", line)
			line = "  │  "
		}
		line += word
	}
	if len(open) > 0 {
		p.printf("%s\n", line)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

const row = "%-18s %-9s %-8s %-12s %6s %9s  %s\n"

// titleWidth is what the other columns leave of 100.
const titleWidth = 100 - 18 - 1 - 9 - 1 - 8 - 1 - 12 - 1 - 6 - 1 - 9 - 2

func (p *printer) table(incidents []Incident) {
	p.printf(row, "REFERENCE", "SEVERITY", "PRIORITY", "STATE", "ALERTS", "DURATION", "TITLE")
	sorted := slices.SortedStableFunc(slices.Values(incidents), func(a, b Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
	for _, i := range sorted {
		p.printf(row, fit(i.Reference, 18), fit(i.Severity, 9), fit(i.Priority, 8), fit(i.State, 12), fmt.Sprint(i.Alerts), i.duration(), fit(i.Title, titleWidth))
	}
}

func (i Incident) duration() string {
	if i.ResolvedAt.IsZero() {
		return "-"
	}
	d := i.ResolvedAt.Sub(i.OpenedAt)
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// fit cuts s to n characters and shows control characters as blanks, because a
// title holds words of an alert, and those can be anything.
func fit(s string, n int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
	if len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return string(runes)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
