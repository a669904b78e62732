package block_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/block"
	"github.com/tocsin-gateway/tocsin/notify/call"
	"github.com/tocsin-gateway/tocsin/notify/generic"
	"github.com/tocsin-gateway/tocsin/notify/rootly"
	"github.com/tocsin-gateway/tocsin/notify/statuspage"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
	"github.com/tocsin-gateway/tocsin/notify/threema"
	"github.com/tocsin-gateway/tocsin/notify/webhook"
	"github.com/tocsin-gateway/tocsin/notify/zoom"
)

// TestYAML: a block as people write it is read, is right, and shows no secret.
func TestYAML(t *testing.T) {
	const common = "send_resolved: false\nacknowledges: true\ntimeout: 5s\nhttp_config: {proxy_url: 'http://proxy.example.com:3128', tls_config: {server_name: x}}\n"
	si := &webhook.SignedConfig{}
	check(t, "signed webhook", si, &si.Common, common+"url: https://example.com/hunter2\nmax_alerts: 5\nsecrets:\n- {id: a, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}\n- {id: b, secret_file: /b}\n")
	z, th, sp, ro, ge, ca := &zoom.Config{}, &threema.Config{}, &statuspage.Config{}, &rootly.Config{}, &generic.Config{}, &call.Config{}
	check(t, "zoom", z, &z.Common, common+"url: https://example.com/hunter2\ntoken_file: /t\ntitle: x\ntext: y\nmeeting: {account_id: a, client_id: b, client_secret: hunter2, user: c}\n")
	check(t, "threema", th, &th.Common, common+"from: '*TOCSIN1'\nsecret: hunter2\nto: [ECHOECHO, '+41791234567']\ntext: x\n")
	check(t, "statuspage", sp, &sp.Common, common+"page_id: p\napi_key: hunter2\ncomponents: {db: [a, b], '*': [c]}\ncomponent_status: {critical: major_outage}\ntitle: x\ntexts: {resolved: y}\nnotify_subscribers: false\n")
	check(t, "rootly", ro, &ro.Common, common+"api_key: hunter2\nnotify_type: Group\nnotify_id: g\nurgencies: {critical: u}\nservice_ids: [s]\n")
	check(t, "generic", ge, &ge.Common, common+"url: https://example.com/hunter2\nmethod: PUT\nheaders: {Authorization: Bearer hunter2}\nheader_files: {X-Key: /k}\nbody: '{}'\nbodies: {resolved: '{}'}\nevents: [opened, resolved]\n")
	check(t, "call", ca, &ca.Common, common+"account_sid: AC1\nauth_token: hunter2\nfrom: '+15005550006'\nto: ['+41791234567']\nmode: voice\ntext: x\nlanguage: de-DE\nprompt: y\nring_for: 30s\n")
}

func check(t *testing.T, name string, c interface{ Problems() map[string]string }, common *block.Common, text string) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if p := c.Problems(); len(p) > 0 {
		t.Errorf("%s: %v", name, p)
	}
	if block.Or(common.SendResolved, true) || !block.Or(common.Acknowledges, false) || time.Duration(common.Timeout) != 5*time.Second || common.HTTPConfig == nil || common.HTTPConfig.TLSConfig.ServerName != "x" {
		t.Errorf("%s: common settings %+v", name, common)
	}
	out, err := yaml.Marshal(c)
	if err != nil || strings.Contains(string(out), "hunter2") || strings.Contains(string(out), "MfKQ9r8") {
		t.Errorf("%s shows its secrets: %v\n%s", name, err, out)
	}
}

func TestEach(t *testing.T) {
	later, never := &notify.Error{Err: errors.New("later")}, &notify.Error{Permanent: true, Err: errors.New("never")}
	for name, c := range map[string]struct {
		answers map[string]error
		want    error
		warned  bool
	}{
		"all":                  {nil, nil, false},
		"one later":            {map[string]error{"b": later}, later, false},
		"one never":            {map[string]error{"b": never}, nil, true},
		"one later, one never": {map[string]error{"a": never, "c": later}, later, false},
		"none, one later":      {map[string]error{"a": never, "b": never, "c": later}, later, false},
		"none ever":            {map[string]error{"a": never, "b": never, "c": never}, never, false},
	} {
		m := targettest.Message(notify.Opened)
		m.Memory = notify.Memory{"thread": "7"}
		told := map[string]int{}
		tell := func(who string) (notify.Memory, error) {
			if err := c.answers[who]; err != nil {
				return nil, err
			}
			told[who]++
			return notify.Memory{"id:" + who: "1"}, nil
		}
		memory, err := block.Each(m, []string{"a", "b", "c"}, tell)
		if !errors.Is(err, c.want) || (m.ErrTemplates() != nil) != c.warned {
			t.Errorf("%s: got %v, warned %v", name, err, m.ErrTemplates())
		}
		if err == nil {
			if memory["sent"] != "1" || memory["thread"] != "7" || memory["reached"] != "" {
				t.Errorf("%s: remembers %v", name, memory)
			}
			continue
		}
		// It is tried again, and works.
		c.answers = nil
		if memory != nil {
			m.Memory = memory
		}
		if memory, err = block.Each(m, []string{"a", "b", "c"}, tell); err != nil || memory["sent"] != "1" || memory["id:b"] != "1" {
			t.Errorf("%s: again: %v, %v", name, memory, err)
		}
		for who, n := range told {
			if n != 1 {
				t.Errorf("%s: %s was told %d times", name, who, n)
			}
		}
		// The next message goes to all.
		m = targettest.Message(notify.Resolved)
		m.Memory = memory
		if _, err = block.Each(m, []string{"a", "b", "c"}, tell); err != nil || told["a"] != 2 {
			t.Errorf("%s: the next: %v, %v", name, told, err)
		}
	}
}
