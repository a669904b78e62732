package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nagios is a running Nagios whose notifications go through what we ship in
// deploy/nagios. It checks nothing itself: the tests say what checks found.
type nagios struct {
	*process
	// commands is its external command file, status the file where it says what it
	// knows, log what happens, and spool the folder where notifications wait.
	commands, status, log, spool string
	// flush is the command that the README gives to cron.
	flush []string
}

// nagiosHosts are the hosts that it knows, each with one service; every subtest has its own.
var nagiosHosts = map[string]string{"web-01": "CPU", "app-01": "Queue", "db-01": "Postgres", "batch-01": "Backup", "quiet-01": "Backup", "time-01": "NTP",
	"mail-01": "Memory", "mail-02": "Memory", "shop-01": "HTTP"}

// commandFile is the name of the external command file.
const commandFile = "nagios.cmd"

// startNagios starts one in a folder that sends to the gateway, with a token that is made as the README says.
func startNagios(t *testing.T, gateway, dir string) *nagios {
	t.Helper()
	path := program(t, "nagios4")
	n := &nagios{commands: filepath.Join(dir, commandFile), spool: filepath.Join(dir, "spool"), status: filepath.Join(dir, "status.dat"), log: filepath.Join(dir, "nagios.log")}
	url, token := "http://"+gateway, filepath.Join(dir, "token")
	value, err := exec.Command(tocsinBinary, "token", "create", "--source", "nagios", "--url", url).Output()
	if err != nil {
		t.Fatalf("token create: %v", err)
	}
	write(t, token, string(value))
	n.flush = []string{"send", "flush", "--url=" + url, "--token-file=" + token, "--spool=" + n.spool}

	shipped, err := os.ReadFile("../deploy/nagios/tocsin.cfg")
	if err != nil {
		t.Fatal(err)
	}
	ours := string(shipped)
	for from, to := range map[string]string{"/usr/local/bin/tocsin ": tocsinBinary + " ", "http://127.0.0.1:9095": url,
		"/etc/tocsin/nagios-token": token, "/var/spool/tocsin-send": n.spool} {
		if !strings.Contains(ours, from) {
			t.Fatalf("deploy/nagios/tocsin.cfg has no %s any more", from)
		}
		ours = strings.ReplaceAll(ours, from, to)
	}
	write(t, filepath.Join(dir, "tocsin.cfg"), ours)
	write(t, filepath.Join(dir, "objects.cfg"), nagiosObjects())
	// Only what has to differ from Debian's nagios.cfg: folders, no checks of its
	// own, and times in seconds.
	main := filepath.Join(dir, "nagios.cfg")
	write(t, main, fmt.Sprintf(`cfg_file=%[1]s/objects.cfg
cfg_file=%[1]s/tocsin.cfg
log_file=%[1]s/nagios.log
object_cache_file=%[1]s/objects.cache
precached_object_file=%[1]s/objects.precache
status_file=%[1]s/status.dat
status_update_interval=1
state_retention_file=%[1]s/retention.dat
temp_file=%[1]s/nagios.tmp
temp_path=%[1]s
check_result_path=%[1]s
lock_file=%[1]s/nagios.pid
query_socket=%[1]s/nagios.qh
command_file=%[4]s
nagios_user=%[2]d
nagios_group=%[3]d
interval_length=1
check_result_reaper_frequency=1
check_external_commands=1
execute_service_checks=0
execute_host_checks=0
check_for_updates=0
check_service_freshness=0
enable_flap_detection=1
low_service_flap_threshold=5.0
high_service_flap_threshold=20.0
enable_environment_macros=1
use_syslog=0
illegal_macro_output_chars=`+"`~$&|'\"<>"+`
`, dir, os.Getuid(), os.Getgid(), n.commands))
	if n.process, err = startProcess(path, nil, main); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
			n.kill()
		}
		if t.Failed() {
			log, _ := os.ReadFile(n.log)
			t.Logf("nagios said:\n%s\nand its log has:\n%s", n.output(), log)
		}
	})
	eventually(t, soon, func(context.Context) error {
		select {
		case <-n.exited:
			return n.failure()
		default:
		}
		f, err := os.OpenFile(n.commands, os.O_WRONLY|syscall.O_NONBLOCK, 0) // an error while nobody reads
		if err != nil {
			return err
		}
		return f.Close()
	})
	return n
}

