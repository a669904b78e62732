package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// event is what a sender says about an alert.
type event int

const (
	fresh         event = iota // fires for the first time
	repeated                   // fires, as it was said before
	updated                    // fires, with another annotation
	resolved                   // is over
	repeatedAfter              // is over, as it was said before
	refired                    // fires again, in a new episode
)

var eventNames = [...]string{"first firing", "repeat", "update", "resolve", "repeated resolve", "firing again"}

// expected are the verdicts that a gateway may give to each event if it has
// kept what it acknowledged. Others come when it has forgotten.
var expected = [...][]string{
	fresh:         {"opened", "joined", "reopened"},
	repeated:      {"duplicate"},
	updated:       {"updated"},
	resolved:      {"resolved"},
	repeatedAfter: {"duplicate", "stale", "recorded"},
	refired:       {"opened", "joined", "reopened", "updated"},
}

// expectedAgain are allowed beside those when the request was sent before
// without an answer, because it may have been committed then.
var expectedAgain = []string{"duplicate", "stale"}

// subject is an alert as its sender knows it.
type subject struct {
	told Told
	// ended is when its last episode ended, if it has.
	ended time.Time
}

// sender is one connection: it alone speaks about its alerts, and says nothing
// new about any of them before the last word was acknowledged.
type sender struct {
	*killer
	number   int
	random   *rand.Rand
	subjects []*subject
}

func newSender(k *killer, number int) *sender {
	return &sender{killer: k, number: number, random: rand.New(rand.NewPCG(k.Seed, uint64(number+1)))}
}

const (
	// keys is how many keys the alerts have at most.
	keys = 1000
	// manySubjects is where a sender begins to say more about old alerts than new ones.
	manySubjects = 4000
)

// run sends until told to stop.
func (s *sender) run(ctx context.Context) error {
	for !s.stopping.Load() {
		events, next := s.batch()
		body, err := s.body(next)
		if err != nil {
			return err
		}
		answer, attempts, err := s.deliver(ctx, body)
		if err != nil {
			return err
		}
		if err := s.judge(events, next, answer, attempts > 1); err != nil {
			return err
		}
		told := make([]Told, len(next))
		for i := range next {
			told[i] = next[i].told
		}
		if err := s.ledger.Acknowledged(told); err != nil {
			return err
		}
	}
	return nil
}

// batch decides what to say next: one event about each of some different alerts.
func (s *sender) batch() (events []event, about []*subject) {
	size := 1 + s.random.IntN(20)
	if s.random.IntN(20) == 0 {
		size = 100
	}
	chosen := map[*subject]bool{}
	for range size {
		subject, e := s.pick()
		if chosen[subject] {
			continue
		}
		chosen[subject] = true
		subject.apply(e, time.Now())
		events, about = append(events, e), append(about, subject)
	}
	return events, about
}

func (s *sender) pick() (*subject, event) {
	new := 50 // in a hundred
	if len(s.subjects) > manySubjects {
		new = 5
	}
	if len(s.subjects) == 0 || s.random.IntN(100) < new {
		pod := fmt.Sprintf("kill-%d-%d", s.number, len(s.subjects))
		subject := &subject{told: Told{Pod: pod, Service: s.service()}}
		s.subjects = append(s.subjects, subject)
		return subject, fresh
	}
	// Mostly about young alerts, so that the old ones show whether a word that
	// was acknowledged long ago and never repeated is still there.
	i := s.random.IntN(len(s.subjects))
	if s.random.IntN(5) > 0 {
		i = max(0, len(s.subjects)-1-s.random.IntN(200))
	}
	subject := s.subjects[i]
	x := s.random.IntN(100)
	switch firing := subject.told.Status == "firing"; {
	case firing && x < 35:
		return subject, repeated
	case firing && x < 60:
		return subject, updated
	case firing:
		return subject, resolved
	case x < 70:
		return subject, refired
	}
	return subject, repeatedAfter
}

