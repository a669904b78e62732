package grafana

import (
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	ingesttest.Table{
		"no data":         {`{"alerts":[{"status":"firing","labels":{"alertname":"DatasourceNoData","rulename":"CPU"}}]}`, "alert firing alertname=DatasourceNoData rulename=CPU | No data for the rule CPU"},
		"an error":        {`{"alerts":[{"status":"firing","labels":{"alertname":"DatasourceError","rulename":"CPU"}}]}`, "alert firing alertname=DatasourceError rulename=CPU | The rule CPU cannot be evaluated"},
		"own summary":     {`{"alerts":[{"status":"firing","labels":{"alertname":"DatasourceError","rulename":"CPU"},"annotations":{"summary":"mine"}}]}`, "alert firing alertname=DatasourceError rulename=CPU | mine"},
		"one is wrong":    {`{"alerts":[{"status":"firing","labels":{"alertname":"A"}},{"status":"on","labels":{"alertname":"B"},"values":{}}]}`, "alert firing alertname=A | \nrejected: alerts[1].status: \"on\" is neither firing nor resolved"},
		"another payload": {`{"alert_name":"CPU"}`, "refused: alerts: absent; this is not a webhook of Grafana; for a payload of your own write a source with format: mapping"},
	}.Run(t, Format)
}

func TestAnnotations(t *testing.T) {
	const body = `{"title":"T","alerts":[{"status":"firing","labels":{"alertname":"A"},"annotations":{"values":"own"},` +
		`"values":{"B":2,"A":1.50},"valueString":"v","dashboardURL":"https://g/d/x?from=1&to=2&viewPanel=4&%74o=3","panelURL":"javascript:x",` +
		`"silenceURL":"https://g/s","imageURL":"https://g/i.png","ruleUID":"r","orgId":1}ELSE],"message":"M"}`
	decode := func(rest string) ingest.Batch {
		t.Helper()
		b, err := Format.Decode(ingest.Request{Body: []byte(strings.Replace(body, "ELSE", rest, 1))})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got := decode("").Alerts[0].Annotations
	for name, want := range map[string]string{"values": "own", "value_string": "v", "dashboard_url": "https://g/d/x?from=1&viewPanel=4", "panel_url": "",
		"silence_url": "https://g/s", "image_url": "https://g/i.png", "rule_uid": "r", "org_id": "1", "title": "T", "message": "M"} {
		if got.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
		}
	}
	// The message of a group is not repeated in each of its alerts.
	for _, a := range decode(`,{"status":"firing","labels":{"alertname":"B"},"values":{"B":2,"A":1.50}}`).Alerts {
		if a.Annotations.Get("message") != "" || a.Annotations.Get("title") != "T" {
			t.Errorf("%s: got %v, want the title and no message", a.Name(), a.Annotations)
		}
		if a.Name() == "B" && a.Annotations.Get("values") != "A=1.50, B=2" {
			t.Errorf("values: got %q", a.Annotations.Get("values"))
		}
	}
}
