package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
)

// recipient is the only address that the gateways of these tests take mail for.
const recipient = "alerts@gw.example.org"

var smtpPattern = regexp.MustCompile(`\bsmtp="?127\.0\.0\.1:([0-9]+)`)

// smtpPort is where a gateway that has started listens for mail.
func smtpPort(t *testing.T, g *gateway) string {
	t.Helper()
	m := smtpPattern.FindStringSubmatch(g.process.output())
	if m == nil {
		t.Fatalf("the gateway does not say where it listens for mail, but:\n%s", g.process.output())
	}
	return m[1]
}

// nagiosMail are the subject and the text of a mail about a host, as Debian's notify-host-by-email makes it.
func nagiosMail(kind, host, state string) (subject, text string) {
	return fmt.Sprintf("** %s Host Alert: %s is %s **", kind, host, state),
		fmt.Sprintf("***** Nagios *****\n\nNotification Type: %s\nHost: %s\nState: %s\nAddress: 192.0.2.1\nInfo: PING %[3]s\n\nDate/Time: now\n", kind, host, state)
}

// swaks sends a mail about a host and returns what was said.
func swaks(t *testing.T, port, to, kind, host, state string) (said string, err error) {
	t.Helper()
	subject, text := nagiosMail(kind, host, state)
	out, err := exec.CommandContext(t.Context(), program(t, "swaks"), "--server", "127.0.0.1", "--port", port, "--helo", "mon.example.net",
		"--from", "nagios@mon.example.net", "--to", to, "--header", "Subject: "+subject, "--body", text).CombinedOutput()
	return string(out), err
}