// service spreads alerts over the keys: a third of all in one, a third in nine, the rest everywhere.
func (s *sender) service() string {
	n := s.random.IntN(keys)
	switch s.random.IntN(3) {
	case 0:
		n = 0
	case 1:
		n = 1 + s.random.IntN(9)
	}
	return "service-" + strconv.Itoa(n)
}

// apply changes the subject as the event says. Times are whole milliseconds,
// and each is later than the one before it.
func (s *subject) apply(e event, now time.Time) {
	now = now.Truncate(time.Millisecond)
	switch e {
	case fresh, refired:
		if !now.After(s.ended) {
			now = s.ended.Add(time.Millisecond)
		}
		s.told.Status, s.told.StartsAt = "firing", now
	case updated:
		s.told.Revision++
	case resolved:
		if !now.After(s.told.StartsAt) {
			now = s.told.StartsAt.Add(time.Millisecond)
		}
		s.told.Status, s.ended = "resolved", now
	}
}

// wireAlert is an alert in Alertmanager's webhook.
type wireAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (s *sender) body(about []*subject) ([]byte, error) {
	alerts := make([]wireAlert, len(about))
	for i, a := range about {
		alerts[i] = wireAlert{
			Status: a.told.Status,
			Labels: map[string]string{"alertname": "KillTest", "cluster": "e2e", "severity": "critical", "service": a.told.Service, "pod": a.told.Pod},
			Annotations: map[string]string{"summary": "sent while the gateway is killed",
				"revision": strconv.Itoa(a.told.Revision)},
			StartsAt:     a.told.StartsAt.UTC(),
			GeneratorURL: "http://prometheus.example.net:9090/graph",
		}
		if a.told.Status == "resolved" {
			alerts[i].EndsAt = a.ended.UTC()
		}
	}
	empty := map[string]string{}
	return json.Marshal(map[string]any{"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "tocsin",
		"groupLabels": empty, "commonLabels": empty, "commonAnnotations": empty, "externalURL": "http://alertmanager.example.net:9093", "alerts": alerts})
}

// deliver sends body until it is answered 2xx, to whatever gateway runs then.
// A 4xx is an error: the request is valid.
func (s *sender) deliver(ctx context.Context, body []byte) (answer []byte, attempts int, err error) {
	for {
		attempts++
		status, answer, err := do(ctx, http.MethodPost, "http://"+*s.addr.Load()+"/ingest/alertmanager", body)
		switch {
		case err == nil && status == http.StatusOK:
			s.count(&s.report.Requests)
			return answer, attempts, nil
		case err == nil && status < 500:
			return nil, attempts, fmt.Errorf("e2e: a valid request was answered %d %.300s", status, answer)
		}
		s.count(&s.report.Retries)
		if err := pause(ctx, time.Duration(5+s.random.IntN(45))*time.Millisecond); err != nil {
			return nil, attempts, err
		}
	}
}

func (s *sender) count(n *int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// judge notes verdicts that a gateway would not give had it kept everything.
func (s *sender) judge(events []event, about []*subject, answer []byte, again bool) error {
	var a struct {
		Received int `json:"received"`
		Results  []struct {
			Verdict string `json:"verdict"`
			Reason  string `json:"reason"`
		} `json:"results"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return fmt.Errorf("e2e: answer: %w in %.300s", err, answer)
	}
	if a.Received != len(events) || len(a.Results) != len(events) {
		return fmt.Errorf("e2e: sent %d alerts, the answer says received %d with %d results", len(events), a.Received, len(a.Results))
	}
	for i, r := range a.Results {
		if slices.Contains(expected[events[i]], r.Verdict) || again && slices.Contains(expectedAgain, r.Verdict) {
			continue
		}
		s.mu.Lock()
		s.report.Surprises = append(s.report.Surprises, fmt.Sprintf("%s of alert %s was answered %q %s (sent again: %v), want one of %q",
			eventNames[events[i]], about[i].told.Pod, r.Verdict, r.Reason, again, expected[events[i]]))
		s.mu.Unlock()
	}
	return nil
}
