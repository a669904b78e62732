package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"
)

const (
	// pingTime is how long a ping may take.
	pingTime = 10 * time.Second
	// lateJobs is how late jobs may be while all still counts as well.
	lateJobs = 2 * time.Minute
)

// errRedirect: whoever watches must answer by itself.
var errRedirect = errors.New("it answers with a redirect")

// ping gives the sign of life that the configuration asks for, while the store
// takes alerts and jobs are done in time, until ctx ends.
func (g *Gateway) ping(ctx context.Context) {
	client := &http.Client{Timeout: pingTime, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
	defer client.CloseIdleConnections()
	failing := false
	for first := true; ; first = false {
		c := g.config.Load().Ping
		pause := c.Interval()
		if first {
			pause = rand.N(min(pause, 5*time.Second)) // not all gateways at once
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if c = g.config.Load().Ping; !c.URL.IsSet() {
			continue
		}
		err := g.well(ctx)
		if err == nil {
			err = pingOnce(ctx, client, c.URL.Reveal())
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			g.log.WarnContext(ctx, "no sign of life is given", "err", err)
		case err == nil && failing:
			g.log.InfoContext(ctx, "the sign of life is given again")
		}
		failing = err != nil
		result := "sent"
		if failing {
			result = "failed"
		}
		g.pings.WithLabelValues(result).Inc()
	}
}

// well says why no sign of life may be given.
func (g *Gateway) well(ctx context.Context) error {
	if g.draining.Load() {
		return errors.New("shutting down")
	}
	if err := g.readiness.check(ctx); err != nil {
		return err
	}
	counts, err := g.store.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, c := range counts {
		if c.Lag > lateJobs {
			return fmt.Errorf("jobs of the kind %s are %v late", c.Kind, c.Lag.Round(time.Second))
		}
	}
	return nil
}

func pingOnce(ctx context.Context, client *http.Client, target string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return errors.New("the URL cannot be used") // it is a secret
	}
	answer, err := client.Do(r)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the URL
		}
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %d", answer.StatusCode)
	}
	return nil
}
