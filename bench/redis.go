package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// redisServer is the Redis that the gateways under test keep their state in. It
// may hold other things: each store of ours is under a prefix of its own, and
// only what is under that is removed.
type redisServer struct {
	*redisConn
	url url.URL // without a prefix
	// name begins the prefixes of all stores of this run, stores counts them.
	name   string
	stores int
}

// RedisFacts are what figures on a Redis depend on.
type RedisFacts struct {
	Version string `json:"version"`
	// Settings hold what CONFIG GET says, "unknown" where it is not allowed.
	Settings map[string]string `json:"settings"`
	// OtherKeys is how many keys there were before we came. What others do there
	// meanwhile is counted as ours.
	OtherKeys int64 `json:"other_keys"`
	// Rewrites and Saves of the whole file that ended while we measured.
	Rewrites int64 `json:"aof_rewrites"`
	Saves    int64 `json:"rdb_saves"`
}

// redisSettings are the settings in RedisFacts, in the order of the report.
var redisSettings = []string{"appendonly", "appendfsync", "auto-aof-rewrite-min-size", "save", "maxmemory", "maxmemory-policy"}

// defaultPrefix begins the names of keys unless the URL says another one.
const defaultPrefix = "bench"

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,60}$`)

// newRedisServer reads a URL. Its errors repeat nothing that may be a password.
func newRedisServer(text string) (*redisServer, error) {
	const form = "write redis://[user:password@]HOST:PORT[/database][?prefix=NAME]"
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it cannot be read as a URL: " + form)
	}
	switch _, err := strconv.ParseUint(strings.Trim(u.Path, "/"), 10, 31); {
	case u.Scheme == "file":
		return nil, errors.New("the bench makes its own folder: leave the flag out, or " + form)
	case u.Scheme != "redis":
		return nil, errors.New("only a single Redis without TLS can be measured: " + form)
	case u.Hostname() == "":
		return nil, errors.New("the host is missing: " + form)
	case strings.Trim(u.Path, "/") != "" && err != nil:
		return nil, errors.New("the database is not a number: " + form)
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("what follows the ? cannot be understood: " + form)
	}
	name := defaultPrefix
	if options.Has("prefix") {
		name = options.Get("prefix")
		options.Del("prefix")
	}
	switch {
	case len(options) > 0:
		return nil, errors.New("there is only the option prefix: " + form)
	case !prefixPattern.MatchString(name):
		return nil, errors.New("the prefix is not 1 to 60 letters, digits, and . _ -")
	}
	u.RawQuery, u.Fragment = "", ""
	return &redisServer{redisConn: newRedisConn(u), url: *u, name: name + "-" + strings.ToLower(rand.Text()[:10])}, nil
}

// newStore returns the prefix of a store that is empty, as its name is new, and its URL.
func (r *redisServer) newStore() (prefix, storeURL string) {
	r.stores++
	prefix = r.name + "-" + strconv.Itoa(r.stores)
	u := r.url
	u.RawQuery = url.Values{"prefix": {prefix}}.Encode()
	return prefix, u.String()
}

// facts asks what the report says of the server, and refuses one that cannot be measured.
func (r *redisServer) facts(ctx context.Context) (*RedisFacts, error) {
	info, err := r.info(ctx)
	if err != nil {
		return nil, err
	}
	if mode := info["redis_mode"]; mode != "standalone" {
		return nil, fmt.Errorf("bench: redis %s runs as %q: only a single one can be measured", r.addr, mode)
	}
	f := &RedisFacts{Version: info["redis_version"], Settings: map[string]string{}, Rewrites: number(info, "aof_rewrites"), Saves: number(info, "rdb_saves")}
	for _, name := range redisSettings {
		f.Settings[name] = "unknown"
		answer, err := r.do(ctx, "CONFIG", "GET", name)
		if _, refused := errors.AsType[redisError](err); err != nil && !refused {
			return nil, err
		}
		if pair, ok := answer.([]any); ok && len(pair) == 2 {
			f.Settings[name] = fmt.Sprint(pair[1])
		}
	}
	answer, err := r.do(ctx, "DBSIZE")
	if err != nil {
		return nil, err
	}
	f.OtherKeys, _ = answer.(int64)
	return f, nil
}

// info asks for all facts that Redis tells about itself.
func (r *redisServer) info(ctx context.Context) (map[string]string, error) {
	answer, err := r.do(ctx, "INFO")
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	facts := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	if facts["redis_version"] == "" || facts["used_cpu_user"] == "" || facts["used_memory"] == "" {
		return nil, fmt.Errorf("bench: redis %s: INFO does not say its version, CPU and memory", r.addr)
	}
	return facts, nil
}

// redisUsage is what a Redis has used so far.
type redisUsage struct {
	// known is false without a Redis.
	known bool
	// cpu includes children that have ended, such as a rewrite of the AOF. It is
	// the kernel's account, as /proc has it, but exact to a microsecond, and as
	// right for a Redis in a container or on another machine.
	cpu time.Duration
	// memory is used_memory without what comes and goes with connections: the
	// buffers of clients and of the AOF, in bytes.
	memory, resident int64
	// commands include those that scripts call.
	commands int64
}

func (r *redisServer) usage(ctx context.Context) (redisUsage, error) {
	if r == nil {
		return redisUsage{}, nil
	}
	info, err := r.info(ctx)
	if err != nil {
		return redisUsage{}, err
	}
	u := redisUsage{known: true, resident: number(info, "used_memory_rss"), commands: number(info, "total_commands_processed")}
	for _, name := range []string{"used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"} {
		seconds, _ := strconv.ParseFloat(info[name], 64) // 0 if it is not said
		u.cpu += time.Duration(seconds * float64(time.Second))
	}
	u.memory = number(info, "used_memory") - number(info, "mem_clients_normal") - number(info, "mem_aof_buffer")
	return u, nil
}

// number is 0 if the fact is not said.
func number(info map[string]string, name string) int64 {
	n, _ := strconv.ParseInt(info[name], 10, 64)
	return n
}

// settled waits until what was removed is freed, which Redis does in the background.
func (r *redisServer) settled(ctx context.Context) error {
	for {
		info, err := r.info(ctx)
		if err != nil || number(info, "lazyfree_pending_objects") == 0 {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// remove removes all keys of a store. It does so also when ctx has ended, as
// nobody else knows that they are there.
func (r *redisServer) remove(ctx context.Context, prefix string) error {
	ctx = context.WithoutCancel(ctx)
	for cursor := "0"; ; {
		answer, err := r.do(ctx, "SCAN", cursor, "MATCH", prefix+":*", "COUNT", "1000")
		if err != nil {
			return fmt.Errorf("%w; keys are left: %s:*", err, prefix)
		}
		page, ok := answer.([]any)
		if !ok || len(page) != 2 {
			return fmt.Errorf("bench: redis %s: SCAN: the answer is not understood; keys are left: %s:*", r.addr, prefix)
		}
		cursor = fmt.Sprint(page[0])
		names, _ := page[1].([]any)
		unlink := []string{"UNLINK"}
		for _, n := range names {
			unlink = append(unlink, fmt.Sprint(n))
		}
		if len(names) > 0 {
			if _, err := r.do(ctx, unlink...); err != nil {
				return fmt.Errorf("%w; keys are left: %s:*", err, prefix)
			}
		}
		if cursor == "0" {
			return nil
		}
	}
}
