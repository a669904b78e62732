package router

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/dedupe"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/formats"
)

// say takes a body of a format through the decoder and the pipeline.
func (g *gateway) say(format, body string) []alert.Verdict {
	g.t.Helper()
	f := formats.All[format]
	b, err := f.Decode(ingest.Request{Source: format, Format: format, Body: []byte(body), ReceivedAt: g.clock.read()})
	if err != nil {
		g.t.Fatal(err)
	}
	if len(b.Rejected) > 0 {
		g.t.Logf("rejected: %v", b.Rejected[0].Reason)
	}
	out, err := g.Accept(context.Background(), format, b.Alerts)
	if err != nil {
		g.t.Fatal(err)
	}
	return verdictsOf(out)
}

func (g *gateway) openOnes() int { return len(g.incidents(incident.Open, incident.Acknowledged)) }

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// A problem and its recovery that were held up on the way (the queue of the
// sender) come together when the gateway is back, or come from a clock that is late.
func TestLateRecovery(t *testing.T) {
	at := func(m int) int64 { return epoch.Add(time.Duration(m) * time.Minute).Unix() }
	monit := func(m int, state int) string {
		return fmt.Sprintf(`<?xml version="1.0"?><monit id="x" version="5.33"><server><localhostname>web</localhostname></server><event><collected_sec>%d</collected_sec><collected_usec>0</collected_usec><service>nginx</service><type>3</type><id>32</id><state>%d</state><action>1</action><message>m</message></event></monit>`, at(m), state)
	}
	nag := func(m int, typ, state string) string {
		return fmt.Sprintf("HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=%s&SERVICESTATE=%s&TIMET=%d", typ, state, at(m))
	}
	nrdp := func(m, state int) string {
		return fmt.Sprintf(`cmd=submitcheck&JSONDATA={"checkresults":[{"checkresult":{"type":"service"},"hostname":"web","servicename":"Disk","state":"%d","output":"o","time":"%d"}]}`, state, at(m))
	}
	kib := func(m int, group string) string {
		return fmt.Sprintf(`{"rule_name":"CPU","rule_id":"r","alert_id":"web","action_group":%q,"date":%q}`, group, epoch.Add(time.Duration(m)*time.Minute).Format(time.RFC3339))
	}
	kuma := func(m, status int) string {
		return fmt.Sprintf(`{"heartbeat":{"status":%d,"time":%q,"important":false},"monitor":{"id":1,"name":"web"},"msg":"x"}`, status, epoch.Add(time.Duration(m)*time.Minute).Format(time.DateTime))
	}
	for _, c := range []struct{ format, problem, recovery string }{
		{"monit", monit(0, 1), monit(5, 0)},
		{"nagios", nag(0, "PROBLEM", "CRITICAL"), nag(5, "RECOVERY", "OK")},
		{"nrdp", nrdp(0, 2), nrdp(5, 0)},
		{"kibana", kib(0, "default"), kib(5, "recovered")},
		{"uptime-kuma", kuma(0, 0), kuma(5, 1)},
	} {
		t.Run(c.format, func(t *testing.T) {
			g := newGateway(t)
			g.clock.add(30 * time.Minute) // both were held up until now
			v1 := g.say(c.format, c.problem)
			g.clock.add(time.Second)
			v2 := g.say(c.format, c.recovery)
			if n := g.openOnes(); n != 0 {
				t.Errorf("verdicts %v, %v: the incident stays open", v1, v2)
			}
		})
	}
}

