package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/live"
)

const (
	// boardRows is how many incidents a page of the board shows, wallRows how many the wall.
	boardRows, wallRows = 100, 30
)

// Board knows the open incidents.
type Board interface {
	Board(ctx context.Context, q live.Query) (live.Page, error)
	// Version is another one when the board has changed, as far as those who follow have
	// been told.
	Version(ctx context.Context) (uint64, error)
}

// boardData is what the board shows.
type boardData struct {
	live.Page
	Filter boardFilter
	// Choices are the values that the filters offer.
	Choices boardChoices
	Views   []web.ViewJSON
	// Since is when this browser looked before: what changed later is marked.
	Since time.Time
	Host  string
	Wall  bool
	// severities are all that there are, the worst first.
	severities []string
}

// Sums says how many incidents there are of each severity, the worst first.
func (d boardData) Sums() []string {
	var sums []string
	for _, s := range d.severities {
		if n := d.Severities[s]; n > 0 {
			sums = append(sums, fmt.Sprintf("%d %s", n, s))
		}
	}
	return sums
}

// boardFilter is what the address of the board says.
type boardFilter struct {
	State, Severity, Priority, Service, Team, Who, Text string
	Page                                                int
}

type boardChoices struct{ Severities, Priorities, Services, Teams []string }

// filterOf reads the filter from the address; what it does not know it leaves out.
func filterOf(q url.Values) boardFilter {
	f := boardFilter{State: q.Get("state"), Severity: q.Get("severity"), Priority: q.Get("priority"), Service: q.Get("service"), Team: q.Get("team"),
		Who: q.Get("who"), Text: q.Get("q"), Page: 1}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 && n < 1_000_000 {
		f.Page = n
	}
	return f
}

// Query writes the filter as it stands in addresses, with another page.
func (f boardFilter) Query(page int) string {
	q := url.Values{}
	for name, value := range map[string]string{"state": f.State, "severity": f.Severity, "priority": f.Priority, "service": f.Service, "team": f.Team, "who": f.Who, "q": f.Text} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	return q.Encode()
}

// Said says the filter in words.
func (f boardFilter) Said() string {
	var said []string
	for _, part := range [...][2]string{{"state", f.State}, {"severity", f.Severity}, {"priority", f.Priority}, {"service", f.Service}, {"team", f.Team}, {"who", f.Who}, {"search", f.Text}} {
		if part[1] != "" {
			said = append(said, part[0]+" "+part[1])
		}
	}
	return strings.Join(said, ", ")
}

// Plain reports whether it selects all.
func (f boardFilter) Plain() bool { return f.Query(1) == "" }

func (f boardFilter) live(limit int) live.Query {
	one := func(v string) []string {
		if v == "" {
			return nil
		}
		return []string{v}
	}
	return live.Query{States: one(f.State), Severities: one(f.Severity), Priorities: one(f.Priority), Services: one(f.Service), Teams: one(f.Team),
		Who: f.Who, Text: f.Text, Offset: (f.Page - 1) * limit, Limit: limit}
}

// Pages is how many pages there are, Next and Before the numbers of those beside this one, 0
// for none.
func (d boardData) Pages() int { return max((d.Total+boardRows-1)/boardRows, 1) }

func (d boardData) Next() int {
	if d.Filter.Page < d.Pages() {
		return d.Filter.Page + 1
	}
	return 0
}

func (d boardData) Before() int { return d.Filter.Page - 1 }

// News says how an incident is new to who looked at Since: it is new, it changed, or
// nothing.
func (d boardData) News(r *live.Row) string {
	switch {
	case d.Since.IsZero() || d.Wall || !r.ChangedAt.After(d.Since):
		return ""
	case r.OpenedAt.After(d.Since):
		return "new"
	}
	return "changed"
}

