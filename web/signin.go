package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web/audit"
	"github.com/tocsin-gateway/tocsin/web/openid"
	"github.com/tocsin-gateway/tocsin/web/session"
)

// The paths of signing in and out.
const (
	pathSignIn   = "/signin"
	pathProvider = "/signin/oidc"
	pathCallback = "/signin/callback"
	pathSignOut  = "/signout"
)

const (
	// cookieSession and cookieLogin are the names of the cookies. Over https they have
	// a prefix that keeps other hosts and plain http from setting them.
	cookieSession = "tocsin"
	cookieLogin   = "tocsin-signin"
	securePrefix  = "__Host-"
	// formLimit is how large the form may be, nextLimit how long the path to go on to,
	// in bytes.
	formLimit = 64 << 10
	// keptLimit is how large a form may be that is kept for somebody who is signed out.
	keptLimit = 1 << 20
	nextLimit = 2000
	// errorLimit is how much is logged of an error that may repeat what a provider said.
	errorLimit = 500
)

// registerSignIn adds the pages for signing in and out.
func (a *API) registerSignIn(engine *gin.Engine) {
	pages := engine.Group("", a.Protect())
	pages.GET(pathSignIn, a.signInPage)
	pages.POST(pathSignIn, a.signIn)
	pages.GET(pathProvider, a.toProvider)
	pages.GET(pathCallback, a.fromProvider)
	pages.POST(pathSignOut, a.signOut)
}

func (a *API) cookieName(r *http.Request, name string) string {
	if a.secure(r) {
		return securePrefix + name
	}
	return name
}

// cookie is the value of one of our cookies, "" if there is none.
func (a *API) cookie(r *http.Request, name string) string {
	c, err := r.Cookie(a.cookieName(r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

// sessionID is the id of the session in a request, "" if there is none.
func (a *API) sessionID(r *http.Request) string { return a.cookie(r, cookieSession) }

// setCookie sets one of our cookies for a time; 0 takes it away. Lax lets it come
// along when somebody follows a link to here from a message, and from the provider.
func (a *API) setCookie(c *gin.Context, name, value string, keep time.Duration) {
	age := int(keep / time.Second)
	if keep == 0 {
		age = -1
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: a.cookieName(c.Request, name), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: a.secure(c.Request), SameSite: http.SameSiteLaxMode})
}

// localPath is where to go on to: a path of ours, or the front page.
func localPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, len(next) > nextLimit, u.Scheme != "", u.Host != "", u.User != nil, u.Opaque != "":
	case !strings.HasPrefix(next, "/"), strings.HasPrefix(next, "//"), strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		// Browsers read a backslash as a slash, and leave out line ends.
	case strings.HasPrefix(path.Clean(u.Path), pathSignIn), strings.HasPrefix(path.Clean(u.Path), pathSignOut), strings.Contains(u.Path, "//"):
	default:
		return next
	}
	return "/"
}

// sentView is a form that came from somebody who is not signed in any more.
type sentView struct {
	Action string
	Fields []sentField
}

type sentField struct{ Name, Value string }

// sendToSignIn answers a browser that asks for a page and is not signed in. One that
// sends a form gets it back: who wrote for long is not to lose it with the session.
func (a *API) sendToSignIn(c *gin.Context) {
	if sent, ok := sentForm(c); ok {
		a.show(c, http.StatusUnauthorized, "Sign in", "again", sent)
		return
	}
	target := pathSignIn
	if safeMethod(c.Request.Method) {
		if next := localPath(c.Request.URL.RequestURI()); next != "/" {
			target += "?next=" + url.QueryEscape(next)
		}
	}
	if a.sessionID(c.Request) != "" {
		a.setCookie(c, cookieSession, "", 0)
	}
	a.goTo(c, target)
}

// sentForm is what a browser sends to a page.
func sentForm(c *gin.Context) (sent sentView, ok bool) {
	sent.Action = localPath(c.Request.URL.RequestURI())
	if c.Request.Method != http.MethodPost || sent.Action == "/" {
		return sent, false
	}
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, keptLimit)
	if c.Request.ParseForm() != nil {
		return sent, false
	}
	for _, name := range slices.Sorted(maps.Keys(c.Request.PostForm)) {
		for _, value := range c.Request.PostForm[name] {
			sent.Fields = append(sent.Fields, sentField{name, value})
		}
	}
	return sent, len(sent.Fields) > 0
}

func (a *API) goTo(c *gin.Context, target string) {
	a.PageHeaders(c)
	c.Header("Location", target)
	c.AbortWithStatus(http.StatusSeeOther)
}

// signInView is what the page for signing in shows.
type signInView struct {
	Button, Name, Next, Wrong string
	Users                     bool
}

func (a *API) showSignIn(c *gin.Context, status int, v signInView) {
	p := a.people.Load()
	v.Users = len(p.users) > 0
	if p.provider != nil {
		v.Button = p.provider.Button()
	}
	a.show(c, status, "Sign in", "signin", v)
}

