// Package answers takes what people do where they were notified back into the
// incident: links in messages, buttons, key presses in a call, and the webhooks of
// the tools that page people. Each request proves by itself that it may: by a signed
// link, a signature or a token.
//
// What it does goes through the router like what people do in the API, under the
// person's name and with where it was said.
package answers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify/links"
	"github.com/tocsin-gateway/tocsin/router"
	"github.com/tocsin-gateway/tocsin/web"
)

// Actor is the part of the router that answers need.
type Actor interface {
	ActOnce(ctx context.Context, name, message string, edit func(*incident.Edit) error) (*incident.Incident, bool, error)
}

// Store is the part of the store that answers need.
type Store interface {
	Now() time.Time
	Incident(ctx context.Context, name string) (*incident.Incident, error)
	Document(ctx context.Context, typ, id string) (incident.Document, error)
	Documents(ctx context.Context, typ, after string, limit int) ([]incident.Document, error)
	PutDocument(ctx context.Context, d incident.Document) (uint64, error)
}

// Options are what a Handler needs.
type Options struct {
	Actor Actor
	Store Store
	Links *links.Links
	// External is the URL under which people and tools reach Tocsin, which calls are
	// signed with. Without it there are none.
	External *url.URL
	// Client tells a person in Slack why a button did nothing; nil tells nobody.
	Client     *http.Client
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Now is the clock of throttling and of signed times; nil means time.Now.
	Now func() time.Time
}

// Handler serves answers. Its methods may be called from any goroutine.
type Handler struct {
	options  Options
	log      *slog.Logger
	config   atomic.Pointer[Config]
	throttle *web.Throttle
	// guesses slows down whoever guesses a token. People make these up, so unlike with
	// signatures not even the right one gets through meanwhile.
	guesses *web.Throttle
	count   *prometheus.CounterVec

	mu sync.Mutex
	// swept is the id after which names are looked through next.
	swept string
}

// New returns a Handler that takes links only, until Set.
func New(o Options) (*Handler, error) {
	if o.Actor == nil || o.Store == nil || o.Links == nil || o.Log == nil || o.Registerer == nil {
		return nil, errors.New("answers: an actor, a store, links, a logger and a registerer are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Log.With("component", "answers")
	h := &Handler{options: o, log: log, throttle: web.NewThrottle(o.Now, log), guesses: web.NewThrottle(o.Now, log)}
	h.count = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_answers_total", Help: "What came back from where people were notified, by what became of it."}, []string{"integration", "result"})
	for _, integration := range []string{"link", "slack", "pagerduty", "opsgenie", "jira", "call"} {
		for _, result := range results {
			h.count.WithLabelValues(integration, result)
		}
	}
	o.Registerer.MustRegister(h.count)
	c := DefaultConfig()
	h.Set(&c)
	return h, nil
}

// Set makes c the current configuration.
func (h *Handler) Set(c *Config) {
	h.options.Links.SetExpiry(time.Duration(c.LinkExpiry))
	h.config.Store(c)
}

// Register adds the routes. It comes before web.API.Protect: these requests come
// from elsewhere by their nature, and carry their own permission.
func (h *Handler) Register(engine *gin.Engine) {
	engine.GET(links.PathAct+":token", h.page)
	engine.HEAD(links.PathAct+":token", h.page)
	engine.POST(links.PathAct+":token", h.press)
	engine.POST("/hooks/slack", h.hook("slack", h.slack))
	engine.POST("/hooks/pagerduty", h.hook("pagerduty", h.pagerduty))
	engine.POST("/hooks/opsgenie", h.hook("opsgenie", h.opsgenie))
	engine.POST("/hooks/jira", h.hook("jira", h.jira))
	engine.POST("/hooks/call", h.hook("call", h.call))
}

// The results of answers. They are values of a metric's label.
const (
	resultAcknowledged   = "acknowledged"
	resultUnacknowledged = "unacknowledged"
	resultResolved       = "resolved"
	resultNoted          = "noted"
	// resultUnchanged: it was so already, or it came before, or it does not fit any more.
	resultUnchanged = "unchanged"
	// resultIgnored: it is about nothing that concerns us.
	resultIgnored = "ignored"
	// resultUnknown: the incident does not exist.
	resultUnknown = "unknown"
	// resultRefused: it did not prove that it may.
	resultRefused = "refused"
	// resultInvalid: it makes no sense.
	resultInvalid = "invalid"
	// resultFailed: it is to come again.
	resultFailed = "failed"
)

var results = []string{resultAcknowledged, resultUnacknowledged, resultResolved, resultNoted, resultUnchanged, resultIgnored, resultUnknown,
	resultRefused, resultInvalid, resultFailed}

// Answer is what a tool hears. Whatever it says, with status 200 the tool need not
// send the same again.
type Answer struct {
	Result string `json:"result"`
	// Incident is the reference of the incident, if there is one.
	Incident string `json:"incident"`
	// Note says why nothing was done.
	Note string `json:"note"`
}

func ignored(note string) Answer { return Answer{Result: resultIgnored, Note: note} }

const (
	// bodyLimit is the largest body of a webhook in bytes: Jira sends whole issues.
	bodyLimit = 2 << 20
	// actTime is how long an answer may take. Slack waits 3 seconds.
	actTime = 2500 * time.Millisecond
	// commentKept is how much of what people wrote becomes a comment or a note, in bytes.
	commentKept = 4096
)

// request is what a webhook sent.
type request struct {
	*http.Request
	ctx    context.Context
	config *Config
	body   []byte
	// id identifies what was said, for tools that have no better one.
	id string
}

// hookFunc understands a request and acts. It may answer by itself through c.
type hookFunc func(c *gin.Context, r *request) (Answer, error)

// hook reads a request, runs f, counts and answers.
func (h *Handler) hook(integration string, f hookFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), actTime)
		defer cancel()
		c.Header("Cache-Control", "no-store")
		body, err := readBody(c)
		var a Answer
		if err == nil {
			sum := sha256.Sum256(body)
			a, err = f(c, &request{Request: c.Request, ctx: ctx, config: h.config.Load(), body: body, id: integration + " " + hex.EncodeToString(sum[:])})
		}
		if err != nil {
			a.Result = resultOf(err)
			defer web.Fail(c, h.log, err)
		}
		h.did(ctx, integration, a, err)
		if err == nil && !c.Writer.Written() {
			text, err := json.Marshal(a)
			if err != nil {
				web.Fail(c, h.log, err) // unreachable: it always encodes
				return
			}
			c.Header("X-Content-Type-Options", "nosniff")
			c.Data(http.StatusOK, "application/json", append(text, '\n'))
		}
	}
}

