package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// analysisTime is how long a page waits for figures. Adding up hundreds of thousands of
// incidents takes longer.
const analysisTime = 20 * time.Second

// splits are what figures are split by, and what that is called.
var splits = []string{"severity", "service", "team", "source"}

// analysisForm is what the page was asked for.
type analysisForm struct {
	// From and To are days, both included, in the viewer's zone; By is one of splits, and
	// Every day, week or month.
	From, To, By, Every string
	// Wrong says what is wrong with them.
	Wrong string

	from, to time.Time
}

// analysisData is what the page shows.
type analysisData struct {
	Form   analysisForm
	Splits []string
	Ranges []dayRange
	// Slow: it takes too long to add up.
	Slow  bool
	Stats *web.StatsJSON
	// Charts are over time, Groups the same of each of the largest groups.
	Charts []chart
	Groups []groupCharts
	// MostOpened is the largest number of Stats.Groups.
	MostOpened int
	// TimeCSV, GroupsCSV and SeriesCSV are where the same figures are as files: over time, of
	// the groups, and of both.
	TimeCSV, GroupsCSV, SeriesCSV string
	Month                         string
	Monthly                       *monthly
}

// dayRange is a link to a usual time.
type dayRange struct{ Text, From, To string }

// analysis answers GET /analysis.
func (k *Console) analysis(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), analysisTime)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	zone := zoneOf(c)
	now := k.options.Now().In(zone)
	d := analysisData{Form: readAnalysis(c, now), Splits: splits, Ranges: ranges(now)}
	status := http.StatusOK
	if d.Form.Wrong != "" {
		status = http.StatusBadRequest
	} else {
		err := k.addUp(c, &d, zone)
		if d.Slow = err != nil && ctx.Err() == context.DeadlineExceeded; d.Slow {
			status = http.StatusServiceUnavailable
		} else if p, ok := k.asProblem(c, err); !ok {
			return
		} else if p != nil {
			d.Form.Wrong, status = reason(p), p.Status
		}
	}
	k.render(c, status, "analysis", &view{Title: "Analysis", Section: "analysis", Data: d})
}

// ranges are the usual times that end today, and the two latest months.
func ranges(now time.Time) []dayRange {
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	var out []dayRange
	for _, n := range []string{"7", "30", "90"} {
		days := map[string]int{"7": 7, "30": 30, "90": 90}[n]
		out = append(out, dayRange{n + " days", day(now.AddDate(0, 0, 1-days)), day(now)})
	}
	first := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
	out = append(out, dayRange{"this month", day(first), day(now)})
	before := first.AddDate(0, -1, 0)
	return append(out, dayRange{before.Format("January 2006"), day(before), day(first.AddDate(0, 0, -1))})
}

// readAnalysis reads what the page is asked for: the last 30 days by severity, if
// nobody says.
func readAnalysis(c *gin.Context, now time.Time) analysisForm {
	f := analysisForm{From: cmp.Or(c.Query("from"), now.AddDate(0, 0, -29).Format(time.DateOnly)), To: cmp.Or(c.Query("to"), now.Format(time.DateOnly)),
		By: cmp.Or(c.Query("by"), splits[0]), Every: c.Query("every")}
	from, errFrom := time.Parse(time.DateOnly, f.From)
	to, errTo := time.Parse(time.DateOnly, f.To)
	f.from, f.to = web.StartOfDay(from, now.Location()), web.StartOfDay(to.AddDate(0, 0, 1), now.Location()) // the day itself is part of it
	if f.Every == "" {
		switch days := f.to.Sub(f.from).Hours() / 24; {
		case days <= 62:
			f.Every = "day"
		case days <= 366:
			f.Every = "week"
		default:
			f.Every = "month"
		}
	}
	switch {
	case errFrom != nil:
		f.Wrong = "from is not a day such as 2026-11-21"
	case errTo != nil:
		f.Wrong = "to is not a day such as 2026-11-21"
	case !f.from.Before(f.to):
		f.Wrong = "from is after to"
	case !slices.Contains(splits, f.By):
		f.Wrong = "by is none of " + strings.Join(splits, ", ")
	}
	return f
}

// addUp asks for the figures and draws them.
func (k *Console) addUp(c *gin.Context, d *analysisData, zone *time.Location) error {
	f := &d.Form
	q := url.Values{"from": {f.from.UTC().Format(time.RFC3339)}, "to": {f.to.UTC().Format(time.RFC3339)}, "by": {f.By}, "timezone": {zone.String()}}
	file := func(by string) string {
		q := url.Values{"from": q["from"], "to": q["to"], "timezone": q["timezone"], "by": {by}, "format": {"csv"}}
		return "/api/v1/stats?" + q.Encode()
	}
	d.TimeCSV, d.GroupsCSV, d.SeriesCSV = file(f.Every), file(f.By), file(f.Every+","+f.By)
	q.Set("interval", f.Every)
	found, err := get[web.StatsJSON](k, c, "/api/v1/stats?"+q.Encode())
	if err != nil {
		return err
	}
	d.Stats = &found
	if f.By == "severity" {
		k.worstFirst(found.Groups)
		for n := range found.Series {
			k.worstFirst(found.Series[n].Groups)
		}
	}
	d.draw()
	d.Month = f.to.Add(-1).Format("2006-01")
	d.Monthly, err = k.monthly(c, d.Month, zone)
	return err
}

