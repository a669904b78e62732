package nagios

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/alert/alerttest"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

var received = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// said is what a test looks at in an alert.
type said struct {
	kind                                 alert.Kind
	status                               alert.Status
	key, host, service, severity         string
	summary, description                 string
	starts, ends, event, author, comment string
	flags                                alert.Flag
}

func saying(a *alert.Alert) said {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprint(t.Unix())
	}
	return said{a.Kind, a.Status, a.Key, a.Host(), a.Service(), a.Severity(), a.Annotations.Get("summary"), a.Annotations.Get("description"),
		when(a.StartsAt), when(a.EndsAt), when(a.EventAt), a.Author, a.Comment, a.Flags}
}

func request(body string) ingest.Request {
	return ingest.Request{Source: "s", Body: []byte(body), ReceivedAt: received}
}

func TestNotifications(t *testing.T) {
	const at = "&TIMET=1795224687&LASTSERVICESTATECHANGE=1795224680&LASTHOSTSTATECHANGE=1795224670"
	cpu := said{key: "web-01!CPU", host: "web-01", service: "CPU", event: "1795224687"}
	with := func(s said, change func(*said)) said { change(&s); return s }
	firing := with(cpu, func(s *said) { s.status, s.severity, s.starts = alert.Firing, "critical", "1795224680" })
	fine := with(cpu, func(s *said) { s.status, s.ends = alert.Resolved, "1795224680" })
	for _, c := range []struct {
		name, body string
		want       said
	}{
		{"problem", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&SERVICEOUTPUT=too+much" + at,
			with(firing, func(s *said) { s.summary = "too much" })},
		{"recovery", "NOTIFICATIONTYPE=RECOVERY&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at, fine},
		{"recovery of which the state is still the old one", "NOTIFICATIONTYPE=RECOVERY&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL" + at, fine},
		{"recovery without times", "NOTIFICATIONTYPE=RECOVERY&HOSTNAME=web-01", said{status: alert.Resolved, key: "web-01", host: "web-01"}},
		{"when it happened is when it was said", "NOTIFICATIONTYPE=RECOVERY&HOSTNAME=web-01&SERVICEDESC=CPU&TIMET=1795224687",
			with(fine, func(s *said) { s.ends = "1795224687" })},
		{"a state's duration", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&TIMET=1795224687&SERVICEDURATIONSEC=7", firing},
		{"a state that never changed", "NOTIFICATIONTYPE=CUSTOM&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK&TIMET=1795224687&LASTSERVICESTATECHANGE=0&SERVICEDURATIONSEC=1795224687",
			with(fine, func(s *said) { s.kind, s.ends = alert.KindNote, "" })},
		{"acknowledgement", "NOTIFICATIONTYPE=ACKNOWLEDGEMENT&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&NOTIFICATIONAUTHOR=alice&NOTIFICATIONCOMMENT=mine" + at,
			with(firing, func(s *said) { s.kind, s.author, s.comment = alert.KindAcknowledgement, "alice", "mine" })},
		{"acknowledgement in older macros", "NOTIFICATIONTYPE=ACKNOWLEDGEMENT&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&SERVICEACKAUTHOR=alice&SERVICEACKCOMMENT=mine" + at,
			with(firing, func(s *said) { s.kind, s.author, s.comment = alert.KindAcknowledgement, "alice", "mine" })},
		{"flapping", "NOTIFICATIONTYPE=FLAPPINGSTART&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL" + at,
			with(firing, func(s *said) { s.kind = alert.KindFlappingStarted })},
		{"flapping no more", "NOTIFICATIONTYPE=FLAPPINGSTOP&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at,
			with(fine, func(s *said) { s.kind = alert.KindFlappingEnded })},
		{"flapping is not looked for any more", "NOTIFICATIONTYPE=FLAPPINGDISABLED&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at,
			with(fine, func(s *said) { s.kind = alert.KindFlappingEnded })},
		{"downtime of a service that is bad", "NOTIFICATIONTYPE=DOWNTIMESTART&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&NOTIFICATIONAUTHOR=bob" + at,
			with(firing, func(s *said) { s.kind, s.author = alert.KindMaintenanceStarted, "bob" })},
		{"downtime ends", "NOTIFICATIONTYPE=DOWNTIMEEND&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at,
			with(fine, func(s *said) { s.kind = alert.KindMaintenanceEnded })},
		{"downtime is cancelled", "NOTIFICATIONTYPE=DOWNTIMECANCELLED&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at,
			with(fine, func(s *said) { s.kind = alert.KindMaintenanceCancelled })},
		{"a host", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&HOSTSTATE=DOWN&HOSTOUTPUT=gone&SERVICEDESC=" + at,
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical", summary: "gone", starts: "1795224670", event: "1795224687"}},
		{"a host behind one that is down", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&HOSTSTATE=UNREACHABLE",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
		{"what is not defined", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&HOSTSTATE=DOWN&SERVICEDESC=%24SERVICEDESC%24&HOSTOUTPUT=%24",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
		{"a notification is meant, soft or not", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&SERVICESTATETYPE=SOFT" + at, firing},
		{"an event handler before it is sure", "HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&SERVICESTATETYPE=SOFT" + at,
			with(firing, func(s *said) { s.kind = alert.KindInformation })},
		{"an event handler that is sure", "HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL&SERVICESTATETYPE=HARD" + at, firing},
		{"an event handler when it is over", "HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK&SERVICESTATETYPE=SOFT" + at, fine},
		{"an event handler at the start", "HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=PENDING&TIMET=1795224687",
			with(cpu, func(s *said) { s.kind = alert.KindInformation })},
		{"a type that nobody knows", "NOTIFICATIONTYPE=ESCALATION&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=CRITICAL" + at,
			with(firing, func(s *said) { s.flags = alert.FlagUnparsed })},
		{"a type that nobody knows, and no problem", "NOTIFICATIONTYPE=ESCALATION&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=OK" + at,
			with(fine, func(s *said) { s.flags = alert.FlagUnparsed })},
		{"a type that nobody knows, and no state", "NOTIFICATIONTYPE=ESCALATION&HOSTNAME=web-01&SERVICEDESC=CPU" + at,
			with(firing, func(s *said) { s.severity, s.flags = "", alert.FlagUnparsed })},
		{"a type that nobody knows, at the start", "NOTIFICATIONTYPE=ESCALATION&HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=PENDING&TIMET=1795224687",
			with(cpu, func(s *said) { s.kind, s.flags = alert.KindInformation, alert.FlagUnparsed })},
		{"a state that nobody knows", "HOSTNAME=web-01&SERVICEDESC=CPU&SERVICESTATE=BURNING" + at,
			with(firing, func(s *said) { s.severity, s.flags = "burning", alert.FlagUnparsed })},
		{"in parts", "--b\r\nContent-Disposition: form-data; name=\"HOSTNAME\"\r\n\r\nweb-01\r\n--b\r\nContent-Disposition: form-data; name=\"HOSTSTATE\"\r\n\r\nDOWN\r\n--b--\r\n",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
		{"long output", `{"NAGIOS_HOSTNAME":"web-01","NAGIOS_SERVICEDESC":"CPU","NAGIOS_SERVICESTATE":"OK","NAGIOS_SERVICEOUTPUT":"one","NAGIOS_LONGSERVICEOUTPUT":"two\\nC:\\\\\\\\new"}`,
			said{status: alert.Resolved, key: "web-01!CPU", host: "web-01", service: "CPU", summary: "one", description: "one\ntwo\nC:\\\\\\new"}},
		{"of two host names Nagios' own", `{"HOSTNAME":"shell","NAGIOS_HOSTNAME":"web-01","NAGIOS_HOSTSTATE":"DOWN"}`,
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
		{"words and numbers of one's own", `{"type":"service","notification_type":"Problem","host":"web-01","service":"CPU","state":2,"message":"x","timestamp":1795224687,"duration":"7","extra":[1]}`,
			with(firing, func(s *said) { s.summary = "x" })},
		{"the environment", "PATH=/bin\nHOSTNAME=shell\nNAGIOS_HOSTNAME=web-01\nNAGIOS_HOSTSTATE=DOWN\r\nNAGIOS_HOSTOUTPUT=a=b & c\nmore\nHOME=/root\n",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical", summary: "a=b & c\nmore"}},
		{"the environment, with NUL", "NAGIOS_HOSTNAME=web-01\x00NAGIOS_HOSTSTATE=DOWN\x00",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
		{"not UTF-8", "HOSTNAME=web-01&HOSTSTATE=DOWN&HOSTOUTPUT=%ff",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical", summary: "\ufffd", flags: alert.FlagInvalidUTF8}},
		{"times that are none", "NOTIFICATIONTYPE=PROBLEM&HOSTNAME=web-01&HOSTSTATE=DOWN&TIMET=999999999999999&LASTHOSTSTATECHANGE=-1&HOSTDURATIONSEC=x",
			said{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Format.Decode(request(c.body))
			if err != nil || len(b.Alerts) != 1 {
				t.Fatalf("got %d alerts, %v; want one", len(b.Alerts), err)
			}
			a := &b.Alerts[0]
			checkAlert(t, a)
			if got := saying(a); got != c.want {
				t.Errorf("got\n%+v\nwant\n%+v", got, c.want)
			}
			if unparsed := a.Flags&alert.FlagUnparsed != 0; unparsed != (len(b.Unparsed) == 1) {
				t.Errorf("flags %v, but %d dead letters", a.Flags.Names(), len(b.Unparsed))
			}
			if a.Name() != c.want.service && (c.want.service != "" || a.Name() != "Host") {
				t.Errorf("name: got %q", a.Name())
			}
		})
	}
}

// TestSalvage: what is broken, and somebody's problem all the same, is an alert and
// a dead letter.
func TestSalvage(t *testing.T) {
	web := said{status: alert.Firing, key: "web-01!CPU", host: "web-01", service: "CPU", severity: "critical", flags: alert.FlagUnparsed}
	with := func(summary string) said { s := web; s.summary = summary; return s }
	raw := func(text string) said {
		return said{status: alert.Firing, key: fmt.Sprintf("text!%x", sha256.Sum256([]byte(text))), summary: text, description: text, flags: alert.FlagUnparsed}
	}
	for _, c := range []struct {
		name, body string
		want       said
	}{
		{"quotes", `{"host":"web-01","service":"CPU","state":"CRITICAL","output":"say "hello", world"}`, with(`say "hello", world`)},
		{"quotes before another member", `{"output":"he said "no", and","host":"web-01","service":"CPU","state":"CRITICAL"}`, with(`he said "no", and`)},
		{"a backslash", `{"output":"C:\ is full \"really\"", "host" : "web-01",` + "\n" + `"service":"CPU","state":"CRITICAL"}`, with(`C:\ is full "really"`)},
		{"cut off", `{"host":"web-01","service":"CPU","state":"CRITICAL","output":"it ends i`, with("it ends i")},
		{"a bar too many", `{"host":"web-01","service":"CPU","state":"CRITICAL",}`, web},
		{"no quotes", `{"host":"web-01","service":"CPU","attempt":3,"state":CRITICAL,"x":null}`, web},
		{"a control character", "{\"host\":\"web-01\",\"service\":\"CPU\",\"state\":\"CRITICAL\",\"output\":\"a\tb\"}", with("a\tb")},
		{"names twice", `{"host":"web-01","service":"CPU","state":"CRITICAL","host":"web-02"}`, web},
		{"a problem without a host", `{"state":"CRITICAL","service":"CPU"}`, raw(`{"state":"CRITICAL","service":"CPU"}`)},
		{"broken, and without a host", `{"state":"CRITICAL"`, raw(`{"state":"CRITICAL"`)},
		{"words", `{PROBLEM on web-01`, raw(`{PROBLEM on web-01`)},
		{"a text", "web-01 is down", raw("web-01 is down")},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Format.Decode(request(c.body))
			if err != nil || len(b.Alerts) != 1 || len(b.Unparsed) != 1 {
				t.Fatalf("got %+v, %v; want an alert and a dead letter", b, err)
			}
			checkAlert(t, &b.Alerts[0])
			if got := saying(&b.Alerts[0]); got != c.want {
				t.Errorf("got\n%+v\nwant\n%+v", got, c.want)
			}
		})
	}
}

func TestUnparsedIsShort(t *testing.T) {
	b, err := Format.Decode(request("DOWN " + strings.Repeat("ü", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Alerts[0].Annotations.Get("description"); len(got) > maxRaw || len(got) < maxRaw-3 || !utf8.ValidString(got) {
		t.Errorf("the description has %d bytes", len(got))
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		format       ingest.Format
		body         string
		field, words string
		foreign      bool
	}{
		{format: NRDP, body: "<checkresults " + strings.Repeat(`a="" `, 20_000) + ">", field: "XMLDATA", words: "a tag of more than 65536 bytes"},
		{format: Format, body: "", words: "empty"},
		{format: Format, body: "a=b", words: "HOSTNAME, SERVICESTATE and NOTIFICATIONTYPE", foreign: true},
		{format: Format, body: "hello, world", words: "not a notification", foreign: true},
		{format: Format, body: `{"alerts":[]}`, words: "not a notification", foreign: true},
		{format: Format, body: `{"a":1`, words: "ends in the middle"},
		{format: Format, body: `7`, words: "not a notification", foreign: true},
		{format: Format, body: "SERVICEDESC=CPU&SERVICESTATE=OK", field: "HOSTNAME", words: "which host"},
		{format: Format, body: "HOSTNAME=web-01", field: "NOTIFICATIONTYPE", words: "PROBLEM or RECOVERY"},
		{format: Format, body: "--b\r\nContent-Disposition: form-data; name=\"HOSTNAME\"\r\n\r\nweb", words: "parts"},
		{format: Format, body: strings.Repeat("a&", 2000), words: "more than 1000 fields"},
		{format: NRDP, body: "", words: "cmd=submitcheck", foreign: true},
		{format: NRDP, body: "a=b", words: "cmd=submitcheck", foreign: true},
		{format: NRDP, body: "cmd=submitcmd&XMLDATA=x", field: "cmd", words: "only submitcheck"},
		{format: NRDP, body: "cmd=submitcheck", field: "XMLDATA", words: "JSONDATA"},
		{format: NRDP, body: "XMLDATA=x", field: "XMLDATA", words: "outside of <checkresults>"},
		{format: NRDP, body: "XMLDATA=%3Ccheckresults/%3E%3Ccheckresult/%3E", field: "XMLDATA", words: "<checkresult> after </checkresults>"},
		{format: NRDP, body: "<!DOCTYPE a [<!ENTITY b 'c'>]><checkresults/>", field: "XMLDATA", words: "document type"},
		{format: NRDP, body: "<checkresults>< </checkresults>", field: "XMLDATA", words: "line 1"},
		{format: NRDP, body: "<a/>", field: "XMLDATA", words: "begins with <a>"},
		{format: NRDP, body: "<checkresults></a>", field: "XMLDATA", words: "</a> closes what is not open"},
		{format: NRDP, body: "<checkresults>", field: "XMLDATA", words: "ends in the middle"},
		{format: NRDP, body: "<checkresults>" + strings.Repeat("<a>", 100), field: "XMLDATA", words: "deeper than 32"},
		{format: NRDP, body: "<checkresults>" + strings.Repeat("<a/>", maxElements) + "</checkresults>", field: "XMLDATA", words: "more than 100000"},
		{format: NRDP, body: "JSONDATA={", field: "JSONDATA", words: "ends in the middle"},
		{format: NRDP, body: `{"checkresults":1}`, field: "JSONDATA", words: "a list checkresults"},
	} {
		_, err := c.format.Decode(request(c.body))
		var bad *ingest.BodyError
		if !errors.As(err, &bad) || bad.Field != c.field || bad.Foreign != c.foreign || !strings.Contains(bad.Reason, c.words) || !strings.HasPrefix(bad.Reason, c.field) {
			t.Errorf("%s %.60q: got %#v, want field %q, foreign: %t, %q", c.format.Name, c.body, err, c.field, c.foreign, c.words)
		}
	}
}

func TestListOfNotifications(t *testing.T) {
	b, err := Format.Decode(request(`[{"host":"a","state":"DOWN"},{"host":"b"},7,{"host":"c","state":"UP"}]`))
	if err != nil || len(b.Alerts) != 2 || len(b.Rejected) != 2 {
		t.Fatalf("got %+v, %v; want two and two", b, err)
	}
	if r := b.Rejected[0]; r.Index != 1 || r.Field != "[1].NOTIFICATIONTYPE" || !strings.HasPrefix(r.Reason, "[1].NOTIFICATIONTYPE: absent") {
		t.Errorf("rejected: got %+v", r)
	}
	if r := b.Rejected[1]; r.Index != 2 || r.Field != "[2]" || !strings.HasPrefix(r.Reason, "[2]: not a notification") {
		t.Errorf("rejected: got %+v", r)
	}
}

// TestLabels: what a site keeps in its custom variables can be routed by, but not
// what checks log in with; and contacts are no part of the content.
func TestLabels(t *testing.T) {
	b, err := Format.Decode(request(`{"NAGIOS_HOSTNAME":"web-01","NAGIOS_HOSTALIAS":"Web","NAGIOS_HOSTADDRESS":"192.0.2.1","NAGIOS_HOSTSTATE":"DOWN","NAGIOS_HOSTGROUPNAMES":"a,b",
		"NAGIOS__HOSTSITE":"fra-1","NAGIOS__HOSTSNMP_COMMUNITY":"s3cret","NAGIOS__SERVICEDB-Password":"s3cret","NAGIOS__CONTACTTEAM":"x","NAGIOS_CONTACTNAME":"alice",
		"NAGIOS_NOTIFICATIONNUMBER":"3","NAGIOS_HOSTNOTESURL":"https://wiki.example.com","NAGIOS_HOSTACTIONURL":"javascript:alert(1)","NAGIOS_HOSTINFOURL":"http://nagios.example.com/extinfo.cgi"}`))
	if err != nil {
		t.Fatal(err)
	}
	a := &b.Alerts[0]
	if want := alert.FromMap(map[string]string{"alertname": "Host", "host": "web-01", "severity": "critical", "hostgroups": "a,b", "host_site": "fra-1"}); !slices.Equal(a.Labels, want) {
		t.Errorf("labels: got %v, want %v", a.Labels, want)
	}
	if want := alert.FromMap(map[string]string{"state": "down", "host_alias": "Web", "address": "192.0.2.1", "notes_url": "https://wiki.example.com"}); !slices.Equal(a.Annotations, want) {
		t.Errorf("annotations: got %v, want %v", a.Annotations, want)
	}
	if a.GeneratorURL != "http://nagios.example.com/extinfo.cgi" || !a.PerHost {
		t.Errorf("link %q, per host: %t", a.GeneratorURL, a.PerHost)
	}
}

func TestNotificationByMacros(t *testing.T) {
	a, err := Notification(map[string]string{"NOTIFICATIONTYPE": "PROBLEM", "HOSTNAME": "web-01", "HOSTSTATE": "DOWN"})
	if err != nil || a.Key != "web-01" || a.Status != alert.Firing {
		t.Errorf("got %+v, %v", a, err)
	}
	var bad *ingest.BodyError
	if _, err := Notification(map[string]string{"HOSTSTATE": "DOWN"}); !errors.As(err, &bad) || bad.Field != "HOSTNAME" {
		t.Errorf("got %v, want HOSTNAME missed", err)
	}
}

func TestNRDP(t *testing.T) {
	const one = `<checkresults><checkresult type="service"><hostname> web-01 </hostname><servicename>CPU</servicename><state>2</state><output>bad &amp; worse|x=1` + "\nmore" + `</output><time>1795224687</time></checkresult></checkresults>`
	cpu := said{status: alert.Firing, key: "web-01!CPU", host: "web-01", service: "CPU", severity: "critical", summary: "bad & worse", description: "bad & worse|x=1\nmore", event: "1795224687"}
	host := said{status: alert.Resolved, key: "gw", host: "gw"}
	for _, c := range []struct {
		name, body string
		want       []said
	}{
		{"XML alone", `<?xml version="1.0" encoding="ISO-8859-1"?><!-- a remark -->` + one, []said{cpu}},
		{"XML as it is in a form", "cmd=submitcheck&XMLDATA=" + one, []said{cpu}},
		{"something behind it", "XMLDATA=" + one + "&cmd=submitcheck", []said{cpu}},
		{"with escapes and without", "xml=<checkresults><checkresult><hostname>web-01</hostname><state>1</state><output>a%26b + 100% c%</output></checkresult></checkresults>",
			[]said{{status: alert.Firing, key: "web-01", host: "web-01", severity: "critical", summary: "a&b + 100% c%"}}},
		{"what nobody knows in it", `<checkresults><meta><a>1</a></meta><checkresult type="host" checktype="1"><hostname>gw</hostname><new><hostname>no</hostname></new><servicename>no</servicename><state>UP</state><hostname>no</hostname></checkresult></checkresults>`, []said{host}},
		{"nothing in it", "<checkresults/>", nil},
		{"JSON alone", `{"checkresults":[{"checkresult":{"type":"host"},"hostname":"gw","state":0,"servicename":"no"},{"hostname":"web-01","servicename":"CPU","state":"2","output":"bad & worse|x=1\nmore","time":1795224687}]}`, []said{host, cpu}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := NRDP.Decode(request(c.body))
			if err != nil {
				t.Fatal(err)
			}
			var got []said
			for i := range b.Alerts {
				checkAlert(t, &b.Alerts[i])
				got = append(got, saying(&b.Alerts[i]))
			}
			for i := range c.want {
				if c.want[i].status == alert.Resolved {
					c.want[i].ends = c.want[i].event
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%+v\nwant\n%+v", got, c.want)
			}
		})
	}
}

func TestNRDPRejects(t *testing.T) {
	b, err := NRDP.Decode(request(`{"checkresults":[{"hostname":"a","state":0},{"state":1},{"hostname":"a","state":"x"},{"hostname":"a","state":3},
		{"hostname":"a","servicename":"s","state":127},{"hostname":"a","checkresult":{"type":"service"},"state":1},{"hostname":"b","state":1}]}`))
	if err != nil || len(b.Alerts) != 4 {
		t.Fatalf("got %d alerts, %v; want 4", len(b.Alerts), err)
	}
	for _, a := range b.Alerts[1:3] { // the plugin could not be run
		if a.Status != alert.Firing || a.Severity() != "unknown" {
			t.Errorf("got %v %v, want it unknown", a.Status, a.Labels)
		}
	}
	want := []struct {
		index        int
		field, words string
	}{{1, "checkresults[1].hostname", "absent"}, {2, "checkresults[2].state", `"x" is no state; a number is expected, 0 to 2 for UP, DOWN`}, {5, "checkresults[5].servicename", "absent"}}
	if len(b.Rejected) != len(want) {
		t.Fatalf("got %d rejected, want %d", len(b.Rejected), len(want))
	}
	for i, w := range want {
		if r := b.Rejected[i]; r.Index != w.index || r.Field != w.field || !strings.HasPrefix(r.Reason, w.field+": "+w.words) {
			t.Errorf("got %+v, want %+v", r, w)
		}
	}
}

// TestNRDPTokens: the token is found, and is nowhere in what is kept, which means the same.
func TestNRDPTokens(t *testing.T) {
	const parts = "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\ns3cret\r\n--b\r\nContent-Disposition: form-data; name=\"XMLDATA\"\r\n\r\n<checkresults><checkresult><hostname>gw</hostname><state>1</state></checkresult></checkresults>\r\n--b--\r\n"
	xmlData := "<checkresults><checkresult><hostname>gw</hostname><state>1</state></checkresult></checkresults>"
	for _, c := range []struct {
		body, contentType string
		tokens            []string
		unreadable        bool
	}{
		{body: "token=s3cret&cmd=submitcheck&xml=" + xmlData, tokens: []string{"s3cret"}},
		{body: "xml=" + xmlData + "&tok%65n=s3cret", tokens: []string{"s3cret"}},
		{body: "TOKEN=s3cret&JSONDATA=%7B%22checkresults%22:[%7B%22hostname%22:%22gw%22,%22state%22:1%7D]%7D", tokens: []string{"s3cret"}},
		{body: parts, contentType: "multipart/form-data; boundary=b", tokens: []string{"s3cret"}},
		{body: parts, tokens: []string{"s3cret"}},
		{body: xmlData},
		{body: "token=s3cret&hello", tokens: []string{"s3cret"}, unreadable: true},
		{body: parts[:120], unreadable: true},
	} {
		r := request(c.body)
		r.ContentType = c.contentType
		tokens, body := NRDP.Tokens(r)
		if !slices.Equal(tokens, c.tokens) || bytes.Contains(body, []byte("s3cret")) {
			t.Errorf("%.60q: got %q and %q", c.body, tokens, body)
		}
		r.Body = body
		if b, err := NRDP.Decode(r); (err != nil) != c.unreadable || !c.unreadable && (len(b.Alerts) != 1 || b.Alerts[0].Key != "gw") {
			t.Errorf("%.60q: what is kept, %q, means %+v, %v", c.body, body, b, err)
		}
	}
}

func TestNRDPReply(t *testing.T) {
	for _, c := range []struct {
		code, results int
		reason        string
		status        int
		words         string
	}{
		{200, 3, "", 0, "3 checks processed."}, {202, 1, "", 0, "1 checks processed."},
		{401, 0, "wrong or missing credentials", -1, "credentials"}, {503, 0, `a < b & "c"`, -1, `a < b & "c"`},
	} {
		r := NRDP.Reply(c.code, c.results, c.reason)
		var got struct {
			XMLName xml.Name `xml:"result"`
			Status  int      `xml:"status"`
			Message string   `xml:"message"`
			Output  string   `xml:"meta>output"`
		}
		if err := xml.Unmarshal(r.Body, &got); err != nil || got.Status != c.status || got.Message+got.Output != c.words && !strings.Contains(got.Message+got.Output, c.words) {
			t.Errorf("%d: got %s, %v", c.code, r.Body, err)
		}
		if c.code == 200 && (got.Message != "OK" || r.ContentType != "application/xml") {
			t.Errorf("got %q as %s", got.Message, r.ContentType)
		}
	}
}

func checkAlert(t *testing.T, a *alert.Alert) {
	t.Helper()
	alerttest.WellFormed(t, a, "s", received)
	if a.Name() == "" {
		t.Errorf("without a name: %+v", a)
	}
	if a.GeneratorURL != "" && !strings.HasPrefix(a.GeneratorURL, "http") {
		t.Errorf("a link to %q", a.GeneratorURL)
	}
}

func fuzz(f *testing.F, format ingest.Format, captures string, more ...string) {
	files, err := filepath.Glob("../formats/testdata/captures/nagios/" + captures)
	if err != nil || len(files) == 0 {
		f.Fatalf("no captures: %v", err)
	}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if _, body, ok := bytes.Cut(text, []byte("\r\n\r\n")); ok && i%4 == 0 && len(body) < 8<<10 {
			f.Add(body)
		} else if !ok && i%8 == 0 {
			f.Add(text)
		}
	}
	for _, s := range more {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := ingest.Request{Source: "s", Body: body, ReceivedAt: received}
		got, _ := ingesttest.Check(t, format, r)
		for i := range got.Alerts {
			checkAlert(t, &got.Alerts[i])
		}
	})
}

func FuzzNagios(f *testing.F) {
	fuzz(f, Format, "[fje]*/*[tpv]", `{"host":"a","state":"DOWN","output":"a "b", c"}`, "\x00NAGIOS_HOSTNAME=a\nNAGIOS_HOSTSTATE=DOWN\nx", `[{"host":"b","state":1}]`, "web-01 is DOWN \xff")
}

func FuzzNRDP(f *testing.F) {
	fuzz(f, NRDP, "nrdp/*.http", `{"checkresults":[{"hostname":"a","state":0,"time":1}]}`, "xml=<checkresults><checkresult type='host'><hostname>\xff&#1;</hostname>&token=x")
}

func benchmark(b *testing.B, format ingest.Format, file string, alerts int) {
	text, err := os.ReadFile("../formats/testdata/captures/nagios/" + file)
	if err != nil {
		b.Fatal(err)
	}
	if _, body, ok := bytes.Cut(text, []byte("\r\n\r\n")); ok {
		text = body
	}
	benchmarkBody(b, format, text, alerts)
}

func benchmarkBody(b *testing.B, format ingest.Format, body []byte, alerts int) {
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := format.Decode(ingest.Request{Source: "s", Body: body, ReceivedAt: received}); err != nil || len(got.Alerts) != alerts {
			b.Fatal(len(got.Alerts), err)
		}
	}
	b.ReportMetric(float64(b.N*alerts)/b.Elapsed().Seconds(), "alerts/s")
}

func BenchmarkForm(b *testing.B) {
	benchmark(b, Format, "form/001-service-problem-warning.http", 1)
}
func BenchmarkJSONOfTheEnvironment(b *testing.B) {
	benchmark(b, Format, "json-env/003-service-problem-warning.http", 1)
}
func BenchmarkEnvironment(b *testing.B) {
	benchmark(b, Format, "environment/001-service-problem-warning.env", 1)
}
func BenchmarkBrokenJSON(b *testing.B) {
	benchmark(b, Format, "json-naive/022-service-problem-critical-invalid-json.http", 1)
}
func BenchmarkNRDP(b *testing.B) {
	benchmark(b, NRDP, "nrdp/06-post-form-raw-xml-batch.http", 3)
}

// BenchmarkNRDPLarge: a thousand results in one request.
func BenchmarkNRDPLarge(b *testing.B) {
	one := `<checkresult type='service'><hostname>web-01</hostname><servicename>CPU load</servicename><state>1</state><output>WARNING - batch one</output></checkresult>`
	benchmarkBody(b, NRDP, []byte("<checkresults>"+strings.Repeat(one, 1000)+"</checkresults>"), 1000)
}

// BenchmarkHostile: 4 MiB that are made to be slow must be linear all the same.
func BenchmarkHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"quotes": `"`, "ends": `",`, "members": `","a":`, "blanks": `"` + strings.Repeat(" ", 300), "names": `","aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`, "lines": "NAGIOS_A=\n", "more": "\n",
	} {
		b.Run(name, func(b *testing.B) {
			body := []byte(`{"host":"` + strings.Repeat(unit, 4<<20/len(unit)))
			if unit == "NAGIOS_A=\n" || unit == "\n" {
				body = []byte("NAGIOS_HOSTNAME=a\nNAGIOS_HOSTSTATE=DOWN" + strings.Repeat(unit, 4<<20/len(unit)) + "b")
			}
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				_, _ = Format.Decode(ingest.Request{Source: "s", Body: body, ReceivedAt: received}) // only how long it takes
			}
		})
	}
}
