package web

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/report"
)

// AnnouncementJSON is what a telephone line says of an incident.
type AnnouncementJSON struct {
	Text string `json:"text"`
}

// announcement answers GET /api/v1/incidents/{id}/announcement.
func (a *API) announcement(c *gin.Context) {
	q := newQuery(c)
	format := q.word("format", "json", "text")
	ours := "UTC"
	if a.options.Process != nil {
		if guide := a.options.Process(); guide != nil {
			ours = guide.Zone().String()
		}
	}
	zone := q.zoneOr(ours)
	i, err := a.find(c, q)
	if err != nil {
		a.fail(c, err)
		return
	}
	text := report.Announcement(i, a.store.Now(), zone)
	if format == "text" {
		c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(text+"\n"))
		return
	}
	a.answer(c, http.StatusOK, AnnouncementJSON{text})
}
