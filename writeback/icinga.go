package writeback

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// Icinga writes to an Icinga 2 through its REST API. Its user needs the
// permissions actions/acknowledge-problem, actions/remove-acknowledgement and
// actions/add-comment.
//
// https://icinga.com/docs/icinga-2/latest/doc/12-icinga2-api/#actions
type Icinga struct {
	// Sticky acknowledgements stay until all is well, others until the state changes.
	Sticky bool
	// Notify lets Icinga tell its own users.
	Notify bool

	server Server
	client *http.Client
}

// NewIcinga checks s and reads its files. It connects to nothing.
func NewIcinga(s Server) (*Icinga, error) {
	s.URL = strings.TrimRight(s.URL, "/")
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	return &Icinga{server: s, client: client}, nil
}

// action is the body of a request. The object is named and not looked for with a
// filter: where a filter finds nothing Icinga says 500 and not 404.
type action struct {
	Type    string `json:"type"`
	Host    string `json:"host,omitempty"`
	Service string `json:"service,omitempty"`
	Author  string `json:"author"`
	Comment string `json:"comment,omitempty"`
	Sticky  *bool  `json:"sticky,omitempty"`
	Notify  *bool  `json:"notify,omitempty"`
}

// Acknowledge acknowledges the problem. One that is acknowledged already is left
// as it is.
func (i *Icinga) Acknowledge(ctx context.Context, t Target) error {
	return i.do(ctx, "acknowledge-problem", t, func(a *action) { a.Sticky, a.Notify = &i.Sticky, &i.Notify })
}

// Unacknowledge takes the acknowledgement away, if there is one.
func (i *Icinga) Unacknowledge(ctx context.Context, t Target) error {
	return i.do(ctx, "remove-acknowledgement", t, func(a *action) { a.Comment = "" })
}

// Note leaves a comment.
func (i *Icinga) Note(ctx context.Context, t Target) error {
	return i.do(ctx, "add-comment", t, func(*action) {})
}

func (i *Icinga) do(ctx context.Context, name string, t Target, change func(*action)) error {
	t, err := t.checked()
	if err != nil {
		return err
	}
	a := action{Type: "Host", Host: t.Host, Author: t.Author, Comment: t.Comment}
	if t.Service != "" {
		a.Type, a.Host, a.Service = "Service", "", t.Host+"!"+t.Service
	}
	change(&a)
	body, err := json.Marshal(a)
	if err != nil {
		return permanent("%v", err) // unreachable: texts are valid
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.server.URL+"/v1/actions/"+name, bytes.NewReader(body))
	if err != nil {
		return permanent("%v", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	answer, text, err := i.server.send(i.client, r)
	if err != nil {
		return err
	}
	return judge(name, answer.StatusCode, text)
}

// result is what Icinga says it did with one object.
type result struct {
	Code   float64 `json:"code"`
	Status string  `json:"status"`
}

// judge reads an answer. A conflict is no mistake: somebody was quicker, there or
// here, or the problem is over.
func judge(action string, status int, text []byte) error {
	var said struct {
		Results []result `json:"results"`
		Status  string   `json:"status"`
	}
	problem := json.Unmarshal(text, &said)
	results := said.Results
	if len(results) == 0 {
		results = []result{{Code: float64(status), Status: said.Status}}
	}
	for _, r := range results {
		code := int(r.Code)
		err := fmt.Errorf("writeback: icinga %s: %d %.200q", action, code, r.Status)
		switch {
		case code == http.StatusConflict:
		case code/100 == 2 && problem == nil:
		case code/100 == 2: // a proxy's page, not Icinga's answer
			return fmt.Errorf("writeback: icinga %s: the answer is not JSON: %.100q", action, text)
		case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code == http.StatusUnauthorized || code/100 == 5 || code/100 == 3:
			return err // 401: until somebody sets the password right
		default:
			return fmt.Errorf("%w: %w", err, ErrPermanent)
		}
	}
	return nil
}
