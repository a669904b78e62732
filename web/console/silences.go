package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/alertmanager/pkg/labels"

	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/web"
)

// silence is one as Alertmanager's API has it.
type silence struct {
	ID     string `json:"id,omitzero"`
	Status struct {
		State string `json:"state"`
	} `json:"status,omitzero"`
	Matchers  []silenceMatcher `json:"matchers"`
	StartsAt  time.Time        `json:"startsAt"`
	EndsAt    time.Time        `json:"endsAt"`
	CreatedBy string           `json:"createdBy"`
	Comment   string           `json:"comment"`
}

type silenceMatcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual bool   `json:"isEqual"`
}

// String writes a matcher as people write one.
func (m silenceMatcher) String() string {
	t := labels.MatchNotEqual
	switch {
	case m.IsRegex && m.IsEqual:
		t = labels.MatchRegexp
	case m.IsRegex:
		t = labels.MatchNotRegexp
	case m.IsEqual:
		t = labels.MatchEqual
	}
	return (&labels.Matcher{Type: t, Name: m.Name, Value: m.Value}).String()
}

// expiredShown is how many silences that are over a page lists.
const expiredShown = 20

// silencesData is what the page of silences shows.
type silencesData struct {
	Silences []silence
	Left     int // expired ones that are not shown
	Config   web.ConfigJSON
	Problem  *problem
}

// silences answers GET /operations/silences.
func (k *Console) silences(c *gin.Context) { k.showSilences(c, http.StatusOK, nil) }

func (k *Console) showSilences(c *gin.Context, status int, p *problem) {
	d := silencesData{Problem: p}
	var err error
	if d.Silences, err = get[[]silence](k, c, "/api/v2/silences"); err == nil {
		d.Config, err = get[web.ConfigJSON](k, c, "/api/v1/config")
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	order := []string{"active", "pending", "expired"}
	slices.SortStableFunc(d.Silences, func(a, b silence) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Status.State), slices.Index(order, b.Status.State)), b.EndsAt.Compare(a.EndsAt))
	})
	expired := slices.IndexFunc(d.Silences, func(s silence) bool { return s.Status.State == "expired" })
	if expired >= 0 {
		d.Left = max(0, len(d.Silences)-expired-expiredShown)
		d.Silences = d.Silences[:len(d.Silences)-d.Left]
	}
	k.operate(c, status, "silences", "Silences and maintenance", d)
}

// silenceForm is what is written into the form of a new silence.
type silenceForm struct {
	Matchers, From, For, By, Comment string
	// Wrong says what is wrong with a field, by its name.
	Wrong map[string]string
	// Preview is what it would hit; nil if nobody asked.
	Preview *silencePreview
	Lasts   []lasting
	// Once is the id of the form, FormZone the zone of From.
	Once     string
	FormZone *time.Location
}

// silencePreview is the answer of the API; see mute/silences.
type silencePreview struct {
	Now       silenceHits `json:"now"`
	Past      silenceHits `json:"past"`
	PastSince time.Time   `json:"past_since"`
}

type silenceHits struct {
	Incidents      int  `json:"incidents"`
	Whole          int  `json:"incidents_whole"`
	Alerts         int  `json:"alerts"`
	Truncated      bool `json:"truncated"`
	FirstIncidents []struct {
		Reference string    `json:"reference"`
		Title     string    `json:"title"`
		State     string    `json:"state"`
		Severity  string    `json:"severity"`
		OpenedAt  time.Time `json:"opened_at"`
		Whole     bool      `json:"whole"`
	} `json:"first_incidents"`
}

// hitsTable is what is shown of one half of a preview.
type hitsTable struct {
	ID, Title string
	Hits      silenceHits
	View      *view
}

func hitsOf(p *silencePreview, past bool, v *view) hitsTable {
	if past {
		return hitsTable{"hits-past", "In the last 30 days it would have hit", p.Past, v}
	}
	return hitsTable{"hits-now", "Now it hits", p.Now, v}
}

// lasting is a choice of how long a silence holds.
type lasting struct {
	Value, Text string
	d           time.Duration
}

var lastings = []lasting{{"30m", "30 minutes", 30 * time.Minute}, {"1h", "1 hour", time.Hour}, {"2h", "2 hours", 2 * time.Hour}, {"4h", "4 hours", 4 * time.Hour},
	{"8h", "8 hours", 8 * time.Hour}, {"24h", "1 day", 24 * time.Hour}, {"72h", "3 days", 72 * time.Hour}, {"168h", "1 week", 168 * time.Hour}}

// newSilence answers GET /operations/silences/new. A link may bring matchers.
func (k *Console) newSilence(c *gin.Context) {
	k.showSilence(c, http.StatusOK, silenceForm{Matchers: c.Query("matchers"), For: "2h"})
}

