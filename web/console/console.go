// Package console is the web console: what people on call look at and work with in
// a browser. Its pages are made on the server and work without a script; the script
// adds what is better with one, such as live updates.
//
// It is a client of the API that runs in the same process: what it shows it has
// asked the API for, and what people do goes through the API, with their own
// rights. So it can show and do nothing that the API would not.
package console

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

// Options are what a Console needs.
type Options struct {
	// API says who may come in.
	API *web.API
	// Board knows the open incidents.
	Board Board
	// Severities are all that there are, the worst first.
	Severities func() []string
	// Version is what the pages say of Tocsin.
	Version string
	Log     *slog.Logger
	// Now is the clock of the store; nil means time.Now.
	Now func() time.Time
}

// Console serves the pages. Its methods may be called from any goroutine.
type Console struct {
	options Options
	log     *slog.Logger
	// api answers the console's own requests, in this process.
	api   http.Handler
	pages map[string]*template.Template
	files map[string]asset
	// sent are the forms that arrived lately.
	sent *once

	drawn drawn

	// choices are what the board's filters offer, of the board's version choicesOf.
	choicesMu sync.Mutex
	choices   boardChoices
	choicesOf uint64
}

// New returns a Console. It reads and starts nothing.
func New(o Options) (*Console, error) {
	if o.API == nil || o.Board == nil || o.Severities == nil || o.Log == nil {
		return nil, errors.New("console: an API, a board, severities and a logger are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	k := &Console{options: o, log: o.Log.With("component", "console"), sent: newOnces(o.Now)}
	var err error
	if k.files, err = readAssets(); err != nil {
		return nil, err
	}
	if k.pages, err = k.readPages(); err != nil {
		return nil, err
	}
	o.API.SetPage(func(c *gin.Context, status int, title string, body template.HTML) {
		k.render(c, status, "signin", &view{Title: title, Data: body})
	})
	return k, nil
}

// Register adds the pages to the engine, which answers the API too.
func (k *Console) Register(engine *gin.Engine) {
	k.api = engine
	engine.NoRoute(k.nowhere)
	engine.GET(assetsPath+":name", k.asset) // for everybody: they are the same for all Tocsins
	viewer := engine.Group("", k.options.API.Require(web.RoleViewer))
	viewer.GET("/", k.board)
	viewer.GET("/wall", k.wall)
	viewer.POST("/seen", k.seen)
	responder := engine.Group("", k.options.API.Require(web.RoleResponder))
	responder.POST("/views", k.saveView)
	responder.POST("/views/:name/delete", k.deleteView)
	viewer.GET("/incidents/:id", k.incident)
	viewer.GET("/incidents/:id/do/:command", k.commandForm)
	viewer.POST("/incidents/:id/do/:command", k.command)
	viewer.POST("/do/:command", k.commandForMany)
	viewer.GET("/report", k.reportForm)
	viewer.POST("/report", k.report)
	viewer.GET("/analysis", k.analysis)
	viewer.GET("/explain", k.explain)
	viewer.POST("/explain", k.explain)
	k.registerOperations(viewer)
}

// nowhere answers for addresses at which there is nothing: people with a page.
func (k *Console) nowhere(c *gin.Context) {
	if strings.HasPrefix(c.Request.URL.Path, "/api/") || !strings.Contains(c.GetHeader("Accept"), "text/html") {
		k.options.API.NotFound(c)
		return
	}
	if k.options.API.Require(web.RoleViewer)(c); !c.IsAborted() {
		k.fail(c, &problem{web.Problem{Status: http.StatusNotFound, Title: "Not found", Detail: "There is nothing at this address."}})
	}
}
