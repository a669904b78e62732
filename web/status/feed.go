package status

import (
	"bytes"
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/feeds"
)

// newsShown bounds the entries of a feed, the latest first.
const newsShown = 50

// feedsOf writes the news as Atom (RFC 4287) and RSS 2.0: an entry for each update,
// for each end, and for each maintenance.
func feedsOf(s *Summary) (atom, rss []byte, err error) {
	feed := &feeds.Feed{Title: s.Title, Link: &feeds.Link{Href: s.URL}, Author: &feeds.Author{Name: s.Title}, Description: s.Title}
	for _, list := range [][]Incident{s.Ongoing, s.Past} {
		for n := range list {
			feed.Items = append(feed.Items, news(&list[n])...)
		}
	}
	for _, m := range s.Maintenance {
		feed.Items = append(feed.Items, m.news(s.URL))
	}
	slices.SortFunc(feed.Items, func(a, b *feeds.Item) int { return cmp.Or(b.Updated.Compare(a.Updated), cmp.Compare(a.Id, b.Id)) })
	feed.Items = feed.Items[:min(len(feed.Items), newsShown)]
	feed.Updated = time.Unix(0, 0).UTC() // a feed has to say one, also where nothing has happened yet
	if len(feed.Items) > 0 {
		feed.Updated = feed.Items[0].Updated
	}
	var a, r bytes.Buffer
	if err := feed.WriteAtom(&a); err != nil {
		return nil, nil, fmt.Errorf("status: %w", err)
	}
	feed.Author = nil // RSS wants the address of a person
	if err := feed.WriteRss(&r); err != nil {
		return nil, nil, fmt.Errorf("status: %w", err)
	}
	return a.Bytes(), r.Bytes(), nil
}

// item is an entry of a feed. Its id is a place on a page, which does not change.
func item(url, anchor, title string, at time.Time, lines ...string) *feeds.Item {
	text := "<p>" + strings.ReplaceAll(html.EscapeString(strings.Join(lines, "\n")), "\n", "<br>") + "</p>"
	return &feeds.Item{Title: title, Link: &feeds.Link{Href: url}, Id: url + "#" + anchor, IsPermaLink: "true", Description: text, Updated: at, Created: at}
}

func news(i *Incident) (out []*feeds.Item) {
	names := strings.Join(i.Components, ", ")
	if i.EndedAt != nil {
		out = append(out, item(i.URL, "over", names+": "+resolved, *i.EndedAt, "It is over."))
	}
	for _, u := range i.Updates {
		lines := []string{u.What}
		if u.Forecast != "" {
			lines = append(lines, "Forecast: "+u.Forecast)
		}
		if u.Restoration != nil {
			lines = append(lines, "Expected back: "+u.Restoration.Format("2006-01-02 15:04 UTC"))
		}
		out = append(out, item(i.URL, u.Anchor, names+": "+u.Phase, u.At, lines...))
	}
	return out
}

func (m *Maintenance) news(url string) *feeds.Item {
	when := "From " + m.From.Format("2006-01-02 15:04 UTC")
	if m.To != nil {
		when += " to " + m.To.Format("2006-01-02 15:04 UTC")
	}
	title := "Maintenance"
	if len(m.Components) > 0 {
		title = strings.Join(m.Components, ", ") + ": maintenance"
	}
	return item(url, "maintenance-"+m.ID, title, m.since, when, m.Text)
}
