package kibana

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	ingesttest.Table{
		"names in camel case": {`{"ruleName":"CPU","ruleId":"r1","alertId":"web-01","alertActionGroup":"threshold met","spaceId":"prod","severity":"Critical","contextReason":"93%"}`,
			"alert firing alertname=CPU host=web-01 severity=critical space=prod key=prod!r1!web-01 identity=web-01 | 93%"},
		"nested": {`{"rule":{"name":"CPU","id":"r1","url":"https://k/r"},"alert":{"id":"web-01","actionGroup":"recovered"},"context":{"reason":"ok","timestamp":"2026-11-21T01:00:00Z"}}`,
			"alert resolved alertname=CPU host=web-01 key=!r1!web-01 identity=web-01 to=2026-11-21T01:00:00Z at=2026-11-21T01:00:00Z link=https://k/r | ok"},
		"an id that is no host": {`{"rule_name":"Logs","rule_id":"r","alert_id":"query matched","host":{"name":"db-01"}}`,
			"alert firing alertname=Logs host=db-01 key=!r!query matched identity=query matched | "},
		"all alerts of a rule": {`{"rule_name":"Logs","alert_id":"*"}`, "alert firing alertname=Logs key=!Logs!* identity=* | "},
		"an id that is random": {`{"rule_name":"Logs","alert_id":"f0e1d2c3-1111-2222-3333-444455556666"}`,
			"alert firing alertname=Logs key=!Logs!f0e1d2c3-1111-2222-3333-444455556666 identity=f0e1d2c3-1111-2222-3333-444455556666 | "},
		"a link that is none":   {`{"rule_name":"Logs","url":"javascript:alert(1)"}`, "alert firing alertname=Logs key=!Logs! | "},
		"credentials in a link": {`{"rule_name":"Logs","url":"https://u:p@k/r"}`, "alert firing alertname=Logs key=!Logs! link=https://k/r | "},
		"a watch":               {`{"ctx":{"watch_id":"x"},"watch_id":"errors","host":"web-01","text":"57 errors\nmore","hits":57}`, "alert firing alertname=errors host=web-01 key=!errors!web-01 | 57 errors"},
		"text not UTF-8":        {"{\"rule_name\":\"a\xff\"}", "alert firing alertname=a\ufffd key=!a\ufffd! flags=invalid_utf8 | "},
		"no name":               {`{"status":"firing"}`, `refused: rule_name: absent; write "rule_name": "{{rule.name}}" into the body of the action, or "watch_id": "{{ctx.watch_id}}"`},
		"an array":              {`[1]`, "refused: the body is an array, must be an object"},
		"broken":                {`{"rule_name":`, "refused: rule_name: not JSON: it ends in the middle"},
		"twice the same name":   {`{"rule_name":"a","rule_name":"b"}`, `refused: rule_name: not JSON: duplicate object member name, at byte 17`},
		"no JSON":               {"rule=a", "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}