// The place is made of labels that the recovery does not have, though the key is the same.
func TestPlaceDiffers(t *testing.T) {
	for name, c := range map[string]struct{ format, problem, recovery string }{
		"kibana, service only while it fires": {"kibana",
			`{"rule_name":"Latency","rule_id":"r","alert_id":"web","action_group":"default","context":{"service":{"name":"shop"}}}`,
			`{"rule_name":"Latency","rule_id":"r","alert_id":"web","action_group":"recovered"}`},
		"kibana, rule renamed meanwhile": {"kibana",
			`{"rule_name":"Latency","rule_id":"r","alert_id":"web","action_group":"default"}`,
			`{"rule_name":"Latency (prod)","rule_id":"r","alert_id":"web","action_group":"recovered"}`},
		"kuma, monitor renamed": {"uptime-kuma",
			`{"heartbeat":{"status":0},"monitor":{"id":1,"name":"web"},"msg":"x"}`,
			`{"heartbeat":{"status":1},"monitor":{"id":1,"name":"web-01"},"msg":"x"}`},
		"events with a key of their own": {"events",
			`{"name":"Backup","key":"backup-db1","service":"db","status":"firing"}`,
			`{"name":"Backup","key":"backup-db1","status":"resolved"}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			v1 := g.say(c.format, c.problem)
			g.clock.add(time.Minute)
			v2 := g.say(c.format, c.recovery)
			if n := g.openOnes(); n != 0 {
				t.Errorf("verdicts %v, %v: the incident stays open", v1, v2)
			}
		})
	}
}

// A correlation rule that matches the severity: the recovery of Nagios has none.
func TestSeverityRule(t *testing.T) {
	g := newGateway(t, func(s *Settings) {
		s.Correlate.Rules = append([]dedupe.Rule{{Name: "crit", Matchers: []string{`severity="critical"`}, By: []string{"service", "host"}}}, s.Correlate.Rules...)
	})
	v1 := g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=PROBLEM&SERVICESTATE=CRITICAL")
	g.clock.add(time.Minute)
	v2 := g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=RECOVERY&SERVICESTATE=OK")
	if n := g.openOnes(); n != 0 {
		t.Errorf("verdicts %v, %v: the incident stays open", v1, v2)
	}
}

func TestSeverityBy(t *testing.T) {
	g := newGateway(t, func(s *Settings) {
		s.Correlate.Rules = append([]dedupe.Rule{{Name: "sev", By: []string{"host", "severity"}}}, s.Correlate.Rules...)
	})
	g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=PROBLEM&SERVICESTATE=WARNING")
	g.clock.add(time.Minute)
	g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=PROBLEM&SERVICESTATE=CRITICAL")
	g.clock.add(time.Minute)
	g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=RECOVERY&SERVICESTATE=OK")
	if n := g.openOnes(); n != 0 {
		t.Errorf("%d incidents stay open", n)
	}
}

// The alert that a heartbeat is missing is itself taken for a sign of life.
func TestHeartbeatSwallowsItsOwn(t *testing.T) {
	for _, m := range []string{`alertname=~".*Watchdog"`, `team="sre"`, `severity!="none"`} {
		t.Run(m, func(t *testing.T) {
			g := newGateway(t, heartbeats(Heartbeat{Name: "Watchdog", Matchers: []string{m}, Every: model.Duration(4 * time.Minute), Severity: "critical", Team: "sre"}))
			g.minutes(20)
			if got := g.about(); got != incident.Open {
				t.Errorf("silence for 20 minutes: got %q, want an open incident", got)
			}
		})
	}
}

func mailOf(from, subject, text string) string {
	return crlf("From: " + from + "\nTo: a@b.example\nSubject: " + subject + "\nDate: Sat, 21 Nov 2026 02:00:00 +0000\nMessage-ID: <1@x>\n\n" + text + "\n")
}

// Different problems that the subjects of mails tell apart by numbers and words only.
func TestMailKeys(t *testing.T) {
	for _, c := range [][3]string{
		{"VM 101 is DOWN", "VM 102 is DOWN", "VM 102 is UP"},
		{"Port 12 down on switch", "Port 13 down on switch", "Port 13 up on switch: OK"},
		{"sun is DOWN", "mar is DOWN", "mar is UP"},
	} {
		t.Run(c[0], func(t *testing.T) {
			g := newGateway(t)
			v1 := g.say("email", mailOf("mon@x.example", c[0], "a"))
			g.clock.add(time.Minute)
			v2 := g.say("email", mailOf("mon@x.example", c[1], "b"))
			n := g.openOnes()
			g.clock.add(time.Minute)
			v3 := g.say("email", mailOf("mon@x.example", c[2], "c"))
			if n != 2 || g.openOnes() != 1 {
				t.Errorf("two problems: %d incidents; the second is over: %d left; verdicts %v %v %v", n, g.openOnes(), v1, v2, v3)
			}
		})
	}
}

// By webhook and by mail of the same sender.
func TestMailAndWebhook(t *testing.T) {
	for name, c := range map[string]struct{ format, problem, recovery string }{
		"zabbix": {"zabbix", `{"event_id":"77","event_name":"Disk full","event_value":"1","host":"web","event_severity":"High"}`,
			mailOf("z@x.example", "Resolved in 5m: Disk full", "Problem has been resolved at 02:05:00 on 2026.11.21\nProblem name: Disk full\nHost: web\nSeverity: High\nOriginal problem ID: 77")},
		"uptime-kuma": {"uptime-kuma", `{"msg":"[web] [🔴 Down] timeout"}`, mailOf("k@x.example", "[web] [✅ Up] 200 - OK", "[web] [✅ Up] 200 - OK")},
		"monit": {"monit", `<?xml version="1.0"?><monit id="x" version="5.33"><server><localhostname>web</localhostname></server><event><service>nginx</service><id>2</id><state>1</state><message>m</message></event></monit>`,
			mailOf("monit@x.example", "monit alert --  Resource limit succeeded nginx", "Resource limit succeeded Service nginx\n\n\tDate:        Sat, 21 Nov 2026 02:05:00\n\tAction:      alert\n\tHost:        web\n\tDescription: cpu ok")},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			v1 := g.say(c.format, c.problem)
			g.clock.add(time.Minute)
			v2 := g.say(c.format, c.recovery)
			if n := g.openOnes(); n != 0 {
				t.Errorf("verdicts %v, %v: the incident stays open", v1, v2)
			}
		})
	}
}

// Monit's own words for the end of a problem that are neither "succeeded" nor "recovery".
func TestMonitWords(t *testing.T) {
	for _, c := range [][2]string{{"Download bytes exceeded", "Download bytes ok"}, {"Saturation exceeded", "Saturation ok"}, {"Invalid type", "Type succeeded"}, {"Content match", "Content doesn't match"}, {"Timeout", "Timeout recovery"}, {"Does not exist", "Exists"}} {
		t.Run(c[0], func(t *testing.T) {
			g := newGateway(t)
			mail := func(what string) string {
				return mailOf("monit@x.example", "monit alert --  "+what+" eth0", what+" Service eth0\n\n\tDate:        Sat, 21 Nov 2026 02:05:00\n\tAction:      alert\n\tHost:        web\n\tDescription: d")
			}
			v1 := g.say("monit", mail(c[0]))
			g.clock.add(time.Minute)
			v2 := g.say("monit", mail(c[1]))
			if n := g.openOnes(); n != 0 {
				t.Errorf("verdicts %v, %v: %d open", v1, v2, n)
			}
		})
	}
}

func TestSwallowed(t *testing.T) {
	pd := func(dedup, summary, action string) string {
		return fmt.Sprintf(`{"routing_key":"k","event_action":%q,"dedup_key":%q,"client":"ElastAlert","payload":{"summary":%q,"severity":"critical","source":"x","custom_details":{"information":"i"}}}`, action, dedup, summary)
	}
	v1 := func(rule, key string) string {
		return fmt.Sprintf(`{"service_key":"secret","event_type":"trigger","description":%q,"incident_key":%q,"client":"ElastAlert","details":{"information":"i"}}`, rule, key)
	}
	for name, c := range map[string]struct {
		format string
		bodies []string
		want   int
	}{
		"kuma: a problem that ends in Testing": {"uptime-kuma", []string{`{"msg":"[shop] [🔴 Down] keyword not found: A/B Testing"}`}, 1},
		"events: an empty status is refused":   {"events", []string{`{"name":"Disk","status":""}`}, 0},
		"elastalert: two dedup keys":           {"elastalert", []string{pd("db-1", "Disk full", "trigger"), pd("db-2", "Disk full", "trigger")}, 2},
		"elastalert: resolve by the dedup key": {"elastalert", []string{pd("db-1", "Disk full", "trigger"), pd("db-1", "Disk ok", "resolve")}, 0},
		"elastalert: PagerDuty v1, two rules":  {"elastalert", []string{v1("Disk full", "a"), v1("Login attack", "b")}, 2},
		"nagios: cries of two hosts":           {"nagios", []string{`PROBLEM web-01 disk is CRITICAL`, `PROBLEM db-01 raid is CRITICAL`}, 2},
		"nrdp: an exit status of 127":          {"nrdp", []string{`cmd=submitcheck&JSONDATA={"checkresults":[{"checkresult":{"type":"service"},"hostname":"web","servicename":"Disk","state":"127","output":"CRITICAL"}]}`}, 1},
		"sns: an alarm by EventBridge":         {"sns", []string{`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:eu-central-1:123456789012:a","Message":"{\"detail-type\":\"CloudWatch Alarm State Change\",\"detail\":{\"alarmName\":\"CPU\",\"state\":{\"value\":\"ALARM\"}}}"}`}, 1},
		"host!service and service!service":     {"nrdp", []string{`cmd=submitcheck&JSONDATA={"checkresults":[{"hostname":"a!b","servicename":"c","state":"2","output":"x"}]}`, `cmd=submitcheck&JSONDATA={"checkresults":[{"hostname":"a","servicename":"b!c","state":"0","output":"x"}]}`}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			var v []alert.Verdict
			for _, b := range c.bodies {
				v = append(v, g.say(c.format, b)...)
				g.clock.add(time.Minute)
			}
			firing := 0
			for _, r := range g.entries() {
				if r.Entry.Firing {
					firing++
				}
			}
			if firing != c.want {
				t.Errorf("got %v; %d alerts fire, want %d", v, firing, c.want)
			}
		})
	}
}

// Reconciling with Alertmanager ends what came by mail to the same source.
func TestCompareEndsMail(t *testing.T) {
	g, o := withOutside(t)
	g.say("alertmanager", mailOf("backup@x.example", "Backup failed on db-1", "x"))
	if g.openOnes() != 1 {
		t.Fatal("not opened")
	}
	o.open = nil
	for range 4 {
		g.round(5 * time.Minute)
	}
	if g.openOnes() != 1 {
		t.Error("nobody said that it is over, but the comparison with the API has ended it")
	}
}

func TestReportOfAnotherHost(t *testing.T) {
	g := newGateway(t)
	for _, host := range []string{"p1", "p2"} {
		_, v, err := g.Report(context.Background(), Report{Title: "Printer broken", Description: "Printer broken", Reporter: "ann", Host: host})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(v)
		if host == "p2" && v == alert.Duplicate {
			t.Error("the report about another host was thrown away as a duplicate")
		}
		g.clock.add(time.Minute)
	}
}

// A word of one's own for the type: its problem opens, its end is information.
func TestOwnWords(t *testing.T) {
	g := newGateway(t)
	v1 := g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=ALERT&SERVICESTATE=CRITICAL")
	g.clock.add(time.Minute)
	v2 := g.say("nagios", "HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=RESOLVED&SERVICESTATE=OK")
	if n := g.openOnes(); n != 0 {
		t.Errorf("%v, %v: stays open", v1, v2)
	}
}