// nagiosObjects are hosts and services whose templates are as the README wants them.
func nagiosObjects() string {
	var b strings.Builder
	b.WriteString(`define command {
    command_name  never
    command_line  /bin/false
}
define host {
    name                    generic-host
    contact_groups          +tocsin
    notification_options    d,u,r,f,s
    notification_interval   0
    notification_period     tocsin-always
    check_command           never
    active_checks_enabled   0
    max_check_attempts      1
    register                0
}
define service {
    name                    generic-service
    contact_groups          +tocsin
    notification_options    w,u,c,r,f,s
    notification_interval   0
    notification_period     tocsin-always
    check_period            tocsin-always
    check_command           never
    active_checks_enabled   0
    max_check_attempts      1
    register                0
}
`)
	for host, service := range nagiosHosts {
		flaps := 0 // only where it is meant to
		if host == "time-01" {
			flaps = 1
		}
		fmt.Fprintf(&b, "define host {\n    use        generic-host\n    host_name  %s\n    alias      Machine %[1]s\n    address    192.0.2.1\n}\n", host)
		fmt.Fprintf(&b, "define service {\n    use                     generic-service\n    host_name               %s\n    service_description     %s\n    flap_detection_enabled  %d\n}\n",
			host, service, flaps)
	}
	return b.String()
}

// tell writes a command into the external command file, see
// https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/extcommands.html
func (n *nagios) tell(t *testing.T, format string, args ...any) {
	t.Helper()
	f, err := os.OpenFile(n.commands, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "[%d] "+format+"\n", append([]any{time.Now().Unix()}, args...)...); err != nil {
		t.Fatal(err)
	}
}

// Nagios' codes of states.
const (
	stateOK       = 0
	stateWarning  = 1
	stateCritical = 2
	hostDown      = 1
)

// check tells the result of a check of the host's service.
func (n *nagios) check(t *testing.T, host string, state int, output string) {
	t.Helper()
	n.tell(t, "PROCESS_SERVICE_CHECK_RESULT;%s;%s;%d;%s", host, nagiosHosts[host], state, output)
}

// waiting are the notifications in the spool.
func (n *nagios) waiting(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(n.spool, "*.msg"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// knows waits until Nagios' status file has all these lines in what is about the host's service.
func (n *nagios) knows(t *testing.T, host string, lines ...string) {
	t.Helper()
	eventually(t, soon, func(context.Context) error {
		status, err := os.ReadFile(n.status)
		if err != nil {
			return err
		}
		about := ""
		for block := range strings.SplitSeq(string(status), "\t}\n") {
			if strings.Contains(block, "\thost_name="+host+"\n") && strings.Contains(block, "\tservice_description="+nagiosHosts[host]+"\n") {
				about += block
			}
		}
		for _, line := range lines {
			if !strings.Contains(about, "\t"+line+"\n") {
				return fmt.Errorf("no line %q in what Nagios knows:\n%s", line, about)
			}
		}
		return nil
	})
}

// of waits until the host has exactly one incident, and it is as check wants it.
func of(t *testing.T, g *gateway, host string, check func(Incident) error) (in Incident) {
	t.Helper()
	eventually(t, soon, func(ctx context.Context) error {
		all, err := g.incidents(ctx)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(i Incident) bool { return !slices.Contains(i.Hosts, host) })
		if len(all) != 1 {
			return fmt.Errorf("got incidents %+v of %s, want one", all, host)
		}
		in = all[0]
		return check(in)
	})
	return in
}

// is wants an incident in a state, with a severity and so many alerts that fire, of all.
func is(state, severity string, firing, total int) func(Incident) error {
	return func(in Incident) error {
		if in.State != state || in.Severity != severity || in.Alerts.Firing != firing || in.Alerts.Total != total {
			return fmt.Errorf("got %+v, want it %s and %s, with %d of %d alerts firing", in, state, severity, firing, total)
		}
		return nil
	}
}

// says waits until the timeline of an incident has an entry like this: an empty
// text stands for any, and of text it is enough if it is in there.
func says(t *testing.T, g *gateway, id string, want Entry) {
	t.Helper()
	saysWithin(t, soon, g, id, want)
}

func saysWithin(t *testing.T, within time.Duration, g *gateway, id string, want Entry) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) error {
		entries, err := g.timeline(ctx, id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(entries, func(e Entry) bool {
			return e.Action == want.Action && (want.Who == "" || e.Who == want.Who) && (want.Source == "" || e.Source == want.Source) && strings.Contains(e.Text, want.Text)
		}) {
			return fmt.Errorf("got timeline %+v, want %+v in it", entries, want)
		}
		return nil
	})
}

