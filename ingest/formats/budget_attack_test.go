package formats

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// Somebody without credentials, at a source whose credentials can be in the body,
// keeps the budget so that all others are refused.
func TestAttackBudget(t *testing.T) {
	h, err := ingest.New(ingest.Options{Sink: &keeper{}, Formats: All, Now: time.Now, Budget: 800 * ingest.KiB,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	token := ingest.AuthConfig{BearerToken: secret.New("t")}
	h.Set([]ingest.Source{
		{Name: "grafana", Format: All["grafana"], BodyLimit: 64 * ingest.MiB, Auth: ingest.AuthConfig{HMAC: ingest.HMACConfig{Secret: secret.New("s")}}},
		{Name: "events", Format: All["events"], BodyLimit: 4 * ingest.MiB, Auth: token}})
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	h.Register(engine)
	server := httptest.NewServer(engine)
	defer server.Close()
	r, w := io.Pipe()
	defer w.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = w.Write(bytes.Repeat([]byte(" "), 500<<10))
	}()
	go func() {
		if answer, err := http.Post(server.URL+"/ingest/grafana", "application/json", r); err == nil {
			_ = answer.Body.Close()
		}
	}()
	<-written
	body := `{"name":"a","description":"` + strings.Repeat("x", 300<<10) + `"}`
	refused := 0
	for range 10 {
		time.Sleep(100 * time.Millisecond)
		q, _ := http.NewRequest("POST", server.URL+"/ingest/events", strings.NewReader(body))
		q.Header.Set("Authorization", "Bearer t")
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == 503 {
			refused++
		}
	}
	if refused > 5 {
		t.Errorf("who has credentials was refused %d of 10 times, because somebody without any keeps the budget and sends nothing", refused)
	}
}
