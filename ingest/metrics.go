package ingest

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
)

// unknownSource stands in the metrics for all names that are not configured.
const unknownSource = "unknown"

// SpoolSource stands in the metrics for all that comes out of the spool: there
// it is received a second time, whatever its source is. So no source can be
// called that.
const SpoolSource = "spool"

// answerCodes are the statuses that the handler answers with.
var answerCodes = []int{http.StatusOK, http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized,
	http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
	http.StatusUnsupportedMediaType, http.StatusServiceUnavailable}

type metrics struct {
	received     *prometheus.CounterVec
	alerts       *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	lastReceived *prometheus.GaugeVec
	deadLetters  *prometheus.CounterVec

	mu sync.Mutex
	// rates are those of each source; they outlive a reload.
	rates map[string]*rate
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		rates: map[string]*rate{},
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_alerts_received_total",
			Help: "Alerts in the requests that were understood, rejected ones included. Equals the sum of tocsin_alerts_total.",
		}, []string{"source"}),
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_alerts_total",
			Help: "Alerts by what became of them.",
		}, []string{"source", "verdict"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tocsin_ingest_request_duration_seconds",
			Help:    "Time from the headers of an ingest request to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"source", "code"}),
		lastReceived: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tocsin_source_last_received_timestamp_seconds",
			Help: "Unix time of the last request that was understood; 0 if there was none since the start.",
		}, []string{"source"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_dead_letters_total",
			Help: "Dead letters that were stored, repeated ones included.",
		}, []string{"source"}),
	}
	for _, c := range []prometheus.Collector{m.received, m.alerts, m.duration, m.lastReceived, m.deadLetters} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// series are the metrics of one source, looked up once. All exist from the
// start, because increase() does not see the first event of a new series.
type series struct {
	received     prometheus.Counter
	verdicts     []prometheus.Counter // by alert.Verdict
	lastReceived prometheus.Gauge
	deadLetters  prometheus.Counter
	durations    map[int]prometheus.Observer
	rate         *rate
}

func (m *metrics) series(source string) *series {
	s := &series{
		received:     m.received.WithLabelValues(source),
		lastReceived: m.lastReceived.WithLabelValues(source),
		deadLetters:  m.deadLetters.WithLabelValues(source),
		durations:    map[int]prometheus.Observer{},
		rate:         m.rate(source),
	}
	for _, v := range alert.Verdicts() {
		s.verdicts = append(s.verdicts, m.alerts.WithLabelValues(source, v.String()))
	}
	for _, code := range answerCodes {
		s.durations[code] = m.duration.WithLabelValues(source, strconv.Itoa(code))
	}
	return s
}

// tally counts the alerts of one request. What was received is counted at once;
// the verdicts only when it is known what the sender will be told.
type tally struct {
	*series
	received int
	verdicts []int // by alert.Verdict
	settled  bool
}

func (s *series) tally() *tally {
	return &tally{series: s, verdicts: make([]int, len(s.verdicts))}
}

// receive counts n decoded alerts.
func (t *tally) receive(n int) {
	t.received += n
	t.series.received.Add(float64(n))
	t.series.rate.add(time.Now(), n)
}

// add remembers what became of alerts, and how many were rejected.
func (t *tally) add(outcomes []alert.Outcome, rejected int) {
	for i := range outcomes {
		t.verdicts[outcomes[i].Verdict]++
	}
	t.verdicts[alert.Rejected] += rejected
}

// settle counts the verdicts: the sender is told what became of its alerts.
func (t *tally) settle() {
	t.settled = true
	for v, n := range t.verdicts {
		if n > 0 {
			t.series.verdicts[v].Add(float64(n))
		}
	}
}

// close counts everything as failed unless the tally was settled: the sender is
// told to send it all again, or hears nothing because we panicked.
func (t *tally) close() {
	if !t.settled && t.received > 0 {
		t.series.verdicts[alert.Failed].Add(float64(t.received))
	}
}

// seconds writes a time as Prometheus does.
func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
