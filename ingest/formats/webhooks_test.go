package formats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func FuzzGrafana(f *testing.F)    { fuzz(f, All["grafana"]) }
func FuzzKibana(f *testing.F)     { fuzz(f, All["kibana"]) }
func FuzzElastAlert(f *testing.F) { fuzz(f, All["elastalert"]) }
func FuzzZabbix(f *testing.F)     { fuzz(f, All["zabbix"]) }
func FuzzUptimeKuma(f *testing.F) { fuzz(f, All["uptime-kuma"]) }
func FuzzMonit(f *testing.F)      { fuzz(f, All["monit"]) }
func FuzzEvents(f *testing.F) {
	fuzz(f, All["events"], `{"events":[{"name":"A","labels":{"b":"1","a":null}},{"nam":1}]}`, `[{"name":"A","kind":"note","status":"resolved","ends_at":"2026-11-21T01:00:00Z"}]`)
}
func FuzzSNS(f *testing.F) { fuzz(f, All["sns"]) }

// requestOf returns what the decoder gets of a capture.
func (c capture) requestOf(tb testing.TB) ingest.Request {
	tb.Helper()
	r := c.request(tb)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	out := ingest.NewRequest(r, body)
	out.Source, out.ReceivedAt = c.format, time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	return out
}

// fuzz checks what holds for any body of a format, beginning with the captures.
func fuzz(f *testing.F, format ingest.Format, seeds ...string) {
	for _, c := range listCaptures(f) {
		if c.format == format.Name && strings.HasSuffix(c.file, ".http") {
			r := c.requestOf(f)
			f.Add(r.ContentType, r.Body)
		}
	}
	for _, body := range append(seeds, "", "null", "[]", "{}", `{"a":`, "\xff", "<", "a=b", "--x\r\ncontent-disposition: y\r\n", strings.Repeat("[", 100)) {
		f.Add("", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := ingest.Request{Source: "s", Body: bytes.Clone(body), ContentType: contentType, ReceivedAt: time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)}
		got, _ := ingesttest.Check(t, format, r)
		for _, rejected := range append(got.Rejected, got.Unparsed...) {
			if len(rejected.Raw) == 0 {
				t.Errorf("rejected without the element: %+v", rejected)
			}
		}
	})
}

// BenchmarkFormats decodes the largest capture of each format of one message.
func BenchmarkFormats(b *testing.B) {
	largest := map[string]ingest.Request{}
	for _, c := range listCaptures(b) {
		if _, known := All[c.format]; !known || !strings.HasSuffix(c.file, ".http") {
			continue
		}
		if r := c.requestOf(b); len(r.Body) > len(largest[c.format].Body) {
			largest[c.format] = r
		}
	}
	for name, r := range largest {
		b.Run(name, func(b *testing.B) { benchmark(b, All[name], r) })
	}
}

// BenchmarkGrafana decodes a webhook of 1000 alerts.
func BenchmarkGrafana(b *testing.B) {
	r := capture{file: captureRoot + "/grafana/single-firing/01.http", format: "grafana"}.requestOf(b)
	before, rest, _ := bytes.Cut(r.Body, []byte(`"alerts":[`))
	element, after, _ := bytes.Cut(rest, []byte(`],"groupLabels"`))
	r.Body = []byte(string(before) + `"alerts":[` + strings.Repeat(string(element)+",", 999) + string(element) + `],"groupLabels"` + string(after))
	benchmark(b, All["grafana"], r)
}

