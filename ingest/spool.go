package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// spoolTime is how long a sender waits for the disk of the spool.
const spoolTime = 5 * time.Second

// errBehind: the source does not spool any more, but what it spooled comes first.
var errBehind = errors.New("ingest: requests of this source wait in the spool, those that come now have to come again")

// waits reports whether requests of the source wait already, so that one that
// comes now would overtake them.
func (h *Handler) waits(s *source) bool { return h.spool != nil && h.spool.Holds(s.Name) }

// spools reports whether a request goes to the spool because of err.
func (h *Handler) spools(s *source, err error) bool {
	if h.spool == nil || !s.Spools || !errors.Is(err, ErrUnavailable) {
		return false
	}
	if !h.spooling.Swap(true) {
		h.log.Warn("alerts are spooled", "alert_source", s.Name, "err", err)
	}
	return true
}

// postpone adds a batch to the answer that will be in the spool. What cannot be
// understood in it gets its dead letter when it comes out.
func postpone(b Batch, count *tally, answer *results) {
	outcomes := make([]alert.Outcome, len(b.Alerts))
	for i := range outcomes {
		outcomes[i].Verdict = alert.Spooled
	}
	count.add(outcomes, len(b.Rejected))
	answer.addBatch(b, outcomes)
}

// toSpool keeps the request, also if its sender has gone away: it may have seen
// nothing but a time-out, and not come back.
func (h *Handler) toSpool(ctx context.Context, r Request) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spoolTime)
	defer cancel()
	return h.spool.Append(ctx, r)
}

// Replay takes requests of one source out of the spool, in their order and as of
// the time they came. It returns when all of them are durable, and may be called
// again for the same ones. After ErrUnavailable they can be taken later. After
// another error perhaps, too; with certain those that are refused again, each by
// itself, are set aside, and so are those that nobody understands any more.
func (h *Handler) Replay(ctx context.Context, requests []Request, certain bool) error {
	err := h.replay(ctx, requests)
	if err == nil || !certain || h.mayPass(ctx, err) {
		return err
	}
	for _, r := range requests {
		err := h.replay(ctx, []Request{r})
		if err != nil && !h.mayPass(ctx, err) {
			err = h.setAside(ctx, r, "", "the store refuses it: "+err.Error())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayPass reports whether err is none of the request's fault.
func (h *Handler) mayPass(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrUnavailable)
}

func (h *Handler) replay(ctx context.Context, requests []Request) (err error) {
	defer func() {
		// A request that makes us panic must not end the process again and again.
		if p := recover(); p != nil {
			err = fmt.Errorf("ingest: replay: panic: %v", p)
		}
	}()
	r := &replaying{h: h, count: h.replayed.tally()}
	defer r.count.close()
	for _, request := range requests {
		if err := r.request(ctx, request); err != nil {
			return err
		}
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	r.count.settle()
	return nil
}

// replaying are requests of one source on their way out of the spool.
type replaying struct {
	h     *Handler
	count *tally
	// alerts gathers those of several requests, up to BatchSize.
	alerts []alert.Alert
	source *source
}

// request takes one request.
func (r *replaying) request(ctx context.Context, request Request) error {
	if r.h.sources.Load().byName[request.Source] == nil {
		return r.h.setAside(ctx, request, "", fmt.Sprintf("the source %s is not configured any more", request.Source))
	}
	format, ok := r.h.format(request)
	if !ok {
		return r.h.setAside(ctx, request, "", fmt.Sprintf("this version does not know the format %s", request.Format))
	}
	if r.source == nil || r.source.Format.Name != format.Name {
		r.source = r.h.replayer(request, format)
	}
	batches, err := r.h.decode(r.source, request)
	if err != nil {
		var bad *BodyError
		if !errors.As(err, &bad) {
			bad = bodyError("", "%v", err) // unreachable: see Format.Batches
		}
		return r.h.setAside(ctx, request, bad.Field, bad.Reason)
	}
	r.h.replayed.lastReceived.Set(seconds(request.ReceivedAt))
	post := &letters{h: r.h, source: r.source, request: request}
	for b := range batches {
		r.count.receive(b.Len())
		if len(r.alerts)+len(b.Alerts) > BatchSize {
			if err := r.commit(ctx); err != nil {
				return err
			}
		}
		r.alerts = append(r.alerts, b.Alerts...)
		if len(b.Rejected)+len(b.Unparsed) == 0 {
			continue
		}
		// The good ones first: if the letter is refused they need not be.
		if err := r.commit(ctx); err != nil {
			return err
		}
		if err := post.all(ctx, b); err != nil {
			return err
		}
		r.count.add(nil, len(b.Rejected))
	}
	return post.flush(ctx)
}

// format is the one that a request of the spool is in: its source's, as that is
// configured, or what is known under that name.
func (h *Handler) format(r Request) (Format, bool) {
	if s := h.sources.Load().byName[r.Source]; s != nil && s.Format.Name == r.Format {
		return s.Format, true
	}
	f, ok := h.formats[r.Format]
	return f, ok
}

// commit makes durable what was gathered.
func (r *replaying) commit(ctx context.Context) error {
	outcomes, err := r.h.commit(ctx, r.source, r.alerts)
	if err != nil {
		return err
	}
	r.count.add(outcomes, 0)
	clear(r.alerts) // they hold on to bodies
	r.alerts = r.alerts[:0]
	return nil
}

// replayer is the source of a request that comes out of the spool: its own, but
// in the format that the request is in and counted apart.
func (h *Handler) replayer(r Request, f Format) *source {
	return &source{Source: Source{Name: r.Source, Format: f}, series: h.replayed}
}

// setAside keeps a request that nobody will take: as a file, which is the whole of
// it, and as a dead letter, so that somebody sees it.
func (h *Handler) setAside(ctx context.Context, r Request, field, reason string) error {
	path, err := h.spool.SetAside(r)
	if err != nil {
		return err
	}
	h.log.ErrorContext(ctx, "a request of the spool is set aside", "alert_source", r.Source, "file", path, "reason", reason)
	format, _ := h.format(r)
	post := &letters{h: h, source: h.replayer(r, format), request: r}
	err = post.whole(ctx, field, fmt.Sprintf("%s (answered 202, and set aside in %s)", reason, path))
	if err != nil && !h.mayPass(ctx, err) {
		h.log.ErrorContext(ctx, "no dead letter for it", "file", path, "err", err)
		return nil
	}
	return err
}
