package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
)

// Source is what a source has sent to this gateway since it began.
type Source struct {
	Name, Format string
	Spools       bool
	LastReceived time.Time
	// Received counts alerts, Minutes5 and Hour those of the last 5 and 60 minutes.
	Received, Minutes5, Hour uint64
	// Verdicts say what became of them, by name.
	Verdicts    map[string]uint64
	DeadLetters uint64
}

// SourceJSON is a source as the API shows it.
type SourceJSON struct {
	Name           string            `json:"name"`
	Format         string            `json:"format"`
	Spools         bool              `json:"spools"`
	LastReceivedAt *time.Time        `json:"last_received_at"`
	Received       uint64            `json:"received"`
	Minutes5       uint64            `json:"received_5m"`
	Hour           uint64            `json:"received_1h"`
	Verdicts       map[string]uint64 `json:"verdicts"`
	// UnderWay is what was received and has no verdict yet. It is 0 when nothing is
	// under way; if it stays above, alerts are lost.
	UnderWay    int64  `json:"under_way"`
	DeadLetters uint64 `json:"dead_letters"`
}

// HeartbeatJSON is a message that is expected again and again.
type HeartbeatJSON struct {
	Name        string     `json:"name"`
	Source      string     `json:"source"`
	Matchers    []string   `json:"matchers"`
	Every       float64    `json:"every_seconds"`
	LastHeardAt *time.Time `json:"last_heard_at"`
	DueAt       *time.Time `json:"due_at"`
	Missing     bool       `json:"missing"`
}

// SourcesJSON is the answer to GET /api/v1/sources.
type SourcesJSON struct {
	// Since is from when on this gateway counts.
	Since      *time.Time      `json:"since"`
	Sources    []SourceJSON    `json:"sources"`
	Heartbeats []HeartbeatJSON `json:"heartbeats"`
}

// sources answers GET /api/v1/sources.
func (a *API) sources(c *gin.Context) {
	err := newQuery(c).done()
	v := SourcesJSON{Since: stamp(a.began), Sources: []SourceJSON{}, Heartbeats: []HeartbeatJSON{}}
	if err == nil {
		beats, failed := a.pipeline.Heartbeats(c.Request.Context())
		for _, h := range beats {
			v.Heartbeats = append(v.Heartbeats, HeartbeatJSON{h.Name, h.Source, h.Matchers, time.Duration(h.Every).Seconds(), stamp(h.LastAt), stamp(h.Due), h.Missing})
		}
		err = failed
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	if a.options.Sources != nil {
		for _, s := range a.options.Sources() {
			v.Sources = append(v.Sources, viewSource(s))
		}
	}
	a.answer(c, http.StatusOK, v)
}

func viewSource(s Source) SourceJSON {
	v := SourceJSON{s.Name, s.Format, s.Spools, stamp(s.LastReceived), s.Received, s.Minutes5, s.Hour, s.Verdicts, int64(s.Received), s.DeadLetters}
	for _, n := range s.Verdicts {
		v.UnderWay -= int64(n)
	}
	return v
}

// JobsJSON is what the store has to do, by kind.
type JobsJSON struct {
	Jobs []JobJSON `json:"jobs"`
}

// JobJSON is a kind of job: how many wait for their time, how many are due, and by
// how many seconds the most overdue one is late.
type JobJSON struct {
	Kind    string  `json:"kind"`
	Waiting int     `json:"waiting"`
	Due     int     `json:"due"`
	Lag     float64 `json:"lag_seconds"`
}

// jobs answers GET /api/v1/jobs.
func (a *API) jobs(c *gin.Context) {
	err := newQuery(c).done()
	v := JobsJSON{Jobs: []JobJSON{}}
	if err == nil {
		v.Jobs, err = a.countJobs(c)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, v)
}

func (a *API) countJobs(c *gin.Context) ([]JobJSON, error) {
	counts, err := a.store.Jobs(c.Request.Context())
	if err != nil {
		return nil, err
	}
	kinds := []JobJSON{}
	for _, j := range counts {
		n := slices.IndexFunc(kinds, func(k JobJSON) bool { return k.Kind == j.Kind })
		if n < 0 {
			kinds, n = append(kinds, JobJSON{Kind: j.Kind}), len(kinds)
		}
		if j.State == "due" {
			kinds[n].Due += j.Count
		} else {
			kinds[n].Waiting += j.Count
		}
		kinds[n].Lag = max(kinds[n].Lag, j.Lag.Seconds())
	}
	slices.SortFunc(kinds, func(a, b JobJSON) int { return cmp.Compare(a.Kind, b.Kind) })
	return kinds, nil
}

// ConfigJSON is the configuration that is in force, without secrets.
type ConfigJSON struct {
	// Hash is the SHA-256 of the file, in hexadecimal digits.
	Hash     string    `json:"hash"`
	LoadedAt time.Time `json:"loaded_at"`
	// TriedAt is when a configuration was last read. ReloadOK: that is the one in force;
	// if not, ReloadError says why the one before still is.
	TriedAt     time.Time `json:"tried_at"`
	ReloadOK    bool      `json:"reload_ok"`
	ReloadError string    `json:"reload_error"`
	// Text is what the file means, with all defaults.
	Text        string       `json:"text"`
	Warnings    []string     `json:"warnings"`
	Classify    []RuleJSON   `json:"classify"`
	Correlate   []RuleJSON   `json:"correlate"`
	Routes      []RouteJSON  `json:"routes"`
	Maintenance []WindowJSON `json:"maintenance"`
	Rotas       []RotaJSON   `json:"rotas"`
}

// RuleJSON is a rule in words. Hits are the alerts that it decided about since this
// gateway began.
type RuleJSON struct {
	Name string   `json:"name"`
	If   []string `json:"if"`
	Then []string `json:"then"`
	Hits uint64   `json:"hits"`
}

// RouteJSON is a route: Path are the matchers from the root to it.
type RouteJSON struct {
	Receiver string   `json:"receiver"`
	Path     []string `json:"path"`
}

// WindowJSON is a maintenance window. OpenUntil is null while it is not open.
type WindowJSON struct {
	Name      string     `json:"name"`
	Matchers  []string   `json:"matchers"`
	When      string     `json:"when"`
	Timezone  string     `json:"timezone"`
	Owner     string     `json:"owner"`
	Comment   string     `json:"comment"`
	OpenUntil *time.Time `json:"open_until"`
}

// RotaJSON says who is on call now.
type RotaJSON struct {
	Name   string   `json:"name"`
	OnCall []string `json:"on_call"`
}

// configuration answers GET /api/v1/config.
func (a *API) configuration(c *gin.Context) {
	err := newQuery(c).done()
	if err == nil && a.options.Configuration == nil {
		err = refuse(http.StatusNotImplemented, "this server does not show its configuration")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, a.options.Configuration())
}
