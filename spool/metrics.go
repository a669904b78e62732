package spool

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	appended, drained, damaged, full prometheus.Counter
	gauges                           []prometheus.Collector
}

func newMetrics(s *Spool) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return value()
		})
	}
	return &metrics{
		appended: counter("tocsin_spool_appended_total", "Requests that were spooled."),
		drained:  counter("tocsin_spool_drained_total", "Requests of the spool that were applied or set aside."),
		damaged:  counter("tocsin_spool_damaged_total", "Places in the files of the spool that could not be read."),
		full:     counter("tocsin_spool_full_total", "Requests that the spool, or its disk, had no room for."),
		gauges: []prometheus.Collector{
			gauge("tocsin_spool_entries", "Requests that wait in the spool.", func() float64 { return float64(s.entries) }),
			gauge("tocsin_spool_bytes", "Size of the files of requests that wait.", func() float64 { return float64(s.bytes) }),
			gauge("tocsin_spool_oldest_seconds", "How long ago the first request that waits was received; 0 if none does.", func() float64 {
				if s.entries == 0 {
					return 0
				}
				return max(0, s.opts.Now().Sub(s.oldest).Seconds())
			}),
		},
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range append(m.gauges, m.appended, m.drained, m.damaged, m.full) {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
