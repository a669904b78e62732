package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
)

// What holds for bodies that are read to see who sends them.
const (
	// unprovenBudget is how many bytes of them may be in flight, and unprovenLimit
	// how long one may be.
	unprovenBudget = 32 * MiB
	unprovenLimit  = 4 * MiB
	// unprovenGrace and unprovenRate are how slow one may come.
	unprovenGrace = 2 * time.Second
	unprovenRate  = 512 * KiB
)

// DefaultBudget is how many bytes of bodies may be in flight at a time.
const DefaultBudget = 256 * MiB

// Options are what a Handler needs.
type Options struct {
	Sink Sink
	// Spool is for sources that spool; without one they refuse.
	Spool Spool
	// Recorder is given what was let in: all that was taken, and what could not be
	// understood; nil keeps nothing.
	Recorder Recorder
	// Tokens knows the issued tokens; nil means that there are none.
	Tokens TokenChecker
	// Formats are those that there are, by name.
	Formats map[string]Format
	// Open says whether a source without credentials of its own takes alerts from
	// anybody, which is so only where the listener knows no authentication at
	// all. nil means never.
	Open func(source string) bool
	// Budget is how many bytes of bodies may be in flight; 0 means DefaultBudget.
	Budget ByteSize
	// Grace and Rate are how slow a body may come: Grace for anything, then Rate
	// bytes a second; 0 means 10 s and 64 KiB/s.
	Grace time.Duration
	Rate  ByteSize
	// Now is the clock that says when alerts came; nil means time.Now.
	Now func() time.Time
	// Log is required, and so is Registerer.
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Handler takes alerts over HTTP. It is safe for concurrent use.
type Handler struct {
	sink     Sink
	spool    Spool
	recorder Recorder
	tokens   TokenChecker
	formats  map[string]Format
	open     func(string) bool
	budget   budget
	pace     pace
	// Bodies that are read to see who sends them have a budget and a pace of their
	// own, so that nobody without credentials takes the place of those with some.
	unprovenBudget budget
	unprovenPace   pace
	now            func() time.Time
	log            *slog.Logger
	metrics        *metrics
	unknown        *series
	// replayed counts what comes out of the spool; nil without one.
	replayed *series

	sources  atomic.Pointer[table]
	draining atomic.Bool
	// failing: the last request could not be made durable, and spooling: or only
	// in the spool. They are there so that an outage is two lines in the log.
	failing, spooling atomic.Bool
}

// source is a Source at work.
type source struct {
	Source
	credentials
	series *series
	// lastLetter is the id of the newest dead letter, so as to log it once.
	lastLetter atomic.Pointer[string]
	// lastLogged is when a dead letter was last in the log, in seconds since 1970.
	lastLogged atomic.Int64
}

// table holds the sources of one configuration.
type table struct {
	byName map[string]*source
	inTurn []*source
}

// New returns a Handler without sources; Set gives it some.
func New(o Options) (*Handler, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("ingest: metrics: %w", err)
	}
	h := &Handler{sink: o.Sink, spool: o.Spool, recorder: o.Recorder, tokens: o.Tokens, formats: o.Formats, open: o.Open, now: o.Now, log: o.Log, metrics: m}
	h.budget.limit = int64(o.Budget)
	h.pace = pace{grace: o.Grace, rate: int64(o.Rate)}
	if h.budget.limit == 0 {
		h.budget.limit = int64(DefaultBudget)
	}
	if h.pace.grace == 0 {
		h.pace.grace = 10 * time.Second
	}
	if h.pace.rate == 0 {
		h.pace.rate = int64(64 * KiB)
	}
	if h.open == nil {
		h.open = func(string) bool { return false }
	}
	if h.now == nil {
		h.now = time.Now
	}
	h.unprovenBudget.limit = int64(unprovenBudget)
	h.unprovenPace = pace{grace: min(h.pace.grace, unprovenGrace), rate: max(h.pace.rate, int64(unprovenRate))}
	h.unknown = m.series(unknownSource)
	if h.spool != nil {
		h.replayed = m.series(SpoolSource)
	}
	h.Set(nil)
	return h, nil
}

// Set replaces all sources at once. Requests that have begun are finished with
// the source they began with.
func (h *Handler) Set(sources []Source) {
	t := &table{byName: make(map[string]*source, len(sources))}
	for _, s := range sources {
		made := &source{Source: s, credentials: newCredentials(s.Auth), series: h.metrics.series(s.Name)}
		t.byName[s.Name] = made
		t.inTurn = append(t.inTurn, made)
	}
	h.sources.Store(t)
}

// Drain refuses all requests that begin from now on, so that senders keep their
// alerts; those that have begun are finished.
func (h *Handler) Drain() { h.draining.Store(true) }

