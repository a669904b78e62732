package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	client "github.com/redis/go-redis/v9"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redisurl"
)

// Report is what Examine found.
type Report struct {
	// Servers are those that were asked, in the order of their addresses.
	Servers []Server `json:"servers"`
	// Schema is the version of what is stored, such as 1.0, and Shards in how many
	// parts; empty and 0 if nothing is stored yet.
	Schema string `json:"schema"`
	Shards int    `json:"shards"`
	// Gateways is how many processes work on it.
	Gateways int `json:"gateways"`
	// Findings are what is wrong, or may become so; what is fatal comes first.
	Findings []Finding `json:"findings"`
}

// Fatal is how many findings keep Tocsin from working.
func (r Report) Fatal() (n int) {
	for _, f := range r.Findings {
		if f.Fatal {
			n++
		}
	}
	return n
}

// Server is what a server says of itself.
type Server struct {
	Address string `json:"address"`
	// Product is Redis or Valkey.
	Product string `json:"product"`
	Version string `json:"version"`
	// Role is master or replica, and Replicas how many a master has.
	Role       string `json:"role"`
	Replicas   int    `json:"replicas"`
	AppendOnly bool   `json:"appendonly"`
	// AppendFsync is empty if the user may not ask for it, which Tocsin does not need.
	AppendFsync string `json:"appendfsync"`
	// UsedMemory and MaxMemory are bytes; no maximum is 0.
	UsedMemory int64  `json:"used_memory"`
	MaxMemory  int64  `json:"maxmemory"`
	Policy     string `json:"maxmemory_policy"`

	replicas []string // their addresses, as far as it says them
}

// Finding is something that an operator should know about a Redis.
type Finding struct {
	// Server is its address, empty if the finding is about all.
	Server string `json:"server"`
	// Fatal: Tocsin does not work with it.
	Fatal bool `json:"fatal"`
	// Text says what is wrong and what to do.
	Text string `json:"text"`

	stops bool // there is no use in asking it more
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
// Redis that url names, or that would lose what it stores, and asks replicas
// too. It stores nothing. An error says that it could not be asked at all.
func Examine(ctx context.Context, url string, o Options) (Report, error) {
	target, err := parseURL(url)
	if err != nil {
		return Report{}, err
	}
	s := newStore(url, target, o)
	if err := s.connect(target); err != nil {
		return Report{}, err
	}
	defer s.disconnect()
	r, err := s.examine(ctx)
	if err == nil && target.Kind == redisurl.Sentinel {
		err = s.name(ctx, target, &r)
	}
	if err == nil {
		s.examineMore(ctx, &r)
		err = s.examineStored(ctx, &r)
		r.sort()
	}
	if err != nil {
		return r, fmt.Errorf("store: %s: %w", Redacted(url), s.why(err))
	}
	return r, nil
}

// name says where the master is that the Sentinels led to.
func (s *Store) name(ctx context.Context, t redisurl.Target, r *Report) error {
	address, err := s.masterOf(ctx, t)
	if err != nil {
		return err
	}
	for n := range r.Servers {
		r.Servers[n].Address = address
	}
	for n := range r.Findings {
		if r.Findings[n].Server == theMaster {
			r.Findings[n].Server = address
		}
	}
	return nil
}

const (
	// viaSentinels is what the client has for the address of a master that
	// Sentinels led it to, and theMaster what we say in its place.
	viaSentinels = "FailoverClient"
	theMaster    = "the master"
)

// examineStored looks at what is stored already.
func (s *Store) examineStored(ctx context.Context, r *Report) error {
	if r.stopped() {
		return nil
	}
	v, err := s.one(ctx, &call{args: []any{"GET", s.schemaKey()}})
	if err != nil && !foreign(err) {
		return err
	}
	text, _ := v.(string)
	if text == "" && err == nil {
		return nil
	}
	found, err := understood(text)
	if err != nil {
		r.Findings = append(r.Findings, Finding{Fatal: true, Text: err.Error()})
	}
	if found.Name == "" {
		return nil
	}
	r.Schema, r.Shards = fmt.Sprintf("%d.%d", found.Major, found.Minor), found.Shards
	if err := s.setOffset(ctx); err != nil {
		return err
	}
	r.Gateways, err = s.Gateways(ctx)
	return err
}

// foreign reports whether an error says that a key holds another kind of value.
func foreign(err error) bool { return strings.Contains(err.Error(), "WRONGTYPE") }

func (s *Store) disconnect() {
	if s.cluster != nil {
		_ = s.cluster.Close() // nothing is under way
		return
	}
	_ = s.single.Close() // likewise
}

// prepare refuses a Redis that does not fit, and writes the schema into a new one.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.fits(ctx); err != nil {
		return err
	}
	if err := s.sign(ctx); err != nil {
		return fmt.Errorf("store: %s: %w", Redacted(s.url), s.why(err))
	}
	s.listening.Store(s.Now().UnixNano())
	s.returned()
	return nil
}

