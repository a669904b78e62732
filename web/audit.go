package web

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/web/audit"
)

const (
	// requestKey is where the id of a request is in a gin.Context, subjectKey what it
	// is about and claimedKey who says that they make it, where nobody has to prove it.
	requestKey = "tocsin/web/request"
	subjectKey = "tocsin/web/subject"
	claimedKey = "tocsin/web/claimed"
	// requestHeader tells the caller the id.
	requestHeader = "X-Request-Id"
	// subjectLimit bounds what a record says of what it is about, in bytes.
	subjectLimit = 100

	// cleanEvery is how often records that have expired are deleted.
	cleanEvery = 10 * time.Minute
)

// AuditJSON is a page of the audit log, the latest first.
type AuditJSON struct {
	Records    []audit.Record `json:"records"`
	NextCursor string         `json:"next_cursor"`
}

// auditLog answers GET /api/v1/audit.
func (a *API) auditLog(c *gin.Context) {
	q := newQuery(c)
	limit, cursor := q.limit(), q.text("cursor")
	if cursor != "" && !audit.IsID(cursor) {
		q.errs = append(q.errs, &router.InputError{Field: "cursor", Reason: "not a cursor of this list"})
	}
	err := q.done()
	var page AuditJSON
	if err == nil { // one more, to know whether this is the last page
		page.Records, err = a.audit.List(c.Request.Context(), cursor, limit+1)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	if len(page.Records) > limit {
		page.Records = page.Records[:limit]
		page.NextCursor = page.Records[limit-1].ID
	}
	a.answer(c, http.StatusOK, page)
}

// recorded gives a command its id; what it returns leaves the record when it is done.
func (a *API) recorded(c *gin.Context) func() {
	id := audit.NewRequest()
	c.Set(requestKey, id)
	c.Header(requestHeader, id)
	return func() {
		by := IdentityOf(c)
		if by.How == "" {
			return // nobody: what strangers try is the throttle's business
		}
		if by.Name == "" {
			by.Name = c.GetString(claimedKey)
		}
		a.leave(c, audit.Record{Action: audit.Command, Who: by.Name, How: by.How, Status: c.Writer.Status()})
	}
}

// leave leaves an audit record of a request.
func (a *API) leave(c *gin.Context, r audit.Record) {
	if r.Request = c.GetString(requestKey); r.Request == "" {
		r.Request = audit.NewRequest()
	}
	r.Subject = cmp.Or(c.GetString(subjectKey), cut(cmp.Or(c.Param("id"), c.Param("name")), subjectLimit))
	r.Client, r.Method, r.Route = c.ClientIP(), c.Request.Method, c.FullPath()
	a.audit.Add(c.Request.Context(), r)
}

// Run deletes sessions and audit records that have expired, until ctx ends.
func (a *API) Run(ctx context.Context) error {
	for {
		wait := time.NewTimer(cleanEvery/2 + rand.N(cleanEvery))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		for what, clean := range map[string]func(context.Context) error{"sessions": a.sessions.Clean, "audit records": a.audit.Clean} {
			if err := clean(ctx); err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "what has expired cannot be deleted", "what", what, "err", err)
			}
		}
	}
}
