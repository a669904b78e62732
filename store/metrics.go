package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Instrument returns st with its operations timed.
func Instrument(st Store, reg prometheus.Registerer) Store {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "tocsin_store_operation_duration_seconds",
		Help:    "Time that operations of the store took, waiting for the disk included.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	}, []string{"operation"})
	reg.MustRegister(h)
	return &instrumented{Store: st, update: h.WithLabelValues("update"), list: h.WithLabelValues("list"),
		alerts: h.WithLabelValues("alerts"), claim: h.WithLabelValues("claim"), check: h.WithLabelValues("check")}
}

type instrumented struct {
	Store
	update, list, alerts, claim, check prometheus.Observer
}

func observe(o prometheus.Observer, start time.Time) { o.Observe(time.Since(start).Seconds()) }

func (i *instrumented) Update(ctx context.Context, changes []incident.Change) error {
	defer observe(i.update, time.Now())
	return i.Store.Update(ctx, changes)
}

func (i *instrumented) Incidents(ctx context.Context, q Query) ([]*incident.Incident, string, error) {
	defer observe(i.list, time.Now())
	return i.Store.Incidents(ctx, q)
}

func (i *instrumented) Alerts(ctx context.Context, id incident.ID, cursor string, limit int) ([]Record, string, error) {
	defer observe(i.alerts, time.Now())
	return i.Store.Alerts(ctx, id, cursor, limit)
}

func (i *instrumented) Claim(ctx context.Context, limit int, lease time.Duration) ([]Lease, error) {
	defer observe(i.claim, time.Now())
	return i.Store.Claim(ctx, limit, lease)
}

func (i *instrumented) Check(ctx context.Context) error {
	defer observe(i.check, time.Now())
	return i.Store.Check(ctx)
}

// Labels are the closed sets of label values, asked for at each scrape.
type Labels struct {
	Severities, Teams []string
}

// NewCollector returns a collector of what the store counts: incidents, their
// handling times, and jobs. All severities and teams are there from the start,
// because increase() does not see the first event of a series that begins with it.
func NewCollector(st Store, labels func() Labels) prometheus.Collector {
	return &collector{st: st, labels: labels}
}

type collector struct {
	st     Store
	labels func() Labels
}

var (
	descIncidents = prometheus.NewDesc("tocsin_incidents", "Incidents by state and severity.", []string{"state", "severity"}, nil)
	descJobs      = prometheus.NewDesc("tocsin_jobs", "Jobs by kind, waiting for their time or due.", []string{"kind", "state"}, nil)
	descLag       = prometheus.NewDesc("tocsin_job_lag_seconds", "By how much the most overdue job of the kind is late.", []string{"kind"}, nil)
	stored        = map[string]*prometheus.Desc{
		"opened_total":                      storedDesc("tocsin_incidents_opened_total", "Incidents opened."),
		"reopened_total":                    storedDesc("tocsin_incidents_reopened_total", "Incidents that were opened again after they had been resolved."),
		"resolved_unacknowledged_total":     storedDesc("tocsin_incidents_resolved_unacknowledged_total", "Incidents resolved without having been acknowledged."),
		"response_objective_met_total":      storedDesc("tocsin_incident_response_objective_met_total", "Incidents acknowledged within the response objective of their priority."),
		"response_objective_missed_total":   storedDesc("tocsin_incident_response_objective_missed_total", "Incidents not acknowledged within the response objective of their priority."),
		"resolution_objective_met_total":    storedDesc("tocsin_incident_resolution_objective_met_total", "Incidents resolved within the resolution objective of their priority."),
		"resolution_objective_missed_total": storedDesc("tocsin_incident_resolution_objective_missed_total", "Incidents not resolved within the resolution objective of their priority."),
		"time_to_detect_seconds":            storedDesc("tocsin_incident_time_to_detect_seconds", "From the earliest start of an alert to the opening of its incident."),
		"time_to_acknowledge_seconds":       storedDesc("tocsin_incident_time_to_acknowledge_seconds", "From opening to acknowledgement."),
		"time_to_resolve_seconds":           storedDesc("tocsin_incident_time_to_resolve_seconds", "From opening to resolution."),
		"outage_seconds":                    storedDesc("tocsin_incident_outage_seconds", "From when it went down to when it was restored, observed at the close."),
	}
)

func storedDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help+" Counted in the store: the same on every gateway, whatever restarts.", []string{"severity", "team"}, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descIncidents
	ch <- descJobs
	ch <- descLag
	for _, d := range stored {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While the store is away its series
// are away too.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stats, err := c.st.Statistics(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descIncidents, err)
		return
	}
	labels := c.labels()
	for _, state := range incident.States() {
		for _, severity := range labels.Severities {
			n := stats.Incidents[StateSeverity{state, severity}]
			ch <- prometheus.MustNewConstMetric(descIncidents, prometheus.GaugeValue, float64(n), state, severity)
		}
	}
	for metric, desc := range stored {
		for _, s := range c.series(stats, metric, labels) {
			ch <- constMetric(desc, stats, s)
		}
	}
	c.jobs(ctx, ch)
}

// series lists the configured series of a metric, and those that are stored beside them.
func (c *collector) series(stats Statistics, metric string, labels Labels) []Series {
	var out []Series
	for _, severity := range labels.Severities {
		for _, team := range append([]string{"", "other"}, labels.Teams...) {
			out = append(out, Series{metric, severity, team})
		}
	}
	add := func(s Series) {
		if s.Metric == metric && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for s := range stats.Counters {
		add(s)
	}
	for s := range stats.Histograms {
		add(s)
	}
	return out
}

func constMetric(desc *prometheus.Desc, stats Statistics, s Series) prometheus.Metric {
	if strings.HasSuffix(s.Metric, "_total") {
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(stats.Counters[s]), s.Severity, s.Team)
	}
	h := stats.Histograms[s]
	buckets := make(map[float64]uint64, len(Buckets))
	var sum uint64
	for i, le := range Buckets {
		if h.Counts != nil {
			sum += h.Counts[i]
		}
		buckets[le] = sum
	}
	if h.Counts != nil {
		sum += h.Counts[len(Buckets)]
	}
	return prometheus.MustNewConstHistogram(desc, sum, h.Sum, buckets, s.Severity, s.Team)
}

func (c *collector) jobs(ctx context.Context, ch chan<- prometheus.Metric) {
	counts, err := c.st.Jobs(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descJobs, err)
		return
	}
	for _, kind := range []string{incident.JobClose, incident.JobDuty, incident.JobExpiry, incident.JobRetention, incident.JobStillFiring} {
		n := map[string]int{"waiting": 0, "due": 0}
		lag := time.Duration(0)
		for _, j := range counts {
			if j.Kind == kind {
				n[j.State] += j.Count
				lag = max(lag, j.Lag)
			}
		}
		for state, count := range n {
			ch <- prometheus.MustNewConstMetric(descJobs, prometheus.GaugeValue, float64(count), kind, state)
		}
		ch <- prometheus.MustNewConstMetric(descLag, prometheus.GaugeValue, lag.Seconds(), kind)
	}
}
