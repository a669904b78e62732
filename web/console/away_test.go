package console_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

// awayStore cannot be reached for a while.
type awayStore struct {
	store.Store
	away atomic.Bool
}

func (s *awayStore) Incident(ctx context.Context, name string) (*incident.Incident, error) {
	if s.away.Load() {
		return nil, &store.UnavailableError{Cause: errors.New("away")}
	}
	return s.Store.Incident(ctx, name)
}

// TestStoreAwayWhileWriting: what somebody wrote for a store that is away can be sent again.
func TestStoreAwayWhileWriting(t *testing.T) {
	inner, err := embedded.Open("mem:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st := &awayStore{Store: inner}
	d := deskOn(t, "{}", st)
	reference := d.fires("alertname", "DiskFull")
	at := "/incidents/" + reference + "/do/note"
	form := d.form(d.page(at, 200), at, "text", "Two hours of <b>work</b>", "by", "ann")
	st.away.Store(true)
	a := d.submit(at, form)
	if a.Code != http.StatusServiceUnavailable {
		t.Fatalf("got %d, want 503: %s", a.Code, a.Body)
	}
	d.lacks(a.Body.String(), "<b>")
	again := d.form(a.Body.String(), at)
	if again.Encode() != form.Encode() {
		t.Fatalf("got %v, want %v", again, form)
	}
	d.lacks(d.page(at, 503), "Send it again")
	st.away.Store(false)
	if a = d.submit(at, again); a.Code != http.StatusSeeOther {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	d.has(d.page("/incidents/"+reference, 200), "Two hours of")
}
