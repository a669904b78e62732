package router

import (
	"context"
	"errors"
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

const (
	// benchIncidents is how many incidents with a duty are open.
	benchIncidents = 100_000
	// dutiesDue is how many duties become due in each second.
	dutiesDue = 1000
)

// BenchmarkDuties has 100,000 incidents open, each with a duty that is due every 100 s,
// so that 1,000 become due in each second. An op is one such second: what has become due
// is claimed and fired, as Run does. duties/s is how many could be fired, behind-ms by
// how much the worst op ended after its second, with what the ones before had left over.
func BenchmarkDuties(b *testing.B) { onBoth(b, duties) }

func duties(b *testing.B, clock *clock, st store.Store, server *redistest.Server) {
	g := benchGuide(b, time.Duration(benchIncidents/dutiesDue)*time.Second)
	p := pipeline(b, st, settings(func(s *Settings) { s.Guide = g }))
	openMany(b, p, clock)
	runDue(b, p)
	began, cpu, commands, redisCPU, behind, worst := time.Now(), cpuTime(b), int64(0), time.Duration(0), time.Duration(0), time.Duration(0)
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
		clock.add(time.Second)
		second := time.Now()
		runDue(b, p)
		behind = max(0, behind+time.Since(second)-time.Second)
		worst = max(worst, behind)
	}
	fired := float64(b.N * dutiesDue)
	b.ReportMetric(fired/time.Since(began).Seconds(), "duties/s")
	b.ReportMetric(float64(worst.Milliseconds()), "behind-ms")
	b.ReportMetric(float64((cpuTime(b)-cpu).Milliseconds())/fired*1000, "CPU-ms/1000")
	if server != nil {
		b.ReportMetric(float64(count()-commands)/fired, "commands/duty")
		b.ReportMetric(float64((server.CPU()-redisCPU).Milliseconds())/fired*1000, "Redis-ms/1000")
	}
	jobs, err := st.Jobs(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	for _, j := range jobs {
		if j.Kind == incident.JobDuty && (j.State != "waiting" || j.Count != benchIncidents) {
			b.Errorf("jobs are %+v, want %d that wait", jobs, benchIncidents)
		}
	}
}

func benchGuide(b *testing.B, every time.Duration) *process.Guide {
	g, err := process.New(process.Config{Profile: "none", Duties: []process.Duty{
		{Name: "look", After: every.String(), Every: every.String(), While: []string{"open"}, Text: "look at it"}}},
		process.Options{Severities: incident.Scale{"critical", "error", "warning", "info"}})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// openMany opens incidents, as many in each second as shall become due in one.
func openMany(b *testing.B, p *Pipeline, clock *clock) {
	for n := 0; n < benchIncidents; n += dutiesDue {
		if n > 0 {
			clock.add(time.Second)
		}
		var list []alert.Alert
		for i := range dutiesDue {
			list = append(list, alert.Alert{Status: alert.Firing, Source: "alertmanager", ReceivedAt: clock.read(), StartsAt: clock.read(),
				Labels: alert.FromMap(map[string]string{"alertname": fmt.Sprint("Down", n+i), "severity": "critical"})})
		}
		patiently(b, func() error {
			_, err := p.Accept(context.Background(), "alertmanager", list)
			return err
		})
	}
}

// patiently repeats what a server on a busy machine was too slow for, as senders and Run do.
func patiently(b *testing.B, do func() error) {
	err := do()
	for tries := 1; errors.Is(err, store.ErrUnavailable) && tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		err = do()
	}
	if err != nil {
		b.Fatal(err)
	}
}

func runDue(b *testing.B, p *Pipeline) {
	patiently(b, func() error { return p.RunDue(context.Background()) })
}

// BenchmarkReview has the process look at 100,000 open incidents, each with a duty, as
// after a reload. An op is one look at all, after which no job is due earlier (same), or
// each one (earlier).
func BenchmarkReview(b *testing.B) {
	review := func(b *testing.B, clock *clock, st store.Store, server *redistest.Server) {
		hours := func(n int) *process.Guide { return benchGuide(b, time.Duration(n)*time.Hour) }
		p := pipeline(b, st, settings(func(s *Settings) { s.Guide = hours(5000) }))
		openMany(b, p, clock)
		versions := 0
		for _, what := range []string{"same", "earlier"} {
			b.Run(what, func(b *testing.B) {
				cpu, redisCPU := cpuTime(b), time.Duration(0)
				if server != nil {
					redisCPU = server.CPU()
				}
				for b.Loop() {
					versions++
					if what == "earlier" {
						if err := p.Set(context.Background(), settings(func(s *Settings) { s.Guide = hours(5000 - versions) })); err != nil {
							b.Fatal(err)
						}
					}
					if err := p.Review(context.Background(), fmt.Sprint(versions)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric((cpuTime(b)-cpu).Seconds()/float64(b.N), "CPU-s")
				if server != nil {
					b.ReportMetric((server.CPU()-redisCPU).Seconds()/float64(b.N), "Redis-s")
				}
			})
		}
	}
	onBoth(b, review)
}

// onBoth runs a benchmark on a folder, and on a Redis of its own.
func onBoth(b *testing.B, run func(b *testing.B, clock *clock, st store.Store, server *redistest.Server)) {
	b.Run("embedded", func(b *testing.B) {
		clock := &clock{now: epoch}
		run(b, clock, open(b, "file:"+b.TempDir(), embedded.Options{Now: clock.read}), nil)
	})
	b.Run("Redis", func(b *testing.B) {
		server, clock := redistest.Single(b, "appendonly yes", "appendfsync everysec"), &clock{now: epoch}
		st, err := redis.Open(context.Background(), server.URL(), redis.Options{Now: clock.read, Timeout: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = st.Close() }) // nothing is kept
		run(b, clock, st, server)
	})
}
