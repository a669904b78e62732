package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// pageAlerts, pageEntries and pageSimilar bound what the page of an incident shows.
	pageAlerts, pageEntries, pageSimilar = 200, 200, 5
)

// incidentData is what the page of an incident shows.
type incidentData struct {
	Incident web.IncidentJSON
	Alerts   web.AlertsJSON
	Timeline web.TimelinePageJSON
	Told     web.NotificationsJSON
	Duties   web.DutiesJSON
	Similar  web.SimilarJSON
}

// incident answers GET /incidents/{id}.
func (k *Console) incident(c *gin.Context) {
	d, err := k.readIncident(c, c.Param("id"))
	if err != nil {
		k.fail(c, err)
		return
	}
	k.render(c, http.StatusOK, "incident", &view{Title: d.Incident.Reference + ": " + d.Incident.Title, Section: "board", Data: d})
}

// readIncident asks for all that the page of an incident shows.
func (k *Console) readIncident(c *gin.Context, id string) (d incidentData, err error) {
	base := "/api/v1/incidents/" + url.PathEscape(id)
	if d.Incident, err = get[web.IncidentJSON](k, c, base); err != nil {
		return d, err
	}
	if d.Alerts, err = get[web.AlertsJSON](k, c, base+"/alerts?limit="+strconv.Itoa(pageAlerts)); err != nil {
		return d, err
	}
	after := d.Incident.TimelineLength - min(d.Incident.TimelineLength, pageEntries)
	if d.Timeline, err = get[web.TimelinePageJSON](k, c, base+"/timeline?limit="+strconv.Itoa(pageEntries)+"&cursor="+strconv.FormatUint(after, 10)); err != nil {
		return d, err
	}
	if d.Told, err = get[web.NotificationsJSON](k, c, base+"/notifications"); err != nil {
		return d, err
	}
	if d.Duties, err = get[web.DutiesJSON](k, c, base+"/duties"); err != nil {
		return d, err
	}
	d.Similar, err = get[web.SimilarJSON](k, c, base+"/similar?limit="+strconv.Itoa(pageSimilar))
	slices.Reverse(d.Timeline.Timeline)                                   // the latest first
	slices.SortStableFunc(d.Alerts.Alerts, func(a, b web.AlertJSON) int { // firing first
		return cmp.Compare(firing(b), firing(a))
	})
	return d, err
}

func firing(a web.AlertJSON) int {
	if a.Status == "firing" {
		return 1
	}
	return 0
}
