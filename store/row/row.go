// Package row is the stored form of entries, contents, incidents and timelines,
// which all backends share.
package row

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
)

// Entries and contents are in the Protocol Buffers wire format
// (https://protobuf.dev/programming-guides/encoding/): small, quick, and a
// version that does not know a field passes it on. Field numbers are never
// used for something else.
const (
	entrySource        = 1
	entryGeneration    = 2
	entryFiring        = 3
	entryIncident      = 4
	entrySeverity      = 5
	entryStart         = 6
	entryLast          = 7
	entryEnd           = 8
	entryEndSeen       = 9
	entryExpired       = 10
	entryValidUntil    = 11
	entryContent       = 12
	entryFirstSeen     = 13
	entryLastSeen      = 14
	entryCount         = 15
	entryChange        = 16
	entryContentNumber = 17
)

// Entry is an entry with the number of its content, 0 if it has none or if the
// backend finds contents by something else.
type Entry struct {
	incident.Entry
	Number uint64
}

// AppendEntry appends the stored form of e to b.
func AppendEntry(b []byte, e *Entry) []byte {
	b = appendUint(b, entryContentNumber, e.Number)
	b = appendString(b, entrySource, e.Source)
	b = appendBytes(b, entryGeneration, e.Generation[:])
	b = appendBool(b, entryFiring, e.Firing)
	if !e.Incident.IsZero() {
		b = appendBytes(b, entryIncident, e.Incident[:])
	}
	b = appendString(b, entrySeverity, e.Severity)
	b = appendTime(b, entryStart, e.Start)
	b = appendTime(b, entryLast, e.Last)
	b = appendTime(b, entryEnd, e.End)
	b = appendTime(b, entryEndSeen, e.EndSeen)
	b = appendBool(b, entryExpired, e.Expired)
	b = appendTime(b, entryValidUntil, e.ValidUntil)
	b = protowire.AppendTag(b, entryContent, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, e.Content)
	b = appendTime(b, entryFirstSeen, e.FirstSeen)
	b = appendTime(b, entryLastSeen, e.LastSeen)
	b = protowire.AppendTag(b, entryCount, protowire.VarintType)
	b = protowire.AppendVarint(b, e.Count)
	for _, t := range e.Changes {
		b = appendTime(b, entryChange, t)
	}
	return append(b, e.Unknown...)
}

// ParseEntry reads the entry of the given alert.
func ParseEntry(b []byte, fp alert.Fingerprint) (Entry, error) {
	e := Entry{Entry: incident.Entry{Fingerprint: fp}}
	err := fields(b, func(f field) bool {
		switch f.num {
		case entrySource:
			e.Source = intern(f.bytes)
		case entryGeneration:
			copy(e.Generation[:], f.bytes)
		case entryFiring:
			e.Firing = f.uint != 0
		case entryIncident:
			copy(e.Incident[:], f.bytes)
		case entrySeverity:
			e.Severity = intern(f.bytes)
		case entryStart:
			e.Start = f.time()
		case entryLast:
			e.Last = f.time()
		case entryEnd:
			e.End = f.time()
		case entryEndSeen:
			e.EndSeen = f.time()
		case entryExpired:
			e.Expired = f.uint != 0
		case entryValidUntil:
			e.ValidUntil = f.time()
		case entryContentNumber:
			e.Number = f.uint
		case entryContent:
			e.Content = f.uint
		case entryFirstSeen:
			e.FirstSeen = f.time()
		case entryLastSeen:
			e.LastSeen = f.time()
		case entryCount:
			e.Count = f.uint
		case entryChange:
			e.Changes = append(e.Changes, f.time())
		default:
			e.Unknown = append(e.Unknown, f.raw...)
		}
		return true
	})
	if err != nil {
		return e, fmt.Errorf("store: entry %s: %w", fp, err)
	}
	return e, nil
}

const (
	contentKind         = 1
	contentStatus       = 2
	contentIdentity     = 3
	contentLabel        = 4 // name, then a contentValue
	contentValue        = 5
	contentAnnotation   = 6 // name, then a contentValue
	contentGeneratorURL = 7
	contentStartsAt     = 8
	contentEndsAt       = 9
	contentEventAt      = 10
	contentReceivedAt   = 11
	contentAuthor       = 12
	contentComment      = 13
	contentLeftOut      = 14
	contentFlags        = 15
	contentSource       = 16
	contentKey          = 17
	contentPerHost      = 18
	contentGroup        = 19
)

