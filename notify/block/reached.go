package block

import (
	"encoding/hex"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/notify"
)

// memoryReached is where the memory has which message it is, and who was told it.
const memoryReached = "reached"

// Reached knows who of several has been told one message, so that those do not
// hear it again when it is repeated for the others.
type Reached struct {
	message *notify.Message
	told    []string
}

// ReachedBy begins with those who have been told the message before.
func ReachedBy(m *notify.Message) *Reached {
	r := &Reached{message: m}
	if words := strings.Fields(m.Memory[memoryReached]); len(words) > 0 && words[0] == m.MessageID() {
		r.told = words[1:]
	}
	return r
}

// Has reports whether somebody has been told.
func (r *Reached) Has(who string) bool { return slices.Contains(r.told, short(who)) }

// Add says that somebody has been told.
func (r *Reached) Add(who string) { r.told = append(r.told, short(who)) }

// Result is what a sender returns: the memory, and the error for those who were
// not told. If none of them ever will be, and others were, it is no error, but said
// where the message is shown. More is remembered as well.
func (r *Reached) Result(err error, more notify.Memory) (notify.Memory, error) {
	var e *notify.Error
	if errors.As(err, &e) && e.Permanent && len(r.told) > 0 {
		r.message.Warn("to", err)
		err = nil
	}
	if err != nil && len(r.told) == 0 {
		return nil, err
	}
	memory := r.message.Counted()
	if err != nil {
		// The next attempt is the same message.
		if memory = maps.Clone(r.message.Memory); memory == nil {
			memory = notify.Memory{}
		}
		memory[memoryReached] = r.message.MessageID() + " " + strings.Join(r.told, " ")
	} else {
		delete(memory, memoryReached)
	}
	maps.Copy(memory, more)
	return memory, err
}

// short stands for a name in the memory, which is small.
func short(name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return hex.EncodeToString(h.Sum(nil))
}

// Worse returns the error that says what to do about both: one that is worth
// another attempt comes before one that is not.
func Worse(a, b error) error {
	var x, y *notify.Error
	switch {
	case a == nil:
		return b
	case b == nil || !errors.As(a, &x) || !errors.As(b, &y):
		return a
	case x.Permanent && !y.Permanent, !x.Permanent && !y.Permanent && y.RetryAfter > x.RetryAfter:
		return b
	}
	return a
}

// Each tells each of several who has not been told yet. What tell returns beside
// the error is remembered.
func Each(m *notify.Message, all []string, tell func(who string) (notify.Memory, error)) (notify.Memory, error) {
	reached, more := ReachedBy(m), notify.Memory{}
	var worst error
	for _, who := range all {
		if reached.Has(who) {
			continue
		}
		memory, err := tell(who)
		if err != nil {
			worst = Worse(worst, err)
			continue
		}
		reached.Add(who)
		maps.Copy(more, memory)
	}
	return reached.Result(worst, more)
}
