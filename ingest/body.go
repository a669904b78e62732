package ingest

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

const (
	// onePass is the largest body that is decoded while its syntax is being
	// checked. A larger one is checked first and then decoded batch by batch, so
	// that what was decoded never exists as a whole.
	onePass = 1 << 20
	// maxFields is how many members the outermost object of a body may have.
	maxFields = 1024
)

// wire describes one of the two formats that Prometheus and Alertmanager have
// for alerts: what is around the elements, and what the elements mean.
type wire struct {
	// list is the member of the outermost object that holds the elements. If it
	// is empty, the body is the array itself.
	list string
	// known are the fields of an element; others are ignored.
	known field
	// judge fills in what the element's status and times mean.
	judge func(e *element, received time.Time, a *alert.Alert) *problem
	// absent says what to think of a body without list.
	absent string
	// extend is what formats made with Webhook have besides; its functions may be nil.
	extend Extension
}

// batches implements Format.Batches.
func (w *wire) batches(r Request) (iter.Seq[Batch], error) {
	b := &body{wire: w, Request: r}
	if len(r.Body) > onePass {
		if err := b.walk(b.check); err != nil {
			return nil, err
		}
		return b.stream, nil
	}
	c := b.collector(func(batch Batch) bool {
		b.done = append(b.done, batch)
		return true
	})
	if err := b.walk(c.element); err != nil {
		return nil, err
	}
	c.flush()
	return b.collected, nil
}

// body is one body while it is being decoded.
type body struct {
	*wire
	Request
	group Group
	done  []Batch
}

// collected yields the batches of a body that was decoded in one pass.
func (b *body) collected(yield func(Batch) bool) {
	for _, batch := range b.done {
		if !yield(b.finish(batch)) {
			return
		}
	}
}

// stream decodes a body that was checked before, and yields batch by batch.
func (b *body) stream(yield func(Batch) bool) {
	more := true
	c := b.collector(func(batch Batch) bool {
		more = yield(b.finish(batch))
		return more
	})
	// The error can only be errStopped: the body was checked.
	if err := b.walk(c.element); err == nil && more {
		c.flush()
	}
}

// finish adds what the body says about all its alerts, which may stand after them.
func (b *body) finish(batch Batch) Batch {
	batch.Group = b.group
	only := batch.First == 0 && batch.Len() == 1
	for i := range batch.Alerts {
		a := &batch.Alerts[i]
		a.LeftOut = b.group.LeftOut
		if b.extend.Group != nil {
			b.extend.Group(b.group, only, a)
		}
	}
	return batch
}

// errStopped ends a walk whose elements nobody wants any more.
var errStopped = errors.New("ingest: stopped")

// check is the walk's function for a body that is only to be checked.
func (b *body) check(_ int, raw []byte) error {
	if depth, _ := measure(raw); b.depth()+depth > maxDepth {
		return errTooDeep
	}
	return nil
}

// depth is how deep the elements are in the body.
func (w *wire) depth() int {
	if w.list == "" {
		return 1
	}
	return 2
}

// place implements Format.Place.
func (w *wire) place(i int) string { return w.list + "[" + strconv.Itoa(i) + "]" }

// errTooDeep is made a BodyError by walk.
var errTooDeep = errors.New("ingest: too deep")

