package zabbix

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	const begin = `{"event_name":"CPU","event_id":"7","host":"web-01","event_severity":"High","event_nseverity":"4",`
	const problem = " alertname=CPU host=web-01 nseverity=4 severity=high key=7 identity=7"
	ingesttest.Table{
		"problem":                 {begin + `"event_value":"1","event_update_status":"0"}`, "alert firing" + problem + " | CPU"},
		"recovery":                {begin + `"event_value":"0","event_recovery_timestamp":"1795222800","event_timestamp":"1795219200"}`, "alert resolved" + problem + " from=2026-11-21T00:00:00Z to=2026-11-21T01:00:00Z at=2026-11-21T01:00:00Z | CPU"},
		"status in a word":        {begin + `"event_status":"RESOLVED"}`, "alert resolved" + problem + " | CPU"},
		"acknowledged":            {begin + `"event_value":"1","event_update_status":"1","event_update_action":"acknowledged","event_ack_status":"Yes","user":"Alice"}`, "acknowledgement firing" + problem + " by=Alice | CPU"},
		"step of an escalation":   {begin + `"event_value":"1","event_update_status":"0","event_ack_status":"Yes","event_timestamp":"1795219200","event_update_timestamp":"1795222800"}`, "acknowledgement firing" + problem + " from=2026-11-21T00:00:00Z at=2026-11-21T00:00:00Z | CPU"},
		"when it was updated":     {begin + `"event_value":"1","event_update_status":"1","event_update_action":"acknowledged","event_ack_status":"Yes","event_timestamp":"1795219200","event_update_timestamp":"1795222800"}`, "acknowledgement firing" + problem + " from=2026-11-21T00:00:00Z at=2026-11-21T01:00:00Z | CPU"},
		"taken back":              {begin + `"event_value":"1","event_update_status":"1","event_update_action":"unacknowledged","event_ack_status":"No","user":"Alice"}`, "acknowledgement_removed firing" + problem + " by=Alice | CPU"},
		"remark":                  {begin + `"event_value":"1","event_update_status":"1","event_update_action":"commented","event_ack_status":"Yes","event_update_message":"hm"}`, "note firing" + problem + " comment=hm | CPU"},
		"severity":                {begin + `"event_value":"1","event_update_status":"1","event_update_action":"changed severity from High to Disaster","event_ack_status":"No"}`, "alert firing" + problem + " | CPU"},
		"closed by hand":          {begin + `"event_value":"0","event_update_status":"1","event_update_action":"closed","event_update_message":"done"}`, "alert resolved" + problem + " comment=done | CPU"},
		"step while acknowledged": {begin + `"event_value":"1","event_update_status":"0","event_ack_status":"Yes"}`, "acknowledgement firing" + problem + " | CPU"},
		"discovery":               {begin + `"event_value":"1","event_source":"1"}`, "information unknown" + problem + " | CPU"},
		"macros without value":    {begin + `"event_value":"1","user":"{USER.FULLNAME}","host_group":"{$GROUP}","trigger_url":"{TRIGGER.URL}","alert_subject":"*UNKNOWN*"}`, "alert firing" + problem + " | CPU"},
		"braces that are text":    {`{"event_name":"{a}","event_id":"7","alert_subject":"{A B}"}`, "alert firing alertname={a} key=7 identity=7 | {A B}"},
		"tags": {begin + `"event_tags_json":"[{\"tag\":\"service\",\"value\":\"shop\"},{\"tag\":\"host\",\"value\":\"x\"},{\"tag\":\"env\",\"value\":\"\"},{\"tag\":\"service\",\"value\":\"b\"},7]"}`,
			"alert firing alertname=CPU host=web-01 nseverity=4 service=shop severity=high key=7 identity=7 | CPU"},
		"tags that break off": {begin + `"event_tags_json":"[{"}`, "alert firing" + problem + " | CPU"},
		"times that are none": {begin + `"event_timestamp":"soon"}`, "alert firing" + problem + " | CPU"},
		"no id":               {`{"event_name":"CPU"}`, "refused: event_id: absent; add the parameter event_id = {EVENT.ID}, without which a recovery cannot be told from another's"},
		"no name":             {`{"event_id":"7","event_name":"{EVENT.NAME}"}`, "refused: event_name: absent; the media type must send its parameters, event_name = {EVENT.NAME} among them, as one JSON object"},
		"no JSON":             {`Problem: CPU`, "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}

func TestLocalTimesAreTexts(t *testing.T) {
	m := message{map[string]any{"event_date": "2026.11.21", "event_time": "01:52:44", "event_recovery_date": "{EVENT.RECOVERY.DATE}"}}
	if got := m.local("event_date", "event_time"); got != "2026-11-21 01:52:44" {
		t.Errorf("got %q", got)
	}
	if got := m.local("event_recovery_date", "event_recovery_time"); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}
