package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/simulate"
)

// payloadLimit bounds what explain reads, in bytes.
const payloadLimit = 64 << 20

// explainer is the command explain.
type explainer struct {
	streams
	source, format, received, configFile string
	http                                 bool
}

func registerExplain(app *kingpin.Application, s streams) map[string]func(context.Context) error {
	e := &explainer{streams: s}
	cmd := app.Command("explain", "Say what each alert in a payload (standard input) means and what would become of it. Nothing is stored.")
	cmd.Flag("source", "Source of the configuration that the payload is for.").StringVar(&e.source)
	cmd.Flag("format", "Format of the payload, in place of a source.").StringVar(&e.format)
	cmd.Flag("received-at", "When it was received (RFC 3339); default: now.").StringVar(&e.received)
	cmd.Flag("http", "The input is a whole HTTP request; its path, method and credentials are ignored.").BoolVar(&e.http)
	cmd.Flag("config.file", "Configuration file; without one the built-in defaults.").StringVar(&e.configFile)
	return map[string]func(context.Context) error{"explain": e.run}
}

func (e *explainer) run(ctx context.Context) error {
	if (e.source == "") == (e.format == "") {
		return errors.New("explain: give either --source or --format")
	}
	received := time.Now()
	if e.received != "" {
		var err error
		if received, err = time.Parse(time.RFC3339Nano, e.received); err != nil {
			return fmt.Errorf("explain: --received-at: %q is not RFC 3339, such as 2026-11-21T03:00:00Z", e.received)
		}
	}
	c, err := config.Load(nil, "built-in")
	if e.configFile != "" {
		c, err = config.LoadFile(e.configFile)
	}
	if err != nil {
		return err
	}
	request, err := e.payload()
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	s, err := simulate.New(ctx, c, received)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }() // it is in memory
	request.Source, request.Format, request.ReceivedAt = cmp.Or(e.source, e.format), e.format, received
	explanation, err := s.Explain(ctx, request)
	if err != nil && !errors.Is(err, gateway.ErrNothing) {
		return fmt.Errorf("explain: %w", err)
	}
	out, merr := json.Marshal(explanation, jsontext.WithIndent("  "), json.Deterministic(true))
	if merr != nil {
		return fmt.Errorf("explain: %w", merr)
	}
	if _, werr := fmt.Fprintf(e.out, "%s\n", out); werr != nil {
		return werr
	}
	return err
}

// payload reads standard input.
func (e *explainer) payload() (ingest.Request, error) {
	if e.http {
		r, body, err := ingest.ReadHTTP(e.in, payloadLimit)
		if err != nil {
			return ingest.Request{}, err
		}
		return ingest.NewRequest(r, body), nil
	}
	body, err := io.ReadAll(io.LimitReader(e.in, payloadLimit+1))
	if err == nil && len(body) > payloadLimit {
		return ingest.Request{}, fmt.Errorf("the payload is larger than %d bytes", payloadLimit)
	}
	return ingest.Request{Body: body}, err
}
