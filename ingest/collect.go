package ingest

import "github.com/tocsin-gateway/tocsin/alert"

// collector gathers the elements of a body into batches.
type collector struct {
	*body
	decoder elements
	e       element
	batch   Batch
	// begun is how much of the body was left when the batch began.
	begun int
	emit  func(Batch) bool
}

func (b *body) collector(emit func(Batch) bool) *collector {
	return &collector{
		body:    b,
		decoder: elements{known: b.known, depth: b.depth(), left: len(b.Body)},
		emit:    emit,
	}
}

// element is the walk's function: it decodes the element with the index i.
func (c *collector) element(i int, raw []byte) error {
	if c.batch.Len() == BatchSize && !c.flush() {
		return errStopped
	}
	if c.batch.Alerts == nil {
		c.batch.First = i
	}
	if len(c.batch.Alerts) == cap(c.batch.Alerts) {
		c.grow(len(raw) + 1)
	}
	p := c.decoder.decode(raw, &c.e)
	if p == nil {
		c.batch.Alerts = append(c.batch.Alerts, alert.Alert{})
		a := &c.batch.Alerts[len(c.batch.Alerts)-1]
		if p = c.fill(a); p != nil {
			c.batch.Alerts = c.batch.Alerts[:len(c.batch.Alerts)-1]
		} else if c.extend.Element != nil {
			c.extend.Element(raw, a)
		}
	}
	if p == nil {
		return nil
	}
	if p.deep {
		return errTooDeep
	}
	r := Rejected{Index: i, Suffix: p.field, Field: c.place(i) + p.field, Raw: raw}
	r.Reason = r.Field + ": " + p.reason
	c.batch.Rejected = append(c.batch.Rejected, r)
	return nil
}

// grow makes room for the alerts that the rest of the body may hold. The
// elements of the batch so far, or else the next one's size, tell how many.
func (c *collector) grow(size int) {
	elements := c.decoder.left / size
	if n := c.batch.Len(); n > 0 {
		elements = c.decoder.left * n / max(c.begun-c.decoder.left, 1)
	} else {
		c.begun = c.decoder.left
	}
	had := len(c.batch.Alerts)
	more := max(elements+elements/32, had/8) + 1 // in steps that grow, whatever comes
	c.batch.Alerts = append(make([]alert.Alert, 0, min(had+more, BatchSize)), c.batch.Alerts...)
}

// fill makes an alert of the element that was decoded last.
func (c *collector) fill(a *alert.Alert) *problem {
	e := &c.e
	a.Labels = withoutEmpty(e.labels)
	if len(a.Labels) == 0 {
		return &problem{field: ".labels", reason: "none; an alert without labels cannot be told apart from others"}
	}
	a.Kind = alert.KindAlert
	a.Source = c.Source
	a.Identity = e.fingerprint
	a.Annotations = e.annotations
	a.GeneratorURL = e.generatorURL
	a.StartsAt = e.startsAt
	a.ReceivedAt = c.ReceivedAt
	a.Flags = e.flags
	return c.judge(e, c.ReceivedAt, a)
}

// flush emits the batch, if there is anything in it, and begins the next. It
// reports whether more is wanted.
func (c *collector) flush() bool {
	if c.batch.Len() == 0 {
		return true
	}
	full := c.batch
	c.batch = Batch{}
	return c.emit(full)
}
