package monit

import (
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func report1(events string) string {
	return `<?xml version="1.0" encoding="ISO-8859-1"?><monit id="m1" version="5.33.0"><server><localhostname>web-01</localhostname></server>` + events + `</monit>`
}

func event1(service, id, state, message string) string {
	return "<event><collected_sec>1795222800</collected_sec><collected_usec>500000</collected_usec><service>" + service + "</service><type>3</type><id>" + id +
		"</id><state>" + state + "</state><action>1</action><message>" + message + "</message></event>"
}

func TestDecode(t *testing.T) {
	const nginx = " alertname=nginx event=connection host=web-01 service=nginx key=web-01!nginx!connection identity=m1/nginx/32"
	ingesttest.Table{
		"failed":             {report1(event1("nginx", "32", "1", "<![CDATA[cannot connect]]>")), "alert firing" + nginx + " at=2026-11-21T01:00:00.5Z | cannot connect"},
		"succeeded":          {report1(event1("nginx", "32", "0", "ok &amp; well\n\n")), "alert resolved" + nginx + " to=2026-11-21T01:00:00.5Z at=2026-11-21T01:00:00.5Z | ok & well"},
		"changed":            {report1(event1("passwd", "1", "2", "x")), "alert firing alertname=passwd event=checksum host=web-01 service=passwd key=web-01!passwd!checksum identity=m1/passwd/1 at=2026-11-21T01:00:00.5Z | x"},
		"a bit to come":      {report1(event1("a", "4294967296", "1", "x")), "alert firing alertname=a event=4294967296 host=web-01 service=a key=web-01!a!4294967296 identity=m1/a/4294967296 at=2026-11-21T01:00:00.5Z | x"},
		"started":            {report1(event1("Monit", "65536", "2", "started")), "information unknown alertname=Monit event=instance host=web-01 service=Monit key=web-01!Monit!instance identity=m1/Monit/65536 at=2026-11-21T01:00:00.5Z | started"},
		"told to stop":       {report1(event1("nginx", "131072", "2", "stop")), "information unknown alertname=nginx event=action host=web-01 service=nginx key=web-01!nginx!action identity=m1/nginx/131072 at=2026-11-21T01:00:00.5Z | stop"},
		"several":            {report1(event1("nginx", "32", "1", "a") + event1("", "32", "1", "b") + event1("c", "1", "9", "c")), "alert firing" + nginx + " at=2026-11-21T01:00:00.5Z | a\nrejected: event[1].service: absent\nrejected: event[2].state: \"9\" is not 0 (succeeded) to 3 (not changed)"},
		"report only":        {report1("<services><service name='x'><status>2</status></service></services>"), ""},
		"UTF-8 in it":        {report1(event1("nginx", "32", "1", "ü")), "alert firing" + nginx + " at=2026-11-21T01:00:00.5Z | ü"},
		"ISO-8859-1 in it":   {report1(event1("nginx", "32", "1", "\xfc")), "alert firing" + nginx + " at=2026-11-21T01:00:00.5Z | ü"},
		"control characters": {report1(event1("nginx", "32", "1", "\x1b[1mx\x00")), "alert firing" + nginx + " at=2026-11-21T01:00:00.5Z flags=invalid_utf8 | \ufffd[1mx\ufffd"},
		"no host":            {`<monit><event><service>a</service><state>1</state></event></monit>`, "refused: monit.server.localhostname: absent; an event must say which machine it is about"},
		"document type":      {`<?xml version="1.0"?><!DOCTYPE monit [<!ENTITY a "b">]><monit>&a;</monit>`, "refused: a document type, which a report of Monit does not have"},
		"entity":             {`<monit>&a;</monit>`, "refused: monit: not XML: XML syntax error on line 1: invalid character entity &a;"},
		"deep":               {"<monit>" + strings.Repeat("<a>", 40), "refused: monit.a.a.a.a.a: nested deeper than 32"},
		"many elements":      {"<monit>" + strings.Repeat("<a/>", 200_000) + "</monit>", "refused: more than 200000 elements"},
		"many events":        {"<monit>" + strings.Repeat("<event/>", 10_001) + "</monit>", "refused: event: more than 10000"},
		"breaks off":         {"<monit><event>", "refused: monit.event: not XML: it ends in the middle"},
		"wrong end":          {"<monit><event></monit>", "refused: monit.event: not XML: </monit> ends nothing"},
		"another document":   {"<html></html>", "refused: monit: expected one element <monit>, got <html>"},
		"two of them":        {"<monit></monit><monit></monit>", "refused: monit: expected one element <monit>, got <monit>"},
		"only a comment":     {"<!-- x -->", "refused: monit: absent"},
		"no XML":             {"{}", "foreign: not XML: it begins like something else, or is empty"},
	}.Run(t, Format)
}

func TestCredentialsAreTakenOut(t *testing.T) {
	for body, want := range map[string]string{
		"<monit><credentials><username>a</username></credentials><b/></monit>": "<monit><credentials></credentials><b/></monit>",
		"<credentials>a</credentials><credentials>b</credentials>":             "<credentials></credentials><credentials></credentials>",
		"<monit><credentials><username>a":                                      "<monit><credentials>",
		"<credentials >a</credentials\n><b/>":                                  "<credentials></credentials><b/>",
		"<credentials x='1'/><b/>":                                             "<credentials></credentials><b/>",
		"<credentialsx>a</credentialsx>":                                       "<credentialsx>a</credentialsx>",
		"<credentials":                                                         "<credentials>",
		"<monit/>":                                                             "<monit/>",
	} {
		if tokens, got := Format.Tokens(ingest.Request{Body: []byte(body)}); string(got) != want || tokens != nil {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}
