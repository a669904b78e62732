package ingest

import (
	"iter"
	"net/http"
)

// Whole makes the Batches of a Format whose decoder reads a body at once.
func Whole(decode func(Request) (Batch, error)) func(Request) (iter.Seq[Batch], error) {
	return func(r Request) (iter.Seq[Batch], error) {
		all, err := decode(r)
		if err != nil {
			return nil, err
		}
		for i := range all.Alerts {
			all.Alerts[i].Source, all.Alerts[i].ReceivedAt = r.Source, r.ReceivedAt
		}
		return all.parts, nil
	}
}

// parts yields the batch, BatchSize elements at a time.
func (b Batch) parts(yield func(Batch) bool) {
	alerts, rejected, unparsed := b.Alerts, b.Rejected, b.Unparsed
	for first, n := b.First, b.First+b.Len(); first < n; first += BatchSize {
		part := Batch{First: first, Group: b.Group}
		end := min(first+BatchSize, n)
		for i := first; i < end; i++ {
			if len(rejected) > len(part.Rejected) && rejected[len(part.Rejected)].Index == i {
				part.Rejected = rejected[:len(part.Rejected)+1]
				continue
			}
			part.Alerts = alerts[:len(part.Alerts)+1]
		}
		alerts, rejected = alerts[len(part.Alerts):], rejected[len(part.Rejected):]
		for len(unparsed) > len(part.Unparsed) && unparsed[len(part.Unparsed)].Index < end {
			part.Unparsed = unparsed[:len(part.Unparsed)+1]
		}
		unparsed = unparsed[len(part.Unparsed):]
		if !yield(part) {
			return
		}
	}
}

// Errorf makes a BodyError whose reason starts with field, which may be empty.
func Errorf(field, format string, args ...any) *BodyError { return bodyError(field, format, args...) }

// Foreignf makes a BodyError for a body that does not even begin like one of the format.
func Foreignf(format string, args ...any) *BodyError {
	err := bodyError("", format, args...)
	err.Foreign = true
	return err
}

// Reject makes a Rejected of the element with the given index. Place is where
// the element stands, such as results[3], and suffix where the mistake is in it.
func Reject(index int, place, suffix, reason string, raw []byte) Rejected {
	field := place + suffix
	return Rejected{Index: index, Field: field, Suffix: suffix, Reason: field + ": " + reason, Raw: raw}
}

// Reply is an answer in a form that only one format's senders understand.
type Reply struct {
	ContentType string
	Body        []byte
}

// plain is what a Format that says nothing about it takes.
var plainMethods = []string{http.MethodPost, http.MethodPut}

func (f Format) methods() []string {
	if f.Query {
		return append([]string{http.MethodGet}, plainMethods...)
	}
	return plainMethods
}
