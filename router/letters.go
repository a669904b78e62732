package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/incident"
)

// Letter is a dead letter: something that a sender posted and that could not be
// understood. It is kept so that a person can see it, and try it again once the
// configuration (or Tocsin) understands it.
type Letter struct {
	// ID is the same for the same mistake with the same body.
	ID     string `json:"id"`
	Source string `json:"source"`
	Format string `json:"format"`
	// Reason says what is wrong, Field where.
	Reason string `json:"reason"`
	Field  string `json:"field"`
	// Method, Path and ContentType are those of the latest request, without credentials.
	Method      string `json:"method"`
	Path        string `json:"path"`
	ContentType string `json:"content_type"`
	// Body is what was posted, or the part of it that is meant; Cut says that it
	// is not all of it.
	Body []byte `json:"body"`
	Cut  bool   `json:"cut"`
	// Count is how often it came, between FirstAt and LastAt.
	Count   uint64    `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
}

// typeLetter is the document type.
const typeLetter = "deadletter"

// lettersKept bounds the dead letters; beyond it new ones are only counted.
const lettersKept = 10_000

// lettersAtOnce is how many are read at once to count them; each has a body.
const lettersAtOnce = 100

// PutLetter stores l, or counts it if it is there already.
func (p *Pipeline) PutLetter(ctx context.Context, l Letter) error {
	for _, text := range [...]*string{&l.ID, &l.Source, &l.Format, &l.Reason, &l.Field, &l.Method, &l.Path, &l.ContentType} {
		*text = strings.ToValidUTF8(*text, "\uFFFD") // or it could not be kept
	}
	for {
		err := p.putLetter(ctx, l)
		if !errors.Is(err, incident.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (p *Pipeline) putLetter(ctx context.Context, l Letter) error {
	known, err := p.store.Document(ctx, typeLetter, l.ID)
	switch {
	case errors.Is(err, incident.ErrNotFound):
		if l.Count, l.FirstAt = 1, l.LastAt; p.lettersFull(ctx) {
			p.log.WarnContext(ctx, "too many dead letters, this one is not kept", "alert_source", l.Source, "reason", l.Reason)
			return nil
		}
	case err != nil:
		return err
	default:
		var was Letter
		if err := json.Unmarshal(known.Data, &was); err != nil {
			return fmt.Errorf("router: dead letter %s: %w", l.ID, err)
		}
		l.Count, l.FirstAt = was.Count+1, was.FirstAt
	}
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("router: dead letter %s: %w", l.ID, err)
	}
	_, err = p.store.PutDocument(ctx, incident.Document{Type: typeLetter, ID: l.ID, Version: known.Version, Data: data})
	return err
}

// lettersFull counts at most once in a while: the bound is not exact.
func (p *Pipeline) lettersFull(ctx context.Context) bool {
	if n := p.letters.Add(1); n%1000 != 1 {
		return n > lettersKept
	}
	n, behind := 0, ""
	for {
		some, err := p.store.Documents(ctx, typeLetter, behind, lettersAtOnce)
		if err != nil {
			return false
		}
		if n += len(some); len(some) < lettersAtOnce || n > lettersKept {
			break
		}
		behind = some[len(some)-1].ID
	}
	p.letters.Store(int64(n) + 1)
	return n >= lettersKept
}

// Letters lists the dead letters in the order of their ids, after the given one.
func (p *Pipeline) Letters(ctx context.Context, after string, limit int) ([]Letter, error) {
	documents, err := p.store.Documents(ctx, typeLetter, after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Letter, len(documents))
	for n, d := range documents {
		if err := json.Unmarshal(d.Data, &out[n]); err != nil {
			return nil, fmt.Errorf("router: dead letter %s: %w", d.ID, err)
		}
	}
	return out, nil
}

// Letter returns one dead letter.
func (p *Pipeline) Letter(ctx context.Context, id string) (Letter, error) {
	d, err := p.store.Document(ctx, typeLetter, id)
	if err != nil {
		return Letter{}, err
	}
	var l Letter
	if err := json.Unmarshal(d.Data, &l); err != nil {
		return l, fmt.Errorf("router: dead letter %s: %w", id, err)
	}
	return l, nil
}

// DropLetter removes a dead letter that was dealt with.
func (p *Pipeline) DropLetter(ctx context.Context, id string) error {
	d, err := p.store.Document(ctx, typeLetter, id)
	if err != nil {
		return err
	}
	_, err = p.store.PutDocument(ctx, incident.Document{Type: typeLetter, ID: id, Version: d.Version})
	if err == nil {
		p.letters.Add(-1)
	}
	return err
}
