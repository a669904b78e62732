package remote

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// The paths of Alertmanager's API v2, see
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml, and of
// the same API in Grafana, for the Alertmanager that is part of it.
const (
	alertmanagerAPI = "/api/v2/alerts"
	grafanaAPI      = "/api/alertmanager/grafana/api/v2/alerts"
)

// Alertmanager returns the alerts that an Alertmanager has open, also those that
// are silenced or inhibited there: they are not over.
func Alertmanager(ctx context.Context, client *http.Client, c ingest.APIConfig) ([]alert.Alert, error) {
	return alertmanager(ctx, client, c, alertmanagerAPI)
}

// Grafana returns what Grafana's own Alertmanager has open.
func Grafana(ctx context.Context, client *http.Client, c ingest.APIConfig) ([]alert.Alert, error) {
	alerts, err := alertmanager(ctx, client, c, grafanaAPI)
	for i := range alerts {
		alerts[i].Labels = public(alerts[i].Labels)
		alerts[i].Annotations = public(alerts[i].Annotations)
	}
	return alerts, err
}

// public leaves out what Grafana keeps for itself: no webhook has it.
func public(ls alert.Labels) alert.Labels {
	out := ls[:0]
	for _, l := range ls {
		if !strings.HasPrefix(l.Name, "__") {
			out = append(out, l)
		}
	}
	return out
}

func alertmanager(ctx context.Context, client *http.Client, c ingest.APIConfig, path string) ([]alert.Alert, error) {
	query := url.Values{"active": {"true"}, "silenced": {"true"}, "inhibited": {"true"}, "unprocessed": {"true"}}
	if c.Receiver != "" {
		query.Set("receiver", "^"+regexp.QuoteMeta(c.Receiver)+"$")
	}
	body, err := get(ctx, client, c, path, query)
	if err != nil {
		return nil, err
	}
	// What it lists has the members of what Prometheus posts, and more.
	batch, err := ingest.Prometheus.Decode(ingest.Request{Body: body})
	if err != nil {
		return nil, err
	}
	open := batch.Alerts[:0]
	for _, a := range batch.Alerts {
		if a.Status == alert.Firing {
			// By when it would be over unless Prometheus repeats it is Alertmanager's
			// business: it will say so.
			a.ValidUntil = time.Time{}
			open = append(open, a)
		}
	}
	return open, nil
}
