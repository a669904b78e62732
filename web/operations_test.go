package web_test

import (
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/web"
)

func TestSources(t *testing.T) {
	s := newServer(t)
	s.sources = []web.Source{{Name: "prometheus", Format: "prometheus", LastReceived: morning, Received: 7, Minutes5: 2, Hour: 5,
		Verdicts: map[string]uint64{"opened": 1, "duplicate": 4}, DeadLetters: 3}}
	v := decode[web.SourcesJSON](s.send("GET", "/api/v1/sources", "").want(200))
	if len(v.Sources) != 1 || v.Sources[0].UnderWay != 2 || v.Sources[0].Received != 7 || !v.Sources[0].LastReceivedAt.Equal(morning) {
		t.Errorf("got %+v", v.Sources)
	}
	if len(v.Heartbeats) != 1 || v.Heartbeats[0].Missing || !v.Heartbeats[0].DueAt.Equal(morning.Add(5*time.Minute)) {
		t.Fatalf("got %+v", v.Heartbeats)
	}
	s.clock.add(3 * time.Minute)
	beat := s.firing("Watchdog", "")
	beat.Labels = alert.FromMap(map[string]string{"alertname": "Watchdog"})
	if s.accept(beat) != "" {
		t.Error("a heartbeat has opened an incident")
	}
	v = decode[web.SourcesJSON](s.send("GET", "/api/v1/sources", "").want(200))
	if h := v.Heartbeats[0]; !h.LastHeardAt.Equal(morning.Add(3*time.Minute)) || !h.DueAt.Equal(morning.Add(8*time.Minute)) || h.Every != 300 {
		t.Errorf("got %+v", h)
	}
}

func TestJobs(t *testing.T) {
	s := newServer(t)
	s.accept(s.firing("DiskFull", "db"))
	s.clock.add(7 * time.Minute) // the heartbeat's job is due after five
	v := decode[web.JobsJSON](s.send("GET", "/api/v1/jobs", "").want(200))
	for _, j := range v.Jobs {
		if j.Kind == "heartbeat" {
			if j.Due != 1 || j.Lag != 120 {
				t.Errorf("got %+v", j)
			}
			return
		}
	}
	t.Errorf("got %+v, want the job of the heartbeat", v)
}
