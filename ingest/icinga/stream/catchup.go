package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxAnswer bounds what Icinga says about all of its hosts or services.
const maxAnswer = 256 << 20

// question asks for objects of one type.
// https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/#advanced-filters
type question struct {
	Attrs     []string           `json:"attrs"`
	Filter    string             `json:"filter"`
	Variables map[string]float64 `json:"filter_vars"`
}

// object is one of the answer.
type object struct {
	Attrs attributes `json:"attrs"`
}

// attributes are those that are asked for.
type attributes struct {
	Name     string `json:"name"`
	HostName string `json:"host_name"`
	// LastHardState is a number: 0 to 3 for services, 0 and 1 for hosts.
	LastHardState       float64        `json:"last_hard_state"`
	LastHardStateChange float64        `json:"last_hard_state_change"`
	LastCheckResult     jsontext.Value `json:"last_check_result"`
	DowntimeDepth       float64        `json:"downtime_depth"`

	ServiceName string  `json:"service_name"`
	Author      string  `json:"author"`
	Text        string  `json:"text"`
	EntryTime   float64 `json:"entry_time"`
	ExpireTime  float64 `json:"expire_time"`
	Sticky      bool    `json:"sticky"`
}

// state is an event that Icinga would have sent when the object came into the
// state that it is in; it never does with LastHardStateChange.
type state struct {
	Type                string         `json:"type"`
	Host                string         `json:"host"`
	Service             string         `json:"service,omitempty"`
	State               float64        `json:"state"`
	StateType           int            `json:"state_type"`
	LastHardStateChange float64        `json:"last_hard_state_change"`
	CheckResult         jsontext.Value `json:"check_result"`
}

// acknowledged is the event of an acknowledgement, made of the comment that is
// left with one.
type acknowledged struct {
	Type      string  `json:"type"`
	Host      string  `json:"host"`
	Service   string  `json:"service,omitempty"`
	Author    string  `json:"author"`
	Comment   string  `json:"comment"`
	Kind      int     `json:"acknowledgement_type"`
	Expiry    float64 `json:"expiry"`
	Timestamp float64 `json:"timestamp"`
}

