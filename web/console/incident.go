package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/web"
)

// What the page of an incident shows at most of each.
const (
	pageAlerts, pageEnded, pageEntries, pageSimilar = 200, 50, 100, 5
	// pageRelatives is how many of the incidents that it is linked with are named.
	pageRelatives = 20
)

// incidentData is what the page of an incident shows.
type incidentData struct {
	Incident web.IncidentJSON
	// Firing and Ended are its alerts.
	Firing, Ended web.AlertsJSON
	// Timeline is the newest first; there are older entries before the one with the
	// number Older, if that is not 0.
	Timeline []web.TimelineJSON
	Older    uint64
	Told     web.NotificationsJSON
	Duties   web.DutiesJSON
	Similar  web.SimilarJSON
	// Parent and Children are those that it is linked with.
	Parent   *web.IncidentJSON
	Children []web.IncidentJSON

	// Next are the commands that usually come next, Forms the forms of those that need
	// one press of a button, Groups all commands.
	Next   []*command
	Forms  map[string]*form
	Groups []commandGroup
	// Name is who pressed the buttons last.
	Name string
	// Paged: it shows another part of a list than the first.
	Paged bool
	Zone  string
}

// Open reports whether it goes on.
func (d *incidentData) Open() bool { return isOpen(&d.Incident) }

// unfolded is how many of the alerts that fire are in sight; the rest is folded, since what
// comes after them is looked for too.
const unfolded = 10

// Unfolded is that number, for the page.
func (d *incidentData) Unfolded() int { return unfolded }

// Folded is how many of the alerts are not in sight at first: none where one more line would say
// as much.
func (d *incidentData) Folded(alerts []web.AlertJSON) int {
	if n := len(alerts) - unfolded; n > 1 {
		return n
	}
	return 0
}

// Lead says what is wrong in a line, if the title does not: what a person wrote, or else the latest
// alert that fires.
func (d *incidentData) Lead() string {
	lead := d.Incident.Description
	if lead == "" && len(d.Firing.Alerts) > 0 && !d.Paged {
		lead = d.Firing.Alerts[0].Annotations["summary"]
	}
	lead, _, _ = strings.Cut(strings.TrimSpace(lead), "\n")
	if lead = cut(lead, 300); lead == d.Incident.Title {
		return ""
	}
	return lead
}

// Others is how many alerts fire beside the one that is the lead.
func (d *incidentData) Others() int {
	if d.Incident.Description != "" {
		return 0
	}
	return max(d.Incident.Alerts.Firing-1, 0)
}

// Updates are the status updates, the latest first.
func (d *incidentData) Updates() []web.UpdateJSON {
	latest := slices.Clone(d.Incident.Updates)
	slices.Reverse(latest)
	return latest
}

// incident answers GET /incidents/{id}. With part=live it is the content alone, for
// the script, which asks only for what has changed. What is on other incidents is looked for
// only if something has changed of this one: it costs more than all the rest.
func (k *Console) incident(c *gin.Context) {
	d, err := k.readIncident(c, c.Param("id"))
	if err != nil {
		k.fail(c, err)
		return
	}
	page := "layout.html"
	if c.Query("part") == "live" {
		page = "content"
		tag := d.tag()
		c.Header("ETag", tag)
		if c.GetHeader("If-None-Match") == tag {
			c.Status(http.StatusNotModified)
			return
		}
	}
	if err := k.readOthers(c, d); err != nil {
		k.fail(c, err)
		return
	}
	k.offer(c, d)
	k.renderPart(c, http.StatusOK, "incident", page, &view{Title: d.Incident.Reference + ": " + d.Incident.Title, Section: "board", Data: d, Said: said(c)})
}