// Register adds the routes. A sender loses the alert when it is redirected, so
// each path is there with and without a slash at its end; for what is not
// there the engine must not redirect either: set its RedirectTrailingSlash and
// RedirectFixedPath to false.
func (h *Handler) Register(r gin.IRoutes) {
	for _, slash := range []string{"", "/"} {
		r.Any("/ingest/:source"+slash, h.named)
		r.POST("/api/v2/alerts"+slash, h.api)
		r.POST("/api/v1/alerts"+slash, h.api)
	}
}

// named answers /ingest/:source.
func (h *Handler) named(c *gin.Context) {
	start := time.Now()
	t := h.sources.Load()
	s := t.byName[c.Param("source")]
	if s == nil {
		h.refuse(c, nil, start, refuse(http.StatusNotFound, "there is no source of this name"))
		return
	}
	if methods := s.Format.methods(); !slices.Contains(methods, c.Request.Method) {
		h.refuse(c, s, start, &refusal{code: http.StatusMethodNotAllowed, reason: "alerts are sent with " + strings.Join(methods, ", "), allow: methods})
		return
	}
	h.serve(c, s, start, h.admit(c.Request, t, s))
}

// api answers /api/v2/alerts and /api/v1/alerts.
func (h *Handler) api(c *gin.Context) {
	start := time.Now()
	s, r := h.apiSource(c.Request, h.sources.Load())
	if s == nil {
		h.refuse(c, nil, start, r)
		return
	}
	h.serve(c, s, start, r)
}

// admit checks the credentials for a source; nil lets the request in.
func (h *Handler) admit(r *http.Request, t *table, s *source) *refusal {
	if !s.configured() && h.open(s.Name) || s.match(r.Context(), s.Name, r, h.tokens) {
		return nil
	}
	for _, other := range t.inTurn {
		if other != s && other.match(r.Context(), other.Name, r, h.tokens) {
			return refuse(http.StatusForbidden, "these are the credentials of another source")
		}
	}
	return refuse(http.StatusUnauthorized, "wrong or missing credentials")
}

// apiSource finds the source for a post that names none: the one of this format
// whose credentials match, else prometheus.
func (h *Handler) apiSource(r *http.Request, t *table) (*source, *refusal) {
	standard := t.byName[Prometheus.Name]
	if standard != nil && standard.Format.Name != Prometheus.Name {
		standard = nil
	}
	if standard != nil && standard.match(r.Context(), standard.Name, r, h.tokens) {
		return standard, nil
	}
	offered := standard != nil
	for _, s := range t.inTurn {
		if s == standard || s.Format.Name != Prometheus.Name {
			continue
		}
		offered = true
		if s.match(r.Context(), s.Name, r, h.tokens) {
			return s, nil
		}
	}
	switch {
	case standard != nil:
		return standard, h.admit(r, t, standard)
	case offered:
		return nil, refuse(http.StatusUnauthorized, "wrong or missing credentials")
	}
	return nil, refuse(http.StatusNotFound, "no source takes what Prometheus posts here")
}

// serve reads, decodes and answers; r, if there is one, is why not.
func (h *Handler) serve(c *gin.Context, s *source, start time.Time, r *refusal) {
	// What is in the body may let it in all the same.
	later := r != nil && r.code == http.StatusUnauthorized && s.signs()
	if r == nil || later {
		if why := h.unreadable(c.Request); why != nil {
			r, later = why, false
		}
	}
	if r != nil && !later {
		h.refuse(c, s, start, r)
		return
	}
	reader := &bodyReader{budget: &h.budget, pace: h.pace, limit: int64(s.BodyLimit), control: http.NewResponseController(c.Writer)}
	if later || s.Format.Verify != nil {
		reader.budget, reader.pace, reader.limit = &h.unprovenBudget, h.unprovenPace, min(reader.limit, int64(unprovenLimit))
	}
	defer reader.release()
	request, err := h.read(c, s, reader)
	if err != nil {
		h.refuse(c, s, start, unread(err, reader.limit))
		return
	}
	if r = h.admitBody(c.Request, s, &request, r); r == nil && !reader.moveTo(&h.budget) {
		r = unread(errNoBudget, reader.limit)
	}
	if r != nil {
		h.refuse(c, s, start, r)
		return
	}
	answer := newResults(len(request.Body))
	defer answer.release()
	code, r := h.ingest(c.Request.Context(), s, request, answer)
	h.record(request, code, r)
	if r != nil {
		h.refuse(c, s, start, r)
		return
	}
	if s.Format.Reply != nil {
		reply := s.Format.Reply(code, answer.n, "")
		write(c.Writer, code, reply.ContentType, reply.Body)
	} else {
		answer.write(c.Writer, code)
	}
	h.observe(s.series, code, start)
}

