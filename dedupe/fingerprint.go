// Package dedupe decides whether an alert is news and which incident it
// belongs to: fingerprints, correlation keys, and the judgement of an event
// against what is known. Everything in it is a pure function.
package dedupe

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/tocsin-gateway/tocsin/alert"
)

// Identity says what tells the alerts of a source apart.
type Identity struct {
	// Namespace separates sources that do not report the same alerts.
	Namespace string
	// IgnoreLabels are left out of the fingerprint and of the content.
	IgnoreLabels []string
	// VolatileAnnotations are left out of the content.
	VolatileAnnotations []string
}

// Hasher computes fingerprints and content hashes. It reuses its memory, so
// each goroutine has its own. The zero value is ready.
type Hasher struct{ buf []byte }

// Fingerprint hashes the namespace and the labels, or the key of an alert that
// has one. It is the first half of a SHA-256, so that no sender can make an alert
// that passes for another's.
func (h *Hasher) Fingerprint(id *Identity, a *alert.Alert) alert.Fingerprint {
	h.buf = appendText(h.buf[:0], id.Namespace)
	if a.Key != "" {
		// No label has an empty name, so it cannot be mistaken for labels.
		h.buf = appendText(appendText(h.buf, ""), a.Key)
	} else {
		h.appendLabels(a.Labels, id.IgnoreLabels)
	}
	sum := sha256.Sum256(h.buf)
	return alert.Fingerprint(sum[:16])
}

// Content hashes what the alert says, without times and without what is
// configured to change all the time. It is only compared within a fingerprint.
func (h *Hasher) Content(id *Identity, a *alert.Alert) uint64 {
	h.buf = h.buf[:0]
	h.appendLabels(a.Labels, id.IgnoreLabels)
	h.buf = append(h.buf, 0xff)
	h.appendLabels(a.Annotations, id.VolatileAnnotations)
	return xxhash.Sum64(h.buf)
}

func (h *Hasher) appendLabels(ls alert.Labels, except []string) {
	for i := range ls {
		if len(except) > 0 && slices.Contains(except, ls[i].Name) {
			continue
		}
		h.buf = appendText(appendText(h.buf, ls[i].Name), ls[i].Value)
	}
}

// appendText appends s with its length before it, so that no two sequences of
// texts look the same.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
