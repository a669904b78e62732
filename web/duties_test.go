package web_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/web"
)

// TestDuties: what the process asks for is shown with the time that is left, done
// or waived by people, and what is missing holds an action back by name.
func TestDuties(t *testing.T) {
	s := newServer(t)
	id := s.accept(s.firing("DiskFull", "db"))
	path := "/api/v1/incidents/" + id
	d := decode[web.DutiesJSON](s.send("GET", path+"/duties", "").want(http.StatusOK))
	if len(d.Duties) < 2 || len(d.Missing["escalate"]) != 1 || d.Missing["escalate"][0].Name != "assessed" || d.Missing["close"] != nil {
		t.Fatalf("got %+v", d)
	}
	of := func(name string) web.DutyJSON {
		t.Helper()
		for _, duty := range d.Duties {
			if duty.Name == name {
				return duty
			}
		}
		t.Fatalf("no duty %s in %+v", name, d.Duties)
		return web.DutyJSON{}
	}
	if h := of("handover"); h.Left == nil || *h.Left > 3600 || *h.Left < 3500 || !h.Deadline || h.Outcome != "" || !h.Due.After(morning) {
		t.Errorf("handover: got %+v", h)
	}
	s.clock.add(time.Minute)
	s.send("POST", path+"/duties/handover/done", `{"by":"ann"}`).want(http.StatusOK)
	s.send("POST", path+"/duties/handover/done", `{"by":"bob"}`).want(http.StatusOK) // again changes nothing
	s.send("POST", path+"/duties/call/waive", `{"by":"ann"}`).want(http.StatusBadRequest)
	s.send("POST", path+"/duties/call/waive", `{"by":"ann","comment":"no customer has it"}`).want(http.StatusOK)
	s.send("POST", path+"/duties/nonsense/done", `{"by":"ann"}`).want(http.StatusBadRequest)
	d = decode[web.DutiesJSON](s.send("GET", path+"/duties", "").want(http.StatusOK))
	if h, c := of("handover"), of("call"); h.Outcome != "kept" || h.By != "ann" || h.Due != nil || c.Outcome != "waived" {
		t.Errorf("afterwards: got %+v and %+v", h, c)
	}
}
