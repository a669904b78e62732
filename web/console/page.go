package console

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web"
)

// contentPolicy lets in what Tocsin serves itself, and nothing inline. A page is in
// no frame and sends its forms nowhere else.
const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// view is what every page shows. Templates find it as $, and their own content as
// .Data.
type view struct {
	// Title is what the page is about; Section is where the navigation stands.
	Title, Section string
	// Data is the page's own.
	Data any
	// Said is a short word on what was just done.
	Said string

	// The rest is filled in by render.
	Now     time.Time
	Zone    *time.Location
	Version string
	// Person is the name of who looks, "" without authentication; Role is what they may do.
	Person  string
	Role    web.Role
	SignOut bool
	Path    string
}

// zoneCookie holds the time zone of the viewer's browser, an IANA name, which only a
// script can find out.
const zoneCookie = "tocsin_zone"

// zoneOf is the viewer's time zone, UTC where it is not known.
func zoneOf(c *gin.Context) *time.Location {
	name, err := c.Cookie(zoneCookie)
	if err != nil || len(name) > 64 || name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}

// When writes a time as the viewer's clock shows it, with UTC on hover. The time may
// be a time.Time or a *time.Time; nothing is written for none.
func (v *view) When(at any) template.HTML {
	t := timeOf(at)
	if t.IsZero() {
		return ""
	}
	local := t.In(v.Zone)
	layout := "2006-01-02 15:04"
	if y, m, d := local.Date(); sameDay(v.Now.In(v.Zone), y, m, d) {
		layout = "15:04"
	}
	zone := ""
	if v.Zone == time.UTC {
		zone = " UTC"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s%s</time>`, //nolint:gosec // only digits and a zone's name
		t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 UTC"), local.Format(layout), zone))
}

func sameDay(t time.Time, y int, m time.Month, d int) bool {
	ty, tm, td := t.Date()
	return ty == y && tm == m && td == d
}

// Ago writes how long ago a time was, with the time on hover. The script keeps it true.
func (v *view) Ago(at any) template.HTML {
	t := timeOf(at)
	if t.IsZero() {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-ago>%s</time>`, //nolint:gosec // only digits and units
		t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 UTC"), span(v.Now.Sub(t))))
}

// Left writes how long it is until a time, with the time on hover.
func (v *view) Left(at any) template.HTML {
	t := timeOf(at)
	if t.IsZero() {
		return ""
	}
	d, class, text := t.Sub(v.Now), "left", ""
	switch {
	case d < 0:
		class, text = "left overdue", span(-d)+" overdue"
	case d < 5*time.Minute:
		class, text = "left soon", span(d)+" left"
	default:
		text = span(d) + " left"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" class="%s" data-left>%s</time>`, //nolint:gosec // only digits and units
		t.UTC().Format(time.RFC3339), t.UTC().Format("2006-01-02 15:04:05 UTC"), class, text))
}

// stamp is a time as the gateway itself writes it into a timeline. It does so after these
// words; what people paste, such as a line of a log, begins otherwise and stays as it is.
var stamp = regexp.MustCompile(`\b((?:at|until|before) )([0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:]{8}Z| [0-9:]{5,8} UTC))\b`)

// stamped are the entries of a timeline that have such times in their text.
var stamped = []string{"action", "corrected", "next_contact", "snoozed", "update"}

// Entry writes the text of an entry of a timeline, with times as the viewer's clock shows them.
func (v *view) Entry(e web.TimelineJSON) template.HTML {
	text := template.HTMLEscapeString(e.Text)
	if !slices.Contains(stamped, e.Action) {
		return template.HTML(text) //nolint:gosec // it is escaped
	}
	return template.HTML(stamp.ReplaceAllStringFunc(text, func(said string) string { //nolint:gosec // it is escaped, and When writes digits
		part := stamp.FindStringSubmatch(said)
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 UTC", "2006-01-02 15:04 UTC"} {
			if at, err := time.Parse(layout, part[2]); err == nil {
				return part[1] + string(v.When(at))
			}
		}
		return said
	}))
}

// With is the view for a part of the page that is about data.
func (v *view) With(data any) *view {
	part := *v
	part.Data = data
	return &part
}

// Can reports whether the viewer may do what needs the role.
func (v *view) Can(role string) bool { return v.Role.Covers(web.Role(role)) }