// Problems returns the hard states of all that is not well, as events, one a line:
// also of what is in a downtime, because that is not over.
func (s *Stream) Problems(ctx context.Context) ([]byte, error) {
	var all []byte
	gather := func(_ context.Context, lines []byte) error {
		if all = append(all, lines...); len(all) > maxAnswer {
			return fmt.Errorf("stream: more than %d bytes of problems", maxAnswer)
		}
		return nil
	}
	for kind, attrs := range objects() {
		q := question{Attrs: attrs, Filter: kind + ".last_hard_state != 0"}
		err := s.each(ctx, "/v1/objects/"+kind+"s", q, gather, func(o object) any {
			if o.Attrs.LastHardStateChange == 0 {
				return nil
			}
			return hardState(kind, &o.Attrs)
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// objects are the kinds of objects with what is asked of them. A host has no
// host_name, and Icinga refuses if it is asked for.
func objects() iter.Seq2[string, []string] {
	attrs := []string{"name", "last_hard_state", "last_hard_state_change", "last_check_result", "downtime_depth"}
	return func(yield func(string, []string) bool) {
		_ = yield("host", attrs) && yield("service", append(slices.Clone(attrs), "host_name"))
	}
}

// catchUp takes the hard state of all that is not well, or has changed since
// everything was last taken, and the acknowledgements since then. What was taken
// before is taken again; it is no news.
func (s *Stream) catchUp(ctx context.Context) error {
	began := s.Now()
	for kind, attrs := range objects() {
		q := question{Attrs: attrs, Filter: kind + ".last_hard_state != 0 || " + kind + ".last_hard_state_change >= since",
			Variables: map[string]float64{"since": seconds(s.since.Add(-skew))}}
		if err := s.each(ctx, "/v1/objects/"+kind+"s", q, s.take, func(o object) any { return stateOf(kind, o) }); err != nil {
			return err
		}
	}
	// Without the skew: an acknowledgement that is taken twice is written down twice.
	q := question{Attrs: []string{"host_name", "service_name", "author", "text", "entry_time", "expire_time", "sticky"},
		Filter: "comment.entry_type == 4 && comment.entry_time >= since", Variables: map[string]float64{"since": seconds(s.since)}}
	if err := s.each(ctx, "/v1/objects/comments", q, s.take, acknowledgementOf); err != nil {
		return err
	}
	s.since = began
	return nil
}

// stateOf makes the event of an object's state; nil if there is none to tell.
func stateOf(kind string, o object) any {
	a := &o.Attrs
	switch {
	case a.LastHardStateChange == 0 || len(a.LastCheckResult) == 0 || a.LastCheckResult.Kind() == jsontext.KindNull:
		return nil // it was not checked yet, or is not sure of its first problem
	case a.LastHardState != 0 && a.DowntimeDepth > 0:
		return nil // it is expected to be so
	}
	return hardState(kind, a)
}

// hardState makes the event of an object's hard state.
func hardState(kind string, a *attributes) any {
	event := state{Type: "StateChange", Host: a.Name, State: a.LastHardState, StateType: 1,
		LastHardStateChange: a.LastHardStateChange, CheckResult: a.LastCheckResult}
	if kind == "service" {
		event.Host, event.Service = a.HostName, a.Name
	}
	return event
}

func acknowledgementOf(o object) any {
	a, kind := &o.Attrs, 1
	if a.Sticky {
		kind = 2
	}
	return acknowledged{Type: "AcknowledgementSet", Host: a.HostName, Service: a.ServiceName, Author: a.Author, Comment: a.Text,
		Kind: kind, Expiry: a.ExpireTime, Timestamp: a.EntryTime}
}

// each asks for objects and takes the events that are made of them.
func (s *Stream) each(ctx context.Context, path string, q question, take func(context.Context, []byte) error, event func(object) any) error {
	// The time is for Icinga's answer, not for ours to it.
	answering, cancel := context.WithCancel(ctx)
	defer cancel()
	slow := time.AfterFunc(answerTimeout, cancel)
	defer slow.Stop()

	body, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	answer, err := s.ask(answering, http.MethodGet, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	in := jsontext.NewDecoder(io.LimitReader(answer, maxAnswer))
	if err := findResults(in); err != nil {
		return fmt.Errorf("stream: %s: %w", path, err)
	}
	var lines bytes.Buffer
	for in.PeekKind() == jsontext.KindBeginObject {
		var o object
		if err := json.UnmarshalDecode(in, &o); err != nil {
			return fmt.Errorf("stream: %s: %w", path, err)
		}
		made := event(o)
		if made == nil {
			continue
		}
		if err := json.MarshalWrite(&lines, made); err != nil {
			return fmt.Errorf("stream: %s: %w", path, err)
		}
		lines.WriteByte('\n')
		if lines.Len() >= maxBatch {
			slow.Stop()
			if err := take(ctx, lines.Bytes()); err != nil {
				return err
			}
			lines = bytes.Buffer{}
			slow.Reset(answerTimeout)
		}
	}
	if _, err := in.ReadToken(); err != nil {
		return fmt.Errorf("stream: %s: %w", path, err)
	}
	if lines.Len() == 0 {
		return nil
	}
	return take(ctx, lines.Bytes())
}

// findResults reads up to the first of the results.
func findResults(in *jsontext.Decoder) error {
	if token, err := in.ReadToken(); err != nil {
		return err
	} else if token.Kind() != jsontext.KindBeginObject {
		return errors.New("the answer is no JSON object")
	}
	for in.PeekKind() == jsontext.KindString {
		name, err := in.ReadToken()
		if err != nil {
			return err
		}
		if name.String() != "results" {
			if err := in.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if token, err := in.ReadToken(); err != nil {
			return err
		} else if token.Kind() != jsontext.KindBeginArray {
			return errors.New("results is no list")
		}
		return nil
	}
	return errors.New("the answer has no results")
}

func seconds(t time.Time) float64 {
	if t.Unix() < 0 {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
