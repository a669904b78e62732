// Package redisurl reads the URLs that name a Redis, for the configuration,
// which says what is wrong with one, and for store/redis, which connects to what
// it names. It connects to nothing itself.
package redisurl

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Kind is how a Redis is put together.
type Kind string

// The kinds.
const (
	Single   Kind = "single"
	Sentinel Kind = "sentinel"
	Cluster  Kind = "cluster"
)

// DefaultPrefix begins the names of keys unless the URL says another one.
const DefaultPrefix = "tocsin"

// Target is what a URL says.
type Target struct {
	Kind Kind
	// Hosts are addresses with ports: of the server, of the Sentinels, or of some
	// of the cluster.
	Hosts []string
	// Master is the name that the Sentinels know it by.
	Master string
	// Database is the number of the database; a cluster has only 0.
	Database int
	TLS      bool
	// Prefix begins the names of all keys.
	Prefix             string
	Username, Password string
	// SentinelUsername and SentinelPassword are for the Sentinels themselves.
	SentinelUsername, SentinelPassword string
}

// schemes are those of URLs.
var schemes = map[string]struct {
	kind Kind
	tls  bool
	port string // the usual one
}{
	"redis": {Single, false, "6379"}, "rediss": {Single, true, "6379"},
	"redis-sentinel": {Sentinel, false, "26379"}, "rediss-sentinel": {Sentinel, true, "26379"},
	"redis-cluster": {Cluster, false, "6379"}, "rediss-cluster": {Cluster, true, "6379"},
}

// Handles reports whether a URL has a scheme of Redis.
func Handles(text string) bool {
	scheme, _, _ := strings.Cut(text, ":")
	_, ok := schemes[scheme]
	return ok
}

// Parse reads one of
//
//	redis://[user:password@]host[:6379][/database][?prefix=tocsin]
//	redis-sentinel://[user:password@]host[:26379],host,…/master[?database=0&sentinel_username=…&sentinel_password=…]
//	redis-cluster://[user:password@]host[:6379],host,…
//
// and the same with rediss, which uses TLS. No error repeats what may be part
// of a password.
func Parse(text string) (Target, error) {
	scheme, rest, found := strings.Cut(text, "://")
	s, known := schemes[scheme]
	switch {
	case !found && Handles(text):
		return Target{}, errors.New("// is missing behind the scheme: write redis://HOST:6379")
	case !known:
		return Target{}, errors.New("the scheme is not one of Redis: write redis, rediss, redis-sentinel or redis-cluster")
	}
	// Several hosts are no URL, so the parts are taken out one by one.
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if strings.Contains(path+query, "@") {
		return Target{}, errors.New("there is an @ behind the hosts: in a user or password write %2F for /, %3F for ? and %40 for @, or keep the password in a file")
	}
	t := Target{Kind: s.kind, TLS: s.tls, Prefix: DefaultPrefix}
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		user, password, _ := strings.Cut(authority[:at], ":")
		var err1, err2 error
		t.Username, err1 = url.PathUnescape(user)
		t.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return Target{}, errors.New("in the user or password a % is not followed by two hexadecimal digits: write %25 for %")
		}
	}
	for text := range strings.SplitSeq(hosts, ",") {
		address, err := hostPort(text, s.port)
		if err != nil {
			return Target{}, fmt.Errorf("%w: write %s://HOST:%s", err, scheme, s.port)
		}
		t.Hosts = append(t.Hosts, address)
	}
	if t.Kind == Single && len(t.Hosts) > 1 {
		return Target{}, fmt.Errorf("%s: names one host: for several write redis-cluster or redis-sentinel in its place", scheme)
	}
	if err := t.path(strings.Trim(path, "/")); err != nil {
		return Target{}, err
	}
	return t, t.options(query)
}

var (
	// word is a text that stands in messages, as it can hardly be a secret.
	word = regexp.MustCompile(`^[A-Za-z_.-]{1,32}$`)
	// host is a name, or an address of either version, with its zone.
	host = regexp.MustCompile(`^[A-Za-z0-9_.:%-]+$`)
)

// hostPort completes an address with the usual port.
func hostPort(text, usual string) (string, error) {
	name, port, err := net.SplitHostPort(text)
	if err != nil { // without a port, if it is an address at all
		name, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), usual
	}
	switch n, err := strconv.ParseUint(port, 10, 16); {
	case name == "":
		return "", errors.New("a host is missing")
	case !host.MatchString(name):
		return "", errors.New("a host is not a name or an address")
	case err != nil || n == 0:
		return "", errors.New("the port of a host is not a number from 1 to 65535")
	}
	return net.JoinHostPort(name, port), nil
}

// path reads what is between the hosts and the options.
func (t *Target) path(name string) (err error) {
	switch {
	case t.Kind == Sentinel && name == "":
		return errors.New("the name of the master is missing behind the hosts: write such as redis-sentinel://host:26379/mymaster")
	case t.Kind == Sentinel:
		if t.Master, err = url.PathUnescape(name); err != nil {
			return errors.New("in the name of the master a % is not followed by two hexadecimal digits: write %25 for %")
		}
	case t.Kind == Cluster && name != "":
		return errors.New("a cluster has one database, without a number: leave out what follows the hosts")
	case name != "":
		t.Database, err = database(name)
	}
	return err
}

func database(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, errors.New("the database is not a number: write one such as /0, or nothing")
	}
	return int(n), nil
}

// options reads what follows the question mark.
func (t *Target) options(query string) (err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what follows the ? cannot be understood: write name=value, and & between several")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values.Get(name)
		switch {
		case len(values[name]) > 1:
			err = errors.New("an option is there twice: remove one of them")
		case name == "prefix" && validPrefix(v):
			t.Prefix = v
		case name == "prefix":
			err = errors.New("the prefix cannot begin the names of keys: write at most 100 characters, without braces, spaces and wildcards")
		case name == "database" && t.Kind == Sentinel:
			t.Database, err = database(v)
		case name == "sentinel_username" && t.Kind == Sentinel:
			t.SentinelUsername = v
		case name == "sentinel_password" && t.Kind == Sentinel:
			t.SentinelPassword = v
		case word.MatchString(name):
			err = fmt.Errorf("unknown option %q: %s", name, t.known())
		default:
			err = errors.New("unknown option: " + t.known())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// known says which options there are.
func (t *Target) known() string {
	if t.Kind == Sentinel {
		return "there are prefix, database, sentinel_username and sentinel_password"
	}
	return "there is only prefix"
}

func validPrefix(p string) bool {
	return p != "" && len(p) <= 100 && !strings.ContainsAny(p, "{} \t\r\n*?[]\\")
}
