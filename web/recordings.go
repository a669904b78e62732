package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Recordings is where recorded requests are.
type Recordings interface {
	// List returns a page, the newest first and without bodies, and the cursor of
	// the next one, which is empty on the last. A cursor that is none is a store.ErrCursor.
	List(ctx context.Context, q RecordingQuery) (page []Recording, next string, err error)
	// Get returns one with its body, or an incident.ErrNotFound.
	Get(ctx context.Context, id string) (Recording, error)
}

// RecordingQuery says which recordings a page is to have.
type RecordingQuery struct {
	Source   string
	From, To time.Time
	Limit    int
	Cursor   string
}

// Recording is a recorded request.
type Recording struct {
	ID, Source, Format, Method, Path, ContentType string
	ReceivedAt                                    time.Time
	// Code is what it was answered with, Size how long its body is.
	Code, Size int
	Body       []byte
}

// RecordingJSON is a recorded request as the API shows it, without its body.
type RecordingJSON struct {
	ID          string     `json:"id"`
	Source      string     `json:"source"`
	Format      string     `json:"format"`
	Method      string     `json:"method"`
	Path        string     `json:"path"`
	ContentType string     `json:"content_type"`
	ReceivedAt  *time.Time `json:"received_at"`
	Code        int        `json:"code"`
	Size        int        `json:"size"`
}

// RecordingBodyJSON is a recorded request with its body: a text as it is (utf-8),
// anything else in base64.
type RecordingBodyJSON struct {
	RecordingJSON
	Encoding string `json:"encoding"`
	Body     string `json:"body"`
}

// RecordingsJSON is a page of recorded requests, newest first.
type RecordingsJSON struct {
	Recordings []RecordingJSON `json:"recordings"`
	NextCursor string          `json:"next_cursor"`
}

func viewRecording(r *Recording) RecordingJSON {
	return RecordingJSON{r.ID, r.Source, r.Format, r.Method, r.Path, r.ContentType, stamp(r.ReceivedAt), r.Code, r.Size}
}

var errNotRecording = refuse(http.StatusNotFound, "nothing is recorded here: the flight recorder is off until recorder.dir names a folder in the configuration")

// recordings answers GET /api/v1/recordings.
func (a *API) recordings(c *gin.Context) {
	q := newQuery(c)
	search := RecordingQuery{Source: q.text("source"), From: q.time("from"), To: q.time("to"), Limit: q.limit(), Cursor: q.text("cursor")}
	err := q.done()
	if err == nil && a.options.Recordings == nil {
		err = errNotRecording
	}
	page := RecordingsJSON{Recordings: []RecordingJSON{}}
	if err == nil {
		var found []Recording
		found, page.NextCursor, err = a.options.Recordings.List(c.Request.Context(), search)
		for i := range found {
			page.Recordings = append(page.Recordings, viewRecording(&found[i]))
		}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, page)
}

// recording answers GET /api/v1/recordings/{id}.
func (a *API) recording(c *gin.Context) {
	q := newQuery(c)
	raw := q.text("raw")
	if raw != "" && raw != "true" && raw != "false" {
		q.bad("raw", "%q is neither true nor false", raw)
	}
	r, err := a.findRecording(c, q)
	switch {
	case err != nil:
		a.fail(c, err)
	case raw == "true":
		// Whatever a sender wrote is not for a browser to show.
		c.Header("Content-Disposition", `attachment; filename="recording-`+r.ID+`"`)
		c.Data(http.StatusOK, "application/octet-stream", r.Body)
	case utf8.Valid(r.Body):
		a.answer(c, http.StatusOK, RecordingBodyJSON{viewRecording(&r), "utf-8", string(r.Body)})
	default:
		a.answer(c, http.StatusOK, RecordingBodyJSON{viewRecording(&r), "base64", base64.StdEncoding.EncodeToString(r.Body)})
	}
}

// findRecording reads the one that the path names, if the query has no mistakes.
func (a *API) findRecording(c *gin.Context, q *query) (Recording, error) {
	if err := q.done(); err != nil {
		return Recording{}, err
	}
	if a.options.Recordings == nil {
		return Recording{}, errNotRecording
	}
	r, err := a.options.Recordings.Get(c.Request.Context(), c.Param("id"))
	if errors.Is(err, incident.ErrNotFound) {
		err = notFound("recording", c.Param("id"))
	}
	return r, err
}
