package browser

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/notify/receivers"
	"github.com/tocsin-gateway/tocsin/store/embedded"
	"github.com/tocsin-gateway/tocsin/store/embedded/embeddedtest"
)

// screenshots is where pictures of the pages are written; docs/console has those that
// were looked at last.
var screenshots = flag.String("screenshots", "", "write pictures of all pages into this folder")

func init() { gin.SetMode(gin.TestMode) }

// axeCore is the accessibility checker, https://github.com/dequelabs/axe-core.
const (
	axeCore = "axe-core@4.14.1"
	axeSHA  = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

// axe is the program text of axe-core, which npm fetches.
var axe = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is a temporary folder
	cmd := exec.Command("npm", "pack", axeCore, "--silent", "--prefer-offline", "--fetch-retries=5", "--pack-destination", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return "", fmt.Errorf("npm packed %v: %w", packed, err)
	}
	text, err := unpack(packed[0], "package/axe.min.js")
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != axeSHA {
		return "", fmt.Errorf("%s: not the text that was looked at: sha256 %x", axeCore, sum)
	}
	return string(text), nil
})

// unpack returns a file of a compressed archive.
func unpack(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", archive, name, err)
		}
		if h.Name == name {
			return io.ReadAll(r)
		}
	}
}

// lacking ends a test that cannot run here: it is skipped, or fails where it must run.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TOCSIN_E2E_REQUIRED") == "1" {
		t.Fatalf("%s and TOCSIN_E2E_REQUIRED=1", what)
	}
	t.Skipf("SKIP: %s; with TOCSIN_E2E_REQUIRED=1 this fails", what)
}

// chromium is one browser for all tests; each window has cookies of its own.
var chromium struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if chromium.cancel != nil {
		within, stop := context.WithTimeout(chromium.ctx, 20*time.Second) // then it is killed
		if err := chromedp.Cancel(within); err != nil {
			fmt.Fprintln(os.Stderr, "chromium:", err)
		}
		stop()
		chromium.cancel()
	}
	os.Exit(code)
}

func startChromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		lacking(t, "chromium is missing ("+err.Error()+")")
	}
	chromium.once.Do(func() {
		allocator, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.NoFirstRun, chromedp.Flag("disable-dev-shm-usage", true))
		ctx, cancel := chromedp.NewContext(allocator)
		chromium.ctx, chromium.cancel = ctx, func() { cancel(); stop() }
		chromium.err = chromedp.Do(ctx)
	})
	if chromium.err != nil {
		t.Fatalf("chromium: %v", chromium.err)
	}
	return chromium.ctx
}

// look is how a window looks at pages.
type look struct {
	name          string
	width, height int64
	dark, plain   bool // plain is without JavaScript
}

var (
	desk      = look{name: "desk", width: 1280, height: 900}
	night     = look{name: "desk-dark", width: 1280, height: 900, dark: true}
	phone     = look{name: "phone", width: 390, height: 844}
	phoneDark = look{name: "phone-dark", width: 390, height: 844, dark: true}
	plain     = look{name: "plain", width: 1280, height: 900, plain: true}
	// looks are those that every page is looked at with: both widths, and both colours.
	// Pictures are taken of all four.
	looks    = []look{desk, phoneDark}
	pictures = []look{desk, night, phone, phoneDark}
)

// window is a browser window on a gateway.
type window struct {
	t   *testing.T
	ctx context.Context
	url string
}

// open opens a window, which is closed when the test ends. The test fails if the
// browser complains of anything: an error of a script, or something that the content
// policy kept out.
func open(t *testing.T, g *site, l look) *window {
	t.Helper()
	browser := startChromium(t)
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	w := &window{t: t, ctx: ctx, url: g.url}
	var listening sync.WaitGroup
	t.Cleanup(func() {
		within, stop := w.soon()
		defer stop()
		_, _ = chromedp.Run(within, chromedp.Evaluate[int]("1")) // after all that was complained of so far
		cancel()
		listening.Wait()
	})
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	// Not soon: a window lives as long as the context that it is opened with.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("browser: %v", err)
	}
	listen(w, &listening, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) string { return exceptionText(e.ExceptionDetails) })
	listen(w, &listening, log.EntryAdded, func(e log.EventEntryAdded) string {
		if e.Entry.Level != log.EntryLevelError || e.Entry.Source == log.EntrySourceNetwork {
			return "" // that an address answers with an error is no mistake of the page
		}
		return string(e.Entry.Source) + ": " + e.Entry.Text
	})
	listen(w, &listening, audits.IssueAdded, func(e audits.EventIssueAdded) string {
		d := e.Issue.Details.ContentSecurityPolicyIssueDetails
		if d == nil {
			return ""
		}
		return "content policy: " + d.ViolatedDirective + " " + d.BlockedURL
	})
	call(w, log.Enable, cdp.Empty{})
	call(w, audits.Enable, cdp.Empty{})
	call(w, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 600})
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	call(w, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.plain})
	for name, value := range g.cookies {
		call(w, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: g.url})
	}
	return w
}