// TestSwaks: a mail opens an incident and another one ends it; there is one
// recipient, and no way on from here.
func TestSwaks(t *testing.T) {
	program(t, "swaks")
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", "smtp: {listen: '127.0.0.1:0', hostname: gw.example.org, recipients: {"+recipient+": email}}")
	port := smtpPort(t, g)

	if said, err := swaks(t, port, recipient, "PROBLEM", "web-01", "DOWN"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	in := of(t, g, "web-01", is("open", "critical", 1, 1))
	for _, to := range []string{"nobody@gw.example.org", "somebody@elsewhere.example.com"} {
		if said, err := swaks(t, port, to, "PROBLEM", "web-02", "DOWN"); err == nil || !strings.Contains(said, "<** 550 5.1.1") {
			t.Errorf("to %s: got %v, want it refused with 550; it was said:\n%s", to, err, said)
		}
	}
	if said, err := swaks(t, port, recipient, "RECOVERY", "web-01", "UP"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if over := exactly(t, g, "resolved"); over.ID != in.ID {
		t.Errorf("got incident %s, want %s", over.ID, in.ID)
	}
}

// TestMsmtp: only who knows the password may send, and only over TLS.
func TestMsmtp(t *testing.T) {
	msmtp := program(t, "msmtp")
	ca, cert, key := redistest.Certificates(t)
	g := gatewayWith(t, t.TempDir(), "127.0.0.1:0", fmt.Sprintf(`smtp:
  listen: 127.0.0.1:0
  recipients: {%s: email}
  tls: {cert_file: %q, key_file: %q, required: true}
  users: [{username: nagios, password: correct horse battery staple}]
`, recipient, cert, key))
	port := smtpPort(t, g)
	send := func(host, password string, tls bool) (string, error) {
		config := filepath.Join(t.TempDir(), "msmtprc")
		write(t, config, fmt.Sprintf(`account default
host localhost
port %s
from nagios@mon.example.net
user nagios
password %s
auth plain
`, port, password)+map[bool]string{true: "tls on\ntls_starttls on\ntls_trust_file " + ca + "\n", false: "tls off\n"}[tls])
		subject, text := nagiosMail("PROBLEM", host, "DOWN")
		cmd := exec.CommandContext(t.Context(), msmtp, "-C", config, recipient)
		cmd.Stdin = strings.NewReader("From: nagios@mon.example.net\nTo: " + recipient + "\nSubject: " + subject + "\n\n" + text)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if said, err := send("web-01", "correct horse battery staple", true); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if said, err := send("web-02", "a wrong one", true); err == nil || !strings.Contains(said, "535") {
		t.Errorf("wrong password: got %v, want it refused with 535; it was said:\n%s", err, said)
	}
	if said, err := send("web-03", "correct horse battery staple", false); err == nil {
		t.Errorf("without TLS: it was sent; it was said:\n%s", said)
	}
	if in := exactly(t, g, "open"); in.Hosts[0] != "web-01" {
		t.Errorf("got incident %+v, want one of web-01", in)
	}
}

// postfix is a private instance of Postfix.
type postfix struct {
	*process
	// port is where it takes mail, log the file that it writes.
	port, log string
	// dir is where it has everything, and where its own users get to.
	dir, config string
}

// startPostfix starts one with further settings, in which DIR is its folder, and
// further services.
func startPostfix(t *testing.T, settings, services string) *postfix {
	t.Helper()
	path := program(t, "postfix")
	if os.Geteuid() != 0 {
		lacking(t, "Postfix starts as root only")
	}
	// Not t.TempDir: Postfix' own user has to get there.
	dir, err := os.MkdirTemp("", "tocsin-e2e-postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	p := &postfix{log: filepath.Join(dir, "log"), dir: dir, config: filepath.Join(dir, "config")}
	for _, d := range []string{dir, p.config, filepath.Join(dir, "queue")} { // data is made by Postfix, for its own user
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listen := freeAddr(t)
	_, p.port, _ = strings.Cut(listen, ":")
	write(t, filepath.Join(p.config, "main.cf"), fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mon.example.net
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
minimal_backoff_time = 3s
maximal_backoff_time = 4s
queue_run_delay = 2s
maillog_file = %[2]s
maillog_file_prefixes = %[1]s
`, dir, p.log)+strings.ReplaceAll(settings, "DIR", dir))
	write(t, filepath.Join(p.config, "master.cf"), listen+` inet n - n - - smtpd
pickup  unix n - n 60    1 pickup
cleanup unix n - n -     0 cleanup
qmgr    unix n - n 300   1 qmgr
rewrite unix - - n -     - trivial-rewrite
bounce  unix - - n -     0 bounce
defer   unix - - n -     0 bounce
trace   unix - - n -     0 bounce
flush   unix n - n 1000? 0 flush
smtp    unix - - n -     - smtp
relay   unix - - n -     - smtp
showq   unix n - n -     - showq
error   unix - - n -     - error
retry   unix - - n -     - error
anvil   unix - - n -     1 anvil
scache  unix - - n -     1 scache
postlog unix-dgram n - n - 1 postlogd
`+services)
	if p.process, err = startProcess(path, nil, "-c", p.config, "start-fg"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command(path, "-c", p.config, "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
			p.kill()
		}
		<-p.exited
		if t.Failed() {
			log, _ := os.ReadFile(p.log)
			t.Logf("Postfix said:\n%s\nand its log has:\n%s", p.output(), log)
		}
	})
	eventually(t, soon, func(ctx context.Context) error {
		select {
		case <-p.exited:
			return p.failure()
		default:
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", listen)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return p
}

var deferredPattern = regexp.MustCompile(`postfix/smtp\[\d+\]: ([0-9A-F]+): .*status=deferred \(host 127\.0\.0\.1\S* said: 451 `)

// TestPostfix: while the store is away the gateway answers 451, and the mail server
// keeps the mails. When the store is back they arrive, each once.
func TestPostfix(t *testing.T) {
	t.Parallel()
	program(t, "postfix")
	program(t, "swaks")
	const mails = 20
	store := durableRedis(t)
	f := newFleet(t, "smtp: {listen: '127.0.0.1:0', hostname: gw.example.org, recipients: {"+recipient+": email}}", store.URL())
	g := f[0].running.Load().gateway
	p := startPostfix(t, "relayhost = [127.0.0.1]:"+smtpPort(t, g)+"\nsmtp_tls_security_level = none\n", "")

	store.Kill()
	for i := range mails {
		if said, err := swaks(t, p.port, recipient, "PROBLEM", "web-"+strconv.Itoa(i), "DOWN"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	eventually(t, soon, func(context.Context) error {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		deferred := map[string]bool{}
		for _, m := range deferredPattern.FindAllSubmatch(log, -1) {
			deferred[string(m[1])] = true
		}
		if len(deferred) != mails {
			return fmt.Errorf("%d mails were answered 451, want %d", len(deferred), mails)
		}
		return nil
	})

	store.Restart()
	postqueue := program(t, "postqueue")
	flushed := time.Now()
	eventually(t, 2*soon, func(ctx context.Context) error {
		// A mail that its queue manager finds locked, because the last try is just
		// ending, it leaves alone for minutes.
		if time.Since(flushed) > 10*time.Second {
			flushed = time.Now()
			if out, err := exec.CommandContext(ctx, postqueue, "-c", p.config, "-f").CombinedOutput(); err != nil {
				return fmt.Errorf("postqueue -f: %w: %s", err, out)
			}
		}
		out, err := exec.CommandContext(ctx, postqueue, "-c", p.config, "-p").CombinedOutput()
		if err == nil && !strings.Contains(string(out), "Mail queue is empty") {
			err = fmt.Errorf("mails are still in the queue:\n%s", out)
		}
		return err
	})
	incidents, alerts, err := everything(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]bool{}
	for _, in := range incidents {
		rows := alerts[in.ID]
		if in.State != "open" || len(rows) != 1 || rows[0].Count != 1 {
			t.Errorf("got incident %+v with alerts %+v, want it open, with one alert that came once", in, rows)
			continue
		}
		hosts[rows[0].Labels["host"]] = true
	}
	if len(incidents) != mails || len(hosts) != mails {
		t.Errorf("got %d incidents of %d hosts, want %d of each", len(incidents), len(hosts), mails)
	}
}