// did counts and logs what became of an answer.
func (h *Handler) did(ctx context.Context, integration string, a Answer, err error) {
	h.count.WithLabelValues(integration, a.Result).Inc()
	if err == nil && a.Result != resultIgnored {
		h.log.InfoContext(ctx, "answer", "integration", integration, "result", a.Result, "incident", a.Incident, "note", a.Note)
	}
}

// refusedError: the request did not prove that it may.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

// refuse takes a try from who sent a request that did not prove that it may.
func (h *Handler) refuse(c *gin.Context, reason string) error {
	if !h.throttle.Allow(c.ClientIP()) {
		return errTooMany
	}
	h.throttle.Failed(c.Request.Context(), c.ClientIP())
	return refusedError{web.Refuse(http.StatusUnauthorized, reason)}
}

var errTooMany = refusedError{web.Refuse(http.StatusTooManyRequests, "too many requests from this address were refused")}

// off is the answer of a webhook that is not configured.
func off(tool string) error {
	return refusedError{web.Refuse(http.StatusNotFound, "this webhook is off; set it up in answers: "+tool+" of the configuration")}
}

func invalid(field, reason string) error { return &router.InputError{Field: field, Reason: reason} }

func resultOf(err error) string {
	var (
		refused refusedError
		input   *router.InputError
		large   *http.MaxBytesError
	)
	switch {
	case errors.As(err, &refused):
		return resultRefused
	case errors.As(err, &input), errors.As(err, &large), errors.Is(err, errCut):
		return resultInvalid
	}
	return resultFailed
}

var errCut = web.Refuse(http.StatusBadRequest, "the body ended before its end")

func readBody(c *gin.Context) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, bodyLimit))
	if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
		return nil, errCut
	}
	return body, err
}

// decode reads a JSON body into v. Tools add members at will, so unknown ones are
// fine; a wrong one is named.
func decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return invalid("body", "there is none")
	}
	err := json.Unmarshal(body, v, jsontext.AllowInvalidUTF8(true))
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		field := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
		return invalid(field, fmt.Sprintf("not of the right kind: %s", semantic.JSONKind))
	}
	return invalid("body", "not JSON that we understand")
}

// encode writes v as JSON.
func encode(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }
