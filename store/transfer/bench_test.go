package transfer_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// alerts is how large the store is that is copied.
var alerts = flag.Int("alerts", 20_000, "how many alerts the benchmarks and the interrupted copies copy")

// crowded opens incidents of about 250 alerts each.
func crowded(t testing.TB, u string, n int) {
	t.Helper()
	g := newGateway(t, u, &clock{now: epoch})
	incidents := 1 + n/250
	batch := make([]alert.Alert, 0, 1000)
	for i := range n {
		pod := fmt.Sprint(i)
		batch = append(batch, g.firing(fmt.Sprint("Crowd", i%incidents), pod, "cluster", "eu-west-1", "namespace", "shop", "container", "checkout",
			"instance", "10.1."+pod+":9100", "job", "kubernetes-pods"))
		if len(batch) == cap(batch) || i == n-1 {
			g.send(batch...)
			batch = batch[:0]
		}
	}
	g.must(g.st.Close())
}

func BenchmarkCopy(b *testing.B) {
	server := redistest.Single(b, "save \"\"", "appendonly yes").URL()
	folder, prefix := newFolder(b), newPrefix(server)
	crowded(b, folder, *alerts)
	mustCopy(b, folder, prefix)
	for name, way := range map[string][2]func() string{
		"folder to Redis":  {func() string { return folder }, func() string { return newPrefix(server) }},
		"Redis to folder":  {func() string { return prefix }, func() string { return newFolder(b) }},
		"folder to folder": {func() string { return folder }, func() string { return newFolder(b) }},
	} {
		b.Run(name, func(b *testing.B) {
			var copied, verified float64
			for b.Loop() {
				report := mustCopy(b, way[0](), way[1]())
				copied += report.Copied.Seconds()
				verified += report.Verified.Seconds()
			}
			n := float64(*alerts * b.N)
			b.ReportMetric(n/copied, "copied/s")
			b.ReportMetric(n/verified, "compared/s")
			b.ReportMetric(n/(copied+verified), "alerts/s")
		})
	}
}
