package bench

import (
	"encoding/hex"
	"hash/fnv"
	"strconv"
	"time"
)

// form is the shape of a request body.
type form int

const (
	// webhook is what Alertmanager posts to its receivers, version 4.
	webhook form = iota
	// postable is what Alertmanager takes on POST /api/v2/alerts.
	postable
)

var (
	names      = [...]string{"KubePodCrashLooping", "HighRequestLatency", "InstanceDown", "DiskWillFillIn4Hours", "TargetMissing", "ErrorBudgetBurn"}
	clusters   = [...]string{"eu-west-1a", "eu-west-1b", "us-east-1c"}
	services   = [...]string{"checkout", "payments", "search", "catalog", "auth", "ingress", "mailer", "ledger"}
	severities = [...]string{"critical", "warning"}
)

// runLength is how many alerts with neighbouring numbers share name, cluster
// and service: a real webhook holds some groups, not one and not a hundred.
const runLength = 7

// generator makes alerts of 8 labels and 3 annotations, about 650 bytes each as
// a webhook. The same number gives the same bytes; another seed gives other alerts.
type generator struct {
	form form
	seed int
	// apart gives each alert a name of its own, so that it opens an incident of its own.
	apart bool
	// now is when the bench began: alerts started in the two days before it.
	now time.Time
}

// subject is what alert id is about.
type subject struct{ name, cluster, service, severity, pod, instance string }

func (g *generator) subject(id int) subject {
	h := scramble(uint64(id / runLength))
	digits := strconv.Itoa(1_000_000_000 + id)[1:]
	seed := strconv.Itoa(g.seed)
	name := names[h%6]
	if g.apart {
		name += digits
	}
	return subject{
		name:     name,
		cluster:  clusters[h/6%3],
		service:  services[h/18%8],
		severity: severities[h>>40&1],
		pod:      "b" + seed + "-" + digits,
		instance: "node-" + seed + "-" + digits + ".prod.example.net:9100",
	}
}

// scramble spreads neighbouring numbers over all bits (the finisher of MurmurHash3).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// pairs calls f for each label, sorted by name.
func (s *subject) pairs(f func(name, value string)) {
	f("alertname", s.name)
	f("cluster", s.cluster)
	f("instance", s.instance)
	f("job", "kube-state-metrics")
	f("namespace", "prod-"+s.service)
	f("pod", s.pod)
	f("service", s.service)
	f("severity", s.severity)
}

// fingerprint is Prometheus' own, as Alertmanager puts it into its webhooks.
func (s *subject) fingerprint() []byte {
	h := fnv.New64a()
	separator := []byte{255}
	s.pairs(func(name, value string) {
		h.Write([]byte(name))
		h.Write(separator)
		h.Write([]byte(value))
		h.Write(separator)
	})
	return h.Sum(nil)
}

const (
	milliseconds = "2006-01-02T15:04:05.000Z"
	never        = "0001-01-01T00:00:00Z"
)

func (g *generator) appendAlert(b []byte, id int, resolved bool) []byte {
	s := g.subject(id)
	b = append(b, '{')
	if g.form == webhook {
		b = append(b, `"status":"`...)
		b = append(b, status(resolved)...)
		b = append(b, `",`...)
	}
	b = append(b, `"labels":{`...)
	s.pairs(func(name, value string) {
		if name != "alertname" {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":"`...)
		b = append(b, value...)
		b = append(b, '"')
	})
	b = append(b, `},"annotations":{"description":"`+s.name+` on `+s.instance+
		`","runbook_url":"https://runbooks.example.net/`+s.service+
		`","summary":"`+s.name+` on `+s.pod+`"},"startsAt":"`...)
	b = g.startsAt(id).AppendFormat(b, milliseconds)
	b = append(b, `","endsAt":"`...)
	b = append(b, g.endsAt(resolved)...)
	b = append(b, `","generatorURL":"http://prometheus.example.net:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"`...)
	if g.form == webhook {
		b = append(b, `,"fingerprint":"`...)
		b = hex.AppendEncode(b, s.fingerprint())
		b = append(b, '"')
	}
	return append(b, '}')
}

func (g *generator) startsAt(id int) time.Time {
	return g.now.UTC().Truncate(time.Second).Add(-48*time.Hour + time.Duration(id%86400)*time.Second + time.Duration(id%1000)*time.Millisecond)
}

func (g *generator) endsAt(resolved bool) string {
	switch {
	case resolved:
		return g.now.UTC().Add(-time.Hour).Format(milliseconds)
	case g.form == webhook:
		return never
	}
	return g.now.UTC().Add(6 * time.Hour).Format(milliseconds)
}

func status(resolved bool) string {
	if resolved {
		return "resolved"
	}
	return "firing"
}

// appendBody appends one request body with the alerts first to first+n-1.
func (g *generator) appendBody(b []byte, first, n int, resolved bool) []byte {
	if g.form == postable {
		return append(g.appendAlerts(append(b, '['), first, n, resolved), ']')
	}
	s := g.subject(first)
	b = append(b, `{"version":"4","groupKey":"{}/{severity=\"`+s.severity+`\"}:{cluster=\"`+s.cluster+
		`\"}","truncatedAlerts":0,"status":"`+status(resolved)+`","receiver":"tocsin","groupLabels":{"cluster":"`+s.cluster+
		`"},"commonLabels":{"job":"kube-state-metrics"},"commonAnnotations":{},"externalURL":"http://alertmanager.example.net:9093","alerts":[`...)
	return append(g.appendAlerts(b, first, n, resolved), `]}`...)
}

func (g *generator) appendAlerts(b []byte, first, n int, resolved bool) []byte {
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = g.appendAlert(b, first+i, resolved)
	}
	return b
}
