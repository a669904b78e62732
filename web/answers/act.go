package answers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/router"
)

// said is what a person said in a tool.
type said struct {
	// id identifies it; the same id acts once.
	id string
	// incident and cycle are what it is about.
	incident incident.ID
	cycle    int
	// keyed: that comes from a key which the tool knows it by.
	keyed bool
	// at is when it was said by the tool's clock, zero if it does not say.
	at time.Time
	// by is who said it, where is the tool.
	by, where string
	// text is a comment, or the note.
	text string
	do   deed
}

// deed is what is done. It says so by the result it has.
type deed struct {
	result string
	edit   func(e *incident.Edit, by, text string) error
	// anyCycle: it also fits when the incident was opened again since.
	anyCycle bool
	// still: it also fits then if a tool says it of what it knows by a key, because
	// the tool has not heard that it was over in between.
	still bool
}

var (
	acknowledge   = deed{result: resultAcknowledged, still: true, edit: (*incident.Edit).Take}
	unacknowledge = deed{result: resultUnacknowledged, still: true, edit: (*incident.Edit).Unacknowledge}
	resolve       = deed{result: resultResolved, edit: (*incident.Edit).Resolve}
	note          = deed{result: resultNoted, anyCycle: true, edit: func(e *incident.Edit, by, text string) error {
		return e.Note(by, text, time.Time{})
	}}
)

// errEarlier: it is about a cycle that is over.
var errEarlier = errors.New("answers: of an earlier cycle")

// act does what was said, once. What does not fit is no error, but an answer that
// says why nothing was done: to send it again would not help.
func (h *Handler) act(ctx context.Context, s said) (Answer, error) {
	_, a, err := h.actOn(ctx, s)
	return a, err
}

// actOn is act that also returns the incident, nil if there is none.
func (h *Handler) actOn(ctx context.Context, s said) (*incident.Incident, Answer, error) {
	changed := false
	i, again, err := h.options.Actor.ActOnce(ctx, s.incident.String(), s.id, func(e *incident.Edit) error {
		changed = false
		if s.earlier(e.Incident) {
			return errEarlier
		}
		e.From(s.where)
		err := s.do.edit(e, s.by, s.text)
		changed = e.Changed()
		return err
	})
	var conflict *router.ConflictError
	a := Answer{Result: resultUnchanged}
	switch {
	case errors.Is(err, incident.ErrNotFound):
		return nil, Answer{Result: resultUnknown, Note: "there is no such incident (any more)"}, nil
	case errors.Is(err, errEarlier):
		a.Note = "the incident was opened again since"
	case errors.As(err, &conflict):
		i = conflict.Current
		a.Note = conflict.Reason
	case err != nil:
		return nil, a, err
	case again:
		a.Note = "this came before"
	case changed:
		a.Result = s.do.result
	default:
		a.Note = "it was so already"
	}
	if i == nil {
		if i, err = h.options.Store.Incident(ctx, s.incident.String()); err != nil {
			return nil, a, err
		}
	}
	a.Incident = i.Reference
	return i, a, nil
}

// earlier reports whether it is about a cycle of the incident that is over. A tool
// that has not heard of that means the present one, if it was said in that: a
// webhook that comes late must not acknowledge what nobody has seen.
func (s *said) earlier(i *incident.Incident) bool {
	switch {
	case s.do.anyCycle || i.Reopens == s.cycle:
		return false
	case s.keyed && s.do.still:
		return !s.at.IsZero() && s.at.Before(i.CycleOpenedAt)
	}
	return true
}

// about reads the key that we gave a tool for an incident.
func (s *said) about(key string) (ours bool) {
	s.incident, s.cycle, ours = notify.ParseKeyCycle(key)
	s.keyed = ours
	return ours
}

// nameKept bounds a person's name in bytes.
const nameKept = 200

// person is the name of who acted, fit for a timeline: one line, not too long, and
// not ours. A person without a name is called after the tool.
func person(tool string, names ...string) string {
	for _, name := range names {
		name = notify.Cut(notify.Line(name), nameKept)
		if name == "" || strings.IndexFunc(name, unicode.IsGraphic) < 0 {
			continue
		}
		if strings.EqualFold(name, incident.System) {
			return fmt.Sprintf("%s (%s)", name, tool)
		}
		return name
	}
	return "somebody in " + tool
}

// comment is what a person wrote, bounded.
func comment(text string) string {
	return alert.CutText(strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD")), commentKept)
}
