package web

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// backup answers POST /api/v1/store/backup with a tar archive.
func (a *API) backup(c *gin.Context) {
	err := newQuery(c).done()
	if err == nil && a.options.Backup == nil {
		err = refuse(http.StatusNotImplemented, "this store makes no backup of its own: if it is Redis, back up Redis, with redis-cli --rdb FILE; docs/operations.md says how to restore that")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	// A backup takes as long as it takes.
	if err := http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		a.fail(c, err)
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/x-tar")
	h.Set("Content-Disposition", `attachment; filename="tocsin-backup.tar"`)
	begun := &firstWrite{Writer: c.Writer}
	switch err := a.options.Backup(c.Request.Context(), begun); {
	case err == nil:
		c.Writer.WriteHeaderNow()
	case !begun.yes:
		h.Del("Content-Disposition")
		a.fail(c, err)
	default:
		a.log.ErrorContext(c.Request.Context(), "backup broke off", "err", err)
		// What was sent must not look like the whole.
		panic(http.ErrAbortHandler)
	}
}

// firstWrite knows whether anything was written.
type firstWrite struct {
	io.Writer
	yes bool
}

func (f *firstWrite) Write(p []byte) (int, error) {
	f.yes = f.yes || len(p) > 0
	return f.Writer.Write(p)
}
