package ingest

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/alert"
)

const benchAlerts = 100

// benchBody is a webhook of 100 alerts of 8 labels and 3 annotations, about
// 650 bytes each, as the speed figures of the project are measured with.
func benchBody() []byte {
	var elements []string
	for i := range benchAlerts {
		elements = append(elements, fmt.Sprintf(`{"status":"firing","labels":{"alertname":"HighCpuLoad","cluster":"prod-eu",`+
			`"instance":"web-%06d:9100","job":"node","namespace":"shop","service":"checkout","severity":"warning","team":"platform"},`+
			`"annotations":{"description":"web-%06d has been above the threshold for 5 minutes. Current value: 91.3",`+
			`"runbook_url":"https://runbooks.example.com/HighCpuLoad","summary":"CPU load on web-%06d is above 90%%"},`+
			`"startsAt":"2026-11-21T01:25:59.484015Z","endsAt":"0001-01-01T00:00:00Z",`+
			`"generatorURL":"http://prometheus.example.net:9090/graph?g0.expr=node_load1+%%3E+10\u0026g0.tab=1",`+
			`"fingerprint":"b50bb582b4b%05d"}`, i, i, i, i))
	}
	return []byte(webhook(elements...))
}

// perAlert reports the time in the unit that the figures are in.
func perAlert(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/alert")
}

func benchDecode(b *testing.B, body []byte, n int) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		batches, err := Alertmanager.Batches(Request{Source: "s", Body: body, ReceivedAt: received})
		if err != nil {
			b.Fatal(err)
		}
		for batch := range batches {
			if len(batch.Rejected) > 0 {
				b.Fatal(batch.Rejected[0].Reason)
			}
		}
	}
	perAlert(b, n)
}

func BenchmarkAlertmanager(b *testing.B) { benchDecode(b, benchBody(), benchAlerts) }

// BenchmarkAlertmanagerCareful: an unknown field in each element sends all of
// them the careful way.
func BenchmarkAlertmanagerCareful(b *testing.B) {
	benchDecode(b, bytes.ReplaceAll(benchBody(), []byte(`{"status":`), []byte(`{"new":1,"status":`)), benchAlerts)
}

// BenchmarkAlertmanagerLarge: a body of 13 MB, checked first and then decoded.
func BenchmarkAlertmanagerLarge(b *testing.B) {
	body := benchBody()
	elements := body[bytes.IndexByte(body, '[')+1 : bytes.LastIndexByte(body, ']')]
	large := []byte(webhook(strings.Repeat(string(elements)+",", 199) + string(elements)))
	benchDecode(b, large, 200*benchAlerts)
}

func BenchmarkAlertmanagerOne(b *testing.B) { benchDecode(b, []byte(webhook(good("A"))), 1) }

// plainAlert is what one would write without thinking of hostile input.
type plainAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

type plainBody struct {
	Alerts []plainAlert `json:"alerts"`
}

func BenchmarkPlainUnmarshal(b *testing.B) {
	for name, unmarshal := range map[string]func([]byte, any) error{
		"encoding-json": stdjson.Unmarshal,
		"json-v2":       func(body []byte, v any) error { return json.Unmarshal(body, v) },
	} {
		b.Run(name, func(b *testing.B) {
			body := benchBody()
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var v plainBody
				if err := unmarshal(body, &v); err != nil {
					b.Fatal(err)
				}
			}
			perAlert(b, benchAlerts)
		})
	}
}

// BenchmarkBrackets: 2 million brackets must be refused in less than 10 ms.
func BenchmarkBrackets(b *testing.B) {
	for name, body := range map[string]string{
		"open":   strings.Repeat("[", 2_000_000),
		"closed": strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000),
		"inside": `[{"labels":{"a":"b"},"x":` + strings.Repeat("[", 2_000_000),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Prometheus.Batches(Request{Body: []byte(body), ReceivedAt: received}); err == nil {
					b.Fatal("not refused")
				}
			}
		})
	}
}

// quickSink takes everything at no cost, with answers of the usual length.
type quickSink struct{ outcomes []alert.Outcome }

func (q quickSink) Accept(_ context.Context, _ string, alerts []alert.Alert) ([]alert.Outcome, error) {
	return q.outcomes[:len(alerts)], nil
}

func (quickSink) DeadLetter(context.Context, DeadLetter) error { return nil }

// BenchmarkHandler is a whole request without the network, beside a handler
// that only reads the body.
func BenchmarkHandler(b *testing.B) {
	outcomes := make([]alert.Outcome, benchAlerts)
	for i := range outcomes {
		outcomes[i] = alert.Outcome{Fingerprint: alert.Fingerprint{byte(i), 1}, Verdict: alert.Duplicate,
			Incident: "0198c0de-0000-7000-8000-000000000000", Reference: "INC-20261121-7KQ2"}
	}
	g := newGateway(b, builtIn(), func(o *Options) { o.Sink, o.Now = quickSink{outcomes}, time.Now })
	g.engine.POST("/bare", func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			b.Fatal(err)
		}
		c.Status(http.StatusOK)
	})
	one := benchBody()
	one = append(one[:bytes.Index(one, []byte(`},{"status"`))+1:len(one)], one[bytes.LastIndexByte(one, ']'):]...)
	for _, test := range []struct {
		name, path string
		body       []byte
		alerts     int
	}{
		{"100", "/ingest/alertmanager", benchBody(), benchAlerts},
		{"1", "/ingest/alertmanager", one, 1},
		{"bare100", "/bare", benchBody(), benchAlerts},
		{"bare1", "/bare", one, 1},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				g.engine.ServeHTTP(w, httptest.NewRequest("POST", test.path, bytes.NewReader(test.body)))
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
			}
			perAlert(b, test.alerts)
		})
	}
}

// BenchmarkAlertmanagerUneven: no two elements are of the same length, and the
// first is longer than most.
func BenchmarkAlertmanagerUneven(b *testing.B) {
	elements := strings.SplitAfter(string(benchBody()), `{"status"`)
	for i := 2; i < len(elements); i++ {
		cut := i * 7 % 60
		elements[i] = strings.Replace(elements[i], " has been above the threshold for 5 minutes. Current value: 91.3"[:cut+1], "", 1)
	}
	benchDecode(b, []byte(strings.Join(elements, "")), benchAlerts)
}
