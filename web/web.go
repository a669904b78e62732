// Package web is what people and their programs talk to: the JSON API v1, who
// may use it, and what protects it from other web pages. It decides nothing
// about incidents; that is the router's, whose answers it turns into HTTP.
//
// Every answer is described in openapi.yaml, and webtest checks that it is so.
package web

import (
	"context"
	_ "embed" // the OpenAPI document
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/bcrypt"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/web/audit"
	"github.com/tocsin-gateway/tocsin/web/live"
	"github.com/tocsin-gateway/tocsin/web/session"
)

// OpenAPI is the description of the whole HTTP interface, OpenAPI 3.1.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Options are what an API needs.
type Options struct {
	Pipeline *router.Pipeline
	Store    store.Store
	// AdminToken is a token with the role admin that is not in the store; it may
	// be empty. SetAdminToken replaces it.
	AdminToken string
	// AnyHost lets requests in that name another host than this machine although
	// there is no authentication of ours: with --web.allow-unauthenticated, or
	// where the listener itself asks for a password or a certificate.
	AnyHost bool
	// Version is what the API says of itself.
	Version string
	// HasSource says whether a source of this name exists, so that a token is not
	// made for a misspelt one; nil means that any does.
	HasSource func(name string) bool
	// Retry sends the body of a dead letter in again and says what became of each
	// alert in it. A *router.InputError says why it still cannot be understood.
	Retry func(ctx context.Context, l router.Letter) ([]alert.Outcome, error)
	// Explain says what a payload for the named source means; nothing is stored. A
	// *router.InputError says what cannot be understood: source or body.
	Explain func(ctx context.Context, source string, payload []byte) (Explanation, error)
	// Mapping is that of a source in YAML, and ExplainMapping explains a payload with another
	// one. A source without a mapping, and a mistake in one, is an InputError.
	Mapping        func(source string) (string, error)
	ExplainMapping func(ctx context.Context, source, mapping string, payload []byte) (Explanation, error)
	// Backup writes a copy of the store as a tar archive.
	Backup func(ctx context.Context, w io.Writer) error
	// Notifications tells people; nil means that nobody does.
	Notifications Notifications
	// Recordings are the requests that were recorded; nil means that none are.
	Recordings Recordings
	// Silences are those of the store; nil makes a Set of the API's own.
	Silences *silences.Set
	// Receivers names those that are told of an incident, and ReceiverNames all that
	// there are; nil means none.
	Receivers     func(i *incident.Incident) []string
	ReceiverNames func() []string
	// Process is the team's process; nil means that there is none.
	Process func() *process.Guide
	// Mute says what hides messages beside silences; nil means that nothing does.
	Mute notify.Muter
	// AlertmanagerConfig is Alertmanager's part of the configuration, without secrets;
	// nil means that there is none.
	AlertmanagerConfig func() string
	// Live keeps pages up to date; nil means that nothing does.
	Live *live.Live
	// Sources says what each source has sent to this gateway; nil means that there are none.
	Sources func() []Source
	// Configuration is what is in force, without secrets.
	Configuration func() ConfigJSON
	// Reports is what reports have to know beside the store.
	Reports ReportFacts
	Log     *slog.Logger
	// Now is the clock of caches and throttling; nil means time.Now.
	Now func() time.Time
	// Wall is the clock by which the tokens of an OpenID provider expire; nil means time.Now.
	Wall func() time.Time
	// External is the URL under which people reach this Tocsin; nil if nobody knows it.
	External *url.URL
	// Registerer is where the metrics go; nil shows them nowhere.
	Registerer prometheus.Registerer
}

// API is the JSON API. Its methods may be called from any goroutine.
type API struct {
	pipeline *router.Pipeline
	store    store.Store
	options  Options
	log      *slog.Logger
	tokens   *tokens
	throttle *Throttle
	origins  *http.CrossOriginProtection
	silences *silences.Set
	sessions *session.Sessions
	audit    *audit.Log
	people   atomic.Pointer[people]
	layout   PageFunc
	// leaving slows down who begins to sign in at the provider again and again.
	leaving *Throttle
	// hashing holds whoever's password is compared.
	hashing chan struct{}
	// compare compares a password with a hash; tests count how often.
	compare func(hash, password []byte) error
	// summing holds whoever adds up statistics.
	summing chan struct{}
	// explaining holds whoever has a payload explained, trying whoever tries a mapping.
	explaining, trying chan struct{}
	// began is when the API was made.
	began time.Time
}

