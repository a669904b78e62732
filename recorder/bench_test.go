package recorder

import (
	"net/http"
	"testing"
	"time"
)

// BenchmarkRecord is what a request pays for being recorded.
func BenchmarkRecord(b *testing.B) {
	for name, full := range map[string]bool{"taken": false, "dropped": true} {
		b.Run(name, func(b *testing.B) {
			g := newRig(b, nil)
			r := request("a", 1, morning)
			for full && g.missed.Load() == 0 {
				g.Record(r, http.StatusOK)
			}
			b.ReportAllocs()
			for b.Loop() {
				g.Record(r, http.StatusOK)
				if !full {
					<-g.queue
					g.waits.Add(-(&queued{Request: r}).size())
				}
			}
			if full {
				for range queueLength {
					<-g.queue
				}
			}
		})
	}
}

// BenchmarkWrite is the way of what real senders sent into the files: MB/s of
// bodies, and how much smaller they are there. In one block is how they are
// written under load, in blocks of one where one comes a second.
func BenchmarkWrite(b *testing.B) {
	bodies := captures(b)
	var size int64
	for _, body := range bodies {
		size += int64(len(body))
	}
	for _, c := range []struct {
		name  string
		alone bool
		rules []Rule
	}{{"blocks", false, nil}, {"alone", true, nil}, {"redacted", false, []Rule{{Match: `[\w.+-]+@[\w-]+(\.[\w-]+)+`}, {Match: `"phone":"[^"]*"`}}}} {
		b.Run(c.name, func(b *testing.B) {
			g := newRig(b, func(o *Options) { o.Redact, o.Now = c.rules, time.Now })
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				for i, body := range bodies {
					r := request("alertmanager", i, morning)
					r.Body = body
					g.waits.Add((&queued{Request: r}).size())
					g.writer.gather(queued{r, http.StatusOK})
					if c.alone {
						g.writer.flush()
					}
				}
				g.writer.flush()
			}
			b.ReportMetric(float64(size)*value(b, g.metrics.records)/float64(len(bodies))/float64(g.bytes), "times-smaller")
		})
	}
}

// BenchmarkList is a page of 50 of a full folder, and one that finds nothing.
func BenchmarkList(b *testing.B) {
	bodies := captures(b)
	g := newRig(b, nil)
	for range 100 {
		for i, body := range bodies {
			r := request("alertmanager", i, morning)
			r.Body = body
			g.writer.gather(queued{r, http.StatusOK})
		}
	}
	g.writer.flush()
	for name, q := range map[string]Query{"first": {Limit: 50}, "none": {Limit: 50, Source: "nobody"}, "old": {Limit: 50, To: morning}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := g.List(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