// TestNagios drives a real Nagios, which notifies as deploy/nagios says.
func TestNagios(t *testing.T) {
	program(t, "nagios4")
	dir, ofNagios := t.TempDir(), t.TempDir()
	config := fmt.Sprintf("sources: {nagios: {api: {command_file: %q, write_back: true}}}\n", filepath.Join(ofNagios, commandFile))
	g := gatewayWith(t, dir, "127.0.0.1:0", config)
	n := startNagios(t, g.addr, ofNagios)

	t.Run("a problem becomes worse, is acknowledged there, and ends", func(t *testing.T) {
		n.check(t, "web-01", stateWarning, "load average: 8.01")
		in := of(t, g, "web-01", is("open", "warning", 1, 1))
		n.check(t, "web-01", stateCritical, "load average: 12.71")
		if worse := of(t, g, "web-01", is("open", "critical", 1, 1)); worse.ID != in.ID {
			t.Errorf("got incident %s after WARNING became CRITICAL, want %s as before", worse.ID, in.ID)
		}
		alerts, err := g.alerts(t.Context(), in.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(alerts) != 1 || alerts[0].Labels["host"] != "web-01" || alerts[0].Labels["service"] != "CPU" || alerts[0].Labels["severity"] != "critical" ||
			alerts[0].Annotations["summary"] != "load average: 12.71" {
			t.Errorf("got alerts %+v, want one of the service CPU of web-01, with what the last check found", alerts)
		}
		n.tell(t, "ACKNOWLEDGE_SVC_PROBLEM;web-01;CPU;2;1;0;alice;looking into it; ticket OPS-1234")
		of(t, g, "web-01", is("acknowledged", "critical", 1, 1))
		says(t, g, in.ID, Entry{Action: "acknowledged", Who: "alice", Source: "nagios", Text: "looking into it; ticket OPS-1234"})
		n.check(t, "web-01", stateOK, "load average: 0.10")
		over := of(t, g, "web-01", is("resolved", "critical", 0, 1))
		if over.AcknowledgedBy != "alice" {
			t.Errorf("acknowledged by: got %q, want alice", over.AcknowledgedBy)
		}
	})

	t.Run("what people do here is said there", func(t *testing.T) {
		n.check(t, "app-01", stateCritical, "4000 jobs wait")
		in := of(t, g, "app-01", is("open", "critical", 1, 1))
		act := func(what, comment string) {
			t.Helper()
			post(t, "http://"+g.addr+"/api/v1/incidents/"+in.ID+"/"+what, fmt.Appendf(nil, `{"by": "bob", "comment": %q}`, comment))
		}
		act("acknowledge", "on it; back in an hour")
		n.knows(t, "app-01", "problem_has_been_acknowledged=1", "author=bob", "comment_data="+in.Reference+" on it; back in an hour [tocsin]")
		act("note", "half of them are done")
		n.knows(t, "app-01", "problem_has_been_acknowledged=1", "comment_data="+in.Reference+" half of them are done [tocsin]")
		act("unacknowledge", "")
		n.knows(t, "app-01", "problem_has_been_acknowledged=0")
		n.check(t, "app-01", stateOK, "3 jobs wait")
		of(t, g, "app-01", is("resolved", "critical", 0, 1))
		log, err := os.ReadFile(n.log)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(log), "EXTERNAL COMMAND: ACKNOWLEDGE_SVC_PROBLEM;app-01;"); got != 1 {
			t.Errorf("Nagios was told of %d acknowledgements of app-01, want 1", got)
		}
		if strings.Count(string(log), "EXTERNAL COMMAND: ACKNOWLEDGE_SVC_PROBLEM;web-01;") > 1 {
			t.Error("what alice had said there was told to Nagios again")
		}
	})

	t.Run("a host that is down joins the incident of its service", func(t *testing.T) {
		n.check(t, "db-01", stateCritical, "connection refused")
		in := of(t, g, "db-01", is("open", "critical", 1, 1))
		n.tell(t, "PROCESS_HOST_CHECK_RESULT;db-01;%d;PING CRITICAL - Packet loss = 100%%", hostDown)
		if both := of(t, g, "db-01", is("open", "critical", 2, 2)); both.ID != in.ID {
			t.Errorf("got incident %s, want %s", both.ID, in.ID)
		}
		n.tell(t, "PROCESS_HOST_CHECK_RESULT;db-01;%d;PING OK", stateOK)
		of(t, g, "db-01", is("open", "critical", 1, 2))
		n.check(t, "db-01", stateOK, "accepting connections")
		of(t, g, "db-01", is("resolved", "critical", 0, 2))
	})

	t.Run("downtimes are noted, and open nothing", func(t *testing.T) {
		n.check(t, "batch-01", stateCritical, "no backup since Friday")
		in := of(t, g, "batch-01", is("open", "critical", 1, 1))
		for _, host := range []string{"batch-01", "quiet-01"} {
			now := time.Now().Unix()
			n.tell(t, "SCHEDULE_SVC_DOWNTIME;%s;Backup;%d;%d;1;0;0;alice;planned maintenance", host, now, now+15)
		}
		says(t, g, in.ID, Entry{Action: "maintenance_started", Text: "planned maintenance"})
		says(t, g, in.ID, Entry{Action: "maintenance_ended"})
		of(t, g, "batch-01", is("open", "critical", 1, 1))
		// Two of each: those of the quiet host have arrived as well.
		counts(t, g, 4, "tocsin_alerts_total", `source="nagios"`, `verdict="recorded"`)
		all, err := g.incidents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(all, func(i Incident) bool { return slices.Contains(i.Hosts, "quiet-01") }) {
			t.Errorf("got incidents %+v, want none of quiet-01", all)
		}
		n.check(t, "batch-01", stateOK, "done")
		of(t, g, "batch-01", is("resolved", "critical", 0, 1))
	})

	t.Run("what ends while it flaps is over when it stops flapping", func(t *testing.T) {
		// Problem and recovery in turn, each heard before the next, until Nagios says
		// that it flaps. From then on it keeps quiet about both.
		var in Incident
		for i, flaps := 0, false; !flaps; i++ {
			if i == 20 {
				t.Fatal("Nagios does not say that it flaps")
			}
			n.hear(t, g, func() { n.check(t, "time-01", []int{stateCritical, stateOK}[i%2], fmt.Sprintf("offset %d ms", i)) })
			in = of(t, g, "time-01", func(Incident) error { return nil })
			entries, err := g.timeline(t.Context(), in.ID)
			if err != nil {
				t.Fatal(err)
			}
			flaps = slices.ContainsFunc(entries, func(e Entry) bool { return e.Action == "flapping" })
			nextSecond(t)
		}
		// It said so in place of the recovery.
		of(t, g, "time-01", is("open", "critical", 1, 1))
		for range 21 { // as many as it looks back
			n.check(t, "time-01", stateOK, "offset 0 ms")
		}
		if over := of(t, g, "time-01", is("resolved", "critical", 0, 1)); over.ID != in.ID {
			t.Errorf("got incident %s, want %s", over.ID, in.ID)
		}
		says(t, g, in.ID, Entry{Action: "flapping_ended", Source: "nagios"})
	})

	t.Run("what it says while the gateway is away arrives later, in order and once", func(t *testing.T) {
		n.check(t, "shop-01", stateWarning, "response took 4 s")
		in := of(t, g, "shop-01", is("open", "warning", 1, 1))
		n.waits(t, 0) // killed before it has answered, the gateway would hear of that one again
		g.kill()
		for i, step := range []struct {
			host   string
			state  int
			output string
		}{{"mail-01", stateCritical, "98% used"}, {"shop-01", stateCritical, "no response"}, {"mail-01", stateOK, "40% used"},
			{"mail-02", stateWarning, "85% used"}, {"shop-01", stateWarning, "response took 5 s"}} {
			n.check(t, step.host, step.state, step.output)
			n.waits(t, i+1)
		}
		g = gatewayWith(t, dir, g.addr, config)
		eventually(t, soon, func(ctx context.Context) error { // the last one may still be at it
			if out, err := exec.CommandContext(ctx, tocsinBinary, n.flush...).CombinedOutput(); err != nil {
				return fmt.Errorf("send flush: %w: %s", err, out)
			}
			return nil
		})
		if left := n.waiting(t); len(left) != 0 {
			t.Errorf("still waiting: %q", left)
		}
		of(t, g, "mail-01", is("resolved", "critical", 0, 1))
		of(t, g, "mail-02", is("open", "warning", 1, 1))
		after := of(t, g, "shop-01", is("open", "critical", 1, 1))
		alerts, err := g.alerts(t.Context(), after.ID)
		if err != nil {
			t.Fatal(err)
		}
		if after.ID != in.ID || len(alerts) != 1 || alerts[0].Annotations["summary"] != "response took 5 s" {
			t.Errorf("got incident %+v with alerts %+v, want %s, and what was said last", after, alerts, in.ID)
		}
		n.check(t, "shop-01", stateOK, "response took 0.1 s")
		of(t, g, "shop-01", is("resolved", "critical", 0, 1))
		// Five from the spool, and the recovery.
		counts(t, g, 6, "tocsin_alerts_total", `source="nagios"`)
		if got := n.heard(t, g); got != 6 {
			t.Errorf("got %v notifications since the gateway is back, want 6", got)
		}
	})
}

