package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// NoticeJSON is something that people were told which is no incident.
type NoticeJSON struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Title  string    `json:"title"`
	Text   string    `json:"text"`
	Begins time.Time `json:"begins,omitzero"`
	Ends   time.Time `json:"ends,omitzero"`
	At     time.Time `json:"at"`
	// Short: it was told later than promised.
	Short         bool                  `json:"short"`
	Notifications []notify.Notification `json:"notifications"`
}

// NoticesJSON are the latest ones, newest first.
type NoticesJSON struct {
	Notices []NoticeJSON `json:"notices"`
}

// noticesAtOnce is how many are read at once.
const noticesAtOnce = 200

// notices answers GET /api/v1/notices.
func (a *API) notices(c *gin.Context) {
	q := newQuery(c)
	limit := q.limit()
	err := q.done()
	v := NoticesJSON{Notices: []NoticeJSON{}}
	if err == nil {
		v.Notices, err = a.latestNotices(c.Request.Context(), limit)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

func (a *API) latestNotices(ctx context.Context, limit int) ([]NoticeJSON, error) {
	list := []NoticeJSON{}
	for after, more := "", true; more; {
		docs, err := a.store.Documents(ctx, incident.TypeNotice, after, noticesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			after = d.ID
			var n incident.Notice
			if err := json.Unmarshal(d.Data, &n); err != nil {
				return nil, fmt.Errorf("web: notice %s: %w", d.ID, err)
			}
			list = append(list, NoticeJSON{ID: d.ID, Name: n.Name, Title: n.Title, Text: n.Text, Begins: n.Begins, Ends: n.Ends, At: n.At, Short: n.Short})
		}
		more = len(docs) == noticesAtOnce
	}
	slices.SortStableFunc(list, func(a, b NoticeJSON) int { return b.At.Compare(a.At) })
	list = list[:min(len(list), limit)]
	for n := range list {
		list[n].Notifications = []notify.Notification{}
		if a.options.Notifications == nil {
			continue
		}
		var err error
		if list[n].Notifications, err = a.options.Notifications.Notifications(ctx, list[n].ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}
