package console_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/mute/silences"
	"github.com/tocsin-gateway/tocsin/store/redis"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// Two gateways on one Redis are behind one address. What a person sends twice, because
// they pressed a button twice, may reach both.

// twoDesks are two gateways on a Redis of their own.
func twoDesks(t *testing.T, text string) (desks [2]*desk) {
	t.Helper()
	server := redistest.Single(t)
	for n := range desks {
		var st *redis.Store
		if err := redistest.Retry(t, func() (err error) {
			st, err = redis.Open(t.Context(), server.URL(), redis.Options{Timeout: 20 * time.Second})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		desks[n] = deskOn(t, text, st)
	}
	return desks
}

// become is what became of an incident: what changes with everything that is done to it.
type become struct {
	Version        uint64 `json:"version"`
	TimelineLength uint64 `json:"timeline_length"`
}

func (d *desk) become(reference string) (b become) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.api("GET", "/api/v1/incidents/"+reference, "")), &b); err != nil || b.Version == 0 {
		d.t.Fatalf("%+v, %v", b, err)
	}
	return b
}

// TestDoubleClickAtTwoGateways: each command that reaches both is done once, and the
// person is told the same by both.
func TestDoubleClickAtTwoGateways(t *testing.T) {
	desks := twoDesks(t, people)
	a, b := desks[0], desks[1]
	reference, other := a.fires("alertname", "Disk", "host", "db"), a.fires("alertname", "Net", "host", "router")
	for _, c := range everyCommand(other) {
		at := "/incidents/" + reference + "/do/" + c.command
		form := a.form(a.page(at, 200), at, append([]string{"by", "ann"}, c.fields...)...)
		first := a.submit(at, form)
		once, into := a.become(reference), a.become(other)
		second := b.submit(at, form)
		if to := first.Header().Get("Location"); first.Code != http.StatusSeeOther || second.Code != http.StatusSeeOther || to != second.Header().Get("Location") {
			t.Errorf("%s: got %d to %q, then %d to %q", c.command, first.Code, to, second.Code, second.Header().Get("Location"))
		}
		if twice, into2 := a.become(reference), a.become(other); twice != once || into2 != into {
			t.Errorf("%s: it was done twice: got %+v and %+v, then %+v and %+v", c.command, once, into, twice, into2)
		}
	}
}

// TestClicksAtOnceAtTwoGateways: the same when they arrive at the same moment.
func TestClicksAtOnceAtTwoGateways(t *testing.T) {
	desks := twoDesks(t, people)
	reference := desks[0].fires("alertname", "Disk", "host", "db")
	at := "/incidents/" + reference + "/do/note"
	const rounds = 20
	for range rounds {
		before := desks[0].become(reference)
		form := desks[0].form(desks[0].page(at, 200), at, "by", "ann", "text", "looked")
		together(desks, func(d *desk) {
			if w := d.submit(at, form); w.Code != http.StatusSeeOther {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		})
		if after := desks[0].become(reference); after.TimelineLength != before.TimelineLength+1 {
			t.Errorf("one note made of %+v %+v", before, after)
		}
	}
}

// together does something at both gateways at once, and waits.
func together(desks [2]*desk, do func(d *desk)) {
	var both sync.WaitGroup
	for _, d := range desks {
		both.Go(func() { do(d) })
	}
	both.Wait()
}

// TestSelectionAtTwoGateways: a command for a selection is done once, also if somebody
// took it back before the second press arrived.
func TestSelectionAtTwoGateways(t *testing.T) {
	desks := twoDesks(t, people)
	a, b := desks[0], desks[1]
	one, two := a.fires("alertname", "Disk", "host", "db"), a.fires("alertname", "Net", "host", "router")
	for command, back := range map[string]string{"acknowledge": "unacknowledge", "assign": "assign"} {
		at := "/do/" + command
		selection := url.Values{"incident": {one, two}}
		form := a.form(a.submit(at, selection).Body.String(), at, "by", "ann", "role", "technical_lead", "who", "bob")
		form["incident"] = selection["incident"]
		if w := a.submit(at, form); w.Code != http.StatusOK {
			t.Errorf("%s: got %d %s", command, w.Code, w.Body)
		}
		for _, reference := range selection["incident"] {
			body := `{"by":"eve"}`
			if back == "assign" {
				body = `{"by":"eve","role":"technical_lead","who":"eve"}`
			}
			a.api("POST", "/api/v1/incidents/"+reference+"/"+back, body)
		}
		before := [2]become{a.become(one), a.become(two)}
		if w := b.submit(at, form); w.Code != http.StatusOK {
			t.Errorf("%s: got %d %s", command, w.Code, w.Body)
		}
		if after := [2]become{a.become(one), a.become(two)}; after != before {
			t.Errorf("%s: it was done again: got %+v, then %+v", command, before, after)
		}
	}
}

// TestOtherFormsAtTwoGateways: what is no command of an incident is done once as well.
func TestOtherFormsAtTwoGateways(t *testing.T) {
	desks := twoDesks(t, "")
	a := desks[0]
	a.fires("alertname", "Disk", "host", "db")
	together(desks, func(d *desk) { // each has looked, and believes it for a moment
		d.page("/operations/silences", 200)
	})
	for _, f := range []struct {
		path   string
		fields []string
	}{
		{"/report", []string{"description", "mail is slow", "reporter", "Mr Li"}},
		{"/operations/silences/new", []string{"matchers", `host="db"`, "for", "2h", "comment", "work", "by", "ann", "do", "create"}},
	} {
		form := a.form(a.page(f.path, 200), f.path, f.fields...)
		together(desks, func(d *desk) {
			if w := d.submit(f.path, form); w.Code != http.StatusSeeOther {
				t.Errorf("%s: got %d %s", f.path, w.Code, w.Body)
			}
		})
	}
	var list struct {
		Incidents []become `json:"incidents"`
	}
	if err := json.Unmarshal([]byte(a.api("GET", "/api/v1/incidents?q=mail", "")), &list); err != nil || len(list.Incidents) != 1 || list.Incidents[0] != (become{1, 1}) {
		t.Errorf("got %+v, %v: want one incident of one report", list, err)
	}
	if docs, err := a.store.Documents(t.Context(), silences.Document, "", 10); err != nil || len(docs) != 1 {
		t.Errorf("got %d silences, %v: want one", len(docs), err)
	}
}
