package web

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/web/live"
)

const (
	// heartbeat is how often something is written to a stream, so that proxies keep
	// the connection, and so that we learn that nobody is there any more.
	heartbeat = 15 * time.Second
	// streamChecked is how often the permission to follow a stream is looked at.
	streamChecked = 30 * time.Second
	// streamWrite is how long one write may take.
	streamWrite = 10 * time.Second
	// streamRetry is after how many milliseconds a browser comes back.
	streamRetry = 2000
)

// stream answers GET /api/v1/stream: what changes, as server-sent events, see
// https://html.spec.whatwg.org/multipage/server-sent-events.html.
func (a *API) stream(c *gin.Context) {
	of, brief, err := a.streamOf(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	after := c.GetHeader("Last-Event-ID")
	if len(after) > textLimit {
		after = after[:textLimit] // it is none of ours
	}
	s, err := a.options.Live.Follow(of, after)
	if err != nil {
		a.fail(c, refuse(http.StatusServiceUnavailable, "%v", err))
		return
	}
	defer s.Stop()
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep it until there is much
	a.follow(c, s, brief)
}

// streamOf is the incident whose changes are asked for, zero for all; brief: only that
// something changes.
func (a *API) streamOf(c *gin.Context) (of incident.ID, brief bool, err error) {
	q := newQuery(c)
	name := q.text("incident")
	brief = q.word("detail", "row", "none") == "none"
	if err := q.done(); err != nil {
		return of, brief, err
	}
	if a.options.Live == nil {
		return of, brief, errNothingLive
	}
	if name == "" {
		return of, brief, nil
	}
	i, err := a.store.Incident(c.Request.Context(), name)
	if errors.Is(err, incident.ErrNotFound) {
		return of, brief, notFound("incident", name)
	}
	if err != nil {
		return of, brief, err
	}
	return i.ID, brief, nil
}

// follow writes what happens until the client is gone, may not follow any more, or
// we shut down.
func (a *API) follow(c *gin.Context, s *live.Stream, brief bool) {
	to := http.NewResponseController(c.Writer)
	write := func(text []byte) bool {
		// The server may have a limit for whole answers; this one has no end. Not every
		// writer can have one.
		_ = to.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err := c.Writer.Write(text)
		return err == nil && to.Flush() == nil
	}
	if !write(fmt.Appendf(nil, "retry: %d\n\n", streamRetry)) {
		return
	}
	beat, check := time.NewTicker(heartbeat), time.NewTicker(streamChecked)
	defer beat.Stop()
	defer check.Stop()
	for {
		text := []byte(":\n\n")
		select {
		case <-c.Request.Context().Done():
			return
		case <-check.C:
			if !a.mayStay(c) {
				return
			}
			continue
		case <-beat.C:
		case b, ok := <-s.C:
			if !ok {
				return
			}
			text = streamed(b, brief)
		}
		if !write(text) {
			return
		}
	}
}

// mayStay reports whether who follows a stream still may. A store that is away
// throws nobody out.
func (a *API) mayStay(c *gin.Context) bool {
	err := a.permit(c, RoleViewer)
	var status *statusError
	return err == nil || errors.As(err, &status) && status.status == http.StatusServiceUnavailable
}

// streamed writes a batch, in one event if it is to be brief.
func streamed(b live.Batch, brief bool) []byte {
	switch {
	case b.Lost:
		return []byte("event: reset\ndata: {}\n\n")
	case brief:
		return fmt.Appendf(nil, "id: %s\nevent: changed\ndata: {}\n\n", b.Events[len(b.Events)-1].ID)
	}
	var text []byte
	for _, e := range b.Events {
		text = append(text, e.Text(eventText)...)
	}
	return text
}

// eventText writes an event, which is the same for all who follow.
func eventText(e *live.Event) []byte {
	data, err := json.Marshal(ViewRow(e.Row))
	if err != nil {
		return nil // unreachable: it is made of strings, numbers and times that can be written
	}
	return fmt.Appendf(nil, "id: %s\nevent: incident\ndata: %s\n\n", e.ID, data)
}
