package web

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

const (
	// typeView is the document type of saved views.
	typeView = "view"
	// viewsKept bounds them; a board lists them all.
	viewsKept = 100
	// viewNameLimit is how long a view's name may be in characters, viewQueryLimit its
	// query in bytes.
	viewNameLimit, viewQueryLimit = 60, 2000
)

// ViewJSON is a filter of the board that somebody saved for everybody.
type ViewJSON struct {
	Name string `json:"name"`
	// Query is what the board's address says after the question mark.
	Query string `json:"query"`
}

// ViewsJSON are all saved views by their names.
type ViewsJSON struct {
	Views []ViewJSON `json:"views"`
}

// views answers GET /api/v1/views.
func (a *API) views(c *gin.Context) {
	err := newQuery(c).done()
	var documents []incident.Document
	if err == nil {
		documents, err = a.store.Documents(c.Request.Context(), typeView, "", viewsKept)
	}
	v := ViewsJSON{Views: []ViewJSON{}}
	for _, d := range documents {
		var one ViewJSON
		if err == nil {
			if err = json.Unmarshal(d.Data, &one); err != nil {
				err = fmt.Errorf("web: view %s: %w", d.ID, err)
			}
		}
		v.Views = append(v.Views, one)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	slices.SortFunc(v.Views, func(x, y ViewJSON) int { return strings.Compare(x.Name, y.Name) })
	a.answer(c, http.StatusOK, v)
}

// viewID is where a view is kept: names may hold what ids of documents may not.
func viewID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// putView answers PUT /api/v1/views/{name}.
func (a *API) putView(c *gin.Context) {
	v := ViewJSON{Name: c.Param("name")}
	var body struct {
		Query string `json:"query"`
	}
	err := newQuery(c).done()
	if err == nil {
		err = readJSON(c, &body)
	}
	if v.Query = body.Query; err == nil {
		err = v.check()
	}
	if err == nil {
		err = a.keepView(c, v)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

func (v ViewJSON) check() error {
	var errs []error
	if strings.TrimSpace(v.Name) == "" || utf8.RuneCountInString(v.Name) > viewNameLimit || strings.ContainsFunc(v.Name, unicode.IsControl) {
		errs = append(errs, &router.InputError{Field: "name", Reason: fmt.Sprintf("a name has 1 to %d characters", viewNameLimit)})
	}
	if _, err := url.ParseQuery(v.Query); err != nil || v.Query == "" || len(v.Query) > viewQueryLimit {
		errs = append(errs, &router.InputError{Field: "query", Reason: "not the query of an address, such as severity=critical&team=db"})
	}
	return errors.Join(errs...)
}

func (a *API) keepView(c *gin.Context, v ViewJSON) error {
	ctx := c.Request.Context()
	data, err := json.Marshal(v)
	if err != nil {
		return err // unreachable: both are text
	}
	d, err := a.store.Document(ctx, typeView, viewID(v.Name))
	if errors.Is(err, incident.ErrNotFound) {
		var all []incident.Document
		if all, err = a.store.Documents(ctx, typeView, "", viewsKept); err == nil && len(all) >= viewsKept {
			err = refuse(http.StatusConflict, "there are %d views already; delete some", len(all))
		}
	}
	if err == nil {
		_, err = a.store.PutDocument(ctx, incident.Document{Type: typeView, ID: viewID(v.Name), Version: d.Version, Data: data})
	}
	return err
}

// deleteView answers DELETE /api/v1/views/{name}.
func (a *API) deleteView(c *gin.Context) {
	err := newQuery(c).done()
	id := viewID(c.Param("name"))
	var d incident.Document
	if err == nil {
		d, err = a.store.Document(c.Request.Context(), typeView, id)
	}
	if err == nil {
		_, err = a.store.PutDocument(c.Request.Context(), incident.Document{Type: typeView, ID: id, Version: d.Version})
	}
	switch {
	case errors.Is(err, incident.ErrNotFound):
		a.fail(c, notFound("view", c.Param("name")))
	case err != nil:
		a.fail(c, err)
	default:
		c.Status(http.StatusNoContent)
	}
}