func timeOf(at any) time.Time {
	switch t := at.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

// span writes a duration in its largest two units.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// seconds writes a duration that the API gave in seconds; nothing for none.
func seconds(s any) string {
	d, ok := asDuration(s)
	if !ok {
		return ""
	}
	return span(d)
}

// exact writes it to the second, with all units.
func exact(s any) string {
	d, ok := asDuration(s)
	if !ok {
		return ""
	}
	left, text := int64(max(d, 0).Round(time.Second)/time.Second), ""
	for _, unit := range [...]struct {
		name string
		long int64
	}{{"d", 24 * 3600}, {"h", 3600}, {"min", 60}, {"s", 1}} {
		if n := left / unit.long; n > 0 {
			text += fmt.Sprintf(" %d %s", n, unit.name)
		}
		left %= unit.long
	}
	return cmp.Or(strings.TrimPrefix(text, " "), "0 s")
}

// asDuration is a duration that the API gave in seconds; ok is false for none.
func asDuration(s any) (d time.Duration, ok bool) {
	switch s := s.(type) {
	case float64:
		return time.Duration(s * float64(time.Second)), true
	case *float64:
		if s != nil {
			return time.Duration(*s * float64(time.Second)), true
		}
	}
	return 0, false
}

// href is an address with a query, which may be empty.
func href(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// segment is a name as a part of a path. The router reads a plus there as a space.
func segment(name string) string { return strings.ReplaceAll(url.PathEscape(name), "+", "%2B") }

// words writes a name such as technical_lead or update-due for people.
func words(name string) string {
	name = strings.NewReplacer("_", " ", "-", " ").Replace(name)
	_, first := utf8.DecodeRuneInString(name)
	return strings.ToUpper(name[:first]) + name[first:]
}

// sentence writes what the API says of a mistake as a sentence.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// readPages parses the templates: each page with what pages share, the layout among it.
func (k *Console) readPages() (map[string]*template.Template, error) {
	shared := template.New("layout.html").Funcs(template.FuncMap{
		"asset":    func(name string) string { return k.files[name].url },
		"weburl":   notify.WebURL,
		"words":    words,
		"sentence": sentence,
		"seconds":  seconds,
		"exact":    exact,
		"path":     segment,
		"join":     strings.Join,
		"href":     href,
		"list":     func(of ...any) []any { return of },
		"links":    alertLinks,
		"cut":      cut,
		"hits":     hitsOf,
		"rules":    func(id string, list []web.RuleJSON) ruleTable { return ruleTable{id, list} },
		"plural":   plural,
		"plural64": func(n uint64, thing string) string { return plural(int(n), thing) },
	})
	shared, err := shared.ParseFS(embedded, "templates/shared/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	names, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := shared.Clone()
		if err == nil {
			page, err = page.ParseFS(embedded, name)
		}
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		pages[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return pages, nil
}

// render answers with the page of the given name.
func (k *Console) render(c *gin.Context, status int, name string, v *view) {
	k.renderPart(c, status, name, "layout.html", v)
}

// renderPart answers with one template of a page: for the script, which puts it into
// the page that is open.
func (k *Console) renderPart(c *gin.Context, status int, name, part string, v *view) {
	v.Now, v.Zone, v.Version, v.Path = k.options.Now(), zoneOf(c), k.options.Version, c.Request.URL.Path
	who := web.IdentityOf(c)
	v.Person, v.Role, v.SignOut = who.Name, who.Role, who.Session
	page, err := k.draw(name, part, v)
	if err != nil {
		k.log.ErrorContext(c.Request.Context(), "page", "page", name, "err", err)
		c.String(http.StatusInternalServerError, "This page cannot be shown; the log says why.\n")
		return
	}
	k.send(c, status, page)
}

// draw makes the text of one template of a page.
func (k *Console) draw(name, part string, v *view) ([]byte, error) {
	var page bytes.Buffer
	if err := k.pages[name].ExecuteTemplate(&page, part, v); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return page.Bytes(), nil
}

// send answers with a page, or a part of one.
func (k *Console) send(c *gin.Context, status int, page []byte) {
	k.options.API.PageHeaders(c)
	c.Header("Content-Security-Policy", contentPolicy)
	c.Data(status, "text/html; charset=utf-8", page)
}

// fail answers with a page that says what went wrong.
func (k *Console) fail(c *gin.Context, err error) {
	p := (*problem)(nil)
	if !errors.As(err, &p) {
		k.log.ErrorContext(c.Request.Context(), "page", "path", c.FullPath(), "err", err)
		p = &problem{web.Problem{Status: http.StatusInternalServerError, Title: "Internal error", Detail: "Something went wrong here; the log says what."}}
	}
	k.render(c, p.Status, "problem", &view{Title: p.Title, Data: problemData{p.Problem, again(c, p.Status)}})
}

// problemData is what the page shows that says what went wrong.
type problemData struct {
	web.Problem
	// Again is the form that was sent, nil if there is none that might work later.
	Again *form
}

// again is the form in a request that could not be done for now: what was written in it is
// not to be lost.
func again(c *gin.Context, status int) *form {
	sent := c.Request.PostForm
	if status < http.StatusInternalServerError || len(sent) == 0 {
		return nil
	}
	f := &form{Action: c.Request.URL.RequestURI(), Button: "Send it again"}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		for _, value := range sent[name] {
			f.hide(name, value)
		}
	}
	return f
}