// signInPage answers GET /signin.
func (a *API) signInPage(c *gin.Context) {
	next := localPath(c.Query("next"))
	_, err := a.bySession(c)
	switch {
	case !a.Authenticated(), err == nil:
		a.goTo(c, next)
	case !errors.Is(err, session.ErrNone):
		a.refuseSignIn(c, err, signInView{Next: next})
	default:
		a.showSignIn(c, http.StatusOK, signInView{Next: next})
	}
}

// signIn answers POST /signin: with a name and a password, or with a token.
func (a *API) signIn(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, formLimit)
	if err := c.Request.ParseForm(); err != nil {
		a.refuseSignIn(c, refuse(http.StatusBadRequest, "This is not the form of this page."), signInView{})
		return
	}
	form := c.Request.PostForm
	v := signInView{Name: form.Get("name"), Next: localPath(form.Get("next"))}
	s, err := a.try(c.Request.Context(), c.ClientIP(), form)
	if err == nil {
		err = a.begin(c, s)
	}
	if err != nil {
		a.leave(c, audit.Record{Action: audit.SignIn, Who: s.Name, How: howOf(s.How), Stranger: true, Status: problemOf(err).Status})
		a.refuseSignIn(c, err, v)
		return
	}
	a.signedIn(c, s, v.Next)
}

// try finds out who signs in with the form. With an error, the session says how they
// tried and, if somebody is called so, as whom.
func (a *API) try(ctx context.Context, client string, form url.Values) (s session.Session, err error) {
	name, password, token := strings.TrimSpace(form.Get("name")), form.Get("password"), strings.TrimSpace(form.Get("token"))
	users := a.people.Load().users
	tried, asked, wrong := []string{client}, session.Session{How: howToken}, "This token is not valid, or has no role."
	if token == "" {
		tried, asked.How, wrong = append(tried, userPrefix+name), howLocal, "Name and password do not fit."
		if _, there := users[name]; there { // else it may be a password in the wrong field
			asked.Name = name
		}
	}
	switch {
	case !a.throttle.Allow(tried...):
		err = errTries()
	case token != "":
		s, err = a.byPastedToken(ctx, token)
	case name == "" || password == "" || len(users) == 0:
		err = refuse(http.StatusBadRequest, "Write a name and a password, or a token.")
	default:
		s, err = a.byPassword(ctx, name, password, tried)
	}
	if errors.Is(err, errWrong) {
		a.throttle.Failed(ctx, tried...)
		err = refuse(http.StatusUnauthorized, "%s", wrong)
	}
	if err != nil {
		return asked, err
	}
	return s, nil
}

// begin begins a session with a new id, and ends the one that the browser had.
func (a *API) begin(c *gin.Context, s session.Session) error {
	ctx := c.Request.Context()
	grant, err := a.grantOf(ctx, s.How, s.Ref)
	if err == nil && grant == "" {
		err = refuse(http.StatusServiceUnavailable, "The configuration has just changed. Sign in again.")
	}
	if err != nil {
		return err
	}
	id, err := a.sessions.Begin(ctx, s, grant)
	if err != nil {
		return err
	}
	if old := a.sessionID(c.Request); old != "" {
		if err := a.sessions.End(ctx, old); err != nil {
			a.log.WarnContext(ctx, "the session before cannot be ended", "name", s.Name, "err", err)
		}
	}
	a.setCookie(c, cookieSession, id, a.sessions.Limit())
	return nil
}

func (a *API) signedIn(c *gin.Context, s session.Session, next string) {
	a.leave(c, audit.Record{Action: audit.SignIn, Who: s.Name, How: howOf(s.How), Status: http.StatusSeeOther})
	a.goTo(c, next)
}

// refuseSignIn shows the page again, with what went wrong.
func (a *API) refuseSignIn(c *gin.Context, err error, v signInView) {
	p := problemOf(err)
	switch p.Status {
	case http.StatusInternalServerError:
		a.log.ErrorContext(c.Request.Context(), "sign-in failed", "err", err)
		v.Wrong = "Something went wrong here; the log has more."
	case http.StatusServiceUnavailable:
		v.Wrong = "Nobody can sign in just now: the store cannot be reached. Try again."
	default:
		v.Wrong = p.Detail
	}
	a.showSignIn(c, p.Status, v)
}

// signOut answers POST /signout.
func (a *API) signOut(c *gin.Context) {
	who, err := a.bySession(c)
	if err == nil {
		err = a.sessions.End(c.Request.Context(), a.sessionID(c.Request))
	}
	if err != nil && !errors.Is(err, session.ErrNone) {
		a.refuseSignIn(c, err, signInView{})
		return
	}
	if err == nil {
		a.leave(c, audit.Record{Action: audit.SignOut, Who: who.Name, How: who.How, Status: http.StatusSeeOther})
	}
	a.setCookie(c, cookieSession, "", 0)
	a.goTo(c, pathSignIn)
}

