//go:build failpoint

package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// withOutage returns a store that commits nothing while there is a file with the
// name that TOCSIN_OUTAGE says; st itself without one.
func withOutage(st store.Store) store.Store {
	if file := os.Getenv("TOCSIN_OUTAGE"); file != "" {
		return &outage{Store: st, file: file}
	}
	return st
}

// outage is a store that is away now and then.
type outage struct {
	store.Store
	file string
}

func (o *outage) away() error {
	if _, err := os.Stat(o.file); err != nil {
		return nil
	}
	return &store.UnavailableError{Cause: errors.New("an outage is being played")}
}

// Update implements store.Store.
func (o *outage) Update(ctx context.Context, changes []incident.Change) error {
	if err := o.away(); err != nil {
		return err
	}
	return o.Store.Update(ctx, changes)
}

// PutDocument implements store.Store.
func (o *outage) PutDocument(ctx context.Context, d incident.Document) (uint64, error) {
	if err := o.away(); err != nil {
		return 0, err
	}
	return o.Store.PutDocument(ctx, d)
}

// Claim implements store.Store.
func (o *outage) Claim(ctx context.Context, limit int, lease time.Duration) ([]store.Lease, error) {
	if err := o.away(); err != nil {
		return nil, err
	}
	return o.Store.Claim(ctx, limit, lease)
}

// Check implements store.Store.
func (o *outage) Check(ctx context.Context) error {
	if err := o.away(); err != nil {
		return err
	}
	return o.Store.Check(ctx)
}
