package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// LetterJSON is a dead letter as the API shows it, without its body.
type LetterJSON struct {
	ID          string     `json:"id"`
	Source      string     `json:"source"`
	Format      string     `json:"format"`
	Reason      string     `json:"reason"`
	Field       string     `json:"field"`
	Method      string     `json:"method"`
	Path        string     `json:"path"`
	ContentType string     `json:"content_type"`
	Size        int        `json:"size"`
	Cut         bool       `json:"cut"`
	Count       uint64     `json:"count"`
	FirstAt     *time.Time `json:"first_at"`
	LastAt      *time.Time `json:"last_at"`
}

// LetterBodyJSON is a dead letter with its body: all of it in base64, and as
// text if it is one.
type LetterBodyJSON struct {
	LetterJSON
	Body string  `json:"body"`
	Text *string `json:"text"`
}

func viewLetter(l *router.Letter) LetterJSON {
	return LetterJSON{l.ID, l.Source, l.Format, l.Reason, l.Field, l.Method, l.Path, l.ContentType, len(l.Body), l.Cut, l.Count,
		stamp(l.FirstAt), stamp(l.LastAt)}
}

// lettersAtOnce is how many dead letters are held in memory while a page is
// made: each may be 1 MiB long.
const lettersAtOnce = 20

// LettersJSON is a page of dead letters, in the order of their ids.
type LettersJSON struct {
	Letters    []LetterJSON `json:"deadletters"`
	NextCursor string       `json:"next_cursor"`
}

// letters answers GET /api/v1/deadletters.
func (a *API) letters(c *gin.Context) {
	q := newQuery(c)
	limit, cursor := q.limit(), q.text("cursor")
	err := q.done()
	var page LettersJSON
	if err == nil {
		page, err = a.lettersPage(c.Request.Context(), cursor, limit)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.answer(c, http.StatusOK, page)
}

// lettersPage reads one more than the limit, to know whether this is the last page.
func (a *API) lettersPage(ctx context.Context, after string, limit int) (LettersJSON, error) {
	page := LettersJSON{Letters: []LetterJSON{}}
	for {
		ask := min(lettersAtOnce, limit+1-len(page.Letters))
		some, err := a.pipeline.Letters(ctx, after, ask)
		if err != nil {
			return page, err
		}
		for n := range some {
			page.Letters = append(page.Letters, viewLetter(&some[n]))
			after = some[n].ID
		}
		if len(page.Letters) > limit {
			page.Letters = page.Letters[:limit]
			page.NextCursor = page.Letters[limit-1].ID
			return page, nil
		}
		if len(some) < ask {
			return page, nil
		}
	}
}

// findLetter reads the dead letter that the path names.
func (a *API) findLetter(c *gin.Context) (router.Letter, error) {
	if err := newQuery(c).done(); err != nil {
		return router.Letter{}, err
	}
	l, err := a.pipeline.Letter(c.Request.Context(), c.Param("id"))
	if errors.Is(err, incident.ErrNotFound) {
		return l, notFound("dead letter", c.Param("id"))
	}
	return l, err
}

// letter answers GET /api/v1/deadletters/{id}.
func (a *API) letter(c *gin.Context) {
	l, err := a.findLetter(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	v := LetterBodyJSON{LetterJSON: viewLetter(&l), Body: base64.StdEncoding.EncodeToString(l.Body)}
	if utf8.Valid(l.Body) {
		text := string(l.Body)
		v.Text = &text
	}
	a.answer(c, http.StatusOK, v)
}

// RetryJSON says what became of a dead letter that was tried again.
type RetryJSON struct {
	Received int           `json:"received"`
	Results  []OutcomeJSON `json:"results"`
	// Removed: nothing was rejected, the letter is gone.
	Removed bool `json:"removed"`
}

// retryLetter answers POST /api/v1/deadletters/{id}/retry.
func (a *API) retryLetter(c *gin.Context) {
	l, err := a.findLetter(c)
	switch {
	case err != nil:
	case l.Cut:
		err = refuse(http.StatusConflict, "only a part of the body was kept, so it cannot be tried again")
	case a.options.Retry == nil:
		err = refuse(http.StatusNotImplemented, "this server cannot try dead letters again")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	outcomes, err := a.options.Retry(c.Request.Context(), l)
	if err != nil {
		a.fail(c, err)
		return
	}
	v := RetryJSON{Received: len(outcomes), Results: []OutcomeJSON{}, Removed: true}
	for _, o := range outcomes {
		v.Removed = v.Removed && o.Verdict != alert.Rejected && o.Verdict != alert.Failed
		v.Results = append(v.Results, ViewOutcome(o))
	}
	if v.Removed {
		// Its alerts are in: that stays so although the client may be gone by now.
		if err := a.pipeline.DropLetter(context.WithoutCancel(c.Request.Context()), l.ID); err != nil && !errors.Is(err, incident.ErrNotFound) {
			a.log.WarnContext(c.Request.Context(), "dead letter not removed", "letter", l.ID, "err", err)
			v.Removed = false // it came again meanwhile, or the store is away: retrying does no harm
		}
	}
	a.answer(c, http.StatusOK, v)
}
