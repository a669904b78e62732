package incident

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// TimelineEntry is one thing that happened: who did what, when, with what
// result. Entries are only ever appended. Each carries the hash of its content
// and of the entry before, so that a later change of any of them shows.
type TimelineEntry struct {
	Incident ID     `json:"incident"`
	Seq      uint64 `json:"seq"`
	// At is when it happened, RecordedAt when it was written down.
	At         time.Time `json:"at"`
	RecordedAt time.Time `json:"recorded_at"`
	// Late: written down after the fact.
	Late bool `json:"late"`
	// Who is a person, or "tocsin".
	Who string `json:"who"`
	// Source is where a person said it, if that was not here.
	Source string `json:"source,omitzero"`
	// Action is what was done, such as opened, joined, acknowledged, note.
	Action string `json:"action"`
	// Text says it in words.
	Text string `json:"text"`
	// Count is how many alerts it is about, 0 if that does not apply.
	Count int `json:"count,omitzero"`
	// For are the receivers that it is meant for, if it is not for everybody who is told.
	For  []string `json:"for,omitempty"`
	Hash string   `json:"hash"`
}

// Sum returns the hash that e must have if the one before it has the hash
// previous ("" for the first): SHA-256 over both, in hexadecimal.
func (e *TimelineEntry) Sum(previous string) string {
	h := make([]byte, 0, 256)
	str := func(s string) { h = append(binary.AppendUvarint(h, uint64(len(s))), s...) }
	str(previous)
	h = append(h, e.Incident[:]...)
	h = binary.AppendUvarint(h, e.Seq)
	for _, t := range [...]time.Time{e.At, e.RecordedAt} {
		h = binary.AppendVarint(h, t.Unix())
		h = binary.AppendUvarint(h, uint64(t.Nanosecond()))
	}
	if e.Late {
		h = append(h, 1)
	} else {
		h = append(h, 0)
	}
	str(e.Who)
	str(e.Action)
	str(e.Text)
	h = binary.AppendUvarint(h, uint64(e.Count))
	if e.Source != "" {
		str(e.Source)
	}
	if len(e.For) > 0 {
		if e.Source == "" {
			str("")
		}
		for _, name := range e.For {
			str(name)
		}
	}
	sum := sha256.Sum256(h)
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return string(text[:])
}

// VerifyTimeline returns the number of the first entry that does not fit the
// chain, and whether all fit. The entries are those from the first on.
func VerifyTimeline(entries []TimelineEntry) (broken uint64, ok bool) {
	previous := ""
	for n := range entries {
		e := &entries[n]
		if e.Seq != uint64(n)+1 || e.Sum(previous) != e.Hash {
			return uint64(n) + 1, false
		}
		previous = e.Hash
	}
	return 0, true
}