// record gives the recorder, if there is one, a request of which ingest has
// returned what became. What will come again is not for it.
func (h *Handler) record(r Request, code int, refused *refusal) {
	if h.recorder == nil {
		return
	}
	if refused != nil {
		code = refused.code
	}
	if code != http.StatusServiceUnavailable {
		h.recorder.Record(r, code)
	}
}

// unreadable says why no body is to be read, if there is a reason.
func (h *Handler) unreadable(r *http.Request) *refusal {
	if h.draining.Load() {
		return unavailable("shutting down, send it again")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "compressed bodies are not accepted; send it without Content-Encoding")
	}
	return nil
}

// read reads the body, or takes the query for it.
func (h *Handler) read(c *gin.Context, s *source, reader *bodyReader) (r Request, err error) {
	var body []byte
	if c.Request.Method != http.MethodGet {
		body, err = reader.read(c.Writer, c.Request)
	}
	r = NewRequest(c.Request, body)
	if c.Request.Method == http.MethodGet && s.Format.Tokens == nil { // else that takes it out
		r.Body = []byte(WithoutToken(c.Request.URL.RawQuery))
	}
	r.Source, r.Format, r.ReceivedAt = s.Name, s.Format.Name, h.now()
	return r, err
}

// NewRequest takes from an HTTP request what decoders look at: the body, or for
// a GET the query as a form.
func NewRequest(r *http.Request, body []byte) Request {
	out := Request{Method: r.Method, Path: r.URL.Path, ContentType: r.Header.Get("Content-Type"), Body: body}
	if r.Method == http.MethodGet {
		out.ContentType, out.Body = "application/x-www-form-urlencoded", []byte(r.URL.RawQuery)
	}
	return out
}

// WithoutToken returns a query without the parameter that is for credentials.
func WithoutToken(query string) string {
	kept := strings.Split(query, "&")
	kept = slices.DeleteFunc(kept, func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name) // as it was read when we looked for it
		return err == nil && name == "token"
	})
	return strings.Join(kept, "&")
}

// signs reports whether credentials can be in, or of, the body.
func (s *source) signs() bool { return s.hmac != nil || s.Format.Tokens != nil }

// admitBody checks what is in the body for credentials, takes it out and checks
// the format's own signature. Refused is the refusal of what came before the
// body; nil lets the request in.
func (h *Handler) admitBody(r *http.Request, s *source, request *Request, refused *refusal) *refusal {
	if s.hmac != nil && s.hmac.valid(r.Header, request.Body, request.ReceivedAt) {
		refused = nil
	}
	if s.Format.Tokens != nil {
		tokens, body := s.Format.Tokens(*request)
		request.Body = body
		if refused != nil && s.matchAny(r.Context(), s.Name, tokens, h.tokens) {
			refused = nil
		}
	}
	if refused == nil && s.Format.Verify != nil {
		switch err := s.Format.Verify(r.Header, *request); {
		case errors.Is(err, ErrUnavailable):
			refused = unavailable("it cannot be verified now, send it again")
		case err != nil:
			refused = refuse(http.StatusForbidden, err.Error())
		}
	}
	return refused
}

// unread says what a sender is told whose body, which has a limit, could not be read.
func unread(err error, limit int64) *refusal {
	var r *refusal
	switch {
	case errors.Is(err, ErrTooLarge):
		r = refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than the limit of %v", ByteSize(limit)))
	case errors.Is(err, errNoBudget):
		r = unavailable("too much is being received right now, send it again")
	case isSlow(err):
		r = unavailable("the body came too slowly, send it again")
	default:
		r = refuse(http.StatusBadRequest, "the body ended before its end")
	}
	// There is a rest of the body in the connection.
	r.hangUp = true
	return r
}

// ingest decodes a body, gives its alerts to the sink and writes what became of
// them. All of the body is durable when it returns without a refusal.
func (h *Handler) ingest(ctx context.Context, s *source, request Request, answer *results) (int, *refusal) {
	post := &letters{h: h, source: s, request: request}
	batches, err := h.decode(s, request)
	if err != nil {
		return 0, h.notUnderstood(ctx, post, err)
	}
	s.series.lastReceived.Set(seconds(post.request.ReceivedAt))
	count := s.series.tally()
	defer count.close()
	later := h.waits(s)
	for b := range batches {
		count.receive(b.Len())
		if !later {
			err := h.accept(ctx, s, b, count, post, answer)
			if err == nil {
				continue
			}
			if later = h.spools(s, err); !later {
				return 0, h.failed(ctx, s, err)
			}
		}
		if !s.Spools {
			return 0, h.failed(ctx, s, errBehind)
		}
		postpone(b, count, answer)
	}
	if !later {
		if err := post.flush(ctx); err != nil {
			if later = h.spools(s, err); !later {
				return 0, h.failed(ctx, s, err)
			}
		}
	}
	if later && count.received > 0 {
		if err := h.toSpool(ctx, post.request); err != nil {
			return 0, h.failed(ctx, s, err)
		}
		count.settle()
		return http.StatusAccepted, nil
	}
	count.settle()
	h.recovered(ctx, s)
	return http.StatusOK, nil
}