func exceptionText(d *runtime.ExceptionDetails) string {
	if d.Exception != nil {
		return d.Text + " " + d.Exception.Description
	}
	return d.Text
}

// soon is how long one thing may take in the browser. A test may do any number of them.
func (w *window) soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.ctx, time.Minute)
}

// call sends the browser a command of its protocol.
func call[P, R any](w *window, command cdp.Command[P, R], params P) R {
	w.t.Helper()
	within, cancel := w.soon()
	defer cancel()
	r, err := chromedp.Call(within, command, params)
	if err != nil {
		w.t.Fatalf("browser: %v", err)
	}
	return r
}

// listen fails the test for each event that is a complaint.
func listen[E any](w *window, listening *sync.WaitGroup, event cdp.Event[E], complaint func(E) string) {
	events := chromedp.Events(w.ctx, event)
	listening.Go(func() {
		for e, err := range events {
			if err != nil {
				return
			}
			if text := complaint(e); text != "" {
				w.t.Errorf("the browser complains: %s", text)
			}
		}
	})
}

// step is an action that returns nothing.
type step = chromedp.Action[chromedp.Void]

// run does actions, which have to work.
func (w *window) run(actions ...step) {
	w.t.Helper()
	within, cancel := w.soon()
	defer cancel()
	if err := chromedp.Do(within, actions...); err != nil {
		w.t.Fatalf("browser: %v\nthe page is\n%s", err, w.text())
	}
}

// comes waits until the window shows a page, read to its end, of which an expression is
// true, over whatever pages it gets there.
func comes(expression string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			is, err := chromedp.Evaluate[bool](`document.readyState === "complete" && Boolean(`+expression+`)`)(ctx, t)
			if err == nil && is {
				return nil
			}
			select {
			case <-tick.C: // a page that goes away is an error too
			case <-ctx.Done():
				return fmt.Errorf("%s never came true: %w", expression, cmp.Or(err, ctx.Err()))
			}
		}
	})
}

// has waits for a page with an element that is seen.
func has(selector string) step {
	return comes(fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
}

// text is what stands on the page, for messages of tests.
func (w *window) text() string {
	within, cancel := w.soon()
	defer cancel()
	text, err := chromedp.Run(within, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		return err.Error()
	}
	return text
}

// visit opens a page.
func (w *window) visit(path string) {
	w.t.Helper()
	w.run(chromedp.Navigate(w.url+path), has("main"))
}

// visitUntil opens a page again and again until it says something.
func (w *window) visitUntil(path, text string) {
	w.t.Helper()
	within, cancel := w.soon()
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for w.visit(path); !strings.Contains(w.text(), text); w.visit(path) {
		select {
		case <-tick.C:
		case <-within.Done():
			w.t.Fatalf("%s never said %q", path, text)
		}
	}
}

// eval is the value of an expression in the page.
func eval[T any](w *window, expression string) T {
	w.t.Helper()
	within, cancel := w.soon()
	defer cancel()
	v, err := chromedp.Run(within, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v\nthe page is\n%s", expression, err, w.text())
	}
	return v
}

// until waits until an expression in the page is true.
func (w *window) until(expression string) {
	w.t.Helper()
	within, cancel := w.soon()
	defer cancel()
	if _, err := chromedp.Run(within, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(0))); err != nil {
		w.t.Fatalf("%s never came true: %v\nthe page is\n%s", expression, err, w.text())
	}
}

// press presses keys, as on a keyboard; see chromedp/kb for those without a character.
func (w *window) press(keys string) { w.t.Helper(); w.run(chromedp.KeyEvent(keys)) }

