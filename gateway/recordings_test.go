package gateway_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/recorder"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/web"
	"github.com/tocsin-gateway/tocsin/web/webtest"
)

// newRecording returns a gateway that records into the folder, and what ends it as
// the command serve does.
func newRecording(t *testing.T, dir string) (f *fixture, stop func()) {
	t.Helper()
	st, err := embedded.Open("mem:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f = &fixture{t: t, store: &flaky{Store: st}}
	c, err := config.Load([]byte("recorder:\n  dir: "+dir+"\n  redact: [{match: Disk}]\n"), "tocsin.yml")
	if err != nil {
		t.Fatal(err)
	}
	log, registry := slog.New(slog.NewTextHandler(t.Output(), nil)), prometheus.NewRegistry()
	recording, err := recorder.Open(recorder.Options{Config: c.Recorder, Log: log, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	f.gateway, err = gateway.New(t.Context(), gateway.Options{Store: f.store, Recorder: recording, Config: c, Log: log, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	f.handler = webtest.Handler(t, f.gateway.Engine)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.gateway.Run(ctx) }()
	return f, func() {
		cancel()
		for _, err := range []error{<-done, recording.Close(), st.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// TestRecordings: what came in can be read over the API, also after a restart.
func TestRecordings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "flight", "recorder")
	f, stop := newRecording(t, dir)
	body := message("a", "firing", 0)
	if code, answer := f.do("POST", "/ingest/alertmanager", body); code != 200 {
		t.Fatalf("got %d %s", code, answer)
	}
	if code, answer := f.do("POST", "/api/v2/alerts", "nonsense"); code != 400 {
		t.Fatalf("got %d %s", code, answer)
	}
	stop()
	f, stop = newRecording(t, dir)
	defer stop()
	var page web.RecordingsJSON
	code, answer := f.do("GET", "/api/v1/recordings?limit=1", "")
	if err := json.Unmarshal([]byte(answer), &page); code != 200 || err != nil || len(page.Recordings) != 1 || page.Recordings[0].Code != 400 || page.Recordings[0].Source != "prometheus" {
		t.Fatalf("got %d %s, %v", code, answer, err)
	}
	code, answer = f.do("GET", "/api/v1/recordings?source=alertmanager&cursor="+page.NextCursor, "")
	if err := json.Unmarshal([]byte(answer), &page); code != 200 || err != nil || len(page.Recordings) != 1 || page.NextCursor != "" {
		t.Fatalf("got %d %s, %v", code, answer, err)
	}
	want := strings.ReplaceAll(body, "Disk", recorder.DefaultReplace)
	if code, answer := f.do("GET", "/api/v1/recordings/"+page.Recordings[0].ID+"?raw=true", ""); code != 200 || answer != want {
		t.Errorf("got %d %s, want %s", code, answer, want)
	}
	for path, want := range map[string]int{"/api/v1/recordings/nobody": 404, "/api/v1/recordings?cursor=nobody": 400} {
		if code, answer := f.do("GET", path, ""); code != want {
			t.Errorf("%s: got %d %s, want %d", path, code, answer, want)
		}
	}
	off := newFixture(t)
	if code, answer := off.do("GET", "/api/v1/recordings", ""); code != 404 || !strings.Contains(answer, "recorder.dir") {
		t.Errorf("without a recorder: got %d %s", code, answer)
	}
}
