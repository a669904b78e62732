package status

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// summary is what the page says as JSON.
func (d *desk) summary() (s Summary) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.text("/status.json")), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// TestLife: an incident is on the page from its first public update to the end of its
// history, and is known by the same name all the time.
func TestLife(t *testing.T) {
	d := newDesk(t, shop())
	i := opened(1, "shop-internal")
	d.shelf.put(i)
	if s := d.after(0).summary(); s.State != Operational || len(s.Ongoing) != 0 || len(s.Components) != 2 {
		t.Fatalf("nothing was said: got %+v", s)
	}
	i.Process.Updates = append(i.Process.Updates, said(10, incident.Investigating, "orders fail"))
	s := d.after(time.Second).summary()
	if s.State != MajorOutage || len(s.Ongoing) != 1 || s.Ongoing[0].Title != "Web shop: investigating" || s.Components[0].State != MajorOutage || s.Components[1].State != Operational {
		t.Fatalf("something was said: got %+v", s)
	}
	id := s.Ongoing[0].ID
	if first, second, _ := strings.Cut(d.text("/status"), ">Shopping</h3>"); !strings.Contains(first, ">Mail") || strings.Contains(second, ">Mail") {
		t.Errorf("what is in no group stands below one:\n%s", d.text("/status"))
	}
	d.has(d.text("/status"), "Major outage", "No incident ended in these days.", "orders fail", "Web shop", `href="status/incidents/`+id+`"`, "Mail")
	d.has(d.text("/status/incidents/"+id), "orders fail", `<time datetime="2026-11-21T11:10:00Z">`, `href="../../status"`)
	i.Process.Updates = append(i.Process.Updates, said(10, incident.Mitigating, "in the same second"))
	i.Process.Updates[1].At = i.Process.Updates[1].At.Add(time.Millisecond)
	if s = d.after(time.Second).summary(); s.Ongoing[0].Phase != incident.Mitigating || s.Ongoing[0].Updates[0].What != "in the same second" {
		t.Errorf("the latest first: got %+v", s)
	}
	d.has(d.text("/status/incidents/"+id), `id="at-1795259400000"`, `id="at-1795259400001"`)
	last := said(40, incident.Observing, "it works again")
	last.Forecast, last.Restoration = "an hour", noon.Add(time.Hour)
	i.Process.Updates = append(i.Process.Updates, last)
	if s = d.after(time.Second).summary(); s.State != Degraded || s.Ongoing[0].Phase != incident.Observing || s.Ongoing[0].Restoration == nil || s.Ongoing[0].Updates[0].Forecast != "an hour" {
		t.Errorf("observed: got %+v", s)
	}
	i.State, i.ResolvedAt = incident.Resolved, noon
	s = d.after(time.Second).summary()
	if s.State != Operational || len(s.Ongoing) != 0 || len(s.Past) != 1 || s.Past[0].ID != id || s.Past[0].Phase != resolved || !s.Past[0].EndedAt.Equal(noon) {
		t.Errorf("over: got %+v", s)
	}
	i.State, i.ClosedAt = incident.Closed, noon.Add(time.Hour)
	if s = d.after(time.Second).summary(); len(s.Past) != 1 { // it was followed
		t.Errorf("closed: got %+v", s)
	}
	if s = d.after(13 * 24 * time.Hour).summary(); len(s.Past) != 1 { // and is found again
		t.Errorf("on the last day: got %+v", s)
	}
	d.has(d.text("/status"), "The last 14 days", "Saturday, 21 November 2026", "it works again", "No other incident ended in these days.")
	d.lacks(d.text("/status"), "Friday, 20 November 2026")
	d.shelf.now = noon.Add(13*24*time.Hour + 12*time.Hour)
	if s = d.after(0).summary(); len(s.Past) != 0 {
		t.Errorf("history is over: got %+v", s)
	}
	if w := d.get("/status/incidents/" + id); w.Code != http.StatusNotFound {
		t.Errorf("its page: got %d", w.Code)
	}
}

// TestReopened: that it came again is public when somebody says so.
func TestReopened(t *testing.T) {
	d := newDesk(t, shop())
	i := opened(1, "shop-internal", said(10, incident.Investigating, "orders fail"))
	i.Cycles = []incident.Cycle{{OpenedAt: i.OpenedAt, ResolvedAt: noon.Add(-30 * time.Minute)}}
	i.CycleOpenedAt = noon.Add(-10 * time.Minute)
	d.shelf.put(i)
	if s := d.after(0).summary(); len(s.Ongoing) != 0 || len(s.Past) != 1 || !s.Past[0].EndedAt.Equal(noon.Add(-30*time.Minute)) {
		t.Errorf("nobody said it: got %+v", s)
	}
	i.Process.Updates = append(i.Process.Updates, said(55, incident.Investigating, "again"))
	if s := d.after(time.Second).summary(); len(s.Ongoing) != 1 || len(s.Past) != 0 || s.Ongoing[0].Updates[1].What != "orders fail" {
		t.Errorf("somebody said it: got %+v", s)
	}
	// Signed in the second cycle, written in the first.
	i.Process.Updates = []incident.Update{said(10, incident.Investigating, "orders fail")}
	i.Process.Updates[0].NeedsSignature, i.Process.Updates[0].SignedBy, i.Process.Updates[0].SignedAt = true, "ben", noon
	if s := d.after(time.Second).summary(); len(s.Ongoing) != 1 || !s.Ongoing[0].BeganAt.Equal(noon) {
		t.Errorf("it went out when it was signed: got %+v", s)
	}
	// So many cycles ago that nobody knows of it.
	i.Process.Updates, i.Cycles = []incident.Update{said(1, incident.Observing, "long ago")}, nil
	if s := d.after(time.Second).summary(); len(s.Ongoing) != 0 || len(s.Past) != 1 {
		t.Errorf("long ago: got %+v", s)
	}
}

