package elastalert

import (
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-gateway/tocsin/ingest/ingesttest"
)

func TestDecode(t *testing.T) {
	ingesttest.Table{
		"dots in names":          {`{"rule.name":"5xx","host.name":"web-01","service":{"name":"shop"},"severity":"HIGH","message":"a\nb"}`, "alert firing alertname=5xx host=web-01 service=shop severity=high key=5xx!web-01!shop | a"},
		"a level is no severity": {`{"host":"web-01","level":"error"}`, "alert firing host=web-01 | "},
		"nothing to go by":       {`{"status":502}`, "alert firing alertname=ElastAlert key=ElastAlert!! | "},
		"times":                  {`{"rule":"r","@timestamp":"2026-11-21T02:00:00+01:00"}`, "alert firing alertname=r key=r!! at=2026-11-21T01:00:00Z | "},
		"pagerduty, resolved": {`{"event_action":"resolve","dedup_key":"d","payload":{"summary":"5xx","severity":"error","timestamp":"2026-11-21T01:00:00Z","custom_details":{"information":"5xx\n\nhost: web-01\n"}}}`,
			"alert resolved alertname=5xx host=web-01 severity=error key=key!d identity=d to=2026-11-21T01:00:00Z at=2026-11-21T01:00:00Z | 5xx"},
		"pagerduty, acknowledged": {`{"event_action":"acknowledge","payload":{"summary":"5xx"}}`, "acknowledgement firing alertname=5xx key=5xx!! | "},
		"pagerduty, no key":       {`{"event_action":"trigger","dedup_key":"","payload":{"summary":"5xx"}}`, "alert firing alertname=5xx key=5xx!! | "},
		"pagerduty, version 1": {`{"service_key":"s","event_type":"trigger","description":"5xx","incident_key":"d","client":"ElastAlert","details":{"information":"5xx\n\nhost: web-01\n"}}`,
			"alert firing alertname=5xx host=web-01 key=key!d identity=d | 5xx"},
		"pagerduty, version 1, resolved": {`{"service_key":"s","event_type":"resolve","description":"over","incident_key":"d"}`, "alert resolved alertname=over key=key!d identity=d | "},
		"pagerduty, version 1, no key":   {`{"service_key":"s","event_type":"acknowledge","description":"5xx"}`, "acknowledgement firing alertname=5xx key=5xx!! | "},
		"slack, several fields":          {`{"text":"","attachments":[{"title":"5xx","text":"5xx\n\nmessage: boom\nhost: {\n    \"name\": \"web-01\"\n}\nhost: x\n"}]}`, "alert firing alertname=5xx host=web-01 key=5xx!web-01! | boom"},
		"slack, no title":                {`{"attachments":[{"fallback":"5xx on shop"}]}`, "alert firing alertname=5xx on shop key=5xx on shop!! | 5xx on shop"},
		"slack, odd":                     {`{"attachments":"x","text":"5xx"}`, "alert firing alertname=5xx key=5xx!! | 5xx"},
		"alerta, no resource":            {`{"event":"5xx","rawData":"\n\nhost: {\n broken\n}\n"}`, "alert firing alertname=host: { key=host: {!! | host: {"},
		"empty":                          {`{}`, "refused: the body is an empty object"},
		"an array":                       {`[]`, "refused: the body is an array, must be an object"},
		"no JSON":                        {``, "foreign: not JSON: it begins like something else, or is empty"},
	}.Run(t, Format)
}

func TestTokens(t *testing.T) {
	for body, want := range map[string]struct {
		tokens []string
		body   string
	}{
		`{"routing_key": "k\u0031", "payload": {"routing_key": "x"}}`: {[]string{"k1"}, `{"routing_key": null, "payload": {"routing_key": "x"}}`},
		`{"a":1,"routing_key":"k","routing_key":"l"}`:                 {[]string{"k", "l"}, `{"a":1,"routing_key":null,"routing_key":null}`},
		`{"routing_key":{"a":"b"}}`:                                   {nil, `{"routing_key":null}`},
		`{"routing_key":"k","rest":`:                                  {[]string{"k"}, `{"routing_key":null,"rest":`},
		`{"service_key":"k","event_type":"trigger"`:                   {[]string{"k"}, `{"service_key":null,"event_type":"trigger"`},
		`["routing_key"]`:                                             {nil, `["routing_key"]`},
		`{"host":"a"}`:                                                {nil, `{"host":"a"}`},
	} {
		tokens, out := tokens([]byte(body))
		if !slices.Equal(tokens, want.tokens) || string(out) != want.body {
			t.Errorf("%s: got %q and %s, want %q and %s", body, tokens, out, want.tokens, want.body)
		}
	}
}

// TestLongText: the time for a text does not grow with its square.
func TestLongText(t *testing.T) {
	text := strings.Repeat(`a: {\n`, 300_000)
	if got := ingesttest.Say(Format, `{"attachments":[{"title":"t","text":"`+text+`"}]}`); !strings.HasPrefix(got, "alert firing alertname=t") {
		t.Errorf("got %.100s", got)
	}
}