// board answers GET /: the open incidents, the most urgent first. With part=rows it
// answers only what changes, for the script.
func (k *Console) board(c *gin.Context) {
	filter := filterOf(c.Request.URL.Query())
	if c.Query("part") == "rows" {
		k.rows(c, filter, false)
		return
	}
	page, err := k.options.Board.Board(c.Request.Context(), filter.live(boardRows))
	if err != nil {
		k.fail(c, err)
		return
	}
	d := boardData{Page: page, Filter: filter, Since: k.sinceOf(c), Host: c.Request.Host, severities: k.options.Severities()}
	v := &view{Title: "Open incidents", Section: "board", Data: d}
	if d.Choices, err = k.boardChoices(c.Request.Context()); err == nil {
		d.Views, err = k.views(c)
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	v.Data = d
	k.looks(c)
	k.render(c, http.StatusOK, "board", v)
}

// wall answers GET /wall: the board for a screen that many look at from afar.
func (k *Console) wall(c *gin.Context) {
	filter := filterOf(c.Request.URL.Query())
	if c.Query("part") == "rows" {
		k.rows(c, filter, true)
		return
	}
	page, err := k.options.Board.Board(c.Request.Context(), filter.live(wallRows))
	if err != nil {
		k.fail(c, err)
		return
	}
	v := &view{Title: "Wall", Section: "wall", Data: boardData{Page: page, Filter: filter, Wall: true, severities: k.options.Severities()}}
	k.render(c, http.StatusOK, "wall", v)
}

// boardChoices are the values of all open incidents.
func (k *Console) boardChoices(ctx context.Context) (boardChoices, error) {
	all, err := k.options.Board.Board(ctx, live.Query{})
	if err != nil {
		return boardChoices{}, err
	}
	k.choicesMu.Lock()
	defer k.choicesMu.Unlock()
	if k.choicesOf == all.Version {
		return k.choices, nil
	}
	severities, priorities, services, teams := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range all.Rows {
		severities[r.Severity], priorities[r.Priority], services[r.Service], teams[r.Team] = true, true, true, true
	}
	k.choices, k.choicesOf = boardChoices{k.inOrder(severities), known(priorities), known(services), known(teams)}, all.Version
	return k.choices, nil
}

// inOrder are severities, the worst first.
func (k *Console) inOrder(set map[string]bool) []string {
	all := slices.Clone(k.options.Severities())
	return slices.DeleteFunc(all, func(s string) bool { return !set[s] })
}

// known are the values that are not empty, in their order.
func known(set map[string]bool) []string {
	var list []string
	for v := range set {
		if v != "" {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}

const (
	// lookedCookie holds when this browser looked at the board before, and when it did last,
	// in seconds since 1970.
	lookedCookie = "tocsin_looked"
	// oneLook is how long loading the board again belongs to the same look.
	oneLook = 10 * time.Minute
)

// boardLooks are the two times of the cookie, zero where there is none.
func boardLooks(c *gin.Context) (before, last time.Time) {
	text, err := c.Cookie(lookedCookie)
	if err != nil {
		return before, last
	}
	var b, l int64
	if n, err := fmt.Sscanf(text, "%d.%d", &b, &l); err != nil || n != 2 || b < 0 || l < b {
		return before, last
	}
	return time.Unix(b, 0), time.Unix(l, 0)
}

// sinceOf is when this browser looked before, zero if it never did.
func (k *Console) sinceOf(c *gin.Context) time.Time {
	before, last := boardLooks(c)
	if k.options.Now().Sub(last) > oneLook {
		return last
	}
	return before
}

// looks remembers that the browser looks at the board now.
func (k *Console) looks(c *gin.Context) {
	now := k.options.Now()
	since := k.sinceOf(c)
	if since.IsZero() {
		since = now
	}
	k.setCookie(c, lookedCookie, fmt.Sprintf("%d.%d", since.Unix(), now.Unix()))
}

// seen answers POST /seen: all that is on the board is known now.
func (k *Console) seen(c *gin.Context) {
	now := k.options.Now().Unix()
	k.setCookie(c, lookedCookie, fmt.Sprintf("%d.%d", now, now))
	c.Redirect(http.StatusSeeOther, "/?"+filterOf(c.Request.URL.Query()).Query(1))
}

// setCookie sets a cookie that says nothing of who it is.
func (k *Console) setCookie(c *gin.Context, name, value string) {
	http.SetCookie(c.Writer, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: c.Request.TLS != nil})
}