// TestStates: what an incident does to components, and which of several counts.
func TestStates(t *testing.T) {
	for _, test := range []struct{ impact, phase, want string }{
		{"high", incident.Investigating, MajorOutage}, {"medium", incident.Mitigating, PartialOutage}, {"", incident.Mitigating, PartialOutage},
		{"low", incident.Investigating, Degraded}, {"high", incident.Observing, Degraded},
	} {
		if got := effect(test.impact, test.phase); got != test.want {
			t.Errorf("%s, %s: got %s, want %s", test.impact, test.phase, got, test.want)
		}
	}
	d := newDesk(t, shop(), Planned{Text: "new disks", Components: []string{"Mail"}, From: noon, To: noon.Add(time.Hour)},
		Planned{Text: "later", Components: []string{"Web shop"}, From: noon.Add(24 * time.Hour)})
	if s := d.after(0).summary(); s.State != UnderMaintenance || s.Components[1].State != UnderMaintenance || s.Components[0].State != Operational ||
		!s.Maintenance[0].UnderWay || s.Maintenance[1].UnderWay || s.Maintenance[1].To != nil {
		t.Errorf("maintenance: got %+v", s)
	}
	small := opened(1, "shop-internal", said(10, incident.Investigating, "slow"))
	small.Impact = "low"
	d.shelf.put(small)
	d.shelf.put(opened(2, "db-internal", said(20, incident.Investigating, "the database")))
	s := d.after(time.Second).summary()
	if s.Components[0].State != MajorOutage || s.Components[1].State != MajorOutage || s.Ongoing[0].Title != "Web shop, Mail: investigating" || len(s.Ongoing) != 2 {
		t.Errorf("two at once: got %+v", s)
	}
}

// TestHostileText: people may write anything; it is text in every form.
func TestHostileText(t *testing.T) {
	evil := `<script>alert(1)</script>]]>&"'` + "\x00\x1b\ufffe\u202e<b onload='x'>\n" + strings.Repeat("w", 3000) + "😀"
	c := shop()
	c.Title, c.Components[0].Name, c.Components[0].Description, c.Components[0].Group = evil[:60], "Shop "+evil[:40], evil, evil[:50]
	u := said(10, evil, evil)
	u.Forecast = evil
	d := newDesk(t, c, Planned{Text: evil, Components: []string{"Mail"}, From: noon})
	d.shelf.put(opened(1, "shop-internal", u))
	for path, text := range d.after(0).everything() {
		switch {
		case strings.Contains(path, "feed"):
			d.lacks(text, "<script", "<b onload", "\x00", "\x1b", "\ufffe")
			wellFormed(t, path, d.text(path))
		case strings.Contains(path, "json"):
		default:
			d.lacks(text, "<script", "<b onload")
		}
	}
	inline := regexp.MustCompile(`(?i)<script|<style|\sstyle=|\son[a-z]+=["']|javascript:`)
	for _, path := range []string{"/status", "/status/incidents/" + d.summary().Ongoing[0].ID} {
		if at := inline.FindString(d.text(path)); at != "" {
			t.Errorf("%s has %q", path, at)
		}
	}
}

// wellFormed reads a feed as a strict reader does.
func wellFormed(t *testing.T, path, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, text)
		}
	}
}

