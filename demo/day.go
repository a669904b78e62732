package demo

import (
	"fmt"
	"time"
)

// labels of one alert.
type labels map[string]string

// change is a moment of the day at which an alert begins or ends, or is
// evaluated with another text.
type change struct {
	at          time.Duration // since the start of the day
	labels      labels
	annotations labels
	resolved    bool
}

// phase is a part of the day that the demo reports by itself.
type phase struct {
	at    time.Duration
	title string
}

var phases = []phase{
	{0, "An ordinary morning: the Watchdog, a warning about a certificate"},
	{14 * time.Minute, "The disk of the orders database fills up"},
	{32 * time.Minute, "The database stops; latency storm in everything that calls it"},
	{52 * time.Minute, "A node under pressure begins to flap"},
	{85 * time.Minute, "Space is freed, the database is back, the storm calms down"},
	{110 * time.Minute, "Afternoon"},
}

// worst is the phase at whose end most is wrong.
const worst = 2

// script is the day: everything that its Prometheus servers notice.
func script() []change {
	var d day
	d.fire(minute(1), about("Watchdog", "none", "monitoring"), "This alert always fires, to show that alerting works.")
	d.fire(minute(5), about("CertificateExpiresSoon", "warning", "storefront", "host", "www.shop.example"), "The certificate of www.shop.example expires in 13 days.")

	// A warning while the disk fills, critical when it is nearly full.
	disk := func(severity string) labels {
		return about("DiskFillsUp", severity, "orders-db", "instance", "db-1.shop.example:9100", "device", "/dev/nvme1n1")
	}
	d.fire(minute(15), disk("warning"), "/var/lib/postgresql on db-1 will be full in 4 hours.")
	d.fire(minute(27), disk("critical"), "/var/lib/postgresql on db-1 is 97 % full.")
	replication := about("ReplicationLag", "warning", "orders-db", "instance", "db-2.shop.example:9187")
	d.fire(minute(29), replication, "db-2 is 95 s behind db-1.")

	// The database refuses to write; every pod that waits for it is slow.
	database := about("DatabaseDown", "critical", "orders-db", "instance", "db-1.shop.example:9187")
	d.fire(minute(33), database, "PostgreSQL on db-1 does not accept connections: no space left on device.")
	d.storm("checkout", 64, minute(34), 9*time.Second, minute(88))
	d.storm("payments", 48, minute(36), 11*time.Second, minute(89))
	d.storm("cart", 36, minute(38), 10*time.Second, minute(90))
	d.errors(minute(35), minute(91))

	d.flap(minute(53), 7)

	d.resolve(minute(86), disk("critical"))
	d.resolve(minute(86), disk("warning"))
	d.resolve(minute(87), database)
	d.resolve(minute(94), replication)
	d.fire(minute(112), about("BackupLate", "info", "orders-db", "instance", "db-1.shop.example:9187"), "The last backup of orders is 26 hours old.")
	d.resolve(minute(118), about("BackupLate", "info", "orders-db", "instance", "db-1.shop.example:9187"))
	return d.changes
}

func minute(n int) time.Duration { return time.Duration(n) * time.Minute }

// about makes labels; further come in pairs.
func about(name, severity, service string, further ...string) labels {
	l := labels{"alertname": name, "severity": severity, "service": service, "cluster": "eu-central", "environment": "production"}
	for i := 0; i+1 < len(further); i += 2 {
		l[further[i]] = further[i+1]
	}
	return l
}

// day collects changes.
type day struct{ changes []change }

func (d *day) fire(at time.Duration, l labels, summary string) {
	notes := labels{"summary": summary, "runbook_url": "https://runbooks.shop.example/" + l["service"] + "/" + l["alertname"]}
	d.changes = append(d.changes, change{at: at, labels: l, annotations: notes})
}

func (d *day) resolve(at time.Duration, l labels) {
	d.changes = append(d.changes, change{at: at, labels: l, resolved: true})
}

// storm makes n pods of a service slow, one after the other, and well again the same way.
func (d *day) storm(service string, n int, from, step, until time.Duration) {
	for i := range n {
		// Pod names look random and are the same every time.
		pod := fmt.Sprintf("%s-%s-%s", service, suffix(len(service), 9), suffix(i*31+len(service)*7919, 5))
		l := about("HighLatency", "critical", service, "pod", pod, "instance", fmt.Sprintf("node-%d.shop.example:8080", i%9+1))
		d.fire(from+time.Duration(i)*step, l, fmt.Sprintf("p99 latency of %s is above 2 s for 5 minutes.", pod))
		d.resolve(until+time.Duration(i%12)*20*time.Second, l)
	}
}

// errors are what the customers see.
func (d *day) errors(from, until time.Duration) {
	for i, path := range []string{"/checkout", "/cart", "/orders", "/pay"} {
		l := about("ErrorBudgetBurn", "critical", "storefront", "path", path)
		d.fire(from+time.Duration(i)*40*time.Second, l, "The shop answers "+path+" with errors: the month's error budget is gone in 6 hours.")
		d.resolve(until+time.Duration(i)*30*time.Second, l)
	}
}

// flap lets a node come and go n times.
func (d *day) flap(from time.Duration, n int) {
	l := about("NodeNotReady", "warning", "kubernetes", "node", "node-7", "instance", "node-7.shop.example:10250")
	for i := range n {
		at := from + time.Duration(i)*4*time.Minute
		d.fire(at, l, "node-7 has not been ready for a minute.")
		d.resolve(at+2*time.Minute, l)
	}
}

// suffix makes the kind of letters that Kubernetes puts behind names.
func suffix(n, length int) string {
	const letters = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, length)
	x := uint32(n)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = letters[x>>16%uint32(len(letters))]
	}
	return string(b)
}
