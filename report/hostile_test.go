package report_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"golang.org/x/net/html"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/report"
)

// attacks are texts that want to be more than texts.
var attacks = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style><script>`, `{{.}}`, `javascript:alert(1)`, `=cmd|' /C calc'!A0`, "+1;=HYPERLINK(\"x\")", "-2", "@SUM(A1)", "\t=1", "\"\n=1",
	"| a | b |\n| --- | --- |", "# heading", "[x](javascript:alert(1))", "![x](http://evil.example/p.png)", "`code`", "http://evil.example www.evil.example", "a\x00b\x1b[31mred", "\u202eevil\u2066", "\xff\xfe", "*bold* _it_ ~no~",
	"<https://evil.example>", "&lt;script&gt;", "<!--", "1. one\n2. two", strings.Repeat("x", 5000), "=1+1\u2028=2", "＝1", "$x$ @team",
}

// hostile is an incident every text of which is the given one.
func hostile(text string) report.Case {
	i := &incident.Incident{Reference: text, Title: text, State: text, Phase: text, Severity: text, Priority: text, Impact: text, Urgency: text, Category: text, Level: text, Service: text, Team: text, Runbook: text,
		Hosts: []string{text}, Sources: []string{text}, Roles: map[string]string{incident.RoleManager: text}, Links: []incident.Link{{Name: text, URL: text}}, Told: []string{text}, Description: text, Reporter: text,
		AcknowledgedBy: text, AcknowledgedAt: night, ResolvedBy: text, ResolvedAt: night, ClosedBy: text, ClosedAt: night, OpenedAt: night, CycleOpenedAt: night, FlappingUntil: night, Occurrences: 1, Reopens: 1,
		Cycles: []incident.Cycle{{OpenedAt: night, AcknowledgedBy: text, AcknowledgedAt: night, ResolvedBy: text, ResolvedAt: night, Severity: text}}, Captured: incident.Captured{ReporterContact: text, ReporterRole: text, Channel: text, ReportedAt: night}}
	i.Process = &incident.Process{Assessment: &incident.Assessment{By: text, At: night, Impact: text, Urgency: text, Observations: text}, Tier: text, Handovers: []incident.Handover{{From: text, To: text, Reason: text, By: text, At: night, AcceptedBy: text, AcceptedAt: night}},
		Participants: []string{text}, Working: []incident.Worker{{Who: text, On: text, Since: night}}, Customers: []string{text}, NextContact: night, Confirmed: &incident.Confirmation{By: text, At: night, Customer: text},
		Updates:  []incident.Update{{ID: 1, By: text, At: night, Phase: text, What: text, Analysis: text, Progress: text, Forecast: text, Contact: text, Restoration: night, SignedBy: text, SignedAt: night}, {ID: 2, NeedsSignature: true, By: text, What: text}},
		Contacts: []incident.Contact{{Who: text, Channel: text, By: text, At: night, Reached: true, Note: text}}, Actions: []incident.Action{{ID: 1, Text: text, Owner: text, Due: night, Kind: text, By: text, DoneBy: text, DoneAt: night}},
		Duties: []incident.Duty{{Name: text, Fired: 1}, {Name: text, Outcome: incident.DutyKept}}, Called: []incident.Called{{Receiver: text, Why: text, At: night}},
		Findings: incident.Findings{Cause: text, Whys: []string{text}, Causes: []incident.LikelyCause{{Text: text, State: text, By: text, At: night}, {Text: text, State: incident.CauseOpen, By: text}}, Solution: text, Workaround: text, Fix: text, FollowUp: text,
			Financial: text, Reputational: text, Operational: text, Symptoms: text, Systems: text, Populations: text, Recommendations: text, Lessons: text, Recurrence: text, Detection: text, Communication: text}}
	return report.Case{Incident: i, Owner: text, Timeline: []incident.TimelineEntry{{Seq: 1, At: night, Late: true, Who: text, Source: text, Action: text, Text: text}},
		Alerts: []report.Alert{{Name: text, Host: text, Severity: text, Summary: text, URL: text, Since: night}}, Duties: []report.Duty{{Name: text, Text: text, Due: night}},
		Similar: []report.Similar{{Reference: text, Title: text, State: text, Why: text, Cause: text, Solution: text}}}
}

// documents are all kinds of documents about it.
func documents(c report.Case, v report.View) []*report.Document {
	i, text := c.Incident, c.Incident.Title
	return []*report.Document{report.Disruption(c, v), report.Closure(c, v), report.Handover(c, v),
		report.Shift(report.Watch{Since: v.Now, Open: []*incident.Incident{i}, Happened: []report.Event{{Incident: i, Entry: c.Timeline[0]}}, Duties: []report.Due{{Incident: i, Duty: c.Duties[0]}},
			Hidden: []report.Hidden{{Incident: i, By: text, Text: text, Until: v.Now}}, LeftOut: []string{text}}, v),
		report.Monthly(report.Month{From: v.Now, To: v.Now, Incidents: []*incident.Incident{i}, Communication: []string{text}, LeftOut: []string{text},
			Silences: []report.Silence{{What: text, By: text, Comment: text, Hid: []string{text}, More: 1}}, Objectives: func(*incident.Incident) report.Objectives {
				return report.Objectives{Response: time.Minute, Resolution: time.Minute}
			}}, v)}
}

// elements are those that a page of ours has.
var elements = strings.Fields("html head meta title style body header h1 h2 h3 p main ul li section table thead tbody tr th td div a span wbr time footer")

var (
	anchor  = regexp.MustCompile(`^#e\d+$`)
	target  = regexp.MustCompile(`\]\(<https?://[^<>\s]*>\)`)
	escaped = regexp.MustCompile(`(?s)\\.`)
)

