package config

import "testing"

// TestNothingIsTakenWithoutAWord: mistakes that cost alerts, or trust, are said.
func TestNothingIsTakenWithoutAWord(t *testing.T) {
	for name, text := range map[string]string{
		"whoever has an account at AWS can sign": "sources: {sns: {format: sns, sns: {certificate_hosts: [sns.eu-central-1.amazonaws.com]}}}\n",
		"a heartbeat swallows every alert":       "heartbeats: [{name: h, matchers: ['heartbeat!=\"no\"'], every: 5m}]\n",
		"severity places Nagios' recoveries":     "sources: {nagios: {format: nagios}}\ncorrelate: {rules: [{name: c, matchers: ['severity=\"critical\"'], by: [host]}]}\n",
		"any domain's signature is enough":       "sources: {email: {format: email, email: {authserv_id: mx, require: [dkim], senders: [victim.example]}}}\n",
		"ignore_labels without effect":           "sources: {nagios: {format: nagios, ignore_labels: [host]}}\n",
	} {
		c, err := Load([]byte(text), "test.yml")
		if err != nil {
			t.Logf("%s: refused: %v", name, err)
			continue
		}
		if len(c.Warnings) == 0 {
			t.Errorf("%s: taken without a word", name)
		} else {
			t.Logf("%s: %v", name, c.Warnings)
		}
	}
}
