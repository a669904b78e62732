package console

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// registerOperations adds the pages for those who keep Tocsin going. What a person may
// do is for the API to say.
func (k *Console) registerOperations(viewer *gin.RouterGroup) {
	pages := viewer.Group("/operations")
	pages.GET("", k.operations)
	pages.GET("/sources", k.sources)
	pages.GET("/deadletters", k.letters)
	pages.GET("/deadletters/:id", k.letter)
	pages.POST("/deadletters/:id", k.retryLetter)
	pages.GET("/receivers", k.receivers)
	pages.POST("/receivers", k.testReceiver)
	pages.POST("/undelivered", k.retryUndelivered)
	pages.GET("/silences", k.silences)
	pages.GET("/silences/new", k.newSilence)
	pages.POST("/silences/new", k.putSilence)
	pages.POST("/silences/expire", k.expireSilence)
	pages.GET("/config", k.config)
	pages.GET("/audit", k.auditLog)
}

// done are the words for what was just done, by what stands in the query: a page says
// nothing that a link made up.
var done = map[string]string{
	"silenced": "The silence is made. It holds within a few seconds, or as soon as it begins.",
	"expired":  "The silence has expired.",
	"again":    "It is being tried again.",
}

// operate answers with one of these pages.
func (k *Console) operate(c *gin.Context, status int, name, title string, data any) {
	k.render(c, status, name, &view{Title: title, Section: "operations", Said: done[c.Query("done")], Data: data})
}

// asProblem is what the API has against a request; another error is shown as a page,
// and then the answer is false.
func (k *Console) asProblem(c *gin.Context, err error) (*problem, bool) {
	var p *problem
	if err == nil || errors.As(err, &p) && p.Status < http.StatusInternalServerError && p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden {
		return p, true
	}
	k.fail(c, err)
	return nil, false
}

// late is from how late on a job is stuck.
const late = time.Minute

// operationsData is what the first page shows.
type operationsData struct {
	Sources     web.SourcesJSON
	Missing     int // heartbeats
	Lost        []web.SourceJSON
	Letters     int
	MoreLetters bool
	Undelivered int
	MoreFailed  bool
	LateJobs    []web.JobJSON
	Silences    int
	Config      web.ConfigJSON
}

// operations answers GET /operations: what needs somebody.
func (k *Console) operations(c *gin.Context) {
	var d operationsData
	err := k.readOperations(c, &d)
	if err != nil {
		k.fail(c, err)
		return
	}
	k.operate(c, http.StatusOK, "operations", "Operations", d)
}

func (k *Console) readOperations(c *gin.Context, d *operationsData) (err error) {
	if d.Sources, err = get[web.SourcesJSON](k, c, "/api/v1/sources"); err != nil {
		return err
	}
	for _, h := range d.Sources.Heartbeats {
		if h.Missing {
			d.Missing++
		}
	}
	for _, s := range d.Sources.Sources {
		if s.UnderWay > 0 {
			d.Lost = append(d.Lost, s)
		}
	}
	letters, err := get[web.LettersJSON](k, c, "/api/v1/deadletters")
	if err != nil {
		return err
	}
	d.Letters, d.MoreLetters = len(letters.Letters), letters.NextCursor != ""
	failed, err := get[web.UndeliveredJSON](k, c, "/api/v1/undelivered")
	if err != nil {
		return err
	}
	d.Undelivered, d.MoreFailed = len(failed.Undelivered), failed.NextCursor != ""
	jobs, err := get[web.JobsJSON](k, c, "/api/v1/jobs")
	if err != nil {
		return err
	}
	d.LateJobs = slices.DeleteFunc(jobs.Jobs, func(j web.JobJSON) bool { return j.Lag < late.Seconds() })
	active, err := get[[]silence](k, c, "/api/v2/silences?expired=false&pending=false")
	if err != nil {
		return err
	}
	d.Silences = len(active)
	d.Config, err = get[web.ConfigJSON](k, c, "/api/v1/config")
	return err
}

// sources answers GET /operations/sources.
func (k *Console) sources(c *gin.Context) {
	found, err := get[web.SourcesJSON](k, c, "/api/v1/sources")
	if err != nil {
		k.fail(c, err)
		return
	}
	// What nobody sends and nobody set up is of no interest.
	found.Sources = slices.DeleteFunc(found.Sources, func(s web.SourceJSON) bool { return s.Format == "" && s.Received == 0 && s.DeadLetters == 0 })
	slices.SortStableFunc(found.Sources, func(a, b web.SourceJSON) int { return cmp.Compare(min(b.Received, 1), min(a.Received, 1)) }) // those that send first
	k.operate(c, http.StatusOK, "sources", "Sources", found)
}

// letters answers GET /operations/deadletters.
func (k *Console) letters(c *gin.Context) {
	page, err := get[web.LettersJSON](k, c, "/api/v1/deadletters?cursor="+url.QueryEscape(c.Query("cursor")))
	if err != nil {
		k.fail(c, err)
		return
	}
	k.operate(c, http.StatusOK, "letters", "Dead letters", page)
}

// bodyShown is how much of a body a page shows, in bytes.
const bodyShown = 64 << 10

