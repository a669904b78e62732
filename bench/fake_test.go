package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestMain lets this test binary stand in for tocsin: Run starts it again as
// "serve" (a fake gateway) and as "bench --serve-bare".
func TestMain(m *testing.M) {
	args := os.Args[1:]
	switch {
	case slices.Contains(args, "--serve-bare"):
		exit(ServeBare(context.Background(), "127.0.0.1:0"))
	case len(args) > 0 && args[0] == "serve":
		exit(serveFake(args))
	}
	os.Exit(m.Run())
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// fake is a gateway that knows just enough of the contract: it remembers which
// alerts fire, in a file so that it survives a kill.
type fake struct {
	mu       sync.Mutex
	firing   map[string]bool
	verdicts map[string]int
	file     *os.File
	// forget makes it acknowledge, but not keep, every 50th new alert.
	forget bool
}

func serveFake(args []string) error {
	f := &fake{firing: map[string]bool{}, verdicts: map[string]int{}, forget: os.Getenv("BENCH_FAKE") == "forgets"}
	for _, a := range args {
		if dir, ok := strings.CutPrefix(a, "--store.url=file:"); ok {
			if err := f.open(dir); err != nil {
				return err
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "level=INFO msg=tocsin version=fake store=file listen=%s console=none\n", l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /ingest/alertmanager", f.ingest)
	mux.HandleFunc("GET /api/v1/incidents", f.incidents)
	mux.HandleFunc("GET /metrics", f.metrics)
	return http.Serve(l, mux)
}

func (f *fake) open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if f.file, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return err
	}
	lines := bufio.NewScanner(f.file)
	for lines.Scan() {
		status, fingerprint, _ := strings.Cut(lines.Text(), " ")
		f.firing[fingerprint] = status == "firing"
	}
	return lines.Err()
}

func (f *fake) ingest(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status      string `json:"status"`
			Fingerprint string `json:"fingerprint"`
		} `json:"alerts"`
	}
	b, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(b, &body)
	}
	if err != nil || len(body.Alerts) == 0 || body.Alerts[0].Fingerprint == "" {
		http.Error(w, fmt.Sprint("not understood: ", err), http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var changes strings.Builder
	for _, a := range body.Alerts {
		firing, known := f.firing[a.Fingerprint]
		switch {
		case a.Status == "resolved":
			f.verdicts["resolved"]++
		case known && firing:
			f.verdicts["duplicate"]++
			continue
		default:
			f.verdicts["joined"]++
		}
		if f.forget && f.verdicts["joined"]%50 == 0 {
			continue
		}
		f.firing[a.Fingerprint] = a.Status == "firing"
		fmt.Fprintln(&changes, a.Status, a.Fingerprint)
	}
	if _, err := f.file.WriteString(changes.String()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// incidents answers two pages: one incident with all alerts, one with none.
func (f *fake) incidents(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("cursor") == "" {
		fmt.Fprint(w, `{"incidents": [{"id": "b", "alerts": {"total": 0, "firing": 0}}], "next_cursor": "second page"}`)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	firing := 0
	for _, fires := range f.firing {
		if fires {
			firing++
		}
	}
	fmt.Fprintf(w, `{"incidents": [{"id": "a", "alerts": {"total": %d, "firing": %d}}], "next_cursor": ""}`, len(f.firing), firing)
}

func (f *fake) metrics(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(w, "# TYPE tocsin_alerts_total counter")
	for verdict, n := range f.verdicts {
		fmt.Fprintf(w, "tocsin_alerts_total{source=\"alertmanager\",verdict=%q} %d\n", verdict, n)
	}
}
