package web

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/router"
)

// amSilenceJSON is a silence as Alertmanager shows it.
type amSilenceJSON struct {
	ID          string             `json:"id"`
	Status      amSilenceStatus    `json:"status"`
	UpdatedAt   amTime             `json:"updatedAt"`
	Comment     string             `json:"comment"`
	CreatedBy   string             `json:"createdBy"`
	StartsAt    amTime             `json:"startsAt"`
	EndsAt      amTime             `json:"endsAt"`
	Matchers    []silences.Matcher `json:"matchers"`
	Annotations map[string]string  `json:"annotations"`
}

type amSilenceStatus struct {
	State string `json:"state"`
}

func (a *API) viewSilence(s *silences.Silence) amSilenceJSON {
	return amSilenceJSON{s.ID, amSilenceStatus{s.State(a.store.Now())}, amTime(s.UpdatedAt), s.Comment, s.CreatedBy, amTime(s.StartsAt), amTime(s.EndsAt),
		s.Matchers, orEmpty(s.Annotations)}
}

// amSilences answers GET /api/v2/silences.
func (a *API) amSilences(c *gin.Context) {
	q := newAMQuery(c)
	filter := q.filter()
	wanted := map[string]bool{silences.Active: q.flag("active"), silences.Pending: q.flag("pending"), silences.Expired: q.flag("expired")}
	if q.err != nil {
		a.amFail(c, q.err)
		return
	}
	list, err := a.silences.List(c.Request.Context())
	if err != nil {
		a.amFail(c, err)
		return
	}
	out := []amSilenceJSON{}
	for _, s := range list {
		if v := a.viewSilence(s); s.Has(filter) && wanted[v.Status.State] {
			out = append(out, v)
		}
	}
	a.answer(c, http.StatusOK, out)
}

// amSilence answers GET /api/v2/silence/{id}.
func (a *API) amSilence(c *gin.Context) {
	s, err := a.silences.Get(c.Request.Context(), c.Param("id"))
	if err != nil {
		a.amFail(c, err)
		return
	}
	a.answer(c, http.StatusOK, a.viewSilence(s))
}

// amPutSilence answers POST /api/v2/silences.
func (a *API) amPutSilence(c *gin.Context) {
	body, err := readAll(c, bodyLimit)
	if err == nil {
		err = shallow(body)
	}
	var s *silences.Silence
	if err == nil {
		s, err = silences.Parse(body)
	}
	var id, message string
	if err == nil {
		message, err = idempotencyKey(c)
	}
	if err == nil {
		if s.RecordedBy = identityOf(c); s.CreatedBy == "" {
			s.CreatedBy = s.RecordedBy
		}
		id, err = a.silences.PutOnce(c.Request.Context(), s, message)
	}
	if err != nil {
		a.amFail(c, err)
		return
	}
	a.log.InfoContext(c.Request.Context(), "silence written", "silence", id, "created_by", s.CreatedBy, "by", identityOf(c), "until", s.EndsAt, "replaces", s.ID)
	a.answer(c, http.StatusOK, struct {
		ID string `json:"silenceID"`
	}{id})
}

// amExpire answers DELETE /api/v2/silence/{id}.
func (a *API) amExpire(c *gin.Context) {
	if err := a.silences.Expire(c.Request.Context(), c.Param("id")); err != nil {
		a.amFail(c, err)
		return
	}
	a.log.InfoContext(c.Request.Context(), "silence expired", "silence", c.Param("id"), "by", identityOf(c))
	c.Status(http.StatusOK)
}

// previewSilence answers POST /api/v1/silences/preview.
func (a *API) previewSilence(c *gin.Context) {
	var body struct {
		Matchers []silences.Matcher `json:"matchers"`
	}
	err := newQuery(c).done()
	if err == nil {
		err = readJSON(c, &body)
	}
	var p *silences.Preview
	if err == nil {
		p, err = a.silences.Preview(c.Request.Context(), body.Matchers)
	}
	if err != nil {
		a.fail(c, asInput(err))
		return
	}
	a.answer(c, http.StatusOK, p)
}

// asInput makes a mistake in a silence one of a field.
func asInput(err error) error {
	if bad, ok := err.(*silences.InvalidError); ok { //nolint:errorlint // it is never wrapped
		return &router.InputError{Field: firstOf(bad.Field, "body"), Reason: bad.Reason}
	}
	return err
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