// fits refuses a Redis that cannot keep what is stored.
func (s *Store) fits(ctx context.Context) error {
	r, err := s.examine(ctx)
	if err != nil {
		return fmt.Errorf("store: %s: %w", Redacted(s.url), s.why(err))
	}
	var fatal []error
	for _, f := range r.Findings {
		if f.Fatal {
			fatal = append(fatal, fmt.Errorf("store: %s: %s", Redacted(s.url), f))
		} else {
			s.log.Warn("Redis", "server", f.Server, "warning", f.Text)
		}
	}
	return errors.Join(fatal...)
}

// sign writes the schema into a store that has none, and learns the server's clock.
func (s *Store) sign(ctx context.Context) error {
	ours, err := json.Marshal(schema{"tocsin", SchemaMajor, SchemaMinor, incident.Shards})
	if err != nil {
		return err
	}
	v, err := s.one(ctx, &call{script: scriptSwap, keys: []string{s.schemaKey()}, args: []any{"", ours}})
	if err != nil && !foreign(err) {
		return err
	}
	text, _ := v.(string)
	if _, err := understood(text); err != nil {
		return err
	}
	return s.setOffset(ctx)
}

// setOffset learns the server's clock.
func (s *Store) setOffset(ctx context.Context) error {
	sent := s.steady()
	now, err := s.list(ctx, &call{args: []any{"TIME"}}, 2)
	if err == nil {
		s.setClock(now[0], now[1], sent, s.steady())
	}
	return err
}

// understood reads a schema, and reports why it is not one that this version can
// work with.
func understood(text string) (found schema, err error) {
	switch err := json.Unmarshal([]byte(text), &found); {
	case err == nil && found.Name == unfinished:
		return found, errors.New("a copy into it did not finish: run tocsin store copy again, or empty it")
	case err != nil || found.Name != "tocsin":
		return schema{}, errors.New("what stands under Tocsin's keys was not written by Tocsin: use another database, or another prefix (?prefix=)")
	case found.Major > SchemaMajor:
		return found, fmt.Errorf("it was written by a newer version (schema %d.%d, this one knows %d.x): run that version, or use another prefix (?prefix=)", found.Major, found.Minor, SchemaMajor)
	case found.Shards != incident.Shards:
		return found, fmt.Errorf("it has %d shards, this version has %d: copy it into a new one with tocsin store copy", found.Shards, incident.Shards)
	}
	return found, nil
}

// examine asks every server that has shards.
func (s *Store) examine(ctx context.Context) (r Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.Timeout)
	defer cancel()
	var mu sync.Mutex
	ask := func(ctx context.Context, c *client.Client) error {
		address := c.Options().Addr
		if address == viaSentinels {
			address = theMaster
		}
		server, findings, err := s.examineServer(ctx, c, address, false)
		if err != nil {
			if s.cluster != nil {
				err = fmt.Errorf("%s: %w", address, s.why(err))
			}
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		r.Servers, r.Findings = append(r.Servers, server), append(r.Findings, findings...)
		return nil
	}
	if s.cluster == nil {
		err = ask(ctx, s.single)
	} else {
		err = s.cluster.ForEachMaster(ctx, ask)
	}
	if err == nil && !r.stopped() {
		if text := s.examineUser(ctx); text != "" {
			r.Findings = append(r.Findings, Finding{Fatal: true, Text: text, stops: true})
		} else if text := s.examineListening(ctx); text != "" {
			r.Findings = append(r.Findings, Finding{Text: text})
		}
	}
	r.sort()
	return r, err
}

