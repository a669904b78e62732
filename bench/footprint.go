package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Footprint is what a gateway costs beside CPU.
type Footprint struct {
	// IdleBytes is resident memory after the start on an empty store.
	IdleBytes int64 `json:"idle_bytes,omitempty"`
	// Alerts is how many active alerts the other figures are for.
	Alerts int `json:"alerts,omitempty"`
	// AcceptedPerSecond is the rate at which they were taken.
	AcceptedPerSecond float64 `json:"accepted_per_second,omitempty"`
	// ResidentBytes is memory when the last was acknowledged, PeakBytes the most
	// ever; of several gateways that of the largest.
	ResidentBytes int64 `json:"resident_bytes,omitempty"`
	PeakBytes     int64 `json:"peak_bytes,omitempty"`
	// BytesPerAlert is ResidentBytes by Alerts, with the idle gateway in it.
	BytesPerAlert     float64 `json:"resident_bytes_per_alert,omitempty"`
	DiskBytes         int64   `json:"disk_bytes,omitempty"`
	DiskBytesPerAlert float64 `json:"disk_bytes_per_alert,omitempty"`
	// RedisBytes is what used_memory grew by, without the buffers of connections.
	RedisBytes         int64   `json:"redis_bytes,omitempty"`
	RedisBytesPerAlert float64 `json:"redis_bytes_per_alert,omitempty"`
	// ReadySeconds is from the start of a new process, after kill -9 of the old
	// one, until /-/ready answers 200.
	ReadySeconds float64 `json:"ready_seconds,omitempty"`
	// RestartedBytes is resident memory right after that.
	RestartedBytes int64 `json:"restarted_resident_bytes,omitempty"`
}

// memoryChunk bounds how much of the load is in memory at once.
const memoryChunk = 50_000

// footprint measures idle, memory and restart on one gateway of our own.
func (b *bench) footprint(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	at := b.newPlace(dir)
	defer func() { err = errors.Join(err, b.clean(ctx, at)) }()
	t, err := b.startTocsin(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	f := &Footprint{}
	b.report.Footprint = f
	if b.wants(Idle) {
		// A second, so that what the start itself leaves behind is over.
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		f.IdleBytes = t.largest().resident
	}
	if !b.wants(Memory, Restart) {
		return nil
	}
	b.say("memory: sending %s alerts", grouped(float64(b.scaled(memoryAlerts))))
	if err := b.fill(ctx, t, f); err != nil {
		return err
	}
	if !b.wants(Restart) {
		return nil
	}
	b.say("restart: kill -9 and start again")
	if err := t.kill(); err != nil {
		return fmt.Errorf("bench: kill: %w", err)
	}
	began := time.Now()
	if t, err = b.startTocsin(ctx, at); err != nil {
		return err
	}
	f.ReadySeconds = time.Since(began).Seconds()
	f.RestartedBytes = t.largest().resident
	return b.verifyFill(ctx, "after kill -9 and restart", t, f.Alerts)
}

func (b *bench) fill(ctx context.Context, t *target, f *Footprint) error {
	g := &generator{form: t.form, seed: 5, now: b.now}
	n := b.scaled(memoryAlerts)
	empty, err := b.stored(ctx, t)
	if err != nil {
		return err
	}
	var took time.Duration
	for first := 0; first < n; first += memoryChunk {
		s, err := drive(ctx, t.addrs(), load{requests: b.requests(g, t, first, min(memoryChunk, n-first), batchSize, false), conns: fewConns})
		if err != nil {
			return err
		}
		if s.errors > 0 {
			return fmt.Errorf("bench: memory: %d of %d requests failed, first: %s", s.errors, s.requests, s.firstError)
		}
		f.Alerts += s.acked
		took += s.took
	}
	used := t.largest()
	f.AcceptedPerSecond = float64(f.Alerts) / took.Seconds()
	f.ResidentBytes, f.PeakBytes = used.resident, used.peak
	f.BytesPerAlert = float64(used.resident) / float64(f.Alerts)
	full, err := b.stored(ctx, t)
	if err != nil {
		return err
	}
	if b.redis != nil {
		f.RedisBytes, f.RedisBytesPerAlert = full-empty, float64(full-empty)/float64(f.Alerts)
	} else {
		f.DiskBytes, f.DiskBytesPerAlert = full, float64(full)/float64(f.Alerts)
	}
	return b.verifyFill(ctx, "memory", t, f.Alerts)
}

// stored is how many bytes the store takes: of memory in Redis, with all else
// that is there, or of a folder.
func (b *bench) stored(ctx context.Context, t *target) (int64, error) {
	if b.redis == nil {
		n, err := folderBytes(t.place.data())
		if err != nil {
			return 0, fmt.Errorf("bench: %w", err)
		}
		return n, nil
	}
	if err := b.redis.settled(ctx); err != nil {
		return 0, err
	}
	u, err := b.redis.usage(ctx)
	return u.memory, err
}

func (b *bench) verifyFill(ctx context.Context, when string, t *target, want int) error {
	c, err := t.count(ctx)
	if err != nil {
		return err
	}
	if c.total != want || c.firing != want {
		b.report.Wrong = append(b.report.Wrong, fmt.Sprintf("%s: got %d alerts of which %d fire, want %d firing as acknowledged", when, c.total, c.firing, want))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
