package router

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// settings are the defaults, with changes.
func settings(change ...func(*Settings)) Settings {
	s := Settings{
		Classify: Config{Severities: []string{"critical", "error", "warning", "info"}, DefaultSeverity: "warning",
			Categories: []string{"hardware", "software"}},
		Correlate: dedupe.DefaultConfig(), Incidents: incident.Config{Matrix: incident.DefaultMatrix()},
		Sources: map[string]SourceSettings{"alertmanager": {}, "prometheus": {}},
	}
	for _, c := range change {
		c(&s)
	}
	sources := map[string]SourceIdentity{}
	for name := range s.Sources {
		sources[name] = SourceIdentity{Namespace: name}
	}
	for name, id := range s.Identity.Sources {
		sources[name] = id
	}
	s.Identity = NewIdentity(s.Correlate, s.Classify, sources)
	return s
}

func pipeline(t testing.TB, st store.Store, s Settings) *Pipeline {
	t.Helper()
	p := New(st, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), prometheus.NewRegistry())
	if err := p.Set(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t testing.TB, url string, o embedded.Options) store.Store {
	t.Helper()
	st, err := embedded.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// load makes alerts like those of the reference load: 8 labels, 3 annotations,
// 144 keys, runs of 7 with the same key.
func load(first, n int) []alert.Alert {
	names := []string{"KubePodCrashLooping", "HighRequestLatency", "InstanceDown", "DiskWillFillIn4Hours", "TargetMissing", "ErrorBudgetBurn"}
	clusters := []string{"eu-west-1a", "eu-west-1b", "us-east-1c"}
	services := []string{"checkout", "payments", "search", "catalog", "auth", "ingress", "mailer", "ledger"}
	out := make([]alert.Alert, n)
	for i := range out {
		id := first + i
		run := uint32(id/7) * 2654435761 >> 8
		name, service := names[run%6], services[run/18%8]
		pod := fmt.Sprintf("w1-%09d", id)
		out[i] = alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: time.Now(), StartsAt: time.Unix(1767225600, 0),
			Labels: alert.FromMap(map[string]string{"alertname": name, "cluster": clusters[run/6%3], "service": service, "pod": pod,
				"instance": "node-1-" + pod + ".prod.example.net:9100", "job": "kube-state-metrics", "namespace": "prod-" + service, "severity": "critical"}),
			Annotations: alert.FromMap(map[string]string{"summary": name + " on " + pod, "description": name + " on node-1-" + pod + ".prod.example.net:9100",
				"runbook_url": "https://runbooks.example.net/" + service}),
			GeneratorURL: "http://prometheus.example.net:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"}
	}
	return out
}

// BenchmarkAccept is the whole path behind ingest, 100 alerts per request.
func BenchmarkAccept(b *testing.B) {
	for _, known := range []bool{true, false} {
		b.Run(map[bool]string{true: "duplicates", false: "new"}[known], func(b *testing.B) {
			p := pipeline(b, open(b, "file:"+b.TempDir(), embedded.Options{}), settings())
			ctx := context.Background()
			var batches [][]alert.Alert
			for i := range 100 {
				batches = append(batches, load(i*100, 100))
				if _, err := p.Accept(ctx, "alertmanager", batches[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				batch := batches[i%100]
				if !known {
					b.StopTimer()
					batch = load(100_000+i*100, 100)
					b.StartTimer()
				}
				if _, err := p.Accept(ctx, "alertmanager", batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/alert")
		})
	}
}