func (r *Report) sort() {
	slices.SortFunc(r.Servers, func(a, b Server) int { return cmp.Compare(a.Address, b.Address) })
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		switch {
		case a.Fatal && !b.Fatal:
			return -1
		case b.Fatal && !a.Fatal:
			return 1
		}
		return cmp.Compare(a.Server, b.Server)
	})
}

func (r *Report) stopped() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.stops })
}

// examineMore asks what a start need not know: what the replicas say, which are
// the masters of tomorrow, and how often files are synced.
func (s *Store) examineMore(ctx context.Context, r *Report) {
	for n := range r.Servers {
		server := &r.Servers[n]
		c := s.peer(server.Address)
		server.AppendFsync = appendFsync(ctx, c)
		_ = c.Close() // it has answered, or will not
		if server.Role == "replica" {
			continue // it is a mistake, and what it replicates is not asked for
		}
		for _, address := range server.replicas {
			c := s.peer(address)
			replica, findings, err := s.examineServer(ctx, c, address, true)
			if err == nil {
				replica.AppendFsync = appendFsync(ctx, c)
				r.Servers, r.Findings = append(r.Servers, replica), append(r.Findings, findings...)
			} else {
				r.Findings = append(r.Findings, Finding{Server: address, Text: fmt.Sprintf("the replica could not be asked: %v", s.why(err))})
			}
			_ = c.Close() // likewise
		}
	}
}

// peer makes a client of one server, which knows itself by the address.
func (s *Store) peer(address string) *client.Client {
	o := client.Options{Addr: address, Protocol: 2, MaxRetries: -1, DialTimeout: replyTime, ReadTimeout: replyTime, WriteTimeout: replyTime,
		ContextTimeoutEnabled: true, DialerRetries: 1, DisableIdentity: true, Dialer: s.opts.dial}
	if s.cluster != nil {
		c := s.cluster.Options()
		o.Username, o.Password, o.TLSConfig = c.Username, c.Password, c.TLSConfig
	} else {
		c := s.single.Options()
		o.Username, o.Password, o.TLSConfig = c.Username, c.Password, c.TLSConfig
	}
	return client.NewClient(&o)
}

// masterOf asks the Sentinels where the master is.
func (s *Store) masterOf(ctx context.Context, t redisurl.Target) (string, error) {
	var failed error
	for _, host := range t.Hosts {
		c := client.NewSentinelClient(&client.Options{Addr: host, Username: t.SentinelUsername, Password: t.SentinelPassword, Protocol: 2, MaxRetries: -1,
			TLSConfig: s.single.Options().TLSConfig, DialTimeout: replyTime, ReadTimeout: replyTime, ContextTimeoutEnabled: true, DialerRetries: 1,
			DisableIdentity: true, Dialer: s.opts.dial})
		found, err := c.GetMasterAddrByName(ctx, t.Master).Result()
		_ = c.Close() // it has answered, or will not
		if err == nil && len(found) == 2 {
			return net.JoinHostPort(found[0], found[1]), nil
		}
		failed = errors.Join(failed, err)
	}
	return "", failed
}

// appendFsync is a setting that no INFO tells; empty if the user may not see it.
func appendFsync(ctx context.Context, c *client.Client) string {
	return c.ConfigGet(ctx, "appendfsync").Val()["appendfsync"]
}

// why says more clearly what an error means, in one line and without the store's own words.
func (s *Store) why(err error) error {
	var unavailable *store.UnavailableError
	if errors.As(err, &unavailable) {
		err = unavailable.Cause
	}
	text := err.Error()
	for _, m := range meanings {
		if strings.Contains(text, m.part) {
			return fmt.Errorf("%s (%s)", m.meaning, strings.Join(strings.Fields(text), " "))
		}
	}
	secure := s.secure()
	var network net.Error
	late := errors.As(err, &network) && network.Timeout()
	cut := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch line := strings.Join(strings.Fields(text), " "); {
	case late && secure:
		return fmt.Errorf("no TLS connection came about in time: if it does not speak TLS write redis in place of rediss (%s)", line)
	case late:
		return fmt.Errorf("it did not answer in time (%s)", line)
	case cut && secure: // that is all one hears where the certificate is asked for after the handshake
		return fmt.Errorf("it closed the connection: if it wants a certificate of ours, name one in store.tls.cert_file and key_file (%s)", line)
	case cut:
		return fmt.Errorf("it closed the connection: if it wants TLS write rediss in place of redis (%s)", line)
	default:
		return errors.New(line)
	}
}