func (k *Console) showSilence(c *gin.Context, status int, f silenceForm) {
	if f.Lasts, f.Once = lastings, newOnce(); f.FormZone == nil {
		f.FormZone = zoneOf(c)
	}
	k.operate(c, status, "silence", "New silence", f)
}

// putSilence answers POST /operations/silences/new: a preview, or the silence itself.
func (k *Console) putSilence(c *gin.Context) {
	values, err := readForm(c)
	if err != nil {
		k.fail(c, err)
		return
	}
	f := silenceForm{Matchers: values.Get("matchers"), From: values.Get("from"), FormZone: formZone(c, values), For: values.Get("for"), By: values.Get("by"), Comment: values.Get("comment"), Wrong: map[string]string{}}
	if name := web.IdentityOf(c).Name; name != "" {
		f.By = name
	}
	ms, wrong := readMatchers(f.Matchers)
	if wrong != "" {
		f.Wrong["matchers"] = wrong
		k.showSilence(c, http.StatusBadRequest, f)
		return
	}
	var preview silencePreview
	p, ok := k.asProblem(c, post(k, c, "/api/v1/silences/preview", map[string]any{"matchers": ms}, &preview))
	switch {
	case !ok:
		return
	case p != nil:
		f.Wrong["matchers"] = reason(p)
		k.showSilence(c, p.Status, f)
		return
	}
	f.Preview = &preview
	if values.Get("do") != "create" {
		k.showSilence(c, http.StatusOK, f)
		return
	}
	from, wrong := f.start(k.options.Now())
	if wrong != "" {
		f.Wrong["from"] = wrong
	}
	n := slices.IndexFunc(lastings, func(l lasting) bool { return l.Value == f.For })
	if n < 0 {
		f.Wrong["for"] = "Choose how long it holds."
	}
	if len(f.Wrong) > 0 {
		k.showSilence(c, http.StatusBadRequest, f)
		return
	}
	s := silence{Matchers: ms, StartsAt: from, EndsAt: from.Add(lastings[n].d), CreatedBy: f.By, Comment: f.Comment}
	_, err = k.callOnce(c, http.MethodPost, "/api/v2/silences", s, 0, values.Get(onceField))
	p, ok = k.asProblem(c, err)
	switch {
	case !ok:
	case p != nil:
		f.Wrong["form"] = p.Detail
		k.showSilence(c, p.Status, f)
	default:
		c.Redirect(http.StatusSeeOther, "/operations/silences?done=silenced")
	}
}

// startsNow is how long ago the beginning may be that is taken for now: it was so when
// somebody began to write.
const startsNow = 5 * time.Minute

// start is when the silence begins; wrong says what is wrong with that.
func (f *silenceForm) start(now time.Time) (at time.Time, wrong string) {
	text := strings.TrimSpace(f.From)
	if text == "" {
		return now, ""
	}
	at, ok := timeIn(text, f.FormZone)
	switch {
	case !ok:
		return now, "The beginning is no time such as " + now.In(f.FormZone).Format(timeLayouts[0]) + "."
	case at.Before(now.Add(-startsNow)):
		return now, "The beginning has passed; leave it empty, and the silence begins now."
	case at.Before(now):
		return now, ""
	}
	return at, ""
}

// readMatchers reads one matcher in each line; wrong says what is wrong with them.
func readMatchers(text string) (ms []silenceMatcher, wrong string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(ms) == silences.MaxMatchers {
			return nil, fmt.Sprintf("These are more than %d matchers.", silences.MaxMatchers)
		}
		m, err := silences.ParseMatcher(line) // it refuses an expression that is dear before it compiles it
		if err != nil {
			return nil, fmt.Sprintf("This is no matcher such as alertname=\"DiskFull\": %s (%v)", cut(line, 200), err)
		}
		ms = append(ms, silenceMatcher{m.Name, m.Value, m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp, m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp})
	}
	if len(ms) == 0 {
		return nil, "Write at least one matcher, such as alertname=\"DiskFull\"."
	}
	return ms, ""
}

// expireSilence answers POST /operations/silences/expire.
func (k *Console) expireSilence(c *gin.Context) {
	values, err := readForm(c)
	if err == nil {
		_, err = k.call(c, http.MethodDelete, "/api/v2/silence/"+url.PathEscape(values.Get("id")), nil, 0)
	}
	p, ok := k.asProblem(c, err)
	switch {
	case !ok:
	case p != nil:
		k.showSilences(c, p.Status, p)
	default:
		c.Redirect(http.StatusSeeOther, "/operations/silences?done=expired")
	}
}
