package status

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed templates assets
var embedded embed.FS

// edition is everything that is served at one time. Nobody changes it.
type edition struct {
	of   *compiled
	data []byte
	day  time.Time
	// documents are by path, and missing is what is at no other.
	documents map[string]*document
	missing   *document
}

// document is what is at one path, ready to be sent.
type document struct {
	mediaType string
	plain     []byte
	// zipped is nil where it would not be smaller.
	zipped []byte
	// tag and zippedTag are the entity tags of the two.
	tag, zippedTag string
	modified       time.Time
	cached         string
}

// How caches may keep what is served: news must get through within seconds, and an
// older page is better than none.
const (
	cachedShortly = "public, max-age=5, stale-while-revalidate=10, stale-if-error=600"
	cachedForever = "public, max-age=31536000, immutable"
)

func newDocument(mediaType string, plain []byte, modified time.Time) *document {
	sum := sha256.Sum256(plain)
	hash := hex.EncodeToString(sum[:12])
	d := &document{mediaType: mediaType, plain: plain, tag: `"` + hash + `"`, modified: modified.UTC().Truncate(time.Second), cached: cachedShortly}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // cannot fail: there is this level
	_, _ = w.Write(plain)                                 // nor can a buffer
	_ = w.Close()
	if b.Len() < len(plain) {
		d.zipped, d.zippedTag = b.Bytes(), `"`+hash+`-gzip"`
	}
	return d
}

// view is what templates show. Up leads from the page to where /status is; links are
// relative, since a proxy may serve the page under another path.
type view struct {
	*Summary
	Page   *compiled
	Up     string
	Style  string
	Groups []group
	Days   []day
	// Incident is that of a page of its own.
	Incident *Incident
}

type group struct {
	Name       string
	Components []Status
}

type day struct {
	Date      time.Time
	Incidents []Incident
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{"words": words, "at": at, "day": func(t time.Time) string { return t.Format("Monday, 2 January 2006") },
	"iso": func(t time.Time) string { return t.Format(time.DateOnly) }}).ParseFS(embedded, "templates/*.html"))

// style is the one asset, under a name that changes with it.
var style = func() *document {
	data, err := embedded.ReadFile("assets/status.css")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	return newDocument("text/css; charset=utf-8", data, time.Unix(0, 0))
}()

func stylePath() string { return "status/assets/status.css?v=" + strings.Trim(style.tag, `"`) }

// words are those of the states and phases, for people.
func words(name string) string {
	if said, ok := map[string]string{
		Operational: "Operational", UnderMaintenance: "Maintenance", Degraded: "Degraded performance", PartialOutage: "Partial outage", MajorOutage: "Major outage",
		"investigating": "Investigating", "mitigating": "Being fixed", "observing": "Fixed, being observed", resolved: "Resolved",
	}[name]; ok {
		return said
	}
	return name
}

// at writes a time.
func at(t any) template.HTML {
	var when time.Time
	switch t := t.(type) {
	case time.Time:
		when = t
	case *time.Time:
		when = *t
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, when.Format(time.RFC3339), when.Format("2 January 2006, 15:04 UTC"))) //nolint:gosec // only digits and names of months
}

// newEdition renders all of a summary. What is as it was in the last one keeps its
// time.
func newEdition(c *compiled, s *Summary, data []byte, today time.Time, last *edition) (*edition, error) {
	e := &edition{of: c, data: data, day: today, documents: map[string]*document{}}
	now := time.Now()
	put := func(path, mediaType string, body []byte) {
		d := newDocument(mediaType, body, now)
		if last != nil {
			if before := last.documents[path]; before != nil && before.tag == d.tag {
				d = before
			}
		}
		e.documents[path] = d
	}
	page := func(path, name string, v *view) error {
		v.Summary, v.Page, v.Style = s, c, v.Up+stylePath()
		var b bytes.Buffer
		if err := templates.ExecuteTemplate(&b, name, v); err != nil {
			return fmt.Errorf("status: %s: %w", path, err)
		}
		put(path, "text/html; charset=utf-8", b.Bytes())
		return nil
	}
	if err := page("/status", "page.html", &view{Groups: groups(s.Components), Days: days(c, s.Past, today)}); err != nil {
		return nil, err
	}
	for _, list := range [][]Incident{s.Ongoing, s.Past} {
		for n := range list {
			if err := page("/status/incidents/"+list[n].ID, "incident.html", &view{Up: "../../", Incident: &list[n]}); err != nil {
				return nil, err
			}
		}
	}
	if err := page("missing", "missing.html", &view{Up: "/"}); err != nil {
		return nil, err
	}
	e.missing = e.documents["missing"]
	delete(e.documents, "missing")
	put("/status.json", "application/json", data)
	atom, rss, err := feedsOf(s)
	if err != nil {
		return nil, err
	}
	put("/status/feed.atom", "application/atom+xml; charset=utf-8", atom)
	put("/status/feed.rss", "application/rss+xml; charset=utf-8", rss)
	return e, nil
}

// groups puts the components of a group together, in the order of the first of each. Those
// of none come first: below a group they would seem to be in it.
func groups(list []Status) []group {
	out, number := []group{{}}, map[string]int{"": 0}
	for _, one := range list {
		n, there := number[one.Group]
		if !there {
			n = len(out)
			number[one.Group] = n
			out = append(out, group{Name: one.Group})
		}
		out[n].Components = append(out[n].Components, one)
	}
	return out
}

// days sorts what is over into the days on which it ended, today first.
func days(c *compiled, past []Incident, today time.Time) []day {
	out := make([]day, c.days())
	for n := range out {
		out[n].Date = today.AddDate(0, 0, -n)
		for _, i := range past {
			if i.EndedAt.Truncate(24 * time.Hour).Equal(out[n].Date) {
				out[n].Incidents = append(out[n].Incidents, i)
			}
		}
	}
	return out
}
