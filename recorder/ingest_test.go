package recorder

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// sink takes everything, unless it is away.
type sink struct{ away bool }

func (s *sink) Accept(_ context.Context, _ string, alerts []alert.Alert) ([]alert.Outcome, error) {
	if s.away {
		return nil, ingest.ErrUnavailable
	}
	return make([]alert.Outcome, len(alerts)), nil
}

func (s *sink) DeadLetter(context.Context, ingest.DeadLetter) error {
	if s.away {
		return ingest.ErrUnavailable
	}
	return nil
}

// spool takes everything, for ever.
type spool struct{}

func (spool) Append(context.Context, ingest.Request) error   { return nil }
func (spool) Holds(string) bool                              { return false }
func (spool) SetAside(ingest.Request) (path string, _ error) { return "", errors.New("not here") }

// noted is a format of those whose senders put the token into the body or the
// query: {"token": …, "text": …}, or a form of the same.
var noted = ingest.Format{
	Name: "noted", BodyLimit: ingest.MiB, Query: true,
	Batches: func(r ingest.Request) (iter.Seq[ingest.Batch], error) {
		if bytes.Contains(r.Body, []byte("nonsense")) {
			return nil, &ingest.BodyError{Reason: "nonsense"}
		}
		return func(yield func(ingest.Batch) bool) { yield(ingest.Batch{Alerts: make([]alert.Alert, 1)}) }, nil
	},
	Tokens: func(r ingest.Request) ([]string, []byte) {
		if r.Method == http.MethodGet {
			for pair := range strings.SplitSeq(string(r.Body), "&") {
				if token, ok := strings.CutPrefix(pair, "token="); ok {
					return []string{token}, []byte(strings.ReplaceAll(string(r.Body), pair, ""))
				}
			}
			return nil, r.Body
		}
		var v map[string]string
		if json.Unmarshal(r.Body, &v) != nil {
			return nil, nil
		}
		token := v["token"]
		delete(v, "token")
		body, _ := json.Marshal(v, json.Deterministic(true))
		return []string{token}, body
	},
}

// asked is a format whose senders use GET too, and has no credentials of its own.
var asked = ingest.Format{Name: "asked", BodyLimit: 100, Query: true, Batches: noted.Batches}

// entrance is the way in of a gateway, with a recorder behind it.
type entrance struct {
	*rig
	sink   *sink
	engine *gin.Engine
}

const planted = "hunter2"