// hear does something that Nagios notifies of once, and waits until the gateway has heard of it.
func (n *nagios) hear(t *testing.T, g *gateway, do func()) {
	t.Helper()
	n.waits(t, 0) // all before it was answered, and so is counted
	before := n.heard(t, g)
	do()
	eventually(t, soon, func(context.Context) error {
		if now := n.heard(t, g); now != before+1 {
			return fmt.Errorf("got %v notifications, want 1", now-before)
		}
		return nil
	})
}

// nextSecond waits for the next second: Nagios' times are whole ones, and a problem
// that begins in the second in which another one ended looks like a late copy of it.
func nextSecond(t *testing.T) {
	t.Helper()
	now := time.Now().Unix()
	eventually(t, soon, func(context.Context) error {
		if time.Now().Unix() == now {
			return errNotYet
		}
		return nil
	})
}

// waits waits until so many notifications are in the spool.
func (n *nagios) waits(t *testing.T, want int) {
	t.Helper()
	eventually(t, soon, func(context.Context) error {
		if got := n.waiting(t); len(got) != want {
			return fmt.Errorf("%q wait in the spool, want %d", got, want)
		}
		return nil
	})
}

// heard is how many notifications are in the store. What has only arrived may not be.
func (n *nagios) heard(t *testing.T, g *gateway) float64 {
	t.Helper()
	got, err := g.counter(t.Context(), "tocsin_alerts_total", `source="nagios"`)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