// TestFeeds: an entry for each thing that was said, whose id stays.
func TestFeeds(t *testing.T) {
	d := newDesk(t, shop(), Planned{Text: "new disks", Components: []string{"Mail"}, Since: noon.Add(-time.Hour), From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)})
	i := opened(1, "shop-internal", said(10, incident.Investigating, "orders fail"), said(40, incident.Observing, "they work"))
	i.State, i.ResolvedAt = incident.Resolved, noon
	d.shelf.put(i)
	d.after(0)
	var atom struct {
		ID      string `xml:"id"`
		Updated string `xml:"updated"`
		Author  struct {
			Name string `xml:"name"`
		} `xml:"author"`
		Entries []struct {
			ID      string `xml:"id"`
			Title   string `xml:"title"`
			Updated string `xml:"updated"`
			Summary string `xml:"summary"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal([]byte(d.text("/status/feed.atom")), &atom); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range atom.Entries {
		got = append(got, e.Updated+" "+e.Title+" "+e.Summary)
		d.has(e.ID, "https://status.example.com/status")
	}
	want := []string{"2026-11-21T12:00:00Z Web shop: resolved <p>It is over.</p>", "2026-11-21T11:40:00Z Web shop: observing <p>they work</p>",
		"2026-11-21T11:10:00Z Web shop: investigating <p>orders fail</p>", "2026-11-21T11:00:00Z Mail: maintenance <p>From 2026-11-21 13:00 UTC to 2026-11-21 14:00 UTC<br>new disks</p>"}
	if fmt.Sprint(got) != fmt.Sprint(want) || atom.ID != "https://status.example.com/status" || atom.Author.Name == "" || atom.Updated != "2026-11-21T12:00:00Z" {
		t.Errorf("got %q, want %q; %+v", got, want, atom)
	}
	var rss struct {
		Items []struct {
			GUID    string `xml:"guid"`
			PubDate string `xml:"pubDate"`
			Link    string `xml:"link"`
		} `xml:"channel>item"`
	}
	if err := xml.Unmarshal([]byte(d.text("/status/feed.rss")), &rss); err != nil || len(rss.Items) != 4 {
		t.Fatalf("%v: %+v", err, rss)
	}
	if one := rss.Items[1]; one.GUID != atom.Entries[1].ID || one.PubDate != "Sat, 21 Nov 2026 11:40:00 +0000" || !strings.HasPrefix(one.GUID, one.Link) {
		t.Errorf("got %+v", one)
	}
	// Another process, which has seen nothing of it, gives the same names.
	other := newDesk(t, shop())
	other.shelf.put(i)
	if id := other.after(0).summary().Past[0].ID; id != d.summary().Past[0].ID {
		t.Errorf("another process: got %s", id)
	}
}

// TestStoreAway: what was known stays, and says how old it is.
func TestStoreAway(t *testing.T) {
	d := newDesk(t, shop())
	if w := d.get("/status"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("nothing is known yet: got %d %v", w.Code, w.Header())
	}
	d.shelf.err = errors.New("secret cause")
	if w := d.after(0).get("/status"); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("away from the beginning: got %d %s", w.Code, w.Body)
	}
	d.shelf.err = nil
	d.shelf.put(opened(1, "shop-internal", said(10, incident.Investigating, "orders fail")))
	fresh := d.after(0).get("/status")
	d.shelf.err = errors.New("secret cause")
	if w := d.after(staleAfter - time.Second).get("/status"); w.Body.String() != fresh.Body.String() {
		t.Error("away for some seconds: the page is another one")
	}
	text := d.after(time.Second).text("/status")
	d.has(text, "orders fail", "cannot be looked up", "21 November 2026, 12:00 UTC")
	d.lacks(text, "secret")
	if s := d.summary(); s.StaleSince == nil || !s.StaleSince.Equal(noon) {
		t.Errorf("got %+v", s)
	}
	d.shelf.err = nil
	d.lacks(d.after(time.Second).text("/status"), "cannot be looked up")
}

// TestOtherConfiguration: what is not public any more is gone at once, also while the
// store is away.
func TestOtherConfiguration(t *testing.T) {
	d := newDesk(t, shop())
	d.shelf.put(opened(1, "shop-internal", said(10, incident.Investigating, "orders fail")))
	d.after(0)
	same := shop()
	d.page.Set(same)
	d.text("/status")
	less := shop()
	less.Components = less.Components[1:]
	d.page.Set(less)
	if w := d.get("/status"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	d.shelf.err = errors.New("away")
	if w := d.after(0).get("/status"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("while the store is away: got %d %s", w.Code, w.Body)
	}
	d.shelf.err = nil
	d.lacks(d.after(0).text("/status"), "orders fail", "Web shop")
	less.Enabled = false
	d.page.Set(less)
	for _, path := range []string{"/", "/status", "/status.json", "/status/assets/status.css"} {
		if w := d.get(path); w.Code != http.StatusNotFound {
			t.Errorf("%s, off: got %d", path, w.Code)
		}
	}
}

// TestReadsLittle: closed incidents are read once, and again when they may have been
// missed.
func TestReadsLittle(t *testing.T) {
	d := newDesk(t, shop())
	d.after(0)
	before := d.shelf.read
	if d.after(time.Second); d.shelf.read != before+1 {
		t.Errorf("%d lists were read, want 1", d.shelf.read-before)
	}
	missed := opened(1, "shop-internal", said(10, incident.Investigating, "orders fail"))
	missed.State, missed.ResolvedAt, missed.ClosedAt = incident.Closed, noon, noon
	d.shelf.put(missed)
	if s := d.after(closedAge).summary(); len(s.Past) != 1 {
		t.Errorf("got %+v", s)
	}
	delete(d.shelf.all, missed.ID) // somebody removed it
	if s := d.after(closedAge).summary(); len(s.Past) != 0 {
		t.Errorf("removed: got %+v", s)
	}
}
