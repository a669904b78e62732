package gateway

import (
	"context"
	"errors"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
)

// recordings is what the API shows of a recorder.
type recordings struct{ *recorder.Recorder }

// List implements web.Recordings.
func (r recordings) List(ctx context.Context, q web.RecordingQuery) ([]web.Recording, string, error) {
	found, next, err := r.Recorder.List(ctx, recorder.Query(q))
	page := make([]web.Recording, len(found))
	for i := range found {
		page[i] = viewRecording(&found[i])
	}
	return page, next, forWeb(err)
}

// Get implements web.Recordings.
func (r recordings) Get(ctx context.Context, id string) (web.Recording, error) {
	found, err := r.Recorder.Get(ctx, id)
	return viewRecording(&found), forWeb(err)
}

func viewRecording(r *recorder.Recording) web.Recording {
	return web.Recording{ID: r.ID(), Source: r.Source, Format: r.Format, Method: r.Method, Path: r.Path, ContentType: r.ContentType,
		ReceivedAt: r.ReceivedAt, Code: r.Code, Size: r.Size, Body: r.Body}
}

// forWeb makes an error of the recorder one that the API knows.
func forWeb(err error) error {
	switch {
	case errors.Is(err, recorder.ErrNotFound):
		return incident.ErrNotFound
	case errors.Is(err, recorder.ErrCursor):
		return store.ErrCursor
	}
	return err
}