// inertHTML wants a page without anything but text, its own elements, and links over HTTP.
func inertHTML(t *testing.T, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	styles := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			if styles != 1 {
				t.Errorf("the page has %d styles, want 1", styles)
			}
			return
		case html.CommentToken:
			t.Errorf("the page has a comment: %s", z.Raw())
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			if !slices.Contains(elements, tag.Data) {
				t.Errorf("the page has the element %s", tag.Data)
			}
			if tag.Data == "style" {
				styles++
			}
			for _, a := range tag.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on") || a.Key == "src" || a.Key == "style":
					t.Errorf("the page has the attribute %s=%q", a.Key, a.Val)
				case a.Key == "href" && !strings.HasPrefix(a.Val, "http://") && !strings.HasPrefix(a.Val, "https://") && !anchor.MatchString(a.Val):
					t.Errorf("the page links to %q", a.Val)
				}
			}
		}
	}
}

// inertCSV wants no cell that a spreadsheet takes for a formula, even one that cuts
// at semicolons.
func inertCSV(t *testing.T, text string) {
	t.Helper()
	for _, comma := range []rune{',', ';'} {
		r := csv.NewReader(strings.NewReader(text))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatalf("not CSV: %v\n%s", err, text)
		}
		for _, row := range rows {
			for _, cell := range row {
				if c := strings.TrimLeft(cell, " \n\r\""); c != "" && strings.ContainsRune("=+-@\t＝＋－＠", rune([]rune(c)[0])) {
					t.Errorf("a cell is a formula: %q", cell)
				}
			}
		}
	}
}

// inertMarkdown wants no markup but ours.
func inertMarkdown(t *testing.T, text string) {
	t.Helper()
	ours := strings.ReplaceAll(text, "<br>", "")
	ours = target.ReplaceAllString(ours, "")
	ours = escaped.ReplaceAllString(ours, "_") // what is escaped
	for _, bad := range []string{"<", ">", "](", "://", "www.", "`", "![", "~~", "$"} {
		if at := strings.Index(ours, bad); at >= 0 {
			t.Errorf("the Markdown has %q: %q", bad, ours[max(at-40, 0):min(at+40, len(ours))])
		}
	}
	columns := 0
	for line := range strings.Lines(ours) {
		n := strings.Count(line, "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("a row has %d bars, the first has %d: %q", n, columns, line)
		}
	}
}

// inert checks a document in a format.
func inert(t *testing.T, d *report.Document, format string) {
	t.Helper()
	if format == "csv" && d.Kind != report.KindDisruption && d.Kind != report.KindMonthly {
		return
	}
	text := written(t, format, d)
	if !utf8.ValidString(text) {
		t.Errorf("%s as %s is not UTF-8", d.Kind, format)
	}
	if at := strings.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\n\r\t", r) || unicode.Is(unicode.Bidi_Control, r)
	}); at >= 0 {
		t.Errorf("%s as %s has a control character: %q", d.Kind, format, text[at:min(at+20, len(text))])
	}
	switch format {
	case "html":
		inertHTML(t, text)
	case "csv":
		inertCSV(t, text)
	case "md":
		inertMarkdown(t, text)
	case "json":
		var back report.Document
		if err := json.Unmarshal([]byte(text), &back); err != nil || strings.ContainsAny(text, "<>") {
			t.Errorf("%s as JSON: %v", d.Kind, err)
		}
		if again := written(t, "json", &back); again != text {
			t.Errorf("%s as JSON does not read back as it was", d.Kind)
		}
	}
}

func TestHostileTexts(t *testing.T) {
	for _, text := range attacks {
		t.Run(text[:min(len(text), 20)], func(t *testing.T) {
			for _, d := range documents(hostile(text), dayAfter) {
				for format := range renderers {
					inert(t, d, format)
				}
			}
		})
	}
}

// TestTheStyleIsTheOneOfThePolicy: or the page has none.
func TestTheStyleIsTheOneOfThePolicy(t *testing.T) {
	page := written(t, "html", report.Disruption(bare(t), inUTC))
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	if want := "style-src 'sha256-" + sum(style) + "'"; !strings.Contains(report.Policy, want) {
		t.Errorf("the policy is %s, want %s in it", report.Policy, want)
	}
	meta := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if meta == nil || html.UnescapeString(meta[1]) != report.Policy {
		t.Errorf("the page says %q, want %q", meta, report.Policy)
	}
}

// fuzzed is how long a text of the fuzz test is at most: every field has it.
const fuzzed = 100

// FuzzRender: whatever texts and times say, nothing panics and what is written is inert.
func FuzzRender(f *testing.F) {
	for n, text := range attacks {
		if len(text) < fuzzed {
			f.Add(text, "Acme", int64(0), byte(n))
		}
	}
	f.Add("acme and globex", "acme", int64(1)<<62, byte(1))
	f.Fuzz(func(t *testing.T, text, customer string, at int64, which byte) {
		if len(text) > fuzzed || len(customer) > fuzzed {
			return
		}
		c := hostile(text)
		c.Incident.Process.Customer, c.Others = customer, []string{"globex", text}
		c.Incident.Drill = at%2 == 1
		for _, when := range []*time.Time{&c.Incident.OpenedAt, &c.Incident.ResolvedAt, &c.Timeline[0].At, &c.Incident.Process.Actions[0].Due} {
			*when = time.Unix(at, 0)
		}
		d := documents(c, report.View{Now: time.Unix(at/2, 0), Zone: zurich, By: text})[which%5]
		for format := range renderers {
			inert(t, d, format)
		}
	})
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}