// worstFirst orders what is split by severity as the board does. Last is what the configuration
// does not know any more.
func (k *Console) worstFirst(groups []web.StatsGroupJSON) {
	order := map[string]int{}
	for n, s := range k.options.Severities() {
		order[s] = n - len(k.options.Severities())
	}
	slices.SortStableFunc(groups, func(a, b web.StatsGroupJSON) int { return order[a.By["severity"]] - order[b.By["severity"]] })
}

// measures are what is drawn over time. Of is below 0 where it is not known.
var measures = []struct {
	title string
	of    func(web.StatsGroupJSON) float64
	write func(float64) string
}{
	{"Incidents opened", func(g web.StatsGroupJSON) float64 { return float64(g.Opened) }, count},
	{"Mean time to acknowledge", func(g web.StatsGroupJSON) float64 { return mean(g.TimeToAcknowledge) }, duration},
	{"Mean time to resolve", func(g web.StatsGroupJSON) float64 { return mean(g.TimeToResolve) }, duration},
	{"Outage of closed incidents", func(g web.StatsGroupJSON) float64 { return g.Outage.Sum }, duration},
}

// groupCharts are those of one measure, one of each group, all to one scale.
type groupCharts struct {
	Title  string
	Charts []chart
}

// draw makes the charts.
func (d *analysisData) draw() {
	s := d.Stats
	names := make([]string, len(s.Series))
	for n, b := range s.Series {
		names[n] = b.Name
	}
	for _, m := range measures {
		values := make([]float64, len(s.Series))
		for n, b := range s.Series {
			values[n] = m.of(b.Total)
		}
		d.Charts = append(d.Charts, newChart(m.title, names, values, highest(values), m.write))
		if charts := ofGroups(s, names, m.of, m.write); len(charts) > 0 {
			for n := range charts {
				charts[n].Of = m.title
			}
			d.Groups = append(d.Groups, groupCharts{m.title, charts})
		}
	}
	for _, g := range s.Groups {
		d.MostOpened = max(d.MostOpened, g.Opened)
	}
}

// ofGroups draws one measure of each of the largest groups for which there is any.
func ofGroups(s *web.StatsJSON, names []string, of func(web.StatsGroupJSON) float64, write func(float64) string) (out []chart) {
	by, most, values := s.By[0], 0.0, map[string][]float64{}
	for n, b := range s.Series {
		for _, g := range b.Groups {
			name := g.By[by]
			if values[name] == nil {
				values[name] = slices.Repeat([]float64{of(web.StatsGroupJSON{})}, len(s.Series))
			}
			values[name][n] = of(g)
			most = max(most, of(g))
		}
	}
	for _, g := range s.Groups { // in the order of the table
		if v := values[g.By[by]]; len(v) > 0 && slices.ContainsFunc(v, func(one float64) bool { return one != of(web.StatsGroupJSON{}) }) {
			out = append(out, newChart(cmp.Or(g.By[by], "none"), names, v, most, write))
		}
	}
	return out
}

// mean is that of durations, below 0 if there are none.
func mean(t web.TimesJSON) float64 {
	if t.Mean == nil {
		return -1
	}
	return *t.Mean
}

// Width is how wide the bar of a group is, of 100.
func (d analysisData) Width(opened int) int {
	if d.MostOpened == 0 {
		return 0
	}
	return opened * 100 / d.MostOpened
}

// monthly is what the page shows of the monthly report.
type monthly struct {
	Title    string           `json:"title"`
	Subtitle string           `json:"subtitle"`
	Notices  []string         `json:"notices"`
	Sections []monthlySection `json:"sections"`
}

type monthlySection struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Intro  string `json:"intro"`
	Fields []struct {
		Label string `json:"label"`
		Text  string `json:"text"`
	} `json:"fields"`
	Table *struct {
		Columns []struct {
			Label  string `json:"label"`
			Number bool   `json:"number"`
		} `json:"columns"`
		Rows []struct {
			Cells []struct {
				Text string `json:"text"`
				Note string `json:"note"`
			} `json:"cells"`
		} `json:"rows"`
		Empty string `json:"empty"`
	} `json:"table"`
	Level int `json:"level"`
}

// monthlyShown are the sections of the report that are not shown otherwise: duties and
// objectives kept and missed, and what alerts were worth.
var monthlyShown = []string{"management", "duties", "ledger", "noisiest", "never_acknowledged", "flapping", "silences"}

// monthly reads the report of a month.
func (k *Console) monthly(c *gin.Context, month string, zone *time.Location) (*monthly, error) {
	m, err := get[monthly](k, c, "/api/v1/reports/monthly?format=json&month="+month+"&tz="+url.QueryEscape(zone.String()))
	if err != nil {
		return nil, err
	}
	m.Sections = slices.DeleteFunc(m.Sections, func(s monthlySection) bool { return !slices.Contains(monthlyShown, s.Name) })
	return &m, nil
}
