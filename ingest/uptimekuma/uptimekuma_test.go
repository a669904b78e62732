package uptimekuma

import (
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	const monitor = `"monitor":{"id":7,"name":"Shop","type":"http","hostname":"db","tags":[{"name":"team","value":"web"},{"name":"host","value":"x"},{"name":"empty","value":""}]}`
	const labels = " alertname=Shop host=db monitor_type=http team=web key=id!7 identity=7"
	ingesttest.Table{
		"down":                        {`{"heartbeat":{"status":0,"time":"2026-11-21 01:00:00.5","important":true},` + monitor + `,"msg":"[Shop] [🔴 Down] x"}`, "alert firing" + labels + " from=2026-11-21T01:00:00.5Z at=2026-11-21T01:00:00.5Z | [Shop] [🔴 Down] x"},
		"down, again":                 {`{"heartbeat":{"status":0,"time":"2026-11-21 01:00:00","important":false},` + monitor + `,"msg":"m"}`, "alert firing" + labels + " at=2026-11-21T01:00:00Z | m"},
		"up":                          {`{"heartbeat":{"status":1,"time":"2026-11-21 01:00:00","msg":"200 - OK"},` + monitor + `}`, "alert resolved" + labels + " to=2026-11-21T01:00:00Z at=2026-11-21T01:00:00Z | 200 - OK"},
		"a text that ends in Testing": {`{"msg":"[Shop] [🔴 Down] keyword not found: A/B Testing"}`, "alert firing alertname=Shop key=name!Shop | [Shop] [🔴 Down] keyword not found: A/B Testing"},
		"pending":                     {`{"heartbeat":{"status":2},` + monitor + `,"msg":"m"}`, "information unknown" + labels + " | m"},
		"maintenance":                 {`{"heartbeat":{"status":3},` + monitor + `,"msg":"m"}`, "maintenance_started unknown" + labels + " | m"},
		"a state to come":             {`{"heartbeat":{"status":9},` + monitor + `,"msg":"m"}`, "alert firing" + labels + " flags=unparsed | m\nletter: body: neither a notification of Uptime Kuma nor a text of one"},
		"test":                        {`{"heartbeat":null,"monitor":null,"msg":"hook Testing"}`, "test unknown alertname=Test key=name!Test | hook Testing"},
		"certificate":                 {`{"heartbeat":null,"monitor":null,"msg":"[Shop][https://shop] server certificate shop will expire in 7 days"}`, "alert firing alertname=Shop key=expiry!Shop | [Shop][https://shop] server certificate shop will expire in 7 days"},
		"text in a member":            {`{"title":"x","body":"[Shop] [✅ Up] 200 - OK"}`, "alert resolved alertname=Shop key=name!Shop | [Shop] [✅ Up] 200 - OK"},
		"a form":                      {`data=%7B%22msg%22%3A%22%5BShop%5D+%5BDown%5D+x%22%7D`, "alert firing alertname=Shop key=name!Shop | [Shop] [Down] x"},
		"a query":                     {`msg=[Shop]+[Down]+x&heartbeat=&monitor=`, "alert firing alertname=Shop key=name!Shop | [Shop] [Down] x"},
		"several parts":               {"--B\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n{\"msg\":\"[Shop] [Down] x\"}\r\n--B--\r\n", "alert firing alertname=Shop key=name!Shop | [Shop] [Down] x"},
		"a quote in the name":         {`{"title":"Shop "A"","body":"[Shop "A"] [🔴 Down] no"}`, `alert firing alertname=Shop "A" key=name!Shop "A" flags=unparsed | [Shop "A"] [🔴 Down] no` + "\nletter: body: neither a notification of Uptime Kuma nor a text of one"},
		"any text":                    {`{"msg":"help"}`, "alert firing alertname=Uptime Kuma key=name! flags=unparsed | help\nletter: body: neither a notification of Uptime Kuma nor a text of one"},
		"broken in a form":            {`data={`, "refused: data: not JSON: it ends in the middle"},
		"broken in a query":           {`msg=x&monitor={`, "refused: monitor: not JSON: it ends in the middle"},
		"both broken":                 {`msg=x&monitor={&heartbeat={`, "refused: heartbeat: not JSON: it ends in the middle"},
		"nothing":                     {`{}`, `refused: msg: absent; the body must hold {{ msg }}, such as {"msg": "{{ msg }}"}`},
		"an array":                    {`[]`, "refused: the body is an array, must be an object"},
		"empty":                       {``, "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}

func TestMonitoredHidesCredentials(t *testing.T) {
	for address, want := range map[string]string{"https://u:p@shop/x?y": "https://shop/x?y", "https://": "", "": "", "tcp://h:1": "tcp://h:1"} {
		if got := monitored(address); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}
