package web_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/web"
)

// benchIncidents is how many incidents the benchmarks have in the store.
const benchIncidents = 100_000

// lived is a change that opens, acknowledges, resolves and closes an incident.
func lived(n int) incident.Change {
	policy := incident.Policy{Severities: incident.Scale{"critical", "error", "warning", "info"}, Matrix: incident.DefaultMatrix(), Teams: []string{"db", "web"}}
	sum := sha256.Sum256(fmt.Append(nil, n))
	key := incident.Key(sum[:16])
	return incident.Change{ID: [16]byte(sum[16:]), Key: key, Step: func(st incident.State) (next incident.Next, err error) {
		class := incident.Classification{Severity: policy.Severities[n%4], Team: []string{"", "db", "web"}[n%3], Service: fmt.Sprint("service-", n%50)}
		e := policy.Open(incident.Opening{ID: st.NewID(0), Key: key, Rule: "default", Title: fmt.Sprint("DiskFull on db-", n%1000), Class: class, By: incident.System, StartedAt: st.Now.Add(-time.Duration(n) * time.Millisecond)}, st.Now)
		e.Incident.Labels = map[string]string{"alertname": "DiskFull", "cluster": "production", "host": fmt.Sprint("db-", n%1000), "service": class.Service}
		e.Incident.Hosts = []string{fmt.Sprint("db-", n%1000)}
		for _, act := range []func() error{func() error { return e.Acknowledge("ann", "") }, func() error { return e.Resolve("ann", "") }, func() error { return e.Close("ann", "") }} {
			if err := act(); err != nil {
				return next, err
			}
		}
		next.Key = &incident.KeyState{Key: key, Rule: "default", Incident: e.Incident.ID}
		e.Into(&next)
		return next, nil
	}}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStats answers /api/v1/stats, the two requests of the page with the analysis, and
// /similar, over 100,000 incidents.
func BenchmarkStats(b *testing.B) {
	for name, open := range map[string]func() (store.Store, error){
		"embedded": func() (store.Store, error) { return embedded.Open("file:"+b.TempDir(), embedded.Options{}) },
		"redis": func() (store.Store, error) {
			return redis.Open(b.Context(), redistest.Single(b).URL(), redis.Options{Logger: slog.New(slog.DiscardHandler), Timeout: 30 * time.Second})
		},
	} {
		b.Run(name, func(b *testing.B) { answerMany(b, open) })
	}
}

func answerMany(b *testing.B, open func() (store.Store, error)) {
	st, err := open()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	for n := 0; n < benchIncidents; n += 500 {
		var changes []incident.Change
		for k := range 500 {
			changes = append(changes, lived(n+k))
		}
		err := st.Update(b.Context(), changes)
		for try := 0; errors.Is(err, store.ErrUnavailable) && try < 100; try++ { // so it seems on a machine that is busy with other things
			err = st.Update(b.Context(), changes)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	pipeline := router.New(st, log, prometheus.NewRegistry())
	if err := pipeline.Set(b.Context(), config.Default().Settings()); err != nil {
		b.Fatal(err)
	}
	api, err := web.New(web.Options{Pipeline: pipeline, Store: st, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	engine := gin.New()
	api.Register(engine)
	list, _, err := st.Incidents(b.Context(), store.Query{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	for what, path := range map[string]string{"stats": "/api/v1/stats?by=severity,team,day", "analysis": "/api/v1/stats?by=severity&interval=day",
		"monthly": "/api/v1/reports/monthly?format=json&month=" + st.Now().Format("2006-01"), "similar": "/api/v1/incidents/" + list[0].Reference + "/similar"} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			cpu := cpuTime(b)
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host, r.RemoteAddr = "127.0.0.1:9095", "127.0.0.1:5555"
				w := httptest.NewRecorder()
				engine.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("got %d %s", w.Code, w.Body)
				}
			}
			b.ReportMetric((cpuTime(b)-cpu).Seconds()/float64(b.N), "CPU-s")
		})
	}
}
