package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/process"
	"github.com/tocsin-gateway/tocsin/web"
)

// TestProcessCommands walks two incidents through everything that people make of one.
func TestProcessCommands(t *testing.T) {
	f := newFixture(t, "")
	var out bytes.Buffer
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1:9100", "summary": "/ has 1 % left"})
	f.now = f.now.Add(time.Minute)
	f.accept(map[string]string{"alertname": "Slow", "service": "shop", "severity": "warning", "instance": "web1:9100"})
	f.now = f.now.Add(time.Minute)
	db, shop := f.reference("db"), f.reference("shop")
	do := func(args ...string) {
		t.Helper()
		f.now = f.now.Add(time.Minute)
		f.run(&out, 0, append([]string{"incident"}, args...)...)
	}
	do("ack", db)
	do("assess", db, "--impact=high", "--urgency=medium", "--category=hardware", "one", "disk", "of", "three")
	do("assign", db, "--role=technical_lead", "--who=ben")
	do("assign", db, "--role=communications_manager", "--who=cy")
	do("assign", db, "--role=communications_manager", "--nobody")
	do("assign", db, "--team=dba")
	do("category", db, "software")
	do("level", db, "major")
	do("phase", db, "mitigating")
	do("severity", db, "error", "-m", "one of three")
	do("severity", db, "critical")
	do("work", db, "the disk", "--by=ben")
	do("work", db)
	do("rest", db)
	do("customers", db, "Acme", "Beta GmbH")
	do("next-contact", db, "--at=2026-11-21T04:00:00Z")
	do("contacted", db, "Mr Li", "--channel=phone", "--reached", "--note=he looks at it")
	do("contacted", db, "Ms Wu", "--channel=voicemail", "--no-reached")
	do("link", db, "logs", "https://logs.example.com/db1")
	do("escalate", db, "--to=L3", "--reason=time_sensitive", "-m", "before the shops open")
	do("show", db)
	do("accept", db, "--by=dora")
	do("answer", db, "--by=dora")
	do("update", db, "--phase=mitigating", "--analysis=a log is huge", "--progress=we move it", "--forecast=half an hour", "--restoration=2026-11-21T03:50:00Z", "--public", "the", "shop", "is", "slow")
	do("found", db, "--cause=a log that nobody rotates", "--why=no rule for it", "--why=nobody owns it", "--workaround=it is moved away", "--follow-up=https://tickets.example.com/7")
	do("workaround-removed", db)
	do("cause", db, "a broken disk", "--state=ruled_out")
	do("action", db, "rotate", "all", "logs", "--owner=ben", "--due=2026-12-01T00:00:00Z")
	do("action-done", db, "1")
	do("correct", db, "--went-down=2026-11-21T02:40:00Z")
	do("snooze", shop, "--until=2026-11-21T06:00:00Z")
	do("show", shop)
	do("unsnooze", shop)
	do("snooze", shop, "--for=2h")
	do("merge", shop, "--into="+db, "-m", "the same disk")
	do("show", shop)
	do("child", db, "--customer=Acme", "--title=Your shop is slow", "since this morning")
	f.run(&out, 1, "incident", "resolve", db)
	do("show", db)
	do("unmerge", shop)
	do("confirm", db, "--customer=Acme")
	do("resolve", db)
	do("followed-up", db, "Mr Li")
	do("show", db)
	f.golden("process.golden", &out)
}

