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
		s.post(b, "/ingest/alertmanager", stormOf(first, 500))
	}
	stop()
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
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
	folder, server := b.TempDir(), redistest.Single(b)
	for _, on := range []struct {
		name string
		open func() store.Store
	}{
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
	} {
		openMany(b, on.open, openIncidents)
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
