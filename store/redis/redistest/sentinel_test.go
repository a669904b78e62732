package redistest

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSentinelsFailOverAndMasterSeesIt(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: takes ten seconds, most of them waiting")
	}
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		end      func(*Server)
		back     func(*Server)
	}{
		{"when the master is killed", []string{"appendonly yes", "requirepass secret"}, (*Server).Kill, (*Server).Restart},
		{"when the master hangs", nil, (*Server).Pause, (*Server).Resume},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			s := Sentinel(t, 2, test.settings...)
			ready := time.Since(began)
			addrs, name, _ := strings.Cut(strings.TrimPrefix(s.URL(), "redis-sentinel://"), "/")
			options := &redis.FailoverOptions{MasterName: name, SentinelAddrs: strings.Split(addrs, ",")}
			if len(test.settings) > 0 {
				options.Password = "secret"
			}
			c := redis.NewFailoverClient(options)
			defer c.Close()
			if err := c.Set(t.Context(), "a", "one", 0).Err(); err != nil {
				t.Fatal(err)
			}
			old := s.Master()
			if old != s.Servers[0] {
				t.Fatalf("Master at the beginning: got %s, want %s", old, s.Servers[0])
			}
			if got := old.Do("GET", "a"); got != "one" {
				t.Errorf("GET a of the master: got %q, want one", got)
			}
			began = time.Now()
			test.end(old)
			next := s.Successor(old)
			t.Logf("ready after %s, failed over after %s", ready, time.Since(began))
			if got := s.Master(); got != next {
				t.Errorf("Master after the failover: got %s, want %s", got, next)
			}
			next.Do("SET", "b", "two")
			test.back(old)
			old.await("a replica of the new master", old.inSync)
			// On a busy machine the Sentinels may have given the new one up for a moment too.
			if got := s.Master(); got == old {
				t.Errorf("Master after the old one is back: got %s, want another one, such as %s", got, next)
			}
		})
	}
}

func TestASentinelThatIsDownIsNotAsked(t *testing.T) {
	t.Parallel()
	s := Sentinel(t, 1).Steady()
	s.Sentinels[0].Kill()
	s.Sentinels[1].Pause()
	if got := s.Master(); got != s.Servers[0] {
		t.Errorf("Master: got %s, want %s", got, s.Servers[0])
	}
	s.Sentinels[0].Restart()
	s.Sentinels[1].Resume()
	for _, one := range s.Sentinels {
		one.await("ready again", func() error { return s.ready(one) })
	}
}
