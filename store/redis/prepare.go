package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
)

// Finding is something that an operator should know about a Redis.
type Finding struct {
	// Server is its address, empty if the finding is about all.
	Server string
	// Fatal: Tocsin does not work with it.
	Fatal bool
	// Text says what is wrong and what to do.
	Text string
}

func (f Finding) String() string {
	if f.Server == "" {
		return f.Text
	}
	return f.Server + ": " + f.Text
}

// schema is the record of who wrote a store.
type schema struct {
	Name   string `json:"name"`
	Major  int    `json:"major"`
	Minor  int    `json:"minor"`
	Shards int    `json:"shards"`
}

func (s *Store) schemaKey() string { return s.names[0].tag + "schema" }

// Examine looks for everything that would keep Tocsin from working with the
// Redis that url names, or that would lose what it stores. It changes nothing.
func Examine(ctx context.Context, url string, o Options) ([]Finding, error) {
	target, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s := newStore(url, target, o)
	if err := s.connect(target); err != nil {
		return nil, err
	}
	defer s.disconnect()
	findings, err := s.examine(ctx)
	if err != nil {
		return findings, err
	}
	v, err := s.one(ctx, &call{args: []any{"GET", s.schemaKey()}})
	if err != nil {
		return findings, err
	}
	if text, _ := v.(string); text != "" {
		if err := understood(text); err != nil {
			findings = append(findings, Finding{Fatal: true, Text: err.Error()})
		}
	}
	return findings, nil
}

func (s *Store) disconnect() {
	if s.cluster != nil {
		_ = s.cluster.Close() // nothing is under way
		return
	}
	_ = s.single.Close() // likewise
}

// prepare refuses a Redis that does not fit, and writes the schema into a new one.
func (s *Store) prepare(ctx context.Context) error {
	findings, err := s.examine(ctx)
	if err != nil {
		return fmt.Errorf("store: %s: %w", Redacted(s.url), err)
	}
	var fatal []error
	for _, f := range findings {
		if f.Fatal {
			fatal = append(fatal, fmt.Errorf("store: %s: %s", Redacted(s.url), f))
		} else {
			s.log.Warn("Redis", "server", f.Server, "warning", f.Text)
		}
	}
	if len(fatal) > 0 {
		return errors.Join(fatal...)
	}
	ours, err := json.Marshal(schema{"tocsin", SchemaMajor, SchemaMinor, incident.Shards})
	if err != nil {
		return err
	}
	v, err := s.one(ctx, &call{script: scriptSwap, keys: []string{s.schemaKey()}, args: []any{"", ours}})
	if err != nil {
		return fmt.Errorf("store: %s: %w", Redacted(s.url), err)
	}
	text, _ := v.(string)
	if err := understood(text); err != nil {
		return fmt.Errorf("store: %s: %w", Redacted(s.url), err)
	}
	if err := s.setOffset(ctx); err != nil {
		return err
	}
	s.listening.Store(s.Now().UnixNano())
	s.returned()
	return nil
}

// setOffset learns the server's clock.
func (s *Store) setOffset(ctx context.Context) error {
	now, err := s.list(ctx, &call{args: []any{"TIME"}}, 2)
	if err == nil {
		s.setClock(now[0], now[1])
	}
	return err
}

// understood reports why a schema is not one that this version can work with.
func understood(text string) error {
	var found schema
	switch err := json.Unmarshal([]byte(text), &found); {
	case err != nil || found.Name != "tocsin":
		return errors.New("what stands under Tocsin's keys was not written by Tocsin: use another database, or another prefix (?prefix=)")
	case found.Major > SchemaMajor:
		return fmt.Errorf("it was written by a newer version (schema %d.%d, this one knows %d.x): run that version, or use another prefix", found.Major, found.Minor, SchemaMajor)
	case found.Shards != incident.Shards:
		return fmt.Errorf("it has %d shards, this version has %d: copy it into a new one with tocsin store copy", found.Shards, incident.Shards)
	}
	return nil
}

// examine asks every server that has shards.
func (s *Store) examine(ctx context.Context) (findings []Finding, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.Timeout)
	defer cancel()
	var mu sync.Mutex
	ask := func(ctx context.Context, c *client.Client) error {
		found, err := s.examineServer(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		findings = append(findings, found...)
		return err
	}
	if s.cluster == nil {
		err = ask(ctx, s.single)
	} else {
		err = s.cluster.ForEachMaster(ctx, ask)
	}
	if err != nil {
		return findings, &store.UnavailableError{Cause: plainer(err)}
	}
	return append(findings, s.examineUser(ctx)...), nil
}

// plainer says more clearly what the client's error means.
func plainer(err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "invalid username-password"):
		return fmt.Errorf("wrong user or password: %w", err)
	case strings.Contains(text, "NOAUTH"):
		return fmt.Errorf("it wants a password: put one into the file that store.password_file names: %w", err)
	case strings.Contains(text, "NOPERM"):
		return fmt.Errorf("the user lacks a permission (docs/operations.md lists what it needs): %w", err)
	}
	return err
}

// examineServer reads what a server says of itself. See https://redis.io/commands/info.
func (s *Store) examineServer(ctx context.Context, c *client.Client) ([]Finding, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return s.judge(c.Options().Addr, info), nil
}

// judge says what is wrong with a server.
func (s *Store) judge(server string, info map[string]string) (out []Finding) {
	fatal := func(text string, v ...any) { out = append(out, Finding{server, true, fmt.Sprintf(text, v...)}) }
	warn := func(text string, v ...any) { out = append(out, Finding{server, false, fmt.Sprintf(text, v...)}) }
	if _, valkey := info["valkey_version"]; !valkey {
		if v := info["redis_version"]; !atLeast(v, 7, 0) {
			fatal("its version is %s: Tocsin needs Redis 7.0 or later", v)
		}
	}
	if policy := info["maxmemory_policy"]; policy != "noeviction" && policy != "" {
		fatal("maxmemory-policy is %s, which throws incidents away when memory is short: set it to noeviction", policy)
	}
	if info["role"] == "slave" {
		fatal("it is a replica: name the master, or its Sentinels (redis-sentinel:)")
	}
	if info["aof_enabled"] == "0" {
		warn("appendonly is off: a crash of Redis loses what it has not saved; set appendonly yes, and appendfsync always where nothing acknowledged may be lost")
	}
	if limit := info["maxmemory"]; limit == "0" {
		warn("maxmemory is not set: when memory is short the kernel ends Redis, where with a limit it refuses and senders repeat")
	}
	if replicas, err := strconv.Atoi(info["connected_slaves"]); s.opts.Durability == Replicated && err == nil && replicas == 0 {
		fatal("durability is replicated, and it has no replica")
	}
	if _, valkey := info["valkey_version"]; s.opts.Durability == Synced && (valkey || !atLeast(info["redis_version"], 7, 2)) {
		fatal("durability is synced, which needs WAITAOF of Redis 7.2: use replicated, or appendfsync always")
	}
	return out
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// examineUser tries what the user may do, on a key that nobody uses.
func (s *Store) examineUser(ctx context.Context) []Finding {
	reply, err := s.list(ctx, &call{script: scriptProbe, keys: []string{s.names[0].tag + "probe:user"}}, -1)
	if err != nil {
		return []Finding{{Fatal: true, Text: fmt.Sprintf("a script cannot run: %v", plainer(err))}}
	}
	var out []Finding
	for _, v := range reply {
		out = append(out, Finding{Fatal: true, Text: fmt.Sprintf("the user lacks a permission (docs/operations.md lists what it needs): %v", v)})
	}
	return out
}
