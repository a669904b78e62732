package demo

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// post is one request of the day.
type post struct {
	at     time.Duration
	source string
	body   []byte
	alerts int
}

const (
	groupWait     = 30 * time.Second
	groupInterval = 5 * time.Minute
	// peerDelay is how much later the second Alertmanager of the pair sends:
	// the two have lost sight of each other, so each sends everything.
	peerDelay = 4 * time.Second
)

// webhook is the body that Alertmanager posts, version 4.
type webhook struct {
	Version           string `json:"version"`
	GroupKey          string `json:"groupKey"`
	TruncatedAlerts   int    `json:"truncatedAlerts"`
	Status            string `json:"status"`
	Receiver          string `json:"receiver"`
	GroupLabels       labels `json:"groupLabels"`
	CommonLabels      labels `json:"commonLabels"`
	CommonAnnotations labels `json:"commonAnnotations"`
	ExternalURL       string `json:"externalURL"`
	Alerts            []item `json:"alerts"`
}

type item struct {
	Status       string    `json:"status"`
	Labels       labels    `json:"labels"`
	Annotations  labels    `json:"annotations"`
	StartsAt     time.Time `json:"startsAt"`
	EndsAt       time.Time `json:"endsAt"`
	GeneratorURL string    `json:"generatorURL"`
	Fingerprint  string    `json:"fingerprint"`
}

// posts is what an HA pair of Alertmanagers, grouping by name and service,
// makes of the changes, in the order of time.
func posts(start time.Time, changes []change) ([]post, error) {
	groups := map[string][]change{}
	for _, c := range changes {
		key := c.labels["alertname"] + "/" + c.labels["service"]
		groups[key] = append(groups[key], c)
	}
	var all []post
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		of := groups[key]
		slices.SortStableFunc(of, func(a, b change) int { return cmp.Compare(a.at, b.at) })
		more, err := flushes(start, of)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	slices.SortStableFunc(all, func(a, b post) int { return cmp.Compare(a.at, b.at) })
	return all, nil
}

// flushes sends one group: after group_wait, then at each group_interval in
// which something changed. A resolved alert is sent once; an emptied group
// waits anew when it comes back.
func flushes(start time.Time, changes []change) (all []post, err error) {
	active := map[string]item{}
	send := func(at time.Duration) error {
		for i, peer := range []string{"alertmanager-a", "alertmanager-b"} {
			w := groupBody(changes[0].labels, peer, active)
			body, err := json.Marshal(w, json.Deterministic(true))
			if err != nil {
				return fmt.Errorf("demo: %w", err)
			}
			all = append(all, post{at: at + time.Duration(i)*peerDelay, source: "alertmanager", body: body, alerts: len(w.Alerts)})
		}
		maps.DeleteFunc(active, func(_ string, a item) bool { return a.Status == "resolved" })
		return nil
	}
	var flush time.Duration // the next one
	changed, running := false, false
	for _, c := range changes {
		for running && flush < c.at {
			if changed {
				if err := send(flush); err != nil {
					return nil, err
				}
			}
			changed, running = false, len(active) > 0
			flush += groupInterval
		}
		if !running {
			flush, running = c.at+groupWait, true
		}
		apply(start, active, c)
		changed = true
	}
	if changed {
		err = send(flush)
	}
	return all, err
}

func apply(start time.Time, active map[string]item, c change) {
	id := fingerprint(c.labels)
	a, ok := active[id]
	if !ok || a.Status == "resolved" {
		a = item{Labels: c.labels, Annotations: c.annotations, StartsAt: start.Add(c.at), Fingerprint: id,
			GeneratorURL: "http://prometheus.shop.example:9090/graph?g0.expr=" + c.labels["alertname"] + "&g0.tab=1"}
	}
	a.Status, a.EndsAt = "firing", time.Time{}
	if c.resolved {
		a.Status, a.EndsAt = "resolved", start.Add(c.at)
	}
	if c.annotations != nil {
		a.Annotations = c.annotations
	}
	active[id] = a
}

func groupBody(of labels, peer string, active map[string]item) webhook {
	group := labels{"alertname": of["alertname"], "service": of["service"]}
	w := webhook{Version: "4", Status: "resolved", Receiver: "tocsin", GroupLabels: group,
		GroupKey:    fmt.Sprintf(`{}:{alertname=%q, service=%q}`, of["alertname"], of["service"]),
		ExternalURL: "http://" + peer + ".shop.example:9093"}
	for _, id := range slices.Sorted(maps.Keys(active)) {
		a := active[id]
		w.Alerts = append(w.Alerts, a)
		if a.Status == "firing" {
			w.Status = "firing"
		}
		w.CommonLabels = common(w.CommonLabels, a.Labels)
		w.CommonAnnotations = common(w.CommonAnnotations, a.Annotations)
	}
	return w
}

// common keeps what both have; nil stands for "anything".
func common(a, b labels) labels {
	if a == nil {
		return maps.Clone(b)
	}
	maps.DeleteFunc(a, func(name, value string) bool { return b[name] != value })
	return a
}

// fingerprint is Prometheus' hash of a label set.
func fingerprint(l labels) string {
	h := fnv.New64a()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(l)) {
		b.WriteString(name + "\xff" + l[name] + "\xff")
	}
	h.Write([]byte(b.String()))
	return fmt.Sprintf("%016x", h.Sum64())
}
