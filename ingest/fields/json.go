// Package fields reads what small senders send: JSON of no fixed shape, forms
// and times as people write them, with limits on all of it. What the fields mean
// is the formats' business.
package fields

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

// MaxDepth is how deep JSON may be nested.
const MaxDepth = 32

// maxPlace is how much is said of where a mistake is, in bytes: it is the sender's.
const maxPlace = 200

// maxMembers bounds the members and elements of one body together.
const maxMembers = 100_000

// Object is a JSON object.
type Object = map[string]any

// Number is a JSON number as it was written.
type Number string

// ErrNotJSON: the body does not even begin like JSON.
var ErrNotJSON = errors.New("not JSON")

// JSON reads one JSON value: Object, []any, string, Number, bool or nil. Texts
// are clean, see Clean; flags say if one was not. It refuses names that occur
// twice in an object, which readers take differently. The error says where the
// mistake is.
func JSON(body []byte) (v any, flags alert.Flag, err error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n\ufeff"); len(trimmed) == 0 || !strings.ContainsRune(`{["tfn-0123456789`, rune(trimmed[0])) {
		return nil, 0, ErrNotJSON
	}
	in := jsontext.NewDecoder(bytes.NewBuffer(bytes.TrimPrefix(body, []byte("\ufeff"))), jsontext.AllowInvalidUTF8(true))
	t := tree{in: in}
	if !utf8.Valid(body) { // in that case the tokens are not as they were sent
		t.flags = alert.FlagInvalidUTF8
	}
	if v, err = t.value(0); err == nil {
		if _, err = in.ReadToken(); errors.Is(err, io.EOF) {
			return v, t.flags, nil
		} else if err == nil {
			err = errors.New("there is more after the end")
		}
	}
	return nil, 0, t.explain(err)
}

// tree reads a value.
type tree struct {
	in    *jsontext.Decoder
	flags alert.Flag
	n     int
}

var (
	errDeep = fmt.Errorf("nested deeper than %d", MaxDepth)
	errMany = fmt.Errorf("more than %d members", maxMembers)
)

func (t *tree) value(depth int) (any, error) {
	if t.n++; t.n > maxMembers {
		return nil, errMany
	}
	token, err := t.in.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case jsontext.KindString:
		return t.text(token.String()), nil
	case jsontext.KindNumber:
		return Number(token.String()), nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	case jsontext.KindBeginObject:
		return t.object(depth + 1)
	case jsontext.KindBeginArray:
		return t.array(depth + 1)
	}
	return nil, nil // null
}

func (t *tree) text(s string) string {
	s, flags := Clean(s)
	t.flags |= flags
	return s
}

func (t *tree) object(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, errDeep
	}
	o := Object{}
	for t.in.PeekKind() != jsontext.KindEndObject {
		name, err := t.in.ReadToken()
		if err != nil {
			return nil, err
		}
		key := t.text(name.String()) // the token is gone with the next read
		if o[key], err = t.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := t.in.ReadToken()
	return o, err
}

func (t *tree) array(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, errDeep
	}
	list := []any{}
	for t.in.PeekKind() != jsontext.KindEndArray {
		v, err := t.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := t.in.ReadToken()
	return list, err
}

// explain says where a mistake is.
func (t *tree) explain(err error) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return fmt.Errorf("%w, at byte %d", err, t.in.InputOffset())
	}
	return Explain(err, syntax)
}

// Explain says in words what an error of jsontext means, and where it is.
func Explain(err error, syntax *jsontext.SyntacticError) error {
	place := ""
	if syntax.JSONPointer != "" {
		place = strings.ReplaceAll(strings.TrimPrefix(string(syntax.JSONPointer), "/"), "/", ".")
		if len(place) > maxPlace {
			place = alert.CutText(place, maxPlace) + "…"
		}
		place += ": "
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%snot JSON: it ends in the middle", place)
	}
	return fmt.Errorf("%snot JSON: %w, at byte %d", place, syntax.Err, syntax.ByteOffset)
}

// Text is a value as people read it: a string as it is, a number as it was
// written, true and false; "" for everything else.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case Number:
		return string(v)
	case bool:
		return fmt.Sprint(v)
	}
	return ""
}

// At returns the value at a path of member names, nil if there is none.
func At(v any, path ...string) any {
	for _, name := range path {
		o, ok := v.(Object)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}
