package ingest

import (
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
)

// BatchSize is how many elements of a body are decoded, and given to the Sink,
// at a time. It bounds what a body of very small elements can cost: decoded,
// such an element is fifteen times as large as in the body.
const BatchSize = 1000

// Format understands what one kind of sender sends.
type Format struct {
	Name string
	// BodyLimit is the largest body in bytes unless the source sets another.
	BodyLimit ByteSize
	// Batches decodes a body, BatchSize elements at a time. The error, always a
	// *BodyError, says that it cannot be understood at all; without it the
	// batches cannot fail any more.
	Batches func(Request) (iter.Seq[Batch], error)
	// Wrap makes a body of this format out of elements that were rejected, so
	// that a dead letter can be sent again as it is. Without it the dead letter
	// holds the whole body.
	Wrap func(elements [][]byte) []byte
	// Place writes the place of the element with the index i, such as alerts[3].
	// It goes with Wrap.
	Place func(i int) string
	// Query: its senders also use GET, with what they have to say in the query.
	// That is given to Batches as the body, a form.
	Query bool
	// Tokens finds credentials that stand in the body. What it returns as the body
	// is without them; nothing else may keep them.
	Tokens func(Request) (tokens []string, body []byte)
	// Verify checks a signature over the body that the format defines. Its error is
	// for the sender, who is answered 403, or 503 if it is an ErrUnavailable.
	Verify func(http.Header, Request) error
	// Reply is the answer to a request with so many results, or with the reason why
	// it is refused; without it the answer is JSON.
	Reply func(code, results int, reason string) Reply
	// Configure returns the format as a source wants it; nil if there is nothing
	// to want. It is called with what config has checked by calling it; its error is
	// a ConfigMistakes.
	Configure func(SourceConfig) (Format, error)
	// NeedsConfig: without a configuration it means nothing, so that there is no
	// built-in source of it.
	NeedsConfig bool
	// Volatile are annotations of the format that change from message to message
	// without being news, besides those that the source names.
	Volatile []string
	// Repeats: its senders send again what was refused, or what still fires. Those
	// of other formats do not, so their sources spool unless they say otherwise.
	Repeats bool
}

// What a source does while alerts cannot be made durable in the store.
const (
	// Refuse answers 503: the sender has to keep them.
	Refuse = "refuse"
	// ToSpool keeps them in the spool and answers 202.
	ToSpool = "spool"
)

// OnStoreFailure is what sources of the format do unless they say otherwise.
func (f Format) OnStoreFailure() string {
	if f.Repeats {
		return Refuse
	}
	return ToSpool
}

// Decode decodes a whole body at once.
func (f Format) Decode(r Request) (Batch, error) {
	batches, err := f.Batches(r)
	if err != nil {
		return Batch{}, err
	}
	var all Batch
	for b := range batches {
		all.Group = b.Group
		all.Alerts = append(all.Alerts, b.Alerts...)
		all.Rejected = append(all.Rejected, b.Rejected...)
		all.Unparsed = append(all.Unparsed, b.Unparsed...)
	}
	return all, nil
}

// Request is a request that was let in. It holds no credentials.
type Request struct {
	// Source becomes alert.Alert.Source.
	Source string
	// Body must not be changed any more: the strings of alerts point into it.
	// So a body's buffer is never pooled or used again.
	Body []byte
	// ReceivedAt is when it came; what "in the future" means depends on it.
	ReceivedAt time.Time
	// Format names the format that it is in. This, Method and Path is nothing that
	// decoders look at.
	Format       string
	Method, Path string
	// ContentType is what the sender said, which decoders take as a hint: the
	// boundary of a multipart form stands there.
	ContentType string
}

// Batch is what a body says, or the next part of it. Alerts and Rejected
// together are its elements, both in the order of the body: the element with
// the index of a Rejected is that one, all others are the alerts in turn.
type Batch struct {
	// First is the index in the body of the batch's first element.
	First    int
	Alerts   []alert.Alert
	Rejected []Rejected
	// Unparsed are dead letters for elements that became alerts all the same: with
	// alert.FlagUnparsed, or because somebody has to do something about them.
	Unparsed []Rejected
	Group    Group
}

// Len is the number of elements in the batch.
func (b Batch) Len() int { return len(b.Alerts) + len(b.Rejected) }

// Group is what Alertmanager says about the group of alerts in a body; what
// it leaves out is empty.
type Group struct {
	Receiver, Status, Key string
	// Reason is why it was sent (notification_reason, since 0.34).
	Reason string
	// LeftOut is truncatedAlerts; it is also in each alert.
	LeftOut int
	// Title and Message are texts about the group, which only Grafana writes.
	Title, Message string
}

// Rejected is an element of a body that could not be understood, while its
// neighbours were.
type Rejected struct {
	// Index is the element's place in the body, from 0.
	Index int
	// Field is where the mistake is, such as alerts[3].startsAt, and Suffix the
	// part of it within the element.
	Field, Suffix string
	// Reason is a sentence for people that starts with Field.
	Reason string
	// Raw is the element as it was sent; it shares the body's memory.
	Raw []byte
}

// BodyError says why a whole body cannot be understood.
type BodyError struct {
	// Field is where the mistake is, as far as it has a place; else empty.
	Field string
	// Reason is a sentence for people; it starts with Field, if there is one.
	Reason string
	// Foreign: it does not even begin like a body of this format.
	Foreign bool
}

// Error implements error.
func (e *BodyError) Error() string { return "ingest: decode: " + e.Reason }

// bodyError makes a BodyError whose reason starts with field.
func bodyError(field, format string, args ...any) *BodyError {
	reason := fmt.Sprintf(format, args...)
	if field != "" {
		reason = field + ": " + reason
	}
	return &BodyError{Field: field, Reason: reason}
}