// toProvider answers GET /signin/oidc: it leads to the provider.
func (a *API) toProvider(c *gin.Context) {
	p := a.people.Load()
	next := localPath(c.Query("next"))
	if p.provider == nil {
		a.goTo(c, pathSignIn)
		return
	}
	ctx := c.Request.Context()
	if !a.leaving.Allow(c.ClientIP()) { // each leaves a record in the store
		a.refuseSignIn(c, refuse(http.StatusTooManyRequests, "Too many attempts. Wait a moment."), signInView{Next: next})
		return
	}
	a.leaving.Failed(ctx, c.ClientIP())
	nonce, verifier := openid.NewVerifier(), openid.NewVerifier()
	state, browser, err := a.sessions.BeginLogin(ctx, session.Login{Nonce: nonce, Verifier: verifier, Next: next})
	if err != nil {
		a.refuseSignIn(c, err, signInView{Next: next})
		return
	}
	target, err := p.provider.Begin(ctx, state, nonce, verifier)
	if err != nil {
		a.providerAway(c, err)
		return
	}
	a.setCookie(c, cookieLogin, browser, session.LoginTime)
	a.goTo(c, target)
}

func (a *API) providerAway(c *gin.Context, err error) {
	a.log.ErrorContext(c.Request.Context(), "the OpenID provider cannot be asked", "err", cut(err.Error(), errorLimit))
	a.show(c, http.StatusServiceUnavailable, "Sign in", "message", "The provider where you sign in does not answer as it should; the log says why. Try again, or sign in in another way.")
}

// fromProvider answers GET /signin/callback, where the provider sends people back to.
func (a *API) fromProvider(c *gin.Context) {
	browser := a.cookie(c.Request, cookieLogin)
	if browser != "" {
		a.setCookie(c, cookieLogin, "", 0)
	}
	ctx := c.Request.Context()
	l, err := a.sessions.TakeLogin(ctx, c.Query("state"), browser)
	var s session.Session
	if err == nil {
		s, err = a.byProvider(ctx, c.Request.URL.Query(), l)
	}
	if err == nil {
		if err = a.begin(c, s); err == nil {
			a.signedIn(c, s, l.Next)
			return
		}
	}
	status, text := http.StatusUnauthorized, "The provider's answer cannot be used. Sign in again."
	switch {
	case errors.Is(err, session.ErrNone):
		text = "This sign-in has expired, was used already, or was begun in another browser. Sign in again."
	case errors.Is(err, openid.ErrNoRole):
		status, text = http.StatusForbidden, "You are signed in at the provider"
		if nameProblem(s.Name) == "" {
			text += " as " + s.Name
		}
		text += ", but none of your groups may use this Tocsin. Ask whoever runs it to give one of them a role, or sign in there as somebody else."
	case errors.Is(err, errDenied):
		status, text = http.StatusForbidden, "The provider did not let you in."
	case errors.Is(err, openid.ErrRefused):
	case errors.Is(err, errAway):
		a.providerAway(c, err)
		return
	default:
		a.refuseSignIn(c, err, signInView{Next: l.Next})
		return
	}
	a.log.WarnContext(ctx, "sign-in at the provider refused", "client", c.ClientIP(), "err", cut(err.Error(), errorLimit))
	a.leave(c, audit.Record{Action: audit.SignIn, Who: cut(s.Name, maxBy), How: audit.OIDCSession, Stranger: true, Status: status})
	a.show(c, status, "Sign in", "message", text)
}

var (
	// errDenied: the provider says no.
	errDenied = errors.New("web: the provider refused")
	// errAway: the provider cannot be asked.
	errAway = errors.New("web: the provider is away")
)

// byProvider finds out whom the provider sent back.
func (a *API) byProvider(ctx context.Context, q url.Values, l session.Login) (session.Session, error) {
	p := a.people.Load()
	if p.provider == nil {
		return session.Session{}, session.ErrNone
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		return session.Session{}, errors.Join(errDenied, errors.New(cut(q.Get("error"), textLimit)))
	}
	who, err := p.provider.Finish(ctx, openid.Answer{Code: q.Get("code"), Issuer: q.Get("iss"), Nonce: l.Nonce, Verifier: l.Verifier})
	s := session.Session{Name: who.Name, Role: who.Role, How: howOIDC, Ref: who.Subject}
	switch {
	case err == nil && nameProblem(who.Name) != "":
		err = errors.Join(openid.ErrRefused, errors.New("the name cannot be used: "+nameProblem(who.Name)))
	case err != nil && !errors.Is(err, openid.ErrRefused) && !errors.Is(err, openid.ErrNoRole):
		err = fmt.Errorf("%w: %v", errAway, err) // not wrapped: a timeout there is none of the store
	}
	return s, err
}

func cut(text string, limit int) string { return strings.ToValidUTF8(text[:min(len(text), limit)], "") }