// tag changes when anything of the incident does, but for the time that passes.
func (d *incidentData) tag() string {
	duties := slices.Clone(d.Duties.Duties)
	for n := range duties {
		duties[n].Left = nil
	}
	text, err := json.Marshal([]any{d.Incident, d.Firing, d.Ended, d.Timeline, d.Told, duties, d.Duties.Missing}, json.Deterministic(true))
	if err != nil {
		return "" // unreachable: it came as JSON
	}
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// readIncident asks for all that the page of an incident shows of it.
func (k *Console) readIncident(c *gin.Context, id string) (*incidentData, error) {
	d := &incidentData{Zone: zoneOf(c).String()}
	var err error
	if d.Incident, err = get[web.IncidentJSON](k, c, incidentPath(id)); err != nil {
		return nil, err
	}
	base := incidentPath(d.Incident.ID)
	firing, ended := c.Query("firing"), c.Query("ended")
	d.Paged = firing != "" || ended != ""
	if d.Firing, err = get[web.AlertsJSON](k, c, base+"/alerts?status=firing&limit="+strconv.Itoa(pageAlerts)+"&cursor="+url.QueryEscape(firing)); err != nil {
		return nil, err
	}
	if d.Incident.Alerts.Total > d.Incident.Alerts.Firing {
		if d.Ended, err = get[web.AlertsJSON](k, c, base+"/alerts?status=resolved&limit="+strconv.Itoa(pageEnded)+"&cursor="+url.QueryEscape(ended)); err != nil {
			return nil, err
		}
	}
	for _, list := range [][]web.AlertJSON{d.Firing.Alerts, d.Ended.Alerts} {
		slices.SortStableFunc(list, latestFirst)
	}
	if err = k.readTimeline(c, base, d); err != nil {
		return nil, err
	}
	if d.Told, err = get[web.NotificationsJSON](k, c, base+"/notifications"); err != nil {
		return nil, err
	}
	d.Duties, err = get[web.DutiesJSON](k, c, base+"/duties")
	return d, err
}

// readOthers asks for what the page shows of other incidents.
func (k *Console) readOthers(c *gin.Context, d *incidentData) (err error) {
	if d.Similar, err = get[web.SimilarJSON](k, c, incidentPath(d.Incident.ID)+"/similar?limit="+strconv.Itoa(pageSimilar)); err != nil {
		return err
	}
	return k.readRelatives(c, d)
}

func latestFirst(a, b web.AlertJSON) int {
	if a.EpisodeStartedAt == nil || b.EpisodeStartedAt == nil {
		return 0
	}
	return b.EpisodeStartedAt.Compare(*a.EpisodeStartedAt)
}

// readTimeline reads the latest entries, or those before the one that the query names.
func (k *Console) readTimeline(c *gin.Context, base string, d *incidentData) error {
	last := d.Incident.TimelineLength
	if before, err := strconv.ParseUint(c.Query("before"), 10, 63); err == nil && before > 0 {
		last, d.Paged = min(last, before-1), true
	}
	after := last - min(last, pageEntries)
	if last == after {
		return nil
	}
	page, err := get[web.TimelinePageJSON](k, c, base+"/timeline?limit="+strconv.FormatUint(last-after, 10)+"&cursor="+strconv.FormatUint(after, 10))
	slices.Reverse(page.Timeline)
	if d.Timeline = page.Timeline; after > 0 {
		d.Older = after + 1
	}
	return err
}

// readRelatives reads the incidents that it is linked with. One that was removed is
// not there.
func (k *Console) readRelatives(c *gin.Context, d *incidentData) error {
	read := func(id string) (*web.IncidentJSON, error) {
		i, err := optional(get[web.IncidentJSON](k, c, incidentPath(id)))
		if err != nil || i.ID == "" {
			return nil, err
		}
		return &i, nil
	}
	var err error
	if d.Incident.Parent != nil {
		if d.Parent, err = read(*d.Incident.Parent); err != nil {
			return err
		}
	}
	for _, id := range d.Incident.Children[:min(len(d.Incident.Children), pageRelatives)] {
		child, err := read(id)
		if err != nil {
			return err
		}
		if child != nil {
			d.Children = append(d.Children, *child)
		}
	}
	return nil
}

// offer adds the commands that whoever asks may do.
func (k *Console) offer(c *gin.Context, d *incidentData) {
	person := web.IdentityOf(c)
	if !person.Role.Covers(web.RoleResponder) {
		return
	}
	i := &d.Incident
	d.Next, d.Groups, d.Forms, d.Name = nextCommands(i), commandGroups(i), map[string]*form{}, cmp.Or(person.Name, knownName(c))
	for _, cmd := range d.Next {
		if !cmd.AtOnce() || d.Name == "" && len(d.Forms) > 0 { // the name is asked for once
			continue
		}
		var fields []field
		if d.Name == "" {
			fields = who(c, nil)
		}
		f := newForm("/incidents/"+url.PathEscape(i.Reference)+"/do/"+cmd.Name, cmd.Title, fields, &facts{Zone: zoneOf(c)}, nil)
		sightOf(i).hide(f)
		if person.Name == "" && d.Name != "" {
			f.hide(byField.Name, d.Name)
		}
		d.Forms[cmd.Name] = f
	}
}

// alertLinks are the places that an alert links to: where it comes from, and what its
// annotations name, such as runbook_url.
func alertLinks(a web.AlertJSON) []web.LinkJSON {
	var links []web.LinkJSON
	if notify.WebURL(a.GeneratorURL) != "" {
		links = append(links, web.LinkJSON{Name: "Source", URL: a.GeneratorURL})
	}
	for _, name := range slices.Sorted(maps.Keys(a.Annotations)) {
		if at := a.Annotations[name]; notify.WebURL(at) != "" && at != a.GeneratorURL {
			links = append(links, web.LinkJSON{Name: words(strings.TrimSuffix(strings.TrimSuffix(name, "_url"), "URL")), URL: at})
		}
	}
	return links
}
