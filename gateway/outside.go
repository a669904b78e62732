package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/remote"
	"github.com/tocsin-gateway/tocsin/router"
)

// outside are the tools that sources belong to, for the pipeline's jobs.
type outside struct {
	tools atomic.Pointer[map[string]tool]
}

// tool is the API of one source's tool.
type tool struct {
	ingest.APIConfig
	client *http.Client
	open   func(context.Context, *http.Client, ingest.APIConfig) ([]alert.Alert, error)
}

// opens are the formats whose tools can say what is open.
var opens = map[string]func(context.Context, *http.Client, ingest.APIConfig) ([]alert.Alert, error){
	"alertmanager": remote.Alertmanager,
	"grafana":      remote.Grafana,
}

// set makes the tools of the sources.
func (o *outside) set(sources map[string]ingest.SourceConfig) error {
	tools := map[string]tool{}
	for name, s := range sources {
		if s.API.URL == "" {
			continue
		}
		client, err := remote.NewClient(s.API)
		if err != nil {
			return fmt.Errorf("source %s: %w", name, err)
		}
		tools[name] = tool{s.API, client, opens[s.Format]}
	}
	if old := o.tools.Swap(&tools); old != nil {
		for _, t := range *old {
			t.client.CloseIdleConnections()
		}
	}
	return nil
}

var errNoAPI = errors.New("gateway: the source has no API")

// Open implements router.Outside.
func (o *outside) Open(ctx context.Context, source string) ([]alert.Alert, error) {
	t, ok := (*o.tools.Load())[source]
	if !ok || t.open == nil {
		return nil, errNoAPI
	}
	return t.open(ctx, t.client, t.APIConfig)
}

// WriteBack implements router.Outside.
func (o *outside) WriteBack(ctx context.Context, source string, w router.WriteBack) error {
	return errNoAPI
}
