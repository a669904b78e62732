package console

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/live"
)

// reportFields are what a help desk writes down.
var reportFields = []field{
	{Name: "title", Label: "In a few words", Kind: line, Help: "Such as: mail does not arrive. Empty: the first line of the description."},
	{Name: "description", Label: "What happened", Kind: area, Required: true, Help: "Symptoms, messages on the screen, what they were doing, what still works."},
	{Name: "service", Label: "Service", Kind: line, Suggest: suggest(func(c *web.ChoicesJSON) []string { return c.Services })},
	{Name: "host", Label: "Machine", Kind: line, Help: "If it is one machine."},
	{Name: "started_at", Label: "When it began", Kind: moment},
	{Name: "reporter", Label: "Who noticed it", Kind: line, Required: true, Auto: "off"},
	{Name: "reporter_contact", Label: "How to reach them", Kind: line, Help: "Such as a telephone number."},
	{Name: "reporter_role", Label: "Who they are", Kind: line, Help: "Such as customer, or teller in the branch."},
	{Name: "channel", Label: "How it was reported", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.ReportChannels })},
	{Name: "reported_at", Label: "When it was reported", Kind: moment, Help: "Empty: now."},
	{Name: "impact", Label: "Impact", Kind: line, Options: grades, Help: "High: many people, or what the business lives of. Medium: a team, or one customer. Low: one person, or a detail."},
	{Name: "urgency", Label: "Urgency", Kind: line, Options: grades, Help: "High: it gets worse every minute, or work stands still. Medium: work goes on with trouble. Low: it can wait for days."},
	{Name: "category", Label: "Category", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.Categories })},
	{Name: "severity", Label: "Severity", Kind: line, Options: choose(func(c *web.ChoicesJSON) []string { return c.Severities }), Help: "Empty: what the rules say; else the worst if impact and urgency are high, and the default otherwise."},
	{Name: "team", Label: "Team", Kind: line, Suggest: suggest(func(c *web.ChoicesJSON) []string { return c.Teams }), Help: "Empty: what the rules say."},
	{Name: "drill", Label: "It is a drill", Kind: yes, Help: "An exercise: it is marked, and counts in no statistics."},
}

// reported says what became of a report, by the verdict of the API.
var reported = map[string]string{
	"opened": "Reported. This incident is new.", "joined": "Reported. It belongs to this incident, which was open already.",
	"reopened": "Reported. This incident was over, and is open again.", "duplicate": "Reported. The same was reported already.",
}

// reportData is what the page for a report shows.
type reportData struct {
	Form *form
	// Looked: Duplicates are the open incidents that may be the same.
	Looked     bool
	Duplicates []*live.Row
}

// reportForm answers GET /report. With part=duplicates it is what may be the same
// alone, for the script.
func (k *Console) reportForm(c *gin.Context) {
	if !k.responder(c, "") {
		return
	}
	values := c.Request.URL.Query()
	if c.Query("part") == "duplicates" {
		found, err := k.duplicates(c.Request.Context(), values)
		if err != nil {
			k.fail(c, err)
			return
		}
		k.renderPart(c, http.StatusOK, "report", "duplicates", &view{Data: &reportData{Looked: true, Duplicates: found}})
		return
	}
	f, _, err := k.newReport(c, values)
	if err != nil {
		k.fail(c, err)
		return
	}
	k.renderReport(c, &reportData{Form: f})
}

func (k *Console) renderReport(c *gin.Context, d *reportData) {
	k.render(c, d.Form.Status, "report", &view{Title: "Report an incident", Section: "report", Data: d})
}

// newReport makes the form, with what was said in values.
func (k *Console) newReport(c *gin.Context, values url.Values) (*form, *facts, error) {
	about := &facts{Zone: formZone(c, values)}
	var err error
	if about.Choices, err = get[web.ChoicesJSON](k, c, "/api/v1/choices"); err != nil {
		return nil, nil, err
	}
	fields := slices.Clone(reportFields)
	if person := web.IdentityOf(c).Name; person != "" {
		n := slices.IndexFunc(fields, func(f field) bool { return f.Name == "reporter" })
		fields[n].Required, fields[n].Help = false, "Empty: you, "+person+"."
	}
	return newForm("/report", "Report", fields, about, values), about, nil
}

// report answers POST /report.
func (k *Console) report(c *gin.Context) {
	values, err := readForm(c)
	if err == nil && !k.responder(c, "/api/v1/incidents") {
		return
	}
	d := &reportData{}
	var about *facts
	if err == nil {
		d.Form, about, err = k.newReport(c, values)
	}
	if err == nil && values.Has("look") {
		d.Looked = true
		d.Duplicates, err = k.duplicates(c.Request.Context(), values)
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	if d.Looked {
		k.renderReport(c, d)
		return
	}
	body, _, ok := d.Form.encode(values, about.Zone)
	if !ok {
		k.renderReport(c, d)
		return
	}
	k.sendReport(c, d, body, values)
}

func (k *Console) sendReport(c *gin.Context, d *reportData, body map[string]any, values url.Values) {
	done, end := k.sent.begin(c.Request.Context(), values.Get(onceField))
	if done {
		c.Redirect(http.StatusSeeOther, "/")
		return
	}
	a, err := k.call(c, http.MethodPost, "/api/v1/incidents", body, 0)
	end(err == nil)
	var i web.IncidentJSON
	if err == nil {
		err = json.Unmarshal(a.body.Bytes(), &i)
	}
	if p := (*problem)(nil); errors.As(err, &p) {
		d.Form.refused(p)
		k.renderReport(c, d)
		return
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/incidents/"+url.PathEscape(i.Reference)+"?"+url.Values{"reported": {a.header.Get(web.VerdictHeader)}}.Encode())
}

const (
	// duplicateWords is for how many words of a report open incidents are searched,
	// duplicatesShown how many of those that have some are shown.
	duplicateWords, duplicatesShown = 4, 5
	// shortestWord is how many characters a word has at least that tells something.
	shortestWord = 4
)

// duplicates are the open incidents that may be what is being reported: those of the
// service, and those that have words of it; who has more of that comes first.
func (k *Console) duplicates(ctx context.Context, values url.Values) ([]*live.Row, error) {
	var searches []live.Query
	if service := strings.TrimSpace(values.Get("service")); service != "" {
		searches = append(searches, live.Query{Services: []string{service}})
	}
	for _, word := range tellingWords(values.Get("title") + " " + values.Get("description") + " " + values.Get("host")) {
		searches = append(searches, live.Query{Text: word})
	}
	found, hits := map[string]*live.Row{}, map[string]int{} // by reference
	for _, q := range searches {
		page, err := k.options.Board.Board(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Rows {
			found[r.Reference] = r
			hits[r.Reference]++
		}
	}
	list := slices.SortedFunc(maps.Values(found), func(a, b *live.Row) int {
		return cmp.Or(cmp.Compare(hits[b.Reference], hits[a.Reference]), cmp.Compare(b.Reference, a.Reference))
	})
	return list[:min(len(list), duplicatesShown)], nil
}

// tellingWords are the longest words of a text, which say most.
func tellingWords(text string) []string {
	list := strings.FieldsFunc(strings.ToLower(cut(text, 2000)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '.' })
	slices.Sort(list)
	list = slices.DeleteFunc(slices.Compact(list), func(w string) bool { return utf8.RuneCountInString(w) < shortestWord || len(w) > 100 })
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return list[:min(len(list), duplicateWords)]
}