// New returns an API. It reads and starts nothing yet.
func New(o Options) (*API, error) {
	if o.Pipeline == nil || o.Store == nil || o.Log == nil {
		return nil, errors.New("web: a pipeline, a store and a logger are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Log.With("component", "web")
	a := &API{pipeline: o.Pipeline, store: o.Store, options: o, log: log, origins: http.NewCrossOriginProtection(),
		summing: make(chan struct{}, 1), explaining: make(chan struct{}, 1), trying: make(chan struct{}, 1), hashing: make(chan struct{}, 2), compare: bcrypt.CompareHashAndPassword}
	a.layout, a.sessions, a.audit = bare, session.New(o.Store, o.Now, log), audit.New(o.Store, o.Now, o.Log, o.Registerer)
	a.tokens = &tokens{store: o.Store, now: o.Now, log: log}
	a.SetAdminToken(secret.New(o.AdminToken))
	a.options.AdminToken = "" // only its hash is needed from here on
	if a.silences, a.began = o.Silences, o.Store.Now(); a.silences == nil {
		a.silences = silences.New(o.Store, o.Log)
	}
	a.throttle, a.leaving = NewThrottle(o.Now, log), NewThrottle(o.Now, slog.New(slog.DiscardHandler))
	a.SetConfig(DefaultConfig())
	return a, nil
}

// Register adds the routes under /api/v1 and /api/v2 and the answers to what is not there.
// It switches off the engine's redirects: senders lose an alert to one. A slash in a name,
// as receivers and views may have, is no slash of the path.
func (a *API) Register(engine *gin.Engine) {
	engine.UseRawPath = true
	engine.RedirectTrailingSlash, engine.RedirectFixedPath, engine.HandleMethodNotAllowed = false, false, true
	engine.NoRoute(a.NotFound)
	engine.NoMethod(a.Protect(), func(c *gin.Context) {
		a.fail(c, refuse(http.StatusMethodNotAllowed, "this address does not take %s", c.Request.Method))
	})
	api := engine.Group("/api/v1", func(c *gin.Context) { secure(c.Writer.Header()) })
	viewer, responder, admin := api.Group("", a.Require(RoleViewer)), api.Group("", a.Require(RoleResponder)), api.Group("", a.Require(RoleAdmin))

	a.registerSignIn(engine)
	viewer.GET("/openapi.yaml", openAPI)
	viewer.GET("/incidents", a.incidents)
	viewer.GET("/incidents/:id", a.incident)
	viewer.GET("/incidents/:id/alerts", a.alerts)
	viewer.GET("/incidents/:id/timeline", a.timeline)
	viewer.GET("/incidents/:id/duties", a.duties)
	viewer.GET("/incidents/:id/report", a.incidentReport)
	viewer.GET("/incidents/:id/announcement", a.announcement)
	viewer.GET("/reports/monthly", a.monthlyReport)
	viewer.GET("/reports/shift", a.shiftReport)
	viewer.GET("/incidents/:id/notifications", a.notifications)
	viewer.GET("/incidents/:id/notifications/preview", a.preview)
	viewer.GET("/incidents/:id/similar", a.similar)
	viewer.GET("/stats", a.stats)
	viewer.GET("/board", a.board)
	viewer.GET("/stream", a.stream)
	viewer.GET("/sources", a.sources)
	viewer.GET("/jobs", a.jobs)
	viewer.GET("/config", a.configuration)
	viewer.GET("/undelivered", a.undelivered)
	viewer.GET("/notices", a.notices)
	viewer.GET("/deadletters", a.letters)
	viewer.GET("/deadletters/:id", a.letter)
	viewer.POST("/explain", a.explain)
	viewer.GET("/explain/mapping", a.mapping)
	viewer.POST("/explain/mapping", a.explainMapping)
	viewer.GET("/choices", a.choices)
	viewer.GET("/version", a.version)
	viewer.GET("/views", a.views)

	viewer.POST("/silences/preview", a.previewSilence)
	a.registerAlertmanager(engine)

	responder.POST("/incidents", a.report)
	responder.POST("/incidents/:id/acknowledge", a.acknowledge)
	responder.POST("/incidents/:id/unacknowledge", a.unacknowledge)
	responder.POST("/incidents/:id/resolve", a.resolve)
	responder.POST("/incidents/:id/close", a.close)
	responder.POST("/incidents/:id/reopen", a.reopen)
	responder.POST("/incidents/:id/note", a.note)
	responder.POST("/incidents/:id/phase", a.phase)
	responder.POST("/incidents/:id/severity", a.severity)
	for path, handler := range map[string]gin.HandlerFunc{
		"assign": a.assign, "assess": a.assess, "category": a.category, "level": a.level, "work": a.work, "rest": a.rest,
		"customers": a.customers, "next-contact": a.nextContact, "contacts": a.contacted, "contacts/followed-up": a.followedUp,
		"confirm": a.confirm, "link": a.link, "escalate": a.escalate, "accept": a.accept, "answer": a.answerCall,
		"update": a.update, "updates/:n/sign": a.sign, "findings": a.found, "workaround-removed": a.workaroundRemoved,
		"causes": a.cause, "actions": a.action, "actions/:n/done": a.actionDone, "correct": a.correct,
		"snooze": a.snooze, "unsnooze": a.unsnooze, "merge": a.merge, "unmerge": a.unmerge, "children": a.openChild,
		"duties/:duty/done": a.dutyDone, "duties/:duty/waive": a.dutyWaived,
	} {
		responder.POST("/incidents/:id/"+path, handler)
	}
	responder.POST("/incidents/:id/notifications/retry", a.again)
	responder.POST("/receivers/:id/test", a.testReceiver)
	responder.PUT("/views/:name", a.putView)
	responder.DELETE("/views/:name", a.deleteView)

	admin.POST("/deadletters/:id/retry", a.retryLetter)
	admin.GET("/audit", a.auditLog)
	admin.GET("/recordings", a.recordings)
	admin.GET("/recordings/:id", a.recording)
	admin.GET("/tokens", a.listTokens)
	admin.POST("/tokens", a.createToken)
	admin.DELETE("/tokens/:id", a.deleteToken)
	admin.POST("/store/backup", a.backup)
}

// NotFound says that there is nothing at an address, to those who may know.
func (a *API) NotFound(c *gin.Context) {
	if a.Protect()(c); !c.IsAborted() {
		a.fail(c, refuse(http.StatusNotFound, "there is nothing at this address"))
	}
}

func openAPI(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", OpenAPI) }

// VersionJSON says which Tocsin answers.
type VersionJSON struct {
	Version string `json:"version"`
}

func (a *API) version(c *gin.Context) {
	if err := newQuery(c).done(); err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, VersionJSON{a.options.Version})
}
