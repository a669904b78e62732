package console

import (
	"net/http"
	"net/url"
	"slices"

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
	values, err := readForm(c)
	query, _ := url.ParseQuery(values.Get("query")) // what is no filter selects all, and that is no view
	filter := filterOf(query).Query(1)
	if err == nil {
		_, err = k.call(c, http.MethodPut, "/api/v1/views/"+segment(values.Get("name")), map[string]string{"query": filter}, 0)
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, "/?"+filter)
}

// deleteView answers POST /views/{name}/delete. The board keeps the filter, so that a view
// that was deleted by mistake can be saved again.
func (k *Console) deleteView(c *gin.Context) {
	name := c.Param("name")
	list, err := k.views(c)
	if err == nil {
		_, err = k.call(c, http.MethodDelete, "/api/v1/views/"+segment(name), nil, 0)
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	query := ""
	if n := slices.IndexFunc(list, func(v web.ViewJSON) bool { return v.Name == name }); n >= 0 {
		query = list[n].Query
	}
	c.Redirect(http.StatusSeeOther, href("/", query))
}
