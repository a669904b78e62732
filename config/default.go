package config

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
	"github.com/tocsin-gateway/tocsin/ingest/smtp"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/spool"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/answers"
	"github.com/tocsin-gateway/tocsin/web/status"
)

// formatNames are those that a source can have. Each has a built-in source of its
// name, unless it means nothing without a configuration.
var formatNames = slices.Sorted(maps.Keys(formats.All))

// Default returns the configuration without a file: an open source for each
// format that needs none, and what contract.md promises to those who configure nothing.
func Default() *Config {
	sources := map[string]ingest.SourceConfig{}
	for _, format := range formatNames {
		if formats.All[format].NeedsConfig {
			continue
		}
		sources[format] = completeSource(format, ingest.SourceConfig{})
	}
	return &Config{
		Sources: sources,
		Classify: router.Config{
			Severities:      []string{"critical", "error", "warning", "info"},
			DefaultSeverity: "warning",
			Categories:      []string{"hardware", "software", "network", "security", "access"},
		},
		Correlate: dedupe.DefaultConfig(),
		Incidents: incident.Config{
			Retention: days(400), // thirteen months, so that a month can be compared with last year's
			Matrix:    incident.DefaultMatrix(),
			Priorities: map[string]incident.Objectives{
				"P1": {Response: minutes(15), Resolution: hours(4)},
				"P2": {Response: minutes(30), Resolution: hours(8)},
				"P3": {Response: hours(4), Resolution: days(1)},
				"P4": {Response: days(1), Resolution: days(5)},
			},
		},
		Store:    store.Config{URL: "file:data", Timeout: model.Duration(2 * time.Second), MaxInFlight: 2048, Durability: "local", Replicas: 1},
		Spool:    spool.DefaultConfig(),
		SMTP:     smtp.DefaultConfig(),
		Recorder: recorder.DefaultConfig(),
		Notify:   receivers.DefaultConfig(),
		Web:      web.DefaultConfig(),
		Answers:  answers.DefaultConfig(),
		Status:   status.DefaultConfig(),
	}
}

func minutes(n int) model.Duration { return model.Duration(time.Duration(n) * time.Minute) }
func hours(n int) model.Duration   { return model.Duration(time.Duration(n) * time.Hour) }
func days(n int) model.Duration    { return hours(24 * n) }