// walk reads the body from end to end, checks that it is JSON and of the right
// shape, and calls each for every element. Equal names within an element and
// invalid UTF-8 are not its business. Its error is a *BodyError or errStopped.
func (b *body) walk(each func(i int, raw []byte) error) error {
	in := jsontext.NewDecoder(bytes.NewBuffer(b.Body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	err := b.outermost(in, each)
	if err == nil {
		err = b.end(in)
	}
	var bad *BodyError
	switch {
	case err == nil, errors.Is(err, errStopped), errors.As(err, &bad):
		return err
	default:
		return b.syntaxError(err)
	}
}

func (b *body) outermost(in *jsontext.Decoder, each func(int, []byte) error) error {
	kind := in.PeekKind()
	switch {
	case len(bytes.TrimSpace(b.Body)) == 0:
		return bodyError("", "the body is empty")
	case b.list == "" && kind == jsontext.KindBeginArray:
		return b.array(in, each)
	case b.list != "" && kind == jsontext.KindBeginObject:
		return b.object(in, each)
	}
	if _, err := in.ReadValue(); err != nil {
		bad := b.syntaxError(err)
		bad.Foreign = kind == jsontext.KindInvalid
		return bad
	}
	if b.list == "" {
		return bodyError("", "the body is %s, must be an array of alerts", kindName(kind))
	}
	return bodyError("", "the body is %s, must be an object with an array %q", kindName(kind), b.list)
}

// end reports what stands after the outermost value.
func (b *body) end(in *jsontext.Decoder) error {
	offset := in.InputOffset()
	if _, err := in.ReadToken(); err != io.EOF {
		return bodyError("", "not JSON: there is something after the end, at byte %d", offset)
	}
	return nil
}

// array reads the elements.
func (b *body) array(in *jsontext.Decoder, each func(int, []byte) error) error {
	if _, err := in.ReadToken(); err != nil {
		return err // unreachable: the bracket was peeked
	}
	for i := 0; in.PeekKind() != jsontext.KindEndArray; i++ {
		value, err := in.ReadValue()
		if err != nil {
			return err
		}
		switch err := each(i, b.last(in, value)); {
		case errors.Is(err, errTooDeep):
			return bodyError(b.place(i), "nested deeper than %d", maxDepth)
		case err != nil:
			return err
		}
	}
	_, err := in.ReadToken()
	return err
}

// last returns the value that was read last, as part of the body. The decoder's
// buffer is the body too, but what we keep must not depend on that.
func (b *body) last(in *jsontext.Decoder, value jsontext.Value) []byte {
	end := int(in.InputOffset())
	return b.Body[end-len(value) : end : end]
}

// object reads an object with the elements in one of its members.
func (b *body) object(in *jsontext.Decoder, each func(int, []byte) error) error {
	if _, err := in.ReadToken(); err != nil {
		return err // unreachable: the brace was peeked
	}
	seen := make(names, 0, 16)
	for in.PeekKind() != jsontext.KindEndObject {
		quoted, err := in.ReadValue()
		if err != nil {
			return err
		}
		name := text(b.last(in, quoted))
		if err := seen.add(name); err != nil {
			return err
		}
		if name != b.list {
			if err := b.member(in, name); err != nil {
				return err
			}
			continue
		}
		if kind := in.PeekKind(); kind != jsontext.KindBeginArray {
			if _, err := in.ReadValue(); err != nil {
				return err
			}
			return bodyError(b.list, "%s, must be an array", kindName(kind))
		}
		if err := b.array(in, each); err != nil {
			return err
		}
	}
	if !seen.has(b.list) {
		return bodyError(b.list, "absent; %s", b.absent)
	}
	_, err := in.ReadToken()
	return err
}

// member reads a member of the outermost object that is not the elements. They
// describe the group, not an alert, so that one with an odd value is taken for
// absent rather than that the alerts were refused.
func (b *body) member(in *jsontext.Decoder, name string) error {
	value, err := in.ReadValue()
	if err != nil {
		return err
	}
	kind := value.Kind()
	if kind == jsontext.KindBeginObject || kind == jsontext.KindBeginArray {
		if depth, _ := measure(value); 1+depth > maxDepth {
			return bodyError(member(name)[1:], "nested deeper than %d", maxDepth)
		}
		return nil
	}
	if kind == jsontext.KindString {
		b.group.set(name, b.last(in, value))
	}
	if name == "truncatedAlerts" && kind == jsontext.KindNumber {
		if n, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			b.group.LeftOut = int(n)
		}
	}
	return nil
}

// set sets the field of g that the member name is for.
func (g *Group) set(name string, quoted []byte) {
	switch name {
	case "receiver":
		g.Receiver = text(quoted)
	case "status":
		g.Status = text(quoted)
	case "groupKey":
		g.Key = text(quoted)
	case "notification_reason":
		g.Reason = text(quoted)
	case "title":
		g.Title = text(quoted)
	case "message":
		g.Message = text(quoted)
	}
}

// text returns the text of a JSON string, valid UTF-8 without NUL. It may share
// memory with it.
func text(quoted []byte) string {
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return alias(inner)
	}
	b, _ := jsontext.AppendUnquote(nil, quoted)
	return string(bytes.ReplaceAll(b, []byte{0}, []byte("\uFFFD")))
}

// names are the names in the outermost object: a few, so that looking through
// all of them costs less than a map.
type names []string

func (ns names) has(name string) bool { return slices.Contains(ns, name) }

// add adds name, or returns the error if that makes too many or it is known.
func (ns *names) add(name string) error {
	if len(*ns) == maxFields {
		return bodyError("", "more than %d members in the outermost object", maxFields)
	}
	if ns.has(name) {
		return bodyError(member(name)[1:], "occurs twice")
	}
	*ns = append(*ns, name)
	return nil
}

// syntaxError makes an error of jsontext a BodyError.
func (b *body) syntaxError(err error) *BodyError {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return bodyError("", "not JSON: %v", err) // unreachable: a bytes.Buffer has no other errors
	}
	offset := min(int(syntax.ByteOffset), len(b.Body))
	place := path(syntax.JSONPointer)
	if len(place) > 0 && place[0] == '.' {
		place = place[1:]
	}
	// jsontext has its own limit, far beyond ours.
	if depth, _ := measure(b.Body[:offset]); depth > maxDepth {
		return bodyError("", "nested deeper than %d", maxDepth)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return bodyError(place, "not JSON: the body ends in the middle, at byte %d", len(b.Body))
	}
	return bodyError(place, "not JSON: %v, at byte %d", syntax.Err, offset)
}