// TestShowTellsWhatIsDue: who looks at an incident sees what is overdue, what comes next, what
// the end waits for and what is still to be done.
func TestShowTellsWhatIsDue(t *testing.T) {
	f := newFixture(t, "")
	guide, err := process.New(process.Config{Profile: "itil-basic"}, process.Options{Severities: config.Default().Classify.Severities})
	if err != nil {
		t.Fatal(err)
	}
	f.guide = guide
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db", "severity": "critical", "instance": "db1:9100"})
	db := f.reference("db")
	f.run(nil, 0, "incident", "action", db, "order a disk", "--kind=task", "--owner=ben", "--due=2026-11-21T03:20:00Z")
	f.run(nil, 0, "incident", "action", db, "call ben", "--kind=task", "--owner=ann")
	f.run(nil, 0, "incident", "action-done", db, "2")
	f.now = f.now.Add(25 * time.Minute)
	var out bytes.Buffer
	f.run(&out, 0, "incident", "show", db)
	settings := config.Default().Settings()
	settings.Guide = guide
	if err := f.pipeline.Set(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	f.run(&out, 0, "incident", "duty-done", db, "service-disruption")
	f.run(&out, 1, "incident", "duty-waive", db, "acknowledge")
	f.run(&out, 0, "incident", "duty-waive", db, "acknowledge", "-m", "ben is at it")
	f.run(&out, 1, "incident", "duty-done", db, "acknowlege")
	f.run(&out, 2, "incident", "duty-done", db)
	f.run(&out, 0, "incident", "show", db)
	f.golden("due.golden", &out)
}

// TestProcessMistakes are said before anything is sent, or in the gateway's words.
func TestProcessMistakes(t *testing.T) {
	f := newFixture(t, "")
	var out bytes.Buffer
	f.accept(map[string]string{"alertname": "DiskFull", "service": "db"})
	db := f.reference("db")
	for _, args := range []string{"assess DB --impact=high", "assess DB --impact=huge --urgency=low x", "assign DB", "assign DB --role=technical_lead", "assign DB --role=technical_lead --who=ben --nobody",
		"escalate DB --to=L3", "escalate DB --reason=recurring", "update DB", "sign DB", "next-contact DB", "next-contact DB --at=soon", "next-contact DB --never --at=2h", "contacted DB Li --channel=phone",
		"contacted DB Li --channel=pigeon --reached", "found DB", "cause DB", "action DB --owner=ben", "correct DB", "correct DB --went-down=noon", "link DB logs", "merge DB", "child DB x",
		"snooze DB", "snooze DB --for=2h --until=3h", "snooze DB --for=soon"} {
		f.run(&out, 2, append([]string{"incident"}, strings.Fields(strings.ReplaceAll(args, "DB", db))...)...)
	}
	for _, args := range []string{"assess DB --impact=high --urgency=low", "sign DB one", "sign DB 1", "action-done DB 3", "contacted DB Li --channel=email --reached", "link DB logs ftp://example.com",
		"merge DB --into=INC-1", "accept DB", "action DB x --owner=ben", "workaround-removed DB", "level DB awful", "child DB --customer=Acme", "snooze DB --until=2020-01-01T00:00:00Z"} {
		f.run(&out, 1, append([]string{"incident"}, strings.Fields(strings.ReplaceAll(args, "DB", db))...)...)
	}
	f.golden("process-errors.golden", &out)
}

func TestFutureTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{"": "", "2h": "2026-11-21T05:00:00Z", "7d": "2026-11-28T03:00:00Z", "2026-11-20T01:00:00+02:00": "2026-11-20T01:00:00+02:00", "noon": "error", "-2h": "error"} {
		got, err := futureTime(in, now)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestMissedDuties: what was due for the last time is overdue until it is done, and who is kept
// from closing reads the name of the duty.
func TestMissedDuties(t *testing.T) {
	now := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	missed, due := now.Add(-time.Hour), now.Add(time.Hour)
	i := &incidents{client: &client{date: now}, width: 110}
	var out bytes.Buffer
	i.writeDuties(&out, web.DutiesJSON{Duties: []web.DutyJSON{{Name: "later", Text: "look", Due: &due, Deadline: true}, {Name: "decide", Text: "decide on it", MissedAt: &missed, Deadline: true, Fired: 1}},
		Missing: map[string][]incident.Requirement{"close": {{Name: "decide", Text: "decide on it"}, {Name: "cause", Text: "say what caused it"}}}})
	const want = "\nDue next\n  overdue 1h  decide  decide on it\n  in 1h       later   look\n\nBefore close\n  decide on it (duty-done decide)\n  say what caused it\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}
