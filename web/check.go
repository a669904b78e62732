package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/router"
)

// The limits of what commands say, in bytes.
const (
	// lineLimit is that of one line, paragraphLimit that of a few, and pageLimit that
	// of what somebody found out.
	lineLimit      = 1 << 10
	paragraphLimit = 2 << 10
	pageLimit      = 4 << 10
	// linkLimit is that of an address.
	linkLimit = 2 << 10
)

func wrong(field, format string, args ...any) error {
	return &router.InputError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// checkName checks the name of somebody or something, which stands in one line.
func checkName(field, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return wrong(field, "is missing")
	case len(name) > maxBy:
		return wrong(field, "longer than %d bytes", maxBy)
	case strings.ContainsFunc(name, unicode.IsControl):
		return wrong(field, "holds a control character")
	}
	return nil
}

// checkWho checks the name of a person that somebody else names.
func checkWho(field, name string) error {
	if err := checkName(field, name); err != nil {
		return err
	}
	return checkBy(field, name)
}

// checkNames checks a list of names.
func checkNames(field string, names []string, limit int) error {
	if len(names) > limit {
		return wrong(field, "more than %d", limit)
	}
	for n, name := range names {
		if err := checkName(field+"."+strconv.Itoa(n), name); err != nil {
			return err
		}
	}
	return nil
}

// checkSaid is checkText for what has to be said.
func checkSaid(field, text string, limit int) error {
	if strings.TrimSpace(text) == "" {
		return wrong(field, "is missing")
	}
	return checkText(field, text, limit)
}

// checkTime checks a moment that has to be there.
func checkTime(field string, at time.Time) error {
	if at.IsZero() {
		return wrong(field, "is missing; write it as RFC 3339, such as 2026-11-21T04:00:00Z")
	}
	return checkTimeIfAny(field, at)
}

// checkTimeIfAny checks a moment that may be absent.
func checkTimeIfAny(field string, at time.Time) error {
	if year := at.UTC().Year(); year < 1 || year > 9999 {
		return wrong(field, "is not within the years 1 to 9999")
	}
	return nil
}

// checkLink checks an address that people will follow.
func checkLink(field, address string) error {
	u, err := url.Parse(address)
	switch {
	case address == "":
		return wrong(field, "is missing")
	case len(address) > linkLimit:
		return wrong(field, "longer than %d bytes", linkLimit)
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", strings.ContainsFunc(address, unicode.IsSpace):
		return wrong(field, "is no address that begins with http:// or https://")
	case u.User != nil:
		return wrong(field, "holds a user name or a password, which would be shown to everybody")
	}
	return nil
}

// when is a moment that may be null, for never.
type when struct {
	said bool
	at   time.Time
}

// UnmarshalJSON notes that something was said, also if it is null.
func (w *when) UnmarshalJSON(b []byte) error {
	if w.said = true; string(b) == "null" {
		return nil
	}
	return w.at.UnmarshalJSON(b)
}

// number is the part of the path that names an update or an action.
func number(c *gin.Context) (uint64, error) {
	n, err := strconv.ParseUint(c.Param("n"), 10, 64)
	if err != nil || n == 0 {
		return 0, wrong("n", "%q is not a number such as 1", c.Param("n"))
	}
	return n, nil
}

// run does a command: it reads body, of which cmd is a part, and edits the incident if
// check has nothing against it.
func (a *API) run(c *gin.Context, body any, cmd *command, check func() error, edit func(e *incident.Edit) error) {
	err := a.read(c, body, cmd)
	if err == nil && check != nil {
		err = check()
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.act(c, edit)
}

// checkOneOf is oneOf for what may be left out.
func checkOneOf(field, value string, list []string) error {
	if value == "" {
		return nil
	}
	return oneOf(field, value, list)
}

// checkReceivers checks names of receivers against those that there are, if that is known.
func (a *API) checkReceivers(field string, names []string, limit int) error {
	if err := checkNames(field, names, limit); err != nil || a.options.ReceiverNames == nil {
		return err
	}
	known := a.options.ReceiverNames()
	for n, name := range names {
		if !slices.Contains(known, name) {
			return wrong(field+"."+strconv.Itoa(n), "there is no receiver %q", name)
		}
	}
	return nil
}