// violation is what axe-core found.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible fails for what axe-core finds to be serious or worse on the page, by the
// rules of WCAG 2.2 A and AA, and if the page is wider than the window.
func (w *window) accessible(path string) {
	w.t.Helper()
	source, err := axe()
	if err != nil {
		lacking(w.t, err.Error())
	}
	eval[bool](w, source+"; true")
	found := eval[[]violation](w, `axe.run(document, {runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"], resultTypes: ["violations"]}).then(r => r.violations)`)
	for _, v := range found {
		where := []string{}
		for _, n := range v.Nodes[:min(len(v.Nodes), 3)] {
			where = append(where, n.HTML+" "+n.Summary)
		}
		text := fmt.Sprintf("%s: %s (%s): %s\n%s", path, v.ID, v.Impact, v.Help, strings.Join(where, "\n"))
		if v.Impact == "serious" || v.Impact == "critical" {
			w.t.Error(text)
		} else {
			w.t.Log(text)
		}
	}
	if size := eval[[]float64](w, `[document.documentElement.scrollWidth, document.documentElement.clientWidth]`); size[0] > size[1] {
		w.t.Errorf("%s: the page is %v px wide in a window of %v px", path, size[0], size[1])
	}
}

// picture writes a picture of the whole page, if the flag asks for pictures.
func (w *window) picture(name string) {
	w.t.Helper()
	if *screenshots == "" {
		return
	}
	within, cancel := w.soon()
	defer cancel()
	shot, err := chromedp.Run(within, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), shot, 0o644); err != nil {
		w.t.Error(err)
	}
}

// looked visits a page with all looks: it has to be accessible, and no wider than the
// window. Prepare, if any, is done on the page first.
func (s *site) looked(name, path string, prepare ...step) {
	s.t.Helper()
	all := looks
	if *screenshots != "" {
		all = pictures
	}
	for _, l := range all {
		s.t.Run(name+" "+l.name, func(t *testing.T) {
			w := open(t, s, l)
			w.visit(path)
			w.run(prepare...)
			w.accessible(path)
			w.picture(name + "-" + l.name)
		})
	}
}

// site is a gateway in memory, served on an address of this machine.
type site struct {
	t *testing.T
	// gateway is nil if it is a process of its own.
	gateway *gateway.Gateway
	url     string
	cookies map[string]string
	// token, if any, is sent with what is asked of the API.
	token string
}

// newSite starts a gateway with a configuration, which may be empty.
func newSite(t *testing.T, text string) *site {
	t.Helper()
	st := embeddedtest.Open(t, embedded.Options{})
	c, err := config.Load([]byte(text), "tocsin.yml")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, cookies: map[string]string{}}
	s.gateway, err = gateway.New(t.Context(), gateway.Options{Store: st, Config: c,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})), Registry: prometheus.NewRegistry(), Version: "1.0.0",
		Receivers: receivers.New})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.gateway.Engine)
	s.url = server.URL
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() {
		if err := s.gateway.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("gateway: %v", err)
		}
	})
	t.Cleanup(func() { server.CloseClientConnections(); stop(); running.Wait(); server.Close() })
	return s
}

// api sends JSON to the API, which has to take it, and returns the answer.
func (s *site) api(method, path string, body any) []byte {
	s.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(data))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %v %s\n%s", method, path, err, answer.Status, text)
	}
	return text
}

// labels are those of an alert; names with a leading "@" are annotations.
type labels map[string]string

// fire sends alerts in one message and returns the references of their incidents.
func (s *site) fire(alerts ...labels) []string {
	s.t.Helper()
	list := []map[string]any{}
	for _, l := range alerts {
		named, said := labels{}, labels{}
		for name, value := range l {
			if name, annotation := strings.CutPrefix(name, "@"); annotation {
				said[name] = value
			} else {
				named[name] = value
			}
		}
		list = append(list, map[string]any{"status": "firing", "labels": named, "annotations": said, "startsAt": time.Now().Add(-time.Minute),
			"generatorURL": said["generatorURL"]})
	}
	var answer struct {
		Results []struct {
			Reference string `json:"reference"`
		} `json:"results"`
	}
	if err := json.Unmarshal(s.api("POST", "/ingest/alertmanager", map[string]any{"version": "4", "alerts": list}), &answer); err != nil {
		s.t.Fatal(err)
	}
	out := []string{}
	for _, r := range answer.Results {
		out = append(out, r.Reference)
	}
	return out
}
