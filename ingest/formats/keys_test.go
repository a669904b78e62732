package formats

import (
	"fmt"
	"testing"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// TestMonitByMail: each of Monit's events has the same key by mail as in a report.
func TestMonitByMail(t *testing.T) {
	for id, names := range map[int][4]string{ // failed, succeeded, changed, not changed
		1: {"Checksum failed", "Checksum succeeded", "Checksum changed", "Checksum not changed"}, 2: {"Resource limit matched", "Resource limit succeeded", "Resource limit changed", "Resource limit not changed"},
		4: {"Timeout", "Timeout recovery", "Timeout changed", "Timeout not changed"}, 8: {"Timestamp failed", "Timestamp succeeded", "Timestamp changed", "Timestamp not changed"},
		16: {"Size failed", "Size succeeded", "Size changed", "Size not changed"}, 32: {"Connection failed", "Connection succeeded", "Connection changed", "Connection not changed"},
		64: {"Permission failed", "Permission succeeded", "Permission changed", "Permission not changed"}, 128: {"UID failed", "UID succeeded", "UID changed", "UID not changed"},
		256: {"GID failed", "GID succeeded", "GID changed", "GID not changed"}, 512: {"Does not exist", "Exists", "Existence changed", "Existence not changed"},
		1024: {"Invalid type", "Type succeeded", "Type changed", "Type not changed"}, 2048: {"Data access error", "Data access succeeded", "Data access changed", "Data access not changed"},
		4096: {"Execution failed", "Execution succeeded", "Execution changed", "Execution not changed"}, 8192: {"Filesystem flags failed", "Filesystem flags succeeded", "Filesystem flags changed", "Filesystem flags not changed"},
		16384: {"ICMP failed", "ICMP succeeded", "ICMP changed", "ICMP not changed"}, 32768: {"Content failed", "Content succeeded", "Content match", "Content doesn't match"},
		262144: {"PID failed", "PID succeeded", "PID changed", "PID not changed"}, 524288: {"PPID failed", "PPID succeeded", "PPID changed", "PPID not changed"},
		1048576: {"Heartbeat failed", "Heartbeat succeeded", "Heartbeat changed", "Heartbeat not changed"}, 2097152: {"Status failed", "Status succeeded", "Status changed", "Status not changed"},
		4194304: {"Uptime failed", "Uptime succeeded", "Uptime changed", "Uptime not changed"}, 8388608: {"Link down", "Link up", "Link changed", "Link not changed"},
		16777216: {"Speed failed", "Speed ok", "Speed changed", "Speed not changed"}, 33554432: {"Saturation exceeded", "Saturation ok", "Saturation changed", "Saturation not changed"},
		67108864: {"Download bytes exceeded", "Download bytes ok", "Download bytes changed", "Download bytes not changed"}, 134217728: {"Upload bytes exceeded", "Upload bytes ok", "Upload bytes changed", "Upload bytes not changed"},
		268435456: {"Download packets exceeded", "Download packets ok", "Download packets changed", "Download packets not changed"}, 536870912: {"Upload packets exceeded", "Upload packets ok", "Upload packets changed", "Upload packets not changed"},
		1073741824: {"Does exist", "Exists not"},
		65536:      {"Monit instance failed", "Monit instance succeeded", "Monit instance changed", "Monit instance not changed"},
		131072:     {"Action done", "Action done", "Action done", "Action done"},
	} {
		for i, name := range names {
			if name == "" {
				continue
			}
			state := [4]int{1, 0, 2, 3}[i]
			posted := only(t, "monit", fmt.Sprintf(`<monit id="m1"><server><localhostname>web</localhostname></server><event><service>eth0</service><id>%d</id><state>%d</state><message>m</message></event></monit>`, id, state))
			mailed := only(t, "monit", "From: monit@web\nSubject: monit alert --  "+name+" eth0\n\n"+name+" Service eth0\n\n\tDate: x\n\tAction: alert\n\tHost: web\n\tDescription: m\n")
			if posted.Key != mailed.Key || posted.Kind != mailed.Kind || posted.Status != mailed.Status || posted.Labels.Get("event") != mailed.Labels.Get("event") {
				t.Errorf("%s: by mail %v %v %q, posted %v %v %q", name, mailed.Kind, mailed.Status, mailed.Key, posted.Kind, posted.Status, posted.Key)
			}
		}
	}
}

func only(t *testing.T, format, body string) alert.Alert {
	t.Helper()
	b, err := All[format].Decode(ingest.Request{Body: []byte(body)})
	if err != nil || len(b.Alerts) != 1 {
		t.Fatalf("%+v, %v: %s", b, err, body)
	}
	return b.Alerts[0]
}

// TestKeysByMail: a mail and what is posted by the same program are about the same thing.
func TestKeysByMail(t *testing.T) {
	for format, c := range map[string]struct{ posted, mailed string }{
		"zabbix": {`{"event_id":"77","event_name":"Disk full","event_value":"1","host":"web","event_severity":"High"}`,
			"From: z@example.com\nSubject: Resolved in 5m: Disk full\n\nProblem name: Disk full\nHost: web\nSeverity: High\nOriginal problem ID: 77\n"},
		"uptime-kuma": {`{"msg":"[web] [🔴 Down] timeout"}`, "From: k@example.com\nSubject: [web] [=?utf-8?B?4pyF?= Up] 200 - OK\n\n[web] [✅ Up] 200 - OK\n"},
		"elastalert":  {`{"rule":"Login attack","host":"web","@timestamp":"2026-11-21T01:00:00Z"}`, "From: e@example.com\nSubject: ElastAlert: Login attack\n\nLogin attack\n\nhost: web\n"},
		"nagios":      {"HOSTNAME=web&SERVICEDESC=Disk&NOTIFICATIONTYPE=PROBLEM&SERVICESTATE=CRITICAL", "From: n@example.com\nSubject: ** RECOVERY Service Alert: web/Disk is OK **\n\nx\n"},
		"sns": {`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:eu-central-1:123456789012:a","Message":"{\"AlarmName\":\"CPU\",\"AlarmArn\":\"arn:a:CPU\",\"NewStateValue\":\"ALARM\"}"}`,
			"From: s@example.com\nSubject: OK: \"CPU\" in EU (Frankfurt)\n\n- Alarm Arn: arn:a:CPU\n"},
	} {
		posted, mailed := only(t, format, c.posted), only(t, format, c.mailed)
		if posted.Key == "" || posted.Key != mailed.Key {
			t.Errorf("%s: posted %q, by mail %q", format, posted.Key, mailed.Key)
		}
	}
}