// recovered logs the end of an outage.
func (h *Handler) recovered(ctx context.Context, s *source) {
	failed := h.failing.Load() && h.failing.Swap(false)
	spooled := h.spooling.Load() && h.spooling.Swap(false)
	if failed || spooled {
		h.log.InfoContext(ctx, "alerts are accepted again", "alert_source", s.Name)
	}
}

// accept makes one batch durable and adds it to the answer; after an error it
// has added and counted nothing.
func (h *Handler) accept(ctx context.Context, s *source, b Batch, count *tally, post *letters, answer *results) error {
	outcomes, err := h.commit(ctx, s, b.Alerts)
	if err != nil {
		return err
	}
	if err := post.all(ctx, b); err != nil {
		return err
	}
	count.add(outcomes, len(b.Rejected))
	answer.addBatch(b, outcomes)
	return nil
}

// commit gives alerts to the sink, and does not believe it everything.
func (h *Handler) commit(ctx context.Context, s *source, alerts []alert.Alert) ([]alert.Outcome, error) {
	if len(alerts) == 0 {
		return nil, nil
	}
	outcomes, err := h.sink.Accept(ctx, s.Name, alerts)
	if err != nil {
		return nil, err
	}
	if len(outcomes) != len(alerts) {
		return nil, fmt.Errorf("ingest: the sink returned %d outcomes for %d alerts", len(outcomes), len(alerts))
	}
	for i := range outcomes {
		if v := outcomes[i].Verdict; v >= alert.Spooled { // the last ones, which are ours to give
			return nil, fmt.Errorf("ingest: the sink returned the verdict %v", v)
		}
	}
	return outcomes, nil
}

// decode calls the format's decoder. One that panics costs this body, nothing else.
func (h *Handler) decode(s *source, r Request) (batches iter.Seq[Batch], err error) {
	defer func() {
		// unreachable: no body is known that makes a decoder panic.
		if p := recover(); p != nil {
			h.log.Error("decoder panicked", "alert_source", s.Name, "panic", p)
			err = bodyError("", "the decoder failed on this body; please report this")
		}
	}()
	return s.Format.Batches(r)
}

// notUnderstood keeps the body as a dead letter and refuses it.
func (h *Handler) notUnderstood(ctx context.Context, post *letters, err error) *refusal {
	var bad *BodyError
	if !errors.As(err, &bad) {
		bad = bodyError("", "%v", err) // unreachable: see Format.Batches
	}
	if err := post.whole(ctx, bad.Field, bad.Reason); err != nil {
		return h.failed(ctx, post.source, err)
	}
	code := http.StatusBadRequest
	if bad.Foreign && foreignType(post.request.ContentType) {
		code = http.StatusUnsupportedMediaType
	}
	return &refusal{code: code, reason: bad.Reason, field: bad.Field}
}

// foreignType reports whether a Content-Type names a format that is none of
// ours. What curl and careless senders say by themselves names nothing.
func foreignType(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "text/plain", "text/json", "application/json", "application/octet-stream", "application/x-www-form-urlencoded":
		return false
	}
	return !strings.HasSuffix(media, "+json")
}

// failed tells the sender to send it again, and logs the first such failure. A
// sender that has gone away is no failure of ours.
func (h *Handler) failed(ctx context.Context, s *source, err error) *refusal {
	if ctx.Err() == nil && !h.failing.Swap(true) {
		h.log.ErrorContext(ctx, "alerts are not accepted", "alert_source", s.Name, "err", err)
	}
	return unavailable("not durable, send it again")
}

// refuse sends a refusal and counts it. A source that there is not is nil.
func (h *Handler) refuse(c *gin.Context, s *source, start time.Time, r *refusal) {
	counted, reply := h.unknown, (func(int, int, string) Reply)(nil)
	if s != nil {
		counted, reply = s.series, s.Format.Reply
	}
	r.write(c.Writer, reply)
	h.observe(counted, r.code, start)
}

func (h *Handler) observe(s *series, code int, start time.Time) {
	s.durations[code].Observe(time.Since(start).Seconds())
}