func newEntrance(t *testing.T) *entrance {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	e := &entrance{rig: newRig(t, nil), sink: &sink{}, engine: gin.New()}
	h, err := ingest.New(ingest.Options{Sink: e.sink, Spool: spool{}, Recorder: e.Recorder, Now: e.clock.now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	auth := ingest.AuthConfig{BearerToken: secret.New(planted + "-bearer"), Username: planted + "-user", Password: secret.New(planted + "-password"), Header: "X-Monitoring-Token",
		QueryToken: true, HMAC: ingest.HMACConfig{Secret: secret.New(planted + "-hmac")}}
	var sources []ingest.Source
	for _, f := range []ingest.Format{ingest.Alertmanager, ingest.Prometheus, noted, asked} {
		sources = append(sources, ingest.Source{Name: f.Name, Format: f, BodyLimit: f.BodyLimit, Auth: auth, Spools: f.Name == "noted"})
	}
	h.Set(sources)
	h.Register(e.engine)
	return e
}

// send sends a request and wants the given code; headers are name, value, name, value.
func (e *entrance) send(code int, method, target, body string, headers ...string) {
	e.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	e.engine.ServeHTTP(w, r)
	if w.Code != code {
		e.t.Errorf("%s %s %.100s %q: got %d %s, want %d", method, target, body, headers, w.Code, w.Body, code)
	}
}

// content is all that is in the folder: the files as they are, and what is
// compressed in them.
func (g *rig) content() []byte {
	g.t.Helper()
	var all []byte
	for _, file := range g.files() {
		content, err := os.ReadFile(file)
		if err != nil {
			g.t.Fatal(err)
		}
		number, _ := parseNumber(strings.TrimSuffix(filepath.Base(file), segmentSuffix))
		rd := &reader{bytes.NewReader(content), number, int64(len(content))}
		blocks, gaps, err := rd.blocks()
		if err != nil || len(gaps) > 0 {
			g.t.Fatal(gaps, err)
		}
		all = append(all, content...)
		for i := range blocks {
			p, err := rd.payload(&blocks[i])
			if err != nil {
				g.t.Fatal(err)
			}
			raw, err := g.decoder.DecodeAll(p, make([]byte, 0, blocks[i].raw))
			if err != nil {
				g.t.Fatal(err)
			}
			all = append(all, raw...)
		}
	}
	return all
}

// TestNoCredentials: every kind of credential lets a request in, and none of them
// is in the folder.
func TestNoCredentials(t *testing.T) {
	e := newEntrance(t)
	body := `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Disk"},"annotations":{"summary":"kept"},"startsAt":"2026-11-28T05:00:00Z"}]}`
	sum := hmac.New(sha256.New, []byte(planted+"-hmac"))
	sum.Write([]byte(body))
	signature := hex.EncodeToString(sum.Sum(nil))
	bearer := planted + "-bearer"
	for _, headers := range [][]string{
		{"Authorization", "Bearer " + bearer}, {"Authorization", "Token " + bearer}, {ingest.TokenHeader, bearer}, {"X-Monitoring-Token", bearer},
		{"X-Grafana-Alerting-Signature", signature},
	} {
		e.send(200, "POST", "/ingest/alertmanager", body, headers...)
	}
	basic := httptest.NewRequest("POST", "/", nil)
	basic.SetBasicAuth(planted+"-user", planted+"-password")
	e.send(200, "POST", "/ingest/alertmanager/", body, "Authorization", basic.Header.Get("Authorization"))
	basic.SetBasicAuth("anybody", bearer)
	e.send(200, "PUT", "/ingest/alertmanager", body, "Authorization", basic.Header.Get("Authorization"), "Cookie", "session="+planted)
	e.send(200, "POST", "/ingest/alertmanager?token="+bearer, body)
	e.send(200, "POST", "/api/v2/alerts", `[{"labels":{"alertname":"Disk"},"annotations":{"summary":"kept"}}]`, "Authorization", "Bearer "+bearer)
	e.send(200, "POST", "/ingest/noted", `{"token":"`+bearer+`","text":"kept"}`)
	e.send(200, "GET", "/ingest/noted?text=kept&token="+bearer, "")
	for _, query := range []string{"?token=" + bearer + "&text=kept", "?text=kept&%74oken=" + bearer, "?text=kept&token=" + bearer + "&token=" + planted} {
		e.send(200, "GET", "/ingest/asked"+query, "")
	}
	e.writer.drain()
	const sent = 14
	e.counted(sent, 0, 0)
	content := e.content()
	for _, secret := range []string{planted, signature, strings.TrimPrefix(basic.Header.Get("Authorization"), "Basic ")} {
		if i := bytes.Index(content, []byte(secret)); i >= 0 {
			t.Errorf("%q is kept: %q", secret, content[max(0, i-200):i+len(secret)])
		}
	}
	if n := bytes.Count(content, []byte("kept")); n < sent { // it may be in a block that is not compressed, too
		t.Errorf("the search finds %d bodies, want %d", n, sent)
	}
}

// TestWhatIsRecorded: what was taken or not understood, and no other refusal.
func TestWhatIsRecorded(t *testing.T) {
	e := newEntrance(t)
	in := []string{"Authorization", "Bearer " + planted + "-bearer"}
	with := func(headers ...string) []string { return append(slices.Clone(in), headers...) }
	e.send(200, "POST", "/ingest/asked", "one", in...)
	e.send(400, "POST", "/ingest/asked", "nonsense", in...)
	e.send(415, "POST", "/ingest/alertmanager", "<x/>", with("Content-Type", "text/xml")...)
	e.send(401, "POST", "/ingest/asked", "refused")
	e.send(401, "POST", "/ingest/noted", `{"text":"refused"}`)
	e.send(404, "POST", "/ingest/nobody", "refused", in...)
	e.send(405, "DELETE", "/ingest/asked", "refused", in...)
	e.send(413, "POST", "/ingest/asked", strings.Repeat("refused", 20), in...)
	e.send(415, "POST", "/ingest/asked", "refused", with("Content-Encoding", "gzip")...)
	e.sink.away = true
	e.send(202, "POST", "/ingest/noted", `{"text":"two"}`, in...)
	e.send(503, "POST", "/ingest/asked", "refused", in...)
	e.send(503, "POST", "/ingest/asked", "nonsense, refused", in...)
	e.writer.drain()
	var got []string
	list := e.list(Query{Limit: 10})
	bodies := e.bodies(list)
	for i, r := range list {
		got = append(got, fmt.Sprint(r.Code, " ", r.Source, " ", r.Format, " ", r.Method, " ", r.Path, " ", bodies[i]))
		if !r.ReceivedAt.Equal(morning) {
			t.Errorf("received at %v, want %v", r.ReceivedAt, morning)
		}
	}
	want := []string{
		`202 noted noted POST /ingest/noted {"text":"two"}`,
		"415 alertmanager alertmanager POST /ingest/alertmanager <x/>",
		"400 asked asked POST /ingest/asked nonsense",
		"200 asked asked POST /ingest/asked one",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestOff: without a recorder nothing is called, and nothing allocated.
func TestOff(t *testing.T) {
	allocs := map[bool]float64{}
	for _, on := range []bool{false, true} {
		o := ingest.Options{Sink: &sink{}, Open: func(string) bool { return true }, Now: func() time.Time { return morning }, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}
		if on {
			o.Recorder = newRig(t, nil).Recorder
		}
		h, err := ingest.New(o)
		if err != nil {
			t.Fatal(err)
		}
		h.Set([]ingest.Source{{Name: "asked", Format: asked, BodyLimit: asked.BodyLimit}})
		engine := gin.New()
		h.Register(engine)
		// The race detector makes a sync.Pool forget by chance, so that only the cheapest
		// of many requests is the same each time.
		allocs[on] = math.Inf(1)
		for range 1000 {
			allocs[on] = min(allocs[on], testing.AllocsPerRun(1, func() {
				engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/ingest/asked", strings.NewReader("one")))
			}))
		}
	}
	if allocs[true] > allocs[false] {
		t.Errorf("%v allocations with a recorder, %v without", allocs[true], allocs[false])
	}
}