// secure reports whether connections use TLS.
func (s *Store) secure() bool {
	if s.cluster != nil {
		return s.cluster.Options().TLSConfig != nil
	}
	return s.single.Options().TLSConfig != nil
}

// meanings say what parts of errors mean, and what to do.
var meanings = []struct{ part, meaning string }{
	{"WRONGPASS", "wrong user or password"},
	{"invalid username-password", "wrong user or password"},
	{"NOAUTH", "it wants a password: name the file that has it, with store.password_file or TOCSIN_STORE_PASSWORD_FILE"},
	{"NOPERM", "the user lacks a permission: docs/operations.md has the line that gives all that are needed"},
	{"protected mode", "it is in protected mode, in which it answers its own machine only: give it a password"},
	{"unknown authority", "its certificate is not signed by anybody who is trusted: name who signed it in store.tls.ca_file"},
	{"x509:", "its certificate does not fit"},
	{"first record does not look like a TLS handshake", "it does not speak TLS: write redis in place of rediss"},
	{"tls: certificate required", "it wants a certificate of ours: name one in store.tls.cert_file and key_file"},
	{"bad certificate", "it does not take our certificate in store.tls.cert_file"},
	{"LOADING", "it is still reading its data: start again when it has"},
	{"DB index is out of range", "it has no database of this number"},
	{"cluster support disabled", "it is not part of a cluster: write redis in place of redis-cluster"},
	{"unknown command 'sentinel'", "it is not a Sentinel: write redis in place of redis-sentinel"},
	{"unknown command 'SENTINEL'", "it is not a Sentinel: write redis in place of redis-sentinel"},
	{"unreachable: redis: nil", "the Sentinels know no master of this name"},
}

// examineServer reads what a server says of itself. See https://redis.io/commands/info.
func (s *Store) examineServer(ctx context.Context, c *client.Client, address string, replica bool) (Server, []Finding, error) {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return Server{}, nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	server := newServer(address, info)
	return server, s.judge(server, info, replica, time.Now()), nil
}

// newServer takes from INFO what people want to know.
func newServer(address string, info map[string]string) Server {
	s := Server{Address: address, Product: "Redis", Version: info["redis_version"], Role: info["role"], AppendOnly: info["aof_enabled"] == "1", Policy: info["maxmemory_policy"]}
	if v, valkey := info["valkey_version"]; valkey {
		s.Product, s.Version = "Valkey", v
	}
	if s.Role == "slave" {
		s.Role = "replica"
	}
	s.Replicas, _ = strconv.Atoi(info["connected_slaves"]) // none where it does not say
	s.UsedMemory, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	s.MaxMemory, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	for n := range s.Replicas {
		// slave0:ip=192.0.2.1,port=6379,state=online,offset=42,lag=0
		at := map[string]string{}
		for field := range strings.SplitSeq(info["slave"+strconv.Itoa(n)], ",") {
			name, value, _ := strings.Cut(field, "=")
			at[name] = value
		}
		if at["ip"] != "" {
			s.replicas = append(s.replicas, net.JoinHostPort(at["ip"], at["port"]))
		}
	}
	return s
}

// clockLimit is by how much a server's clock may differ from ours before it is worth a word.
const clockLimit = 5 * time.Second

