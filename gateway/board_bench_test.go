package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// openIncidents is how many are open where boards are measured.
const openIncidents = 10_000

// stormOf is a message of alerts that each open an incident: numbers from first on.
func stormOf(first, alerts int) string {
	var b strings.Builder
	b.WriteString(`{"version":"4","alerts":[`)
	for n := first; n < first+alerts; n++ {
		if n > first {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"status":"firing","startsAt":%q,"labels":{"alertname":"HighRequestLatency-%d","pod":"checkout-%d","severity":%q,"service":"service-%d","team":"team-%d","cluster":"eu-west-1a","host":"node-%d.prod.example.net"},`+
			`"annotations":{"summary":"requests to checkout-%d take longer than a second","runbook_url":"https://runbooks.example.net/latency"}}`,
			time.Now().Add(-time.Minute).Format(time.RFC3339), n, n, []string{"critical", "warning", "info"}[n%3], n%40, n%7, n, n)
	}
	b.WriteString("]}")
	return b.String()
}

// openMany lets n incidents be open, through a gateway that then ends.
func openMany(b *testing.B, open func() store.Store, n int) {
	b.Helper()
	st := open()
	s, stop := begin(b, st)
	for first := 0; first < n; first += 500 {
		s.sendUntilTaken(b, stormOf(first, 500))
	}
	stop()
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
}

// sendUntilTaken sends a message as senders do: again if the store is away, as a Redis
// seems to be on a machine that is busy with other things.
func (s served) sendUntilTaken(b *testing.B, message string) {
	b.Helper()
	for try := 0; ; try++ {
		answer, err := s.Client().Post(s.URL+"/ingest/alertmanager", "application/json", strings.NewReader(message))
		if err != nil {
			b.Fatal(err)
		}
		_ = answer.Body.Close()
		switch {
		case answer.StatusCode == http.StatusOK:
			return
		case answer.StatusCode != http.StatusServiceUnavailable || try == 100:
			b.Fatalf("got %s", answer.Status)
		}
		<-time.After(time.Second / 10)
	}
}

// place is where a store is.
type place struct {
	name string
	open func() store.Store
}

// filled are a folder and a Redis with 10,000 open incidents.
func filled(b *testing.B) []place {
	b.Helper()
	folder, server := b.TempDir(), redistest.Single(b)
	places := []place{
		{"folder", func() store.Store {
			st, err := embedded.Open("file:"+folder, embedded.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return st
		}},
		{"redis", func() store.Store {
			st, err := redis.Open(b.Context(), server.URL(), redis.Options{Timeout: 20 * time.Second})
			if err != nil {
				b.Fatal(err)
			}
			return st
		}},
	}
	for _, p := range places {
		openMany(b, p.open, openIncidents)
	}
	return places
}

// get asks for a page and returns how long its first byte took.
func (s served) get(t testing.TB, path string) (first time.Duration, page string) {
	t.Helper()
	began := time.Now()
	answer, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	first = time.Since(began)
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %s, %v", path, answer.Status, err)
	}
	return first, string(text)
}

// BenchmarkFirstBoard is what the first page with 10,000 open incidents takes after a
// gateway has started: its first byte at once, and when the gateway has run for a while.
func BenchmarkFirstBoard(b *testing.B) {
	for _, on := range filled(b) {
		for _, waits := range []time.Duration{0, 3 * time.Second} {
			b.Run(fmt.Sprintf("%s after %s", on.name, waits), func(b *testing.B) {
				var first, second, ready time.Duration
				for range b.N {
					st := on.open()
					began := time.Now()
					s, stop := begin(b, st)
					s.get(b, "/-/ready")
					ready += time.Since(began)
					<-time.After(waits)
					took, page := s.get(b, "/")
					if want := fmt.Sprint(openIncidents, " open"); !strings.Contains(page, want) {
						b.Fatalf("got %s, want %s", page, want)
					}
					first += took
					took, _ = s.get(b, "/")
					second += took
					stop()
					if err := st.Close(); err != nil {
						b.Fatal(err)
					}
				}
				ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) / float64(b.N) }
				b.ReportMetric(ms(first), "ms-first")
				b.ReportMetric(ms(second), "ms-second")
				b.ReportMetric(ms(ready), "ms-ready")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkIdlePages is what 500 open pages cost with 10,000 open incidents while
// nothing happens, their own ends in the same process included: with -benchtime 1x
// over a minute, after which the metric is CPU seconds of a second. What pages do is
// that of their scripts: a board listens, and the page of an incident also asks for itself
// once a minute.
func BenchmarkIdlePages(b *testing.B) {
	const pages = 500
	for _, on := range filled(b) {
		for _, kind := range []string{"boards", "incidents"} {
			b.Run(on.name+" "+kind, func(b *testing.B) {
				st := on.open()
				s, stop := begin(b, st)
				defer func() {
					stop()
					if err := st.Close(); err != nil {
						b.Error(err)
					}
				}()
				list, _, err := st.Incidents(b.Context(), store.Query{Limit: pages})
				if err != nil || len(list) != pages {
					b.Fatalf("got %d incidents, %v", len(list), err)
				}
				tags := make([]string, pages)
				// ask does what the page does once a minute.
				ask := func(n int) {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/incidents/"+list[n].Reference+"?part=live", nil)
					if err != nil {
						b.Fatal(err)
					}
					if tags[n] != "" {
						r.Header.Set("If-None-Match", tags[n])
					}
					answer, err := s.Client().Do(r)
					if err != nil {
						b.Fatal(err)
					}
					defer answer.Body.Close() //nolint:errcheck // it is only read
					if _, err := io.Copy(io.Discard, answer.Body); err != nil {
						b.Fatal(err)
					}
					if tags[n] != "" && answer.StatusCode != http.StatusNotModified {
						b.Fatalf("got %s, want that nothing has changed", answer.Status)
					}
					tags[n] = answer.Header.Get("ETag")
				}
				for n := range pages {
					if kind == "boards" {
						s.follow(b, "")
						continue
					}
					s.follow(b, "?incident="+list[n].ID.String())
					ask(n)
				}
				tick := time.NewTicker(time.Minute / pages)
				defer tick.Stop()
				b.ResetTimer()
				before := processor(b)
				for range b.N {
					for n := range pages {
						if <-tick.C; kind == "incidents" {
							ask(n)
						}
					}
				}
				b.ReportMetric((processor(b)-before).Seconds()/b.Elapsed().Seconds(), "cores")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
