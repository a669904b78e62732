// Package simulate runs the same gateway as the command does, on a clock that
// is set by hand and a store in memory: to explain what a payload means, to
// play a demonstration, to test a configuration.
package simulate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// Simulation is a gateway of its own world.
type Simulation struct {
	*gateway.Gateway
	clock clock
	store store.Store
}

// clock shows the time that it was set to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// New returns a simulation that begins at the given time. Close it.
func New(ctx context.Context, c *config.Config, start time.Time) (*Simulation, error) {
	s := &Simulation{clock: clock{now: start}}
	st, err := embedded.Open("mem:", embedded.Options{Now: s.clock.Now})
	if err != nil {
		return nil, err
	}
	s.store = st
	s.Gateway, err = gateway.New(ctx, gateway.Options{Store: st, Config: c, Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Now: s.clock.Now})
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	return s, nil
}

// Close ends the simulation.
func (s *Simulation) Close() error { return s.store.Close() }

// Until lets time pass up to the given moment and does what becomes due.
func (s *Simulation) Until(ctx context.Context, at time.Time) error {
	s.clock.set(at)
	return s.Pipeline.RunDue(ctx)
}

// Post sends a body to a source, as over HTTP, at the time that the clock shows.
func (s *Simulation) Post(ctx context.Context, source string, body []byte) (status int, answer []byte, err error) {
	return s.send(ctx, http.MethodPost, "/ingest/"+source, bytes.NewReader(body))
}

// Get asks the API, as over HTTP.
func (s *Simulation) Get(ctx context.Context, path string) (status int, answer []byte, err error) {
	return s.send(ctx, http.MethodGet, path, http.NoBody)
}

func (s *Simulation) send(ctx context.Context, method, path string, body io.Reader) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return 0, nil, fmt.Errorf("simulate: %w", err)
	}
	w := &answerWriter{header: http.Header{}, status: http.StatusOK}
	s.Engine.ServeHTTP(w, r)
	return w.status, w.body.Bytes(), nil
}

// Preview says what a receiver of these settings would be told of an incident at
// the time that the clock shows. Nobody is.
func (s *Simulation) Preview(ctx context.Context, settings *notify.Settings, name, receiver string) ([]notify.Preview, error) {
	w := notify.New(s.store, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), func() {})
	w.Set(settings)
	return w.Preview(ctx, name, receiver)
}

// Incidents returns all incidents, newest first.
func (s *Simulation) Incidents(ctx context.Context) ([]*incident.Incident, error) {
	var all []*incident.Incident
	for cursor := ""; ; {
		page, next, err := s.store.Incidents(ctx, store.Query{Limit: 1000, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}

// answerWriter keeps an answer in memory.
type answerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header         { return w.header }
func (w *answerWriter) WriteHeader(status int)      { w.status = status }
func (w *answerWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