// judge says what is wrong with a server; replica says that it is meant to be one.
func (s *Store) judge(server Server, info map[string]string, replica bool, now time.Time) (out []Finding) {
	add := func(f Finding, text string, v ...any) {
		f.Server, f.Text = server.Address, fmt.Sprintf(text, v...)
		out = append(out, f)
	}
	stop := func(text string, v ...any) { add(Finding{Fatal: true, stops: true}, text, v...) }
	fatal := func(text string, v ...any) { add(Finding{Fatal: true}, text, v...) }
	warn := func(text string, v ...any) { add(Finding{}, text, v...) }
	switch {
	case info["redis_mode"] == "sentinel":
		stop("it is a Sentinel: write redis-sentinel://HOST:26379/NAME, with the name of the master")
		return out
	case server.Product == "Redis" && !atLeast(server.Version, 7, 0):
		stop("its version is %s: Tocsin needs Redis 7.0 or later", server.Version)
	case s.cluster == nil && info["cluster_enabled"] == "1":
		stop("it is part of a cluster: write redis-cluster in place of redis")
	case server.Role == "replica" && !replica:
		stop("it is a replica: name its master, or its Sentinels (redis-sentinel:)")
	}
	if server.Policy != "noeviction" && server.Policy != "" {
		fatal("maxmemory-policy is %s, which throws incidents away when memory is short: set it to noeviction", server.Policy)
	}
	if !server.AppendOnly {
		warn("appendonly is off: a crash of Redis loses what it has not saved; set appendonly yes, and appendfsync always where nothing acknowledged may be lost")
	}
	for _, status := range []string{"aof_last_write_status", "rdb_last_bgsave_status"} {
		if v, ok := info[status]; ok && v != "ok" {
			warn("it could not write to its disk the last time (%s is %s), and may refuse to store anything: see its log", status, v)
		}
	}
	switch used := server.UsedMemory; {
	case server.MaxMemory == 0:
		warn("maxmemory is not set: when memory is short the kernel ends Redis, where with a limit it refuses and senders repeat")
	case used > server.MaxMemory/10*9:
		warn("%d %% of maxmemory are used; when it is full nothing new is stored", used*100/server.MaxMemory)
	}
	if micros, err := strconv.ParseInt(info["server_time_usec"], 10, 64); err == nil {
		if ahead := time.UnixMicro(micros).Sub(now); ahead.Abs() > clockLimit {
			warn("its clock is %s ahead of this machine's (negative: behind); Tocsin goes by Redis's clock, so have both set by NTP", ahead.Round(time.Second))
		}
	}
	switch d := s.opts.Durability; {
	case replica:
	case d == Replicated && server.Role == "master" && server.Replicas < s.opts.Replicas:
		warn("durability is replicated, and it has %d of %d replicas: nothing is accepted before they are there", server.Replicas, s.opts.Replicas)
	case d == Synced && (server.Product != "Redis" || !atLeast(server.Version, 7, 2)):
		stop("durability is synced, which needs WAITAOF of Redis 7.2: use replicated, or appendfsync always")
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

// examineUser tries what the user may do, on keys that nobody uses: in every
// shard, as they may be on servers with other lists of users. It returns what is
// missing, empty if nothing is.
func (s *Store) examineUser(ctx context.Context) string {
	probes := make([]*call, len(s.names))
	for n := range s.names {
		probes[n] = &call{shard: byte(n), script: scriptProbe, keys: []string{s.names[n].tag + "probe:user"}}
	}
	probes = append(probes, s.everywhere(func(n *names) *call {
		return &call{script: scriptList, keys: []string{n.all}, args: []any{"-", "+", 0}} // one that only reads is another command
	})...)
	if s.opts.Durability.waits() {
		command := s.opts.Durability.command(0, 0)
		for n := range command[1:] {
			command[n+1] = 0 // do not wait for anybody: it is only to be allowed
		}
		probes = append(probes, s.everywhere(func(*names) *call { return &call{args: command} })...)
	}
	if err := s.run(ctx, probes...); err != nil {
		return s.why(err).Error()
	}
	refused := map[string]map[string]bool{} // by what the server says of them
	for _, c := range probes {
		switch {
		case c.err != nil && c.script != nil:
			return fmt.Sprintf("a script cannot run: %v", s.why(c.err))
		case c.err != nil:
			return fmt.Sprintf("durability is %s: %v", s.opts.Durability, s.why(c.err))
		}
		if c.script != scriptProbe {
			continue
		}
		list, _ := c.result.([]any)
		for _, v := range list {
			command, words, _ := strings.Cut(fmt.Sprint(v), ": ")
			if refused[words] == nil {
				refused[words] = map[string]bool{}
			}
			refused[words][command] = true
		}
	}
	if len(refused) == 0 {
		return ""
	}
	var missing []string
	for _, words := range slices.Sorted(maps.Keys(refused)) {
		missing = append(missing, strings.Join(slices.Sorted(maps.Keys(refused[words])), ", ")+" ("+words+")")
	}
	return "the user lacks permissions, docs/operations.md has the line that gives all that are needed: " + strings.Join(missing, "; ")
}
