package recorder

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	records, dropped, damaged prometheus.Counter
	bytes                     prometheus.Collector
}

func newMetrics(r *Recorder) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		records: counter("tocsin_recorder_records_total", "Requests that were recorded."),
		dropped: counter("tocsin_recorder_dropped_total", "Requests that were not recorded, because they came too fast or could not be written."),
		damaged: counter("tocsin_recorder_damaged_total", "Places in the files of the recorder that could not be read."),
		bytes: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tocsin_recorder_bytes", Help: "Size of the files of the recorder."}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(r.bytes)
		}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.records, m.dropped, m.damaged, m.bytes} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
