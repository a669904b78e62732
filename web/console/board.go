package console

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// board answers GET /: the open incidents.
func (k *Console) board(c *gin.Context) {
	list, err := get[web.IncidentsJSON](k, c, "/api/v1/incidents?limit=200&state=open,acknowledged")
	if err != nil {
		k.fail(c, err)
		return
	}
	k.render(c, http.StatusOK, "board", &view{Title: "Open incidents", Section: "board", Data: struct {
		Incidents []web.IncidentJSON
		Host      string
	}{list.Incidents, c.Request.Host}})
}
