package notify_test

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func TestMessageID(t *testing.T) {
	first := targettest.Message(notify.Opened)
	id := first.MessageID()
	if len(id) != 32 {
		t.Errorf("MessageID() = %q, want 32 digits", id)
	}
	again := targettest.Message(notify.Opened)
	again.SentAt = again.SentAt.Add(1)
	if got := again.MessageID(); got != id {
		t.Errorf("sent again: got %s, want %s", got, id)
	}
	told := first.Counted()
	seen := map[string]string{id: "opened"}
	for name, change := range map[string]func(m *notify.Message){
		"another event":         func(m *notify.Message) { m.Event = notify.Updated },
		"more happened":         func(m *notify.Message) { m.Incident.TimelineLength++ },
		"another cycle":         func(m *notify.Message) { m.Incident.Reopens++ },
		"another incident":      func(m *notify.Message) { m.Incident.ID[0]++ },
		"the same is repeated":  func(m *notify.Message) { m.Memory = told },
		"and once more":         func(m *notify.Message) { m.Memory = told; m.Memory = m.Counted() },
		"repeated, with thread": func(m *notify.Message) { m.Event = notify.Repeated },
	} {
		m := targettest.Message(notify.Opened)
		change(m)
		if other, taken := seen[m.MessageID()]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[m.MessageID()] = name
	}
}

func TestCountedKeepsTheRest(t *testing.T) {
	m := targettest.Message(notify.Updated)
	m.Memory = notify.Memory{"thread": "7"}
	next := m.Counted()
	if next["thread"] != "7" || m.Memory["sent"] != "" {
		t.Errorf("got %v of %v, want the thread kept and what it was made of unchanged", next, m.Memory)
	}
}
