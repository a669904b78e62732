package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/icinga/stream"
)

// streams are the sources that are read rather than that they send.
type streams struct {
	mu sync.Mutex
	// ctx is that of Run; nil before and after.
	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup
}

// run keeps the streams of the configuration going until ctx ends.
func (g *Gateway) runStreams(ctx context.Context) {
	s := &g.streams
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	g.restartStreams(g.config.Load())
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = nil
	s.done.Wait()
}

// restartStreams ends the streams and begins those of a configuration, if Run has begun.
func (g *Gateway) restartStreams(c *config.Config) {
	s := &g.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		return
	}
	if s.stop != nil {
		s.stop()
		s.done.Wait()
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(s.ctx)
	for name, source := range c.Sources {
		if !source.API.Stream {
			continue
		}
		o := g.outside.stream(source.API)
		o.Queue = "tocsin-" + name
		o.Take = func(ctx context.Context, lines []byte) error { return g.takeLines(ctx, name, lines) }
		reader, err := stream.New(o)
		if err != nil {
			g.log.ErrorContext(ctx, "no stream", "alert_source", name, "err", err)
			continue
		}
		s.done.Go(func() { _ = reader.Run(ctx) }) // it ends with ctx only
	}
}

// takeLines makes events durable. What nobody understands has a dead letter.
func (g *Gateway) takeLines(ctx context.Context, source string, lines []byte) error {
	_, err := g.ingest.Take(ctx, source, ingest.Request{Body: lines, ContentType: "application/json", Method: "STREAM"})
	var bad *ingest.BodyError
	if errors.As(err, &bad) {
		return nil
	}
	return err
}
