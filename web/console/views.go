package console

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// views are the saved views of the board.
func (k *Console) views(c *gin.Context) ([]web.ViewJSON, error) {
	list, err := get[web.ViewsJSON](k, c, "/api/v1/views")
	return list.Views, err
}

// saveView answers POST /views: a filter of the board is kept under a name.
func (k *Console) saveView(c *gin.Context) {
	query, err := url.ParseQuery(c.PostForm("query"))
	if err != nil {
		query = url.Values{}
	}
	filter := filterOf(query).Query(1)
	if _, err := k.call(c, http.MethodPut, "/api/v1/views/"+url.PathEscape(c.PostForm("name")), map[string]string{"query": filter}, 0); err != nil {
		k.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/?"+filter)
}

// deleteView answers POST /views/{name}/delete.
func (k *Console) deleteView(c *gin.Context) {
	if _, err := k.call(c, http.MethodDelete, "/api/v1/views/"+url.PathEscape(c.Param("name")), nil, 0); err != nil {
		k.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/")
}
