package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	netsmtp "net/smtp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKilledOnOtherWays kills a gateway while mails come over SMTP, results over
// NRDP and reports of people: what was answered 250 or 200 is there afterwards,
// in exactly one incident.
func TestKilledOnOtherWays(t *testing.T) {
	dir := t.TempDir()
	const config = "smtp: {listen: '127.0.0.1:0', hostname: gw.example.org, recipients: {" + recipient + ": email}}"
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	const kills, each = 4, 60
	for round := range kills {
		g := gatewayWith(t, dir, "127.0.0.1:0", config)
		mail := "127.0.0.1:" + smtpPort(t, g)
		enough := make(chan struct{})
		var once sync.Once
		var senders sync.WaitGroup
		for way, send := range map[string]func(name string) error{
			"mail": func(name string) error {
				subject, text := nagiosMail("PROBLEM", name, "DOWN")
				return netsmtp.SendMail(mail, nil, "nagios@mon.example.net", []string{recipient},
					[]byte("From: nagios@mon.example.net\r\nTo: "+recipient+"\r\nSubject: "+subject+"\r\n\r\n"+strings.ReplaceAll(text, "\n", "\r\n")))
			},
			"nrdp": func(name string) error {
				return accepted(t.Context(), g, "/ingest/nrdp?cmd=submitcheck&JSONDATA=%7B%22checkresults%22%3A%5B%7B%22hostname%22%3A%22"+name+"%22%2C%22state%22%3A%221%22%2C%22output%22%3A%22x%22%7D%5D%7D", nil)
			},
			"report": func(name string) error {
				body, err := json.Marshal(map[string]string{"title": name, "description": "it is broken", "reporter": "ann"})
				if err != nil {
					return err
				}
				return accepted(t.Context(), g, "/api/v1/incidents", body)
			},
		} {
			for worker := range 3 {
				senders.Go(func() {
					for n := 0; ; n++ {
						name := fmt.Sprintf("%s-%d-%d-%d", way, round, worker, n)
						if send(name) != nil {
							return // it was killed
						}
						mu.Lock()
						acknowledged[name] = true
						if len(acknowledged) >= (round+1)*each {
							once.Do(func() { close(enough) })
						}
						mu.Unlock()
					}
				})
			}
		}
		select {
		case <-enough:
		case <-time.After(time.Minute):
			t.Error("it takes too long")
		}
		g.kill()
		senders.Wait()
	}
	g := gatewayWith(t, dir, "127.0.0.1:0", config)
	incidents, err := g.incidents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]int{}
	for _, i := range incidents {
		for name := range strings.FieldsSeq(i.Title) {
			shown[name]++
		}
	}
	lost, doubled := 0, 0
	for name := range acknowledged {
		switch shown[name] {
		case 0:
			lost++
			t.Errorf("%s was acknowledged and is not there", name)
		case 1:
		default:
			doubled++
			t.Errorf("%s is in %d incidents", name, shown[name])
		}
	}
	t.Logf("%d kills: %d acknowledged, %d incidents, lost %d, doubled %d", kills, len(acknowledged), len(incidents), lost, doubled)
	if len(acknowledged) < kills*each {
		t.Errorf("only %d were acknowledged", len(acknowledged))
	}
}

// accepted posts, or gets if there is no body, and wants 200.
func accepted(ctx context.Context, g *gateway, path string, body []byte) error {
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	status, answer, err := do(ctx, method, "http://"+g.addr+path, body)
	if err == nil && (status != http.StatusOK || strings.HasPrefix(path, "/ingest/nrdp") && !strings.Contains(string(answer), "<status>0</status>")) {
		err = fmt.Errorf("answered %d %s", status, answer)
	}
	return err
}
