package browser

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
)

const (
	// stormOpen incidents are open when the storm begins, which opens stormRate a second for
	// stormTime.
	stormOpen, stormRate = 10_000, 1000
	stormTime            = 15 * time.Second
	// stormBatch is how many alerts are in a message.
	stormBatch = 50
)

// storm sends alerts that each open an incident, as fast as stormRate or as the gateway
// takes them, until ctx ends. It returns how many it sent.
func (s *site) storm(ctx context.Context) (sent int) {
	tick := time.NewTicker(time.Second * stormBatch / stormRate)
	defer tick.Stop()
	for ctx.Err() == nil {
		many := make([]labels, stormBatch)
		for k := range many {
			many[k] = labels{"alertname": fmt.Sprint("Storm ", sent+k), "severity": "warning", "service": fmt.Sprint("service ", k%40), "team": fmt.Sprint("team ", k%7)}
		}
		s.fire(many...)
		sent += stormBatch
		<-tick.C
	}
	return sent
}

// TestBoardInAStorm: while a thousand incidents open each second, an open board shows
// what is urgent, stays small, and does as it is told. How fast is logged: a busy machine is
// no defect.
func TestBoardInAStorm(t *testing.T) {
	s := newSite(t, "")
	for n := 0; n < stormOpen; n += 1000 {
		many := make([]labels, 1000)
		for k := range many {
			many[k] = labels{"alertname": fmt.Sprint("Alert ", n+k), "severity": "warning", "service": fmt.Sprint("service ", k%40), "team": fmt.Sprint("team ", k%7)}
		}
		s.fire(many...)
	}
	w := open(t, s, desk)
	w.visit("/")
	w.until(fmt.Sprintf(`document.querySelector(".sum").textContent.includes("%d open")`, stormOpen))
	eval[bool](w, `(() => {
		window.tasks = []; window.most = 0; window.seen = {}; window.asked = 0;
		new PerformanceObserver((l) => { for (const e of l.getEntries()) tasks.push(e.duration); }).observe({type: "longtask"});
		new PerformanceObserver((l) => { for (const e of l.getEntries()) if (e.name.includes("part=rows")) asked++; }).observe({type: "resource"});
		new MutationObserver(() => {
			most = Math.max(most, document.querySelectorAll("*").length);
			for (const a of document.querySelectorAll("tbody th a")) if (a.textContent.startsWith("Urgent")) seen[a.textContent] ??= Date.now();
		}).observe(document.getElementById("rows"), {childList: true, subtree: true});
		return true;
	})()`)
	call(w, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	before := w.used()
	ctx, stop := context.WithTimeout(t.Context(), stormTime)
	defer stop()
	var storm sync.WaitGroup
	sent := 0
	storm.Go(func() { sent = s.storm(ctx) })
	began := time.Now()
	fired := map[string]time.Time{}
	var clicks []float64
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprint("Urgent ", n)
		reference := s.fire(labels{"alertname": name, "severity": "critical"})[0]
		fired[name] = time.Now()
		w.until(`seen["` + name + `"] !== undefined`)
		// A person chooses it: how long until the page has done that.
		clicks = append(clicks, eval[float64](w, `new Promise((done) => { const began = performance.now(); document.querySelector("#`+reference+` input").click(); requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))); })`))
		if !eval[bool](w, `document.querySelector("#`+reference+` input").checked`) {
			t.Errorf("%s was chosen and is not", name)
		}
		<-time.After(100 * time.Millisecond)
	}
	storm.Wait()
	took := time.Since(began)
	w.until(fmt.Sprintf(`document.querySelector(".sum").textContent.includes("%d open")`, stormOpen+sent+len(fired)))
	seen := eval[map[string]float64](w, `seen`)
	var late []float64
	for name, at := range fired {
		when, ok := seen[name]
		if !ok {
			t.Errorf("%s never came", name)
		}
		late = append(late, when-float64(at.UnixMilli()))
	}
	used, asked := w.used(), eval[float64](w, `asked`)
	tasks, most := eval[[]float64](w, `tasks`), eval[float64](w, `most`)
	t.Logf("%d incidents opened in %s, %.0f a second", sent, took.Round(time.Millisecond), float64(sent)/took.Seconds())
	t.Logf("the page asked for its rows %.0f times; each time cost it %.1f ms of a core: script %.1f, style %.1f, layout %.1f", asked,
		(used["TaskDuration"]-before["TaskDuration"])*1000/asked, (used["ScriptDuration"]-before["ScriptDuration"])*1000/asked,
		(used["RecalcStyleDuration"]-before["RecalcStyleDuration"])*1000/asked, (used["LayoutDuration"]-before["LayoutDuration"])*1000/asked)
	t.Logf("%d urgent ones were on the page after %s; a click took %s; long tasks of the page: %s; at most %.0f elements", len(late), middle(late), middle(clicks), middle(tasks), most)
	if most > 4000 {
		t.Errorf("the page grew to %.0f elements", most)
	}
}

// middle says where durations lie, in milliseconds.
func middle(ms []float64) string {
	if len(ms) == 0 {
		return "none"
	}
	slices.Sort(ms)
	return strings.TrimSpace(fmt.Sprintf("%.0f ms in the middle, %.0f ms at most (%d)", ms[len(ms)/2], ms[len(ms)-1], len(ms)))
}

// used is the time of a core that the page has used, in seconds.
func (w *window) used() map[string]float64 {
	w.t.Helper()
	m := map[string]float64{}
	for _, metric := range call(w, performance.GetMetrics, cdp.Empty{}).Metrics {
		m[metric.Name] = metric.Value
	}
	return m
}
