package redisurl

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for url, want := range map[string]Target{
		"redis://h":                                           {Kind: Single, Hosts: []string{"h:6379"}},
		"redis://h:7000/3":                                    {Kind: Single, Hosts: []string{"h:7000"}, Database: 3},
		"redis://h/?prefix=other":                             {Kind: Single, Hosts: []string{"h:6379"}, Prefix: "other"},
		"redis://[::1]":                                       {Kind: Single, Hosts: []string{"[::1]:6379"}},
		"redis://[fe80::1%eth0]:1":                            {Kind: Single, Hosts: []string{"[fe80::1%eth0]:1"}},
		"rediss://:p%40ss%2Fword@h":                           {Kind: Single, Hosts: []string{"h:6379"}, TLS: true, Password: "p@ss/word"},
		"redis://user:a:b@c#d@h":                              {Kind: Single, Hosts: []string{"h:6379"}, Username: "user", Password: "a:b@c#d"},
		"redis://user@h":                                      {Kind: Single, Hosts: []string{"h:6379"}, Username: "user"},
		"redis-cluster://a,b:7001,[::1]":                      {Kind: Cluster, Hosts: []string{"a:6379", "b:7001", "[::1]:6379"}},
		"rediss-cluster://u:p@a/":                             {Kind: Cluster, Hosts: []string{"a:6379"}, TLS: true, Username: "u", Password: "p"},
		"redis-sentinel://a,b:7/my%20master":                  {Kind: Sentinel, Hosts: []string{"a:26379", "b:7"}, Master: "my master"},
		"rediss-sentinel://a/m?database=2":                    {Kind: Sentinel, Hosts: []string{"a:26379"}, TLS: true, Master: "m", Database: 2},
		"redis-sentinel://a/m?sentinel_username=u":            {Kind: Sentinel, Hosts: []string{"a:26379"}, Master: "m", SentinelUsername: "u"},
		"redis-sentinel://a/m?sentinel_password=%40&prefix=x": {Kind: Sentinel, Hosts: []string{"a:26379"}, Master: "m", SentinelPassword: "@", Prefix: "x"},
	} {
		if want.Prefix == "" {
			want.Prefix = DefaultPrefix
		}
		got, err := Parse(url)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", url, got, err, want)
		}
		if !Handles(url) {
			t.Errorf("%s: is not taken for one of Redis", url)
		}
	}
}

// The mistakes hold a secret where somebody might put one.
func TestParseSaysWhatIsWrong(t *testing.T) {
	for url, want := range map[string]string{
		"redis:s3cret@h":                        "write redis://HOST",
		"s3cret":                                "not one of Redis",
		"postgres://u:s3cret@h":                 "not one of Redis",
		"redis://":                              "a host is missing: write redis://HOST:6379",
		"redis://u:s3cret@":                     "a host is missing",
		"redis://:s3cret":                       "a host is missing",
		"redis://u:s3cret":                      "the port of a host is not a number",
		"redis://h:0":                           "the port of a host is not a number from 1 to 65535",
		"redis://h:65536":                       "the port of a host is not a number from 1 to 65535",
		"redis://u:s3cret%zz@h":                 "write %25 for %",
		"redis://u:s3cret/s3cret@h":             "write %2F for /",
		"redis://u:s3cret?s3cret@h":             "%3F for ?",
		"redis://h/s3cret":                      "the database is not a number",
		"redis://h/-1":                          "the database is not a number",
		"redis://h/99999999999":                 "the database is not a number",
		"redis://a,b":                           "for several write redis-cluster or redis-sentinel",
		"redis://a b":                           "a host is not a name or an address",
		"redis-cluster://a,":                    "a host is missing: write redis-cluster://HOST:6379",
		"redis-cluster://a/1":                   "a cluster has one database",
		"redis-sentinel://a":                    "the name of the master is missing",
		"redis-sentinel://a/%zz":                "in the name of the master",
		"redis-sentinel://a/m?database=x":       "the database is not a number",
		"redis://h?sentinel_password=s3cret":    `unknown option "sentinel_password": there is only prefix`,
		"redis-sentinel://a/m?datbase=1":        `unknown option "datbase": there are prefix, database,`,
		"redis://h?prefix=a{b":                  "without braces",
		"redis://h?prefix=a&prefix=b":           "an option is there twice",
		"redis://h?prefix=%zz":                  "what follows the ? cannot be understood",
		"redis://h?" + "s3cret1=x":              "unknown option: there is only prefix",
		"redis://h?prefix=" + "x*s3cret":        "without braces, spaces and wildcards",
		"redis://h?prefix=" + "x;s3cret=secret": "what follows the ? cannot be understood",
	} {
		_, err := Parse(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want an error with %q and without the secret", url, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"redis://h", "rediss://u:p@h:1/2?prefix=a", "redis-sentinel://a,b/m?database=1", "redis-cluster://[::1],b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		target, err := Parse(url)
		if err == nil && (!Handles(url) || len(target.Hosts) == 0 || target.Database < 0 || target.Prefix == "") {
			t.Errorf("%q: got %+v, which nobody can connect to", url, target)
		}
	})
}