// letterData is what the page of a dead letter shows.
type letterData struct {
	Letter web.LetterBodyJSON
	// Body is the beginning of it as text, cut if there is more.
	Body    string
	BodyCut bool
	// Retried is what became of it just now, Problem why that failed.
	Retried *web.RetryJSON
	Problem *problem
}

// letter answers GET /operations/deadletters/{id}.
func (k *Console) letter(c *gin.Context) { k.showLetter(c, http.StatusOK, letterData{}) }

func (k *Console) showLetter(c *gin.Context, status int, d letterData) {
	var err error
	if d.Letter, err = get[web.LetterBodyJSON](k, c, "/api/v1/deadletters/"+url.PathEscape(c.Param("id"))); err != nil {
		k.fail(c, err)
		return
	}
	if d.Letter.Text != nil {
		d.Body = *d.Letter.Text
		if d.BodyCut = len(d.Body) > bodyShown; d.BodyCut {
			d.Body = strings.ToValidUTF8(d.Body[:bodyShown], "")
		}
	}
	k.operate(c, status, "letter", "Dead letter", d)
}

// retryLetter answers POST /operations/deadletters/{id}.
func (k *Console) retryLetter(c *gin.Context) {
	var v web.RetryJSON
	err := post(k, c, "/api/v1/deadletters/"+url.PathEscape(c.Param("id"))+"/retry", nil, &v)
	p, ok := k.asProblem(c, err)
	switch {
	case !ok:
	case p != nil && p.Status == http.StatusNotFound:
		k.fail(c, p)
	case p != nil:
		k.showLetter(c, p.Status, letterData{Problem: p})
	case v.Removed:
		k.operate(c, http.StatusOK, "letter", "Dead letter", letterData{Retried: &v})
	default:
		k.showLetter(c, http.StatusOK, letterData{Retried: &v})
	}
}

// receiversData is what the page of receivers shows.
type receiversData struct {
	Receivers   []named
	Undelivered web.UndeliveredJSON
	Jobs        []web.JobJSON
	// Tested is the receiver that was just told of a drill, and Results how that went.
	Tested  string
	Results web.TestedJSON
	Problem *problem
	// By is the name that was written into the form.
	By string
}

// named is a receiver as Alertmanager's API lists it.
type named struct {
	Name string `json:"name"`
}

// receivers answers GET /operations/receivers.
func (k *Console) receivers(c *gin.Context) { k.showReceivers(c, http.StatusOK, receiversData{}) }

func (k *Console) showReceivers(c *gin.Context, status int, d receiversData) {
	var err error
	if d.Receivers, err = get[[]named](k, c, "/api/v2/receivers"); err == nil {
		d.Undelivered, err = get[web.UndeliveredJSON](k, c, "/api/v1/undelivered?cursor="+url.QueryEscape(c.Query("cursor")))
	}
	var jobs web.JobsJSON
	if err == nil {
		jobs, err = get[web.JobsJSON](k, c, "/api/v1/jobs")
	}
	if err != nil {
		k.fail(c, err)
		return
	}
	d.Jobs = jobs.Jobs
	k.operate(c, status, "receivers", "Receivers and jobs", d)
}

// order is what a form says to the API.
type order struct {
	By     string `json:"by,omitzero"`
	Target string `json:"target,omitzero"`
}

// testReceiver answers POST /operations/receivers.
func (k *Console) testReceiver(c *gin.Context) {
	values, err := readForm(c)
	d := receiversData{Tested: values.Get("receiver"), By: values.Get("by")}
	if err == nil {
		err = post(k, c, "/api/v1/receivers/"+segment(d.Tested)+"/test", order{By: d.By}, &d.Results)
	}
	var ok bool
	if d.Problem, ok = k.asProblem(c, err); !ok {
		return
	}
	status := http.StatusOK
	if d.Problem != nil {
		status = d.Problem.Status
	}
	k.showReceivers(c, status, d)
}

// retryUndelivered answers POST /operations/undelivered.
func (k *Console) retryUndelivered(c *gin.Context) {
	values, err := readForm(c)
	by := values.Get("by")
	if err == nil {
		err = post(k, c, incidentPath(values.Get("incident"))+"/notifications/retry", order{by, values.Get("target")}, nil)
	}
	p, ok := k.asProblem(c, err)
	switch {
	case !ok:
	case p != nil:
		k.showReceivers(c, p.Status, receiversData{Problem: p, By: by})
	default:
		c.Redirect(http.StatusSeeOther, "/operations/receivers?done=again")
	}
}

// config answers GET /operations/config.
func (k *Console) config(c *gin.Context) {
	found, err := get[web.ConfigJSON](k, c, "/api/v1/config")
	if err != nil {
		k.fail(c, err)
		return
	}
	k.operate(c, http.StatusOK, "config", "Configuration", found)
}

// auditLog answers GET /operations/audit.
func (k *Console) auditLog(c *gin.Context) {
	page, err := get[web.AuditJSON](k, c, "/api/v1/audit?cursor="+url.QueryEscape(c.Query("cursor")))
	if err != nil {
		k.fail(c, err)
		return
	}
	k.operate(c, http.StatusOK, "audit", "Audit log", page)
}

// ruleTable is a list of rules under a heading with an id.
type ruleTable struct {
	ID    string
	Rules []web.RuleJSON
}
