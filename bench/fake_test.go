package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
		exit(serveFake(os.Getenv("TOCSIN_STORE_URL")))
	}
	os.Exit(m.Run())
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// fake is a gateway that knows just enough of the contract: it remembers which
// alerts fire in which incident, in a log that survives a kill and that it
// shares with others on the same store.
type fake struct {
	mu       sync.Mutex
	log      fakeLog
	read     int               // of the log
	firing   map[string]bool   // by fingerprint
	key      map[string]string // by fingerprint
	keys     []string          // of incidents, in the order in which they opened
	closed   map[string]bool   // by key
	verdicts map[string]int
	news     int
	// forget makes it acknowledge, but not keep, every 50th new alert.
	forget bool
}

// fakeLog is where a fake gateway keeps its lines.
type fakeLog interface {
	add(lines string) error
	from(offset int) (string, error)
}

type fileLog struct{ *os.File }

func (l fileLog) add(lines string) error {
	_, err := l.WriteString(lines)
	return err
}

func (l fileLog) from(offset int) (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(l, int64(offset), 1<<40))
	return string(b), err
}

type redisLog struct {
	*redisConn
	key string
}

func (l redisLog) add(lines string) error {
	if lines == "" {
		return nil
	}
	_, err := l.do(context.Background(), "APPEND", l.key, lines)
	return err
}

func (l redisLog) from(offset int) (string, error) {
	answer, err := l.do(context.Background(), "GETRANGE", l.key, strconv.Itoa(offset), "-1")
	text, _ := answer.(string)
	return text, err
}

func openFakeLog(storeURL string) (fakeLog, error) {
	if dir, ok := strings.CutPrefix(storeURL, "file:"); ok {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
		return fileLog{f}, err
	}
	u, err := url.Parse(storeURL)
	if err != nil {
		return nil, err
	}
	return redisLog{newRedisConn(u), u.Query().Get("prefix") + ":{00}:log"}, nil
}

func serveFake(storeURL string) error {
	f := &fake{firing: map[string]bool{}, key: map[string]string{}, closed: map[string]bool{}, verdicts: map[string]int{}, forget: os.Getenv("BENCH_FAKE") == "forgets"}
	var err error
	if f.log, err = openFakeLog(storeURL); err != nil {
		return err
	}
	if here, err := os.ReadDir("."); err != nil || len(here) > 0 {
		return fmt.Errorf("the folder of a gateway is not empty: %v, %v", here, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "level=INFO msg=tocsin version=fake store=%s listen=%s console=none\n", storeURL, l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /ingest/alertmanager", f.locked(f.ingest))
	mux.HandleFunc("GET /api/v1/incidents", f.locked(f.incidents))
	mux.HandleFunc("POST /api/v1/incidents/{id}/close", f.locked(f.close))
	mux.HandleFunc("GET /metrics", f.locked(f.metrics))
	return http.Serve(l, mux)
}

// locked reads what other gateways wrote before it answers.
func (f *fake) locked(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if err := f.refresh(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answer(w, r)
	}
}

func (f *fake) refresh() error {
	text, err := f.log.from(f.read)
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		f.read += len(line)
		word := strings.Fields(line)
		status, fingerprint, key := word[0], word[1], word[2]
		if status == "closed" {
			f.closed[key] = true
			continue
		}
		if !slices.Contains(f.keys, key) {
			f.keys = append(f.keys, key)
		}
		f.key[fingerprint], f.firing[fingerprint] = key, status == "firing"
	}
	return err
}

func (f *fake) ingest(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status      string            `json:"status"`
			Labels      map[string]string `json:"labels"`
			Fingerprint string            `json:"fingerprint"`
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
	var changes strings.Builder
	for _, a := range body.Alerts {
		key := a.Labels["alertname"] + "/" + a.Labels["cluster"] + "/" + a.Labels["service"]
		firing, known := f.firing[a.Fingerprint]
		switch {
		case a.Status == "resolved":
			f.verdicts["resolved"]++
		case known && firing:
			f.verdicts["duplicate"]++
			continue
		default:
			f.verdicts["joined"]++
			if f.news++; f.forget && f.news%50 == 0 {
				continue
			}
		}
		fmt.Fprintln(&changes, a.Status, a.Fingerprint, key)
	}
	if err := f.log.add(changes.String()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// incidents answers pages of half of the limit, so that there are several.
func (f *fake) incidents(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	total, firing := map[string]int{}, map[string]int{}
	for fingerprint, key := range f.key {
		total[key]++
		if f.firing[fingerprint] {
			firing[key]++
		}
	}
	var page struct {
		Incidents  []map[string]any `json:"incidents"`
		NextCursor string           `json:"next_cursor"`
	}
	first, _ := strconv.Atoi(r.FormValue("cursor"))
	for id, key := range f.keys {
		state := "open"
		if f.closed[key] {
			state = "closed"
		} else if firing[key] == 0 {
			state = "resolved"
		}
		if want := r.FormValue("state"); id < first || want != "" && want != state {
			continue
		}
		if len(page.Incidents) == limit {
			page.NextCursor = strconv.Itoa(id)
			break
		}
		page.Incidents = append(page.Incidents, map[string]any{"id": strconv.Itoa(id), "alerts": map[string]int{"total": total[key], "firing": firing[key]}})
	}
	if err := json.MarshalWrite(w, page); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (f *fake) close(w http.ResponseWriter, r *http.Request) {
	var by struct {
		By string `json:"by"`
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	if err == nil {
		err = json.UnmarshalRead(r.Body, &by)
	}
	if err == nil && (by.By == "" || id >= len(f.keys) || f.closed[f.keys[id]]) {
		err = fmt.Errorf("incident %d cannot be closed by %q", id, by.By)
	}
	if err == nil {
		err = f.log.add(fmt.Sprintln("closed", "-", f.keys[id]))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

func (f *fake) metrics(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "# TYPE tocsin_alerts_total counter")
	for _, verdict := range slices.Sorted(maps.Keys(f.verdicts)) {
		fmt.Fprintf(w, "tocsin_alerts_total{source=\"alertmanager\",verdict=%q} %d\n", verdict, f.verdicts[verdict])
	}
}