// AppendContent appends the stored form of what an alert said to b.
func AppendContent(b []byte, a *alert.Alert) []byte {
	b = appendUint(b, contentKind, uint64(a.Kind))
	b = appendUint(b, contentStatus, uint64(a.Status))
	b = appendString(b, contentIdentity, a.Identity)
	for i := range a.Labels {
		b = appendBytes(b, contentLabel, a.Labels[i].Name)
		b = appendBytes(b, contentValue, a.Labels[i].Value)
	}
	for i := range a.Annotations {
		b = appendBytes(b, contentAnnotation, a.Annotations[i].Name)
		b = appendBytes(b, contentValue, a.Annotations[i].Value)
	}
	b = appendString(b, contentGeneratorURL, a.GeneratorURL)
	b = appendTime(b, contentStartsAt, a.StartsAt)
	b = appendTime(b, contentEndsAt, a.EndsAt)
	b = appendTime(b, contentEventAt, a.EventAt)
	b = appendTime(b, contentReceivedAt, a.ReceivedAt)
	b = appendString(b, contentAuthor, a.Author)
	b = appendString(b, contentComment, a.Comment)
	b = appendUint(b, contentLeftOut, uint64(a.LeftOut))
	b = appendUint(b, contentFlags, uint64(a.Flags))
	b = appendString(b, contentKey, a.Key)
	b = appendBool(b, contentPerHost, a.PerHost)
	b = appendString(b, contentGroup, a.Group)
	return appendString(b, contentSource, a.Source)
}

// ParseContent copies b once; the alert's texts share that copy.
func ParseContent(b []byte) (*alert.Alert, error) {
	text := string(b)
	a := &alert.Alert{}
	var last *alert.Labels
	err := fields(b, func(f field) bool {
		str := func() string { return text[f.at : f.at+len(f.bytes)] }
		switch f.num {
		case contentKind:
			a.Kind = alert.Kind(f.uint)
		case contentStatus:
			a.Status = alert.Status(f.uint)
		case contentIdentity:
			a.Identity = str()
		case contentLabel:
			a.Labels = append(a.Labels, alert.Label{Name: str()})
			last = &a.Labels
		case contentAnnotation:
			a.Annotations = append(a.Annotations, alert.Label{Name: str()})
			last = &a.Annotations
		case contentValue:
			if last != nil {
				(*last)[len(*last)-1].Value = str()
			}
		case contentGeneratorURL:
			a.GeneratorURL = str()
		case contentStartsAt:
			a.StartsAt = f.time()
		case contentEndsAt:
			a.EndsAt = f.time()
		case contentEventAt:
			a.EventAt = f.time()
		case contentReceivedAt:
			a.ReceivedAt = f.time()
		case contentAuthor:
			a.Author = str()
		case contentComment:
			a.Comment = str()
		case contentLeftOut:
			a.LeftOut = int(f.uint)
		case contentFlags:
			a.Flags = alert.Flag(f.uint)
		case contentSource:
			a.Source = str()
		case contentKey:
			a.Key = str()
		case contentPerHost:
			a.PerHost = f.uint != 0
		case contentGroup:
			a.Group = str()
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("store: content: %w", err)
	}
	return a, nil
}

// field is one decoded field. raw is the whole of it, at the offset of bytes.
type field struct {
	num        protowire.Number
	uint       uint64
	bytes, raw []byte
	at         int
}

// time reads a time: seconds since 1970 and nanoseconds, as varints, which
// holds every year that RFC 3339 can write.
func (f field) time() time.Time {
	sec, n := protowire.ConsumeVarint(f.bytes)
	if n < 0 {
		return time.Time{}
	}
	nsec, m := protowire.ConsumeVarint(f.bytes[n:])
	if m < 0 {
		return time.Time{}
	}
	return time.Unix(protowire.DecodeZigZag(sec), int64(nsec)).UTC()
}

func fields(b []byte, yield func(field) bool) error {
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		f := field{num: num}
		size := 0
		switch typ {
		case protowire.VarintType:
			f.uint, size = protowire.ConsumeVarint(b[at+n:])
		case protowire.Fixed64Type:
			f.uint, size = protowire.ConsumeFixed64(b[at+n:])
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(b[at+n:])
			f.at = at + n + size - len(f.bytes)
		default:
			size = protowire.ConsumeFieldValue(num, typ, b[at+n:])
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		f.raw = b[at : at+n+size]
		if !yield(f) {
			return nil
		}
		at += n + size
	}
	return nil
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return appendBytes(b, num, s)
}

func appendBytes[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendUint(b, num, 1)
}

func appendTime(b []byte, num protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	var v [20]byte
	w := protowire.AppendVarint(v[:0], protowire.EncodeZigZag(t.Unix()))
	w = protowire.AppendVarint(w, uint64(t.Nanosecond()))
	return appendBytes(b, num, w)
}

// intern avoids a copy of the few words that most entries share.
func intern(b []byte) string {
	switch string(b) {
	case "critical":
		return "critical"
	case "error":
		return "error"
	case "warning":
		return "warning"
	case "info":
		return "info"
	case "alertmanager":
		return "alertmanager"
	case "prometheus":
		return "prometheus"
	case "opened_total":
		return "opened_total"
	case "time_to_detect_seconds":
		return "time_to_detect_seconds"
	case "time_to_acknowledge_seconds":
		return "time_to_acknowledge_seconds"
	case "time_to_resolve_seconds":
		return "time_to_resolve_seconds"
	case "outage_seconds":
		return "outage_seconds"
	}
	return string(b)
}
