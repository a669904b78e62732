package answers

import (
	"context"
	"errors"
	"strings"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/notify"
)

// typeName is the document type of what an incident is called in a tool; the id is
// TOOL/NAME, the text {"key": …} with our key. Some webhooks, such as those of
// notes, only have the tool's own name.
const typeName = "answer_name"

const (
	// nameLimit bounds the name that a tool has for an incident, in bytes.
	nameLimit = 128
	// sweepAtOnce is how many names are looked at when one is added.
	sweepAtOnce = 20
)

// name is the stored text.
type name struct {
	Key string `json:"key"`
}

// nameID is the document's id, ok false for what cannot be a name.
func nameID(tool, theirs string) (id string, ok bool) {
	if theirs == "" || len(theirs) > nameLimit || strings.ContainsFunc(theirs, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return "", false
	}
	return tool + "/" + theirs, true
}

// remember notes what an incident is called in a tool.
func (h *Handler) remember(ctx context.Context, tool, theirs, key string) error {
	id, ok := nameID(tool, theirs)
	if !ok {
		return nil
	}
	for {
		d, err := h.options.Store.Document(ctx, typeName, id)
		if err != nil && !errors.Is(err, incident.ErrNotFound) {
			return err
		}
		text, err := encode(name{key})
		if err != nil || string(d.Data) == string(text) {
			return err
		}
		_, err = h.options.Store.PutDocument(ctx, incident.Document{Type: typeName, ID: id, Version: d.Version, Data: text})
		if !errors.Is(err, incident.ErrConflict) {
			if err == nil {
				h.sweep(ctx)
			}
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// recall returns the key of the incident that a tool calls so, empty if there is none.
func (h *Handler) recall(ctx context.Context, tool, theirs string) (key string, err error) {
	id, ok := nameID(tool, theirs)
	if !ok {
		return "", nil
	}
	d, err := h.options.Store.Document(ctx, typeName, id)
	if errors.Is(err, incident.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var n name
	if err := decode(d.Data, &n); err != nil {
		return "", nil // not what we wrote; the next event about it mends it
	}
	return n.Key, nil
}

// sweep looks through some of the names and removes those of incidents that do not
// exist any more. What is added pays for what is removed, so they stay in bounds.
func (h *Handler) sweep(ctx context.Context) {
	h.mu.Lock()
	after := h.swept
	h.mu.Unlock()
	docs, err := h.options.Store.Documents(ctx, typeName, after, sweepAtOnce)
	if err != nil {
		return // the next one does it
	}
	next := ""
	for _, d := range docs {
		next = d.ID
		var n name
		_ = decode(d.Data, &n) // then it is nobody's
		id, ours := notify.ParseKey(n.Key)
		if ours {
			if _, err := h.options.Store.Incident(ctx, id.String()); !errors.Is(err, incident.ErrNotFound) {
				continue
			}
		}
		_, _ = h.options.Store.PutDocument(ctx, incident.Document{Type: typeName, ID: d.ID, Version: d.Version}) // or the next time
	}
	if len(docs) < sweepAtOnce {
		next = ""
	}
	h.mu.Lock()
	h.swept = next
	h.mu.Unlock()
}
