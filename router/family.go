package router

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Incidents that people put together are told of each other in two writes: the
// child's first, which arms a job that does the second, so that a crash between them
// leaves nothing half done. Whoever did the first does the second at once as well, to
// answer with what came of it.

// Merge makes the named incident a part of the one that into names, on terms as with
// ActOn.
func (p *Pipeline) Merge(ctx context.Context, name, into string, terms Terms, by, comment string) (*incident.Incident, error) {
	parent, err := p.store.Incident(ctx, into)
	if errors.Is(err, incident.ErrNotFound) {
		return nil, &InputError{"into", "there is no such incident"}
	}
	if err != nil {
		return nil, err
	}
	child, _, err := p.ActOn(ctx, name, terms, func(e *incident.Edit) error { return e.Merge(by, parent, comment) })
	if err != nil {
		return nil, err
	}
	refused, err := p.family(ctx, child.ID.String(), parent.ID.String())
	if err != nil {
		return nil, err
	}
	if child, err = p.store.Incident(ctx, child.ID.String()); err == nil && refused != "" {
		err = &ConflictError{Current: child, Reason: refused}
	}
	return child, err
}

// Unmerge makes the named incident one of its own again.
func (p *Pipeline) Unmerge(ctx context.Context, name string, terms Terms, by, comment string) (*incident.Incident, error) {
	var parent incident.ID
	child, _, err := p.ActOn(ctx, name, terms, func(e *incident.Edit) error {
		parent = e.Incident.Proceedings().MergedInto
		return e.Unmerge(by, comment)
	})
	if err == nil && !parent.IsZero() {
		_, err = p.family(ctx, child.ID.String(), parent.String())
	}
	return child, err
}

// ruleCustomer stands where the correlation rule would, in the incident of a customer.
const ruleCustomer = "customer"

// CustomerPart is what one customer is to know of an incident.
type CustomerPart struct{ Customer, Title, Description, By, Comment string }

// OpenChild opens one customer's part of the named incident, with texts of its own,
// or returns the one that is not closed; opened says which. The terms are as with ActOn.
func (p *Pipeline) OpenChild(ctx context.Context, name string, terms Terms, part CustomerPart) (child *incident.Incident, opened bool, err error) {
	part.Title, part.Description = strings.TrimSpace(part.Title), strings.TrimSpace(part.Description)
	if part.Title == "" {
		part.Title = alert.CutText(firstLine(part.Description), maxTitle)
	}
	if part.Title == "" {
		return nil, false, &InputError{"title", "say what the customer's incident is called"}
	}
	parent, _, err := p.ActOn(ctx, name, terms, func(e *incident.Edit) error { return e.TakeCustomer(part.By, part.Customer, part.Comment) })
	if err != nil {
		return nil, false, err
	}
	if child, opened, err = p.openChild(ctx, parent, part); err != nil {
		return nil, false, err
	}
	if _, err = p.family(ctx, child.ID.String(), parent.ID.String()); err != nil {
		return nil, false, err
	}
	child, err = p.store.Incident(ctx, child.ID.String())
	return child, opened, err
}

// openChild is the write that opens it. Its key is that of the customer in the parent,
// so that it is opened once.
func (p *Pipeline) openChild(ctx context.Context, parent *incident.Incident, part CustomerPart) (child *incident.Incident, opened bool, err error) {
	rules := p.rules.Load()
	sum := sha256.Sum256([]byte("customer\x00" + parent.ID.String() + "\x00" + part.Customer))
	o := incident.Opening{Key: incident.Key(sum[:16]), Rule: ruleCustomer, Title: part.Title, Description: part.Description, By: part.By, Drill: parent.Drill}
	// How bad it is, and nothing else of the parent.
	o.Class = incident.Classification{Severity: parent.Severity, Impact: parent.Impact, Urgency: parent.Urgency, Priority: parent.Priority}
	change := incident.Change{ID: uuid.New(), Key: o.Key, Step: func(st incident.State) (incident.Next, error) {
		var next incident.Next
		if child = st.Incident; child != nil && child.State != incident.Closed {
			opened = false
			return next, nil
		}
		key := incident.KeyState{Key: o.Key, Rule: o.Rule, By: []alert.Label{}}
		if st.Key != nil {
			key = *st.Key
		}
		o.ID = st.NewID(0)
		e := rules.policy.Open(o, st.Now)
		e.OpenFor(part.Customer, parent.ID)
		child, opened, key.Incident = e.Incident, true, o.ID
		e.Into(&next)
		next.Key = &key
		return next, nil
	}}
	if err := p.store.Update(ctx, []incident.Change{change}); err != nil {
		return nil, false, err
	}
	if rules.Targets != nil {
		p.Wake()
	}
	return child, opened, nil
}

// family has a parent know what a child of it is now. Refused says why it cannot have
// the child, which is on its own again then.
func (p *Pipeline) family(ctx context.Context, childID, parentID string) (refused string, err error) {
	for {
		child, err := p.store.Incident(ctx, childID)
		if errors.Is(err, incident.ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		var no *incident.RefusedError
		err = p.onIncident(ctx, parentID, func(e *incident.Edit) error { return e.Family(child) })
		switch {
		case errors.As(err, &no):
			return no.Reason, p.onIncident(ctx, childID, func(e *incident.Edit) error {
				if e.Incident.Proceedings().MergedInto.String() != parentID || e.Incident.State == incident.Closed {
					return nil
				}
				return e.Unmerge(incident.System, no.Reason)
			})
		case err != nil:
			return "", err
		}
		// What was read may have been overtaken: then the parent hears again.
		now, err := p.store.Incident(ctx, childID)
		if errors.Is(err, incident.ErrNotFound) || err == nil && now.Proceedings().MergedInto == child.Proceedings().MergedInto {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
}
