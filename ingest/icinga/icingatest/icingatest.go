// Package icingatest starts a real Icinga 2 for tests: a process of its own with
// a configuration in a folder of its own, whose API listens on 127.0.0.1.
package icingatest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What every Icinga of the tests is called, and who may use its API.
const (
	Node     = "icinga-01"
	User     = "tocsin"
	Password = "icingatest-password"
)

// startTimeout is how long an Icinga may take until its API answers.
const startTimeout = 2 * time.Minute

// Icinga is a running one.
type Icinga struct {
	// URL is where its API is, and CAFile what its certificate is from, which is
	// of the name Node.
	URL, CAFile string

	dir, config string
	port        int
	client      *http.Client
	process     *exec.Cmd
	output      *tail
}

// Start starts an Icinga with objects besides those that it needs itself. Where
// the program is missing the test is skipped, or fails if TOCSIN_E2E_REQUIRED is 1;
// it takes seconds, so a short run skips it too.
func Start(t *testing.T, objects string) *Icinga {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIP: takes some seconds, for an Icinga to start and stop")
	}
	if _, err := exec.LookPath("icinga2"); err != nil {
		if os.Getenv("TOCSIN_E2E_REQUIRED") == "1" {
			t.Fatalf("icinga2 is missing and TOCSIN_E2E_REQUIRED=1: %v", err)
		}
		t.Skipf("SKIP: icinga2 is missing (%v); with TOCSIN_E2E_REQUIRED=1 this fails", err)
	}
	i := &Icinga{dir: t.TempDir(), port: reserve(t)}
	i.URL = fmt.Sprintf("https://127.0.0.1:%d", i.port)
	i.CAFile = filepath.Join(i.dir, "lib", "certs", "ca.crt")
	i.config = filepath.Join(i.dir, "icinga2.conf")
	for _, folder := range []string{"lib/certs", "log", "cache", "run", "spool"} {
		must(t, os.MkdirAll(filepath.Join(i.dir, folder), 0o700))
	}
	certificates(t, filepath.Dir(i.CAFile))
	must(t, os.WriteFile(i.config, fmt.Appendf(nil, `const NodeName = %q
const ZoneName = NodeName
include <itl>
object Endpoint NodeName {}
object Zone ZoneName { endpoints = [ NodeName ] }
object ApiListener "api" { bind_host = "127.0.0.1"; bind_port = %d }
object CheckerComponent "checker" {}
object NotificationComponent "notification" {}
object IcingaApplication "app" {}
object ApiUser %q { password = %q; permissions = [ "*" ] }
%s
`, Node, i.port, User, Password, objects), 0o600))
	ca, err := os.ReadFile(i.CAFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	i.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: Node}}}
	i.Run(t)
	t.Cleanup(func() {
		i.Stop()
		if t.Failed() {
			t.Logf("icinga2 said last:\n%s", i.output)
		}
	})
	return i
}

// Run starts it again after Stop, with what it remembers.
func (i *Icinga) Run(t *testing.T) {
	t.Helper()
	if i.output == nil {
		i.output = &tail{}
	}
	args := []string{"daemon", "-c", i.config}
	for name, folder := range map[string]string{"DataDir": "lib", "LogDir": "log", "CacheDir": "cache", "InitRunDir": "run", "SpoolDir": "spool"} {
		args = append(args, "-D"+name+"="+filepath.Join(i.dir, folder))
	}
	// It gives up root for a user of its own otherwise, who may not read our folder.
	user, group := owner(t)
	args = append(args, "-DRunAsUser="+user, "-DRunAsGroup="+group)
	i.process = exec.Command("icinga2", args...)
	i.process.Stdout, i.process.Stderr = i.output, i.output
	i.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	i.process.WaitDelay = 10 * time.Second // a child of a child may still hold its output
	must(t, i.process.Start())
	deadline := time.Now().Add(startTimeout)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _, err := i.do(ctx, http.MethodGet, "/v1/status/IcingaApplication", "")
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			i.Stop()
			t.Fatalf("icinga2 did not answer within %s: %v; it said:\n%s", startTimeout, err, i.output)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop ends it, and all the processes that it has started, and waits until they
// are gone.
func (i *Icinga) Stop() {
	if i.process == nil {
		return
	}
	// It ends its worker, which writes down what it knows, and then itself. On
	// SIGKILL its children outlive it, so that is for the whole group.
	group := i.process.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	killer := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-group, syscall.SIGKILL) })
	_ = i.process.Wait()
	killer.Stop()
	_ = syscall.Kill(-group, syscall.SIGKILL)
	i.process = nil
	i.client.CloseIdleConnections()
}

// Do sends JSON to the API and returns its answer, which must be a good one.
func (i *Icinga) Do(t *testing.T, path, body string) string {
	t.Helper()
	status, answer, err := i.do(t.Context(), http.MethodPost, path, body)
	if err != nil || status != http.StatusOK {
		t.Fatalf("POST %s: got %d %.300s, %v; sent %.300s", path, status, answer, err, body)
	}
	return answer
}

// Query returns what the API says about objects.
func (i *Icinga) Query(t *testing.T, path string) string {
	t.Helper()
	status, answer, err := i.do(t.Context(), http.MethodGet, path, "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET %s: got %d %.300s, %v", path, status, answer, err)
	}
	return answer
}

func (i *Icinga) do(ctx context.Context, method, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, i.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.SetBasicAuth(User, Password)
	r.Header.Set("Accept", "application/json")
	answer, err := i.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	return answer.StatusCode, string(text), err
}

// certificates writes those that Icinga looks for: of its own authority, and of
// the node.
func certificates(t *testing.T, dir string) {
	t.Helper()
	caKey, caFile := key(t, filepath.Join(dir, "ca.key")), filepath.Join(dir, "ca.crt")
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "icingatest"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	certificate(t, caFile, ca, ca, caKey, caKey)
	node := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: Node}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		DNSNames: []string{Node}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	certificate(t, filepath.Join(dir, Node+".crt"), node, ca, key(t, filepath.Join(dir, Node+".key")), caKey)
}

func key(t *testing.T, file string) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return k
}

func certificate(t *testing.T, file string, c, parent *x509.Certificate, own, parents *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &own.PublicKey, parents)
	must(t, err)
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// owner names the user and the group that we are.
func owner(t *testing.T) (name, group string) {
	t.Helper()
	for _, c := range []struct {
		flag string
		to   *string
	}{{"-un", &name}, {"-gn", &group}} {
		out, err := exec.Command("id", c.flag).Output()
		must(t, err)
		*c.to = strings.TrimSpace(string(out))
	}
	return name, group
}

// reserve returns a port that the system gives to nobody else until the test ends,
// and that an Icinga can listen on again and again: a connection that was taken
// there keeps it, as it does when a server is started again under its clients.
func reserve(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { client.Close() })
	taken, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = append(w.end, p...)
	if over := len(w.end) - 16<<10; over > 0 {
		w.end = bytes.Clone(w.end[over:])
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.end)
}
