package router

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchIncidents is how many incidents with a duty are open.
var benchIncidents = 10_000

// BenchmarkDuties fires one duty of each of many open incidents, as Run does. The
// figures are for one duty.
func BenchmarkDuties(b *testing.B) {
	b.Run("embedded", func(b *testing.B) {
		clock := &clock{now: epoch}
		duties(b, clock, open(b, "file:"+b.TempDir(), embedded.Options{Now: clock.read}), nil)
	})
	b.Run("Redis", func(b *testing.B) {
		server, clock := redistest.Single(b, "appendonly yes"), &clock{now: epoch}
		st, err := redis.Open(context.Background(), server.URL(), redis.Options{Now: clock.read})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = st.Close() }) // nothing is kept
		duties(b, clock, st, server)
	})
}

func duties(b *testing.B, clock *clock, st store.Store, server *redistest.Server) {
	ctx := context.Background()
	g, err := process.New(process.Config{Profile: "none", Duties: []process.Duty{
		{Name: "look", After: "10m", Every: "10m", While: []string{"open"}, Text: "look at it"}}},
		process.Options{Severities: incident.Scale{"critical", "error", "warning", "info"}})
	if err != nil {
		b.Fatal(err)
	}
	p := pipeline(b, st, settings(func(s *Settings) { s.Guide = g }))
	for n := 0; n < benchIncidents; n += 500 {
		var list []alert.Alert
		for i := n; i < min(n+500, benchIncidents); i++ {
			list = append(list, alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: clock.read(), StartsAt: clock.read(),
				Labels: alert.FromMap(map[string]string{"alertname": fmt.Sprint("Down", i), "severity": "critical"})})
		}
		if _, err := p.Accept(ctx, "alertmanager", list); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.RunDue(ctx); err != nil {
		b.Fatal(err)
	}
	fired, began, cpu, commands, redisCPU := 0, time.Now(), cpuTime(b), int64(0), time.Duration(0)
	count := func() (n int64) {
		for _, c := range server.CommandCount() {
			n += c
		}
		return n
	}
	if server != nil {
		commands, redisCPU = count(), server.CPU()
	}
	for b.Loop() {
		clock.add(10 * time.Minute)
		if err := p.RunDue(ctx); err != nil {
			b.Fatal(err)
		}
		fired += benchIncidents
	}
	b.ReportMetric(float64(fired)/time.Since(began).Seconds(), "duties/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Milliseconds())/float64(fired)*1000, "CPU-ms/1000")
	if server != nil {
		b.ReportMetric(float64(count()-commands)/float64(fired), "commands/duty")
		b.ReportMetric(float64((server.CPU()-redisCPU).Milliseconds())/float64(fired)*1000, "Redis-ms/1000")
	}
	jobs, err := st.Jobs(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, j := range jobs {
		if j.Kind == incident.JobDuty && (j.State != "waiting" || j.Count != benchIncidents) {
			b.Errorf("jobs are %+v, want %d that wait", jobs, benchIncidents)
		}
	}
}
