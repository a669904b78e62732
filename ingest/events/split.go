package events

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// maxEvents is how many events one body may hold.
const maxEvents = 50_000

// split returns the events in a body, as they stand there: an object with an
// array "events", an array, or an object that is one event. What is wrong within
// one of them is not its business.
func split(body []byte) ([][]byte, error) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\ufeff"))
	s := splitter{body: body, in: jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	kind := s.in.PeekKind()
	if kind != jsontext.KindBeginArray && kind != jsontext.KindBeginObject {
		if _, _, err := fields.JSON(body); err != nil {
			return nil, ingest.NotJSON(err)
		}
		return nil, ingest.Errorf("", `the body must be an object with an array "events", an array of events, or one event`)
	}
	err := s.outermost(kind)
	if err == nil {
		if _, err = s.in.ReadToken(); errors.Is(err, io.EOF) {
			return s.events, nil
		} else if err == nil {
			err = ingest.Errorf("", "not JSON: there is something after the end")
		}
	}
	var bad *ingest.BodyError
	if errors.As(err, &bad) {
		return nil, bad
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		err = fields.Explain(err, syntax)
	}
	return nil, ingest.NotJSON(err)
}

type splitter struct {
	body   []byte
	in     *jsontext.Decoder
	events [][]byte
}

func (s *splitter) outermost(kind jsontext.Kind) error {
	if kind == jsontext.KindBeginArray {
		return s.array()
	}
	// A first look: is it one event, or are there several in it?
	if !s.several() {
		value, err := s.in.ReadValue()
		if err != nil {
			return err
		}
		s.add(value)
		return nil
	}
	if _, err := s.in.ReadToken(); err != nil {
		return err // unreachable: the brace was peeked
	}
	for seen := false; s.in.PeekKind() != jsontext.KindEndObject; seen = true {
		token, err := s.in.ReadToken()
		if err != nil {
			return err
		}
		switch name := token.String(); {
		case name != "events":
			name, _ = fields.Clean(alert.CutText(name, 64))
			return ingest.Errorf(name, "there is no such member beside events%s", hint(nearest.Suggest(name, []string{"events"})))
		case seen:
			return ingest.Errorf("events", "occurs twice")
		case s.in.PeekKind() != jsontext.KindBeginArray:
			return ingest.Errorf("events", "must be an array of events")
		}
		if err := s.array(); err != nil {
			return err
		}
	}
	_, err := s.in.ReadToken()
	return err
}

// several reports whether the object that begins the body has a member "events".
func (s *splitter) several() bool {
	in := jsontext.NewDecoder(bytes.NewBuffer(s.body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := in.ReadToken(); err != nil {
		return false // unreachable: the brace was peeked
	}
	for in.PeekKind() == jsontext.KindString {
		name, err := in.ReadToken()
		if err != nil || name.String() == "events" {
			return err == nil
		}
		if in.SkipValue() != nil {
			return false
		}
	}
	return false
}

func (s *splitter) array() error {
	if _, err := s.in.ReadToken(); err != nil {
		return err // unreachable: the bracket was peeked
	}
	for s.in.PeekKind() != jsontext.KindEndArray {
		value, err := s.in.ReadValue()
		if err != nil {
			return err
		}
		if len(s.events) == maxEvents {
			return ingest.Errorf("events", "more than %d; send them in several requests", maxEvents)
		}
		s.add(value)
	}
	_, err := s.in.ReadToken()
	return err
}

// add keeps the value that was read last, as part of the body.
func (s *splitter) add(value jsontext.Value) {
	end := int(s.in.InputOffset())
	s.events = append(s.events, s.body[end-len(value):end:end])
}