func benchmark(b *testing.B, format ingest.Format, r ingest.Request) {
	b.SetBytes(int64(len(r.Body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		batches, err := format.Batches(r)
		if err != nil {
			b.Fatal(err)
		}
		for batch := range batches {
			n += len(batch.Alerts)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "alerts/s")
}

// TestGrafanaSigns sends the captures that Grafana signed to sources that let
// nothing else in.
func TestGrafanaSigns(t *testing.T) {
	for _, folder := range []string{"hmac", "hmac-timestamp"} {
		c := capture{name: folder, file: captureRoot + "/grafana/" + folder + "/01.http", expect: captureRoot + "/grafana/" + folder + "/01.expect.json", format: "grafana"}
		want := readExpectation(t, c.expect)
		text, err := json.Marshal(want.object["signature"])
		if err != nil {
			t.Fatal(err)
		}
		var signed struct {
			Secret          string `json:"secret"`
			Header          string `json:"header"`
			TimestampHeader string `json:"timestamp_header"`
		}
		if err := json.Unmarshal(text, &signed); err != nil {
			t.Fatal(err)
		}
		auth := ingest.AuthConfig{HMAC: ingest.HMACConfig{Secret: secret.New(signed.Secret), Header: signed.Header, TimestampHeader: signed.TimestampHeader}}
		off := http.StatusOK // no time is signed, so it is good for ever
		if signed.TimestampHeader != "" {
			off = http.StatusUnauthorized
		}
		for _, test := range []struct {
			name   string
			late   time.Duration
			change func(*http.Request)
			want   int
		}{
			{"as sent", 0, func(*http.Request) {}, http.StatusOK},
			{"within the window", 4 * time.Minute, func(*http.Request) {}, http.StatusOK},
			{"too late", 6 * time.Minute, func(*http.Request) {}, off},
			{"too early", -6 * time.Minute, func(*http.Request) {}, off},
			{"other body", 0, func(r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("firing"), []byte("firinG"), 1)))
			}, http.StatusUnauthorized},
			{"no signature", 0, func(r *http.Request) { r.Header.Del(signed.Header) }, http.StatusUnauthorized},
			{"other time", 0, func(r *http.Request) {
				if signed.TimestampHeader == "" {
					r.Header.Del(signed.Header)
					return
				}
				r.Header.Set(signed.TimestampHeader, "1795225785")
			}, http.StatusUnauthorized},
		} {
			r := c.request(t)
			test.change(r)
			now := want.ReceivedAt.Add(test.late)
			if code, answer := post(t, ingest.Source{Name: "grafana", Format: All["grafana"], Auth: auth}, now, r); code != test.want {
				t.Errorf("%s, %s: answered %d %s, want %d", folder, test.name, code, answer, test.want)
			}
		}
	}
}

// post sends a request to a source.
func post(tb testing.TB, s ingest.Source, now time.Time, r *http.Request) (int, string) {
	tb.Helper()
	h, err := ingest.New(ingest.Options{Sink: &sink{}, Formats: All, Now: func() time.Time { return now },
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		tb.Fatal(err)
	}
	if s.BodyLimit == 0 {
		s.BodyLimit = s.Format.BodyLimit
	}
	h.Set([]ingest.Source{s})
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	h.Register(engine)
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestVerifyAnswers: what SNS is told decides whether it sends a message again.
func TestVerifyAnswers(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
		text string
	}{
		{nil, http.StatusOK, "accepted\n"},
		{errors.New("TopicArn: not one of the topics"), http.StatusForbidden, "TopicArn: not one of the topics\n"},
		{fmt.Errorf("sns: %w", ingest.ErrUnavailable), http.StatusServiceUnavailable, "it cannot be verified now, send it again\n"},
	} {
		f := All["sns"]
		f.Verify = func(http.Header, ingest.Request) error { return c.err }
		r := capture{file: captureRoot + "/aws-sns/cloudwatch/alarm.http", format: "sns"}.request(t)
		s := ingest.Source{Name: "sns", Format: f, Auth: ingest.AuthConfig{BearerToken: secret.New("t")}}
		r.Header.Set("Authorization", "Bearer t")
		if code, text := post(t, s, time.Now(), r); code != c.want || text != c.text {
			t.Errorf("%v: answered %d %q, want %d %q", c.err, code, text, c.want, c.text)
		}
	}
}

// TestDocumentedBodies: what docs/sources.md shows under the name of a format is
// understood by it.
func TestDocumentedBodies(t *testing.T) {
	text, err := os.ReadFile("../../docs/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for section := range strings.SplitSeq(string(text), "\n## ") {
		name, content, _ := strings.Cut(section, "\n")
		for block := range strings.SplitSeq(content, "```json\n") {
			body, _, closed := strings.Cut(block, "\n```")
			if format, known := All[name]; known && closed && strings.HasPrefix(body, "{") {
				found++
				got, err := format.Decode(ingest.Request{Body: []byte(body)})
				if err != nil || len(got.Rejected) > 0 || len(got.Alerts) == 0 {
					t.Errorf("%s: %v, rejected %v, of %s", name, err, got.Rejected, body)
				}
			}
		}
	}
	if found < 2 {
		t.Errorf("found %d bodies, the search must be wrong", found)
	}
}
