package redistest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// Sentinels are a master with its replicas and the three sentinels that watch
// them. Two of these must agree that the master is down.
type Sentinels struct {
	// Servers are the master of the beginning, which is the first, and the replicas.
	Servers []*Server
	// Sentinels are the processes that watch.
	Sentinels []*Server
	// Name is what the sentinels call the master.
	Name string

	t testing.TB
}

const (
	sentinels = 3
	quorum    = 2
)

// Sentinel starts a master, replicas and three sentinels, and waits until they
// know of each other and could fail over. A server that does not answer for a
// second is down for them. The settings are those of the servers.
func Sentinel(t testing.TB, replicas int, settings ...string) *Sentinels {
	t.Helper()
	s := &Sentinels{Servers: Replicated(t, replicas, settings...), Name: "tocsin", t: t}
	watch := func(what string, values ...any) string {
		return fmt.Sprintf("sentinel %s %s %s", what, s.Name, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	for i := range sentinels {
		one := launch(t, role{name: fmt.Sprintf("sentinel-%d", i+1), sentinel: true}, []string{
			watch("monitor", "127.0.0.1", s.Servers[0].port, quorum),
			watch("auth-user", adminUser),
			watch("auth-pass", adminPassword),
			watch("down-after-milliseconds", 1000),
			watch("failover-timeout", 3000),
			watch("parallel-syncs", 1),
		})
		// A sentinel that has not run for two seconds trusts nothing that it
		// knows for the next thirty (TILT). On a busy machine that is a test's time.
		one.tune = [][]string{{"SENTINEL", "DEBUG", "TILT-PERIOD", "2000"}}
		// They hear of each other every two seconds, which is long for a beginning.
		for _, command := range append(one.tune, []string{"SENTINEL", "DEBUG", "PUBLISH-PERIOD", "100"}) {
			one.Do(command...)
		}
		s.Sentinels = append(s.Sentinels, one)
	}
	for _, one := range s.Sentinels {
		one.await("ready to fail over", func() error { return s.ready(one) })
	}
	for _, one := range s.Sentinels {
		one.Do("SENTINEL", "DEBUG", "PUBLISH-PERIOD", "2000")
	}
	return s
}

// Steady has the sentinels wait for half a minute for a server that does not answer,
// as it does the nodes of a cluster.
func (s *Sentinels) Steady() *Sentinels {
	s.t.Helper()
	for _, one := range s.Sentinels {
		one.Do("SENTINEL", "SET", s.Name, "down-after-milliseconds", calm)
	}
	return s
}

// ready says why a sentinel could not fail over.
func (s *Sentinels) ready(one *Server) error {
	if _, err := one.DoErr("SENTINEL", "CKQUORUM", s.Name); err != nil {
		return err
	}
	text, err := one.DoErr("SENTINEL", "MASTER", s.Name)
	if err != nil {
		return err
	}
	for field, want := range map[string]int{"num-other-sentinels": sentinels - 1, "num-slaves": len(s.Servers) - 1} {
		if got := values(text, field); len(got) != 1 || got[0] != fmt.Sprint(want) {
			return fmt.Errorf("%s is %q, want %d", field, got, want)
		}
	}
	if text, err = one.DoErr("SENTINEL", "REPLICAS", s.Name); err != nil {
		return err
	}
	for field, want := range map[string]string{"flags": "slave", "master-link-status": "ok"} {
		for _, got := range values(text, field) {
			if got != want {
				return fmt.Errorf("%s of a replica is %q, want %q", field, got, want)
			}
		}
	}
	return nil
}

// values returns the values of a field in an answer of field and value in turns.
func values(text, field string) (all []string) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		if lines[i] == field {
			all = append(all, lines[i+1])
		}
	}
	return all
}

// URL is redis-sentinel://h1:p1,h2:p2,h3:p3/NAME.
func (s *Sentinels) URL() string {
	return "redis-sentinel://" + addresses(s.Sentinels) + "/" + s.Name
}

func addresses(servers []*Server) string {
	all := make([]string, len(servers))
	for i, s := range servers {
		all[i] = s.Addr
	}
	return strings.Join(all, ",")
}

// Master asks the sentinels that run which server is the master. While they fail
// over they may not agree; then it is the one that most name.
func (s *Sentinels) Master() *Server {
	s.t.Helper()
	votes, err := s.votes()
	if err != nil {
		s.t.Fatal(err)
	}
	var master *Server
	for server, n := range votes {
		if master == nil || n > votes[master] {
			master = server
		}
	}
	return master
}

// votes is how many sentinels name which server.
func (s *Sentinels) votes() (map[*Server]int, error) {
	votes := map[*Server]int{}
	for _, one := range s.Sentinels {
		if !one.up() {
			continue
		}
		text, err := one.DoErr("SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name)
		if err != nil {
			return nil, fmt.Errorf("redistest: %s: %w", one, err)
		}
		host, port, _ := strings.Cut(text, "\n")
		named := find(s.Servers, net.JoinHostPort(host, port))
		if named == nil {
			return nil, fmt.Errorf("redistest: %s names %q as master, which is none of ours", one, text)
		}
		votes[named]++
	}
	if len(votes) == 0 {
		return nil, errors.New("redistest: no sentinel runs")
	}
	return votes, nil
}

func find(servers []*Server, addr string) *Server {
	for _, s := range servers {
		if s.Addr == addr {
			return s
		}
	}
	return nil
}

// Successor waits until all sentinels that run name the same other server as
// master, and it says so itself, and returns it.
func (s *Sentinels) Successor(of *Server) (master *Server) {
	s.t.Helper()
	if err := poll(nil, func() error {
		votes, err := s.votes()
		if err != nil {
			return err
		}
		if len(votes) != 1 || votes[of] != 0 {
			return fmt.Errorf("the sentinels name %v", votes)
		}
		for master = range votes {
		}
		info, err := master.info("replication")
		if err == nil && info["role"] != "master" {
			err = fmt.Errorf("role of %s is %q, want master", master, info["role"])
		}
		return err
	}); err != nil {
		for _, one := range s.Sentinels {
			s.t.Log(one.log())
		}
		s.t.Fatalf("redistest: %s has no successor: %v", of, err)
	}
	return master
}
