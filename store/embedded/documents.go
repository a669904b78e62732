package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// document is the stored form.
type document struct {
	Version   uint64         `json:"version"`
	UpdatedAt time.Time      `json:"updated_at"`
	Data      jsontext.Value `json:"data"`

	Unknown jsontext.Value `json:",embed"`
}

// Document implements store.Store.
func (s *Store) Document(ctx context.Context, typ, id string) (incident.Document, error) {
	leave, err := s.enter()
	if err != nil {
		return incident.Document{}, err
	}
	defer leave()
	var row document
	found, err := s.getJSON(documentKey(typ, id), &row)
	if err != nil {
		return incident.Document{}, err
	}
	if !found {
		return incident.Document{}, fmt.Errorf("%s %s: %w", typ, id, incident.ErrNotFound)
	}
	return incident.Document{Type: typ, ID: id, Version: row.Version, Data: row.Data, UpdatedAt: row.UpdatedAt}, nil
}

// Documents implements store.Store.
func (s *Store) Documents(ctx context.Context, typ, behind string, limit int) ([]incident.Document, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	prefix := documentKey(typ, "")
	from := prefix
	if behind != "" {
		from = append(documentKey(typ, behind), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(prefix)})
	if err != nil {
		return nil, &store.UnavailableError{Cause: err}
	}
	var out []incident.Document
	for ok := it.First(); ok && len(out) < limit; ok = it.Next() {
		var row document
		if err := json.Unmarshal(it.Value(), &row); err != nil {
			_ = it.Close() // the other error says more
			return nil, fmt.Errorf("store: document %q: %w", it.Key(), err)
		}
		out = append(out, incident.Document{Type: typ, ID: string(it.Key()[len(prefix):]), Version: row.Version, Data: row.Data, UpdatedAt: row.UpdatedAt})
	}
	return out, it.Close()
}

// PutDocument implements store.Store.
func (s *Store) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	if s.full.Load() && d.Data != nil {
		return 0, &store.UnavailableError{Cause: errDiskFull}
	}
	s.jobMu.Lock() // documents are rare, one lock serves both
	defer s.jobMu.Unlock()
	w := s.writing()
	defer func() { _ = w.batch.Close() }() // it only frees memory
	if err := w.putDocument(&d); err != nil {
		return 0, err
	}
	s.failpoint("before-document")
	err = s.apply(w.batch, pebble.Sync)
	s.failpoint("after-document")
	return d.Version, err
}

// putDocument writes d if its version fits, and counts its version up.
func (w *writing) putDocument(d *incident.Document) error {
	name := documentKey(d.Type, d.ID)
	var row document
	if _, err := w.s.getJSON(name, &row); err != nil {
		return err
	}
	if row.Version != d.Version {
		return fmt.Errorf("%s %s has version %d, not %d: %w", d.Type, d.ID, row.Version, d.Version, incident.ErrConflict)
	}
	if d.Data == nil {
		return w.batch.Delete(name, nil)
	}
	d.Version++
	d.UpdatedAt = w.s.Now()
	row.Version, row.UpdatedAt, row.Data = d.Version, d.UpdatedAt, d.Data
	return w.putJSON(name, &row)
}
