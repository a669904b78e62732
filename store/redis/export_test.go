package redis

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/redis/redistest"
	"github.com/tocsin-gateway/tocsin/store/transfer"
)

// copiedKey is a key of the first shard.
var copiedKey = incident.Key{0, 1, 2}

// filled is a store with one of everything, which is closed again.
func filled(t *testing.T, url string) incident.ID {
	t.Helper()
	s := openSubject(t, url, Options{})
	gen := incident.Generation{7}
	if _, err := s.SetGeneration(t.Context(), store.Generation{ID: gen, Text: []byte("text")}); err != nil {
		t.Fatal(err)
	}
	policy := incident.Policy{Severities: incident.Scale{"critical", "warning"}, Matrix: incident.DefaultMatrix(), CloseAfter: time.Hour}
	var id incident.ID
	err := s.Update(t.Context(), []incident.Change{{ID: [16]byte{1}, Key: copiedKey, Fingerprints: []alert.Fingerprint{{1}}, Step: func(st incident.State) (incident.Next, error) {
		next := incident.Next{Key: &incident.KeyState{Key: copiedKey, Rule: "test", Incident: st.NewID(0)}}
		class := incident.Classification{Severity: "warning", Service: "db"}
		e := policy.Open(incident.Opening{ID: st.NewID(0), Key: copiedKey, Title: "test", Class: class, By: incident.System}, st.Now)
		a := &alert.Alert{Status: alert.Firing, Source: "test", Labels: alert.FromMap(map[string]string{"alertname": "Test"})}
		e.Join(incident.Member{Alert: a, Class: class}, false)
		is := incident.Entry{Fingerprint: alert.Fingerprint{1}, Source: "test", Generation: gen, Firing: true, Incident: st.NewID(0), Severity: "warning",
			Start: st.Now, Last: st.Now, FirstSeen: st.Now, LastSeen: st.Now, Count: 1}
		next.Entries = []incident.EntryWrite{{Entry: is, Was: st.Entries[0], Content: a}}
		next.Jobs = []incident.Job{{Subject: copiedKey.String(), Kind: incident.JobExpiry, Due: st.Now.Add(time.Hour)}}
		e.Into(&next)
		id = e.Incident.ID
		return next, nil
	}}})
	if err == nil {
		_, err = s.PutDocument(t.Context(), incident.Document{Type: "test", ID: "a", Data: []byte(`{"a":1}`)})
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// copying are the options of a store that a test copies from or to.
func copying(t testing.TB) Options {
	return Options{Logger: logTo(t), Timeout: unhurried, downAfter: ample}
}

// copyStore copies from one store to another.
func copyStore(t *testing.T, from, to string) error {
	t.Helper()
	source := opened(t, OpenSource, from, copying(t))
	defer func() { _ = source.Close() }() // it was only read
	target := opened(t, OpenTarget, to, copying(t))
	_, err := transfer.Copy(t.Context(), source, target, transfer.Options{})
	return errors.Join(err, target.Close())
}

// TestCopyPassesOnWhatIsNewer: fields of a newer version come along.
func TestCopyPassesOnWhatIsNewer(t *testing.T) {
	server := redistest.Single(t)
	from, to := server.URL()+"?prefix=from", server.URL()+"?prefix=to"
	id := filled(t, from)
	unknown := protowire.AppendString(protowire.AppendTag(nil, 200, protowire.BytesType), "from the future")
	const member = `,"from_the_future":[1,{"a":2}]}`
	place := string(copiedKey[:]) + string([]byte{1, 15: 0})
	nothing := place[:31] + "n" // an alert that said nothing, which is not the same as one that is not known
	server.Do("HSET", "from:{00}:entries", nothing, server.Do("HGET", "from:{00}:entries", place))
	server.Do("HSET", "from:{00}:contents", nothing, "")
	fields := map[string]string{"entries": place, "contents": place, "incidents": string(id[:]), "timeline": string(timelineField(id, 1))}
	for name, field := range fields {
		key := "from:{00}:" + name
		server.Do("HSET", key, field, server.Do("HGET", key, field)+string(unknown))
	}
	// Values that end in JSON get one more member.
	more := func(v string) string { return v[:len(v)-1] + member }
	server.Do("HSET", "from:{00}:keys", string(copiedKey[:]), more(server.Do("HGET", "from:{00}:keys", string(copiedKey[:]))))
	server.Do("SET", "from:{00}:generations", more(server.Do("GET", "from:{00}:generations")))
	server.Do("HSET", "from:{17}:statistics", "future\x00counter", "40")
	server.Do("HSET", "from:{18}:statistics", "future\x00counter", "2")
	if err := copyStore(t, from, to); err != nil {
		t.Fatal(err)
	}
	for name, field := range fields {
		if v := server.Do("HGET", "to:{00}:"+name, field); !strings.HasSuffix(v, string(unknown)) {
			t.Errorf("%s: the unknown fields are gone: %q", name, v)
		}
	}
	for what, v := range map[string]string{"key": server.Do("HGET", "to:{00}:keys", string(copiedKey[:])), "generations": server.Do("GET", "to:{00}:generations")} {
		if !strings.Contains(v, member) {
			t.Errorf("%s: the unknown member is gone: %q", what, v)
		}
	}
	if v := server.Do("HGET", "to:{00}:statistics", "future\x00counter"); v != "42" {
		t.Errorf("the unknown counter is %q, want 42", v)
	}
	if server.Do("HEXISTS", "to:{00}:contents", nothing) != "1" {
		t.Error("what said nothing is gone")
	}
	if v := server.Do("HGET", "to:{00}:keys", "epoch"); v != "1" {
		t.Errorf("the epoch of the shard is %q, want 1", v)
	}
}

// TestCopyRefusesWhatItCannotKeep, rather than to leave it out.
func TestCopyRefusesWhatItCannotKeep(t *testing.T) {
	server := redistest.Single(t)
	for name, c := range map[string]struct {
		do   []string
		want string
	}{
		"a key of an unknown kind": {[]string{"SET", "FROM:{05}:future", "x"}, "copy with the version that wrote it"},
		"a job of which more is known": {[]string{"EVAL", "redis.call('HSET', KEYS[1], 'subject', cmsgpack.pack({['kind\\0target'] = {ARGV[1], ARGV[1], 'token123', '', 0, '', ARGV[1], 'new'}}))", "1",
			"FROM:{05}:jobs", string(appendTime(nil, time.Now()))}, "a newer version wrote the job"},
		"documents in a wrong shard": {[]string{"HSET", "FROM:{63}:documents:test", "a", "x"}, "not in the shard"},
		"a field that is no key":     {[]string{"HSET", "FROM:{05}:keys", "short", "x"}, `"short" is not a key`},
		"an entry that is cut":       {[]string{"HSET", "FROM:{05}:entries", strings.Repeat("x", 32), "x"}, "shorter than it can be"},
		"a field that is no alert":   {[]string{"HSET", "FROM:{05}:entries", "x", "x"}, `"x" is not an alert`},
		"a field of no timeline":     {[]string{"HSET", "FROM:{05}:timeline", "x", "x"}, "not an entry of a timeline"},
		"a number that is none":      {[]string{"HSET", "FROM:{05}:numbers", "20261121", "x"}, "invalid syntax"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := fmt.Sprint("refused", prefixes.Add(1))
			filled(t, server.URL()+"?prefix="+prefix)
			for n := range c.do {
				c.do[n] = strings.Replace(c.do[n], "FROM", prefix, 1)
			}
			server.Do(c.do...)
			err := copyStore(t, server.URL()+"?prefix="+prefix, server.URL()+"?prefix=to"+prefix)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestImportRefuses what a store in Redis has no place for.
func TestImportRefuses(t *testing.T) {
	target := opened(t, OpenTarget, redistest.Single(t).URL(), copying(t))
	defer func() { _ = target.Close() }() // nothing is under way
	reference := incident.Reference(time.Unix(0, 0), 1, 5)
	for name, c := range map[string]struct {
		unit transfer.Unit
		want string
	}{
		"a job with more":         {&transfer.Job{Subject: "s", Kind: "k", Unknown: []byte(`{"a":1}`)}, "newer version"},
		"a document with more":    {&transfer.Document{Unknown: []byte(`{"a":1}`)}, "newer version"},
		"an incident of no shard": {&transfer.Incident{Incident: &incident.Incident{ID: incident.ID{15: 64}}}, "no shard 64"},
		"an incident whose key is elsewhere": {&transfer.Incident{Incident: &incident.Incident{ID: incident.ID{15: 5}, Key: incident.Key{6}, Reference: reference}},
			"do not belong together"},
		"an incident whose reference is elsewhere": {&transfer.Incident{Incident: &incident.Incident{ID: incident.ID{15: 6}, Key: incident.Key{6}, Reference: reference}},
			"do not belong together"},
		"an archived alert of no shard": {&transfer.Alert{Archived: true, Owner: [16]byte{15: 200}}, "no shard 200"},
		"a timeline of no shard":        {&transfer.TimelineEntry{Incident: incident.ID{15: 99}}, "no shard 99"},
		"a number of no shard":          {&transfer.Number{Shard: 64}, "no shard 64"},
	} {
		if err := target.Import(t.Context(), []transfer.Unit{c.unit}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestImportTwice: writing everything once more changes nothing.
func TestImportTwice(t *testing.T) {
	server := redistest.Single(t)
	from := server.URL() + "?prefix=from"
	filled(t, from)
	source := opened(t, OpenSource, from, copying(t))
	defer func() { _ = source.Close() }() // it was only read
	target := opened(t, OpenTarget, server.URL()+"?prefix=to", copying(t))
	defer func() { _ = target.Close() }() // nothing is under way
	if _, err := target.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	dump := func() string {
		var out bytes.Buffer
		keys := strings.Fields(server.Do("KEYS", "to:{*"))
		slices.Sort(keys)
		for _, k := range keys {
			switch server.Do("TYPE", k) {
			case "hash":
				lines := server.Do("HGETALL", k)
				if strings.HasSuffix(k, ":keys") || strings.HasSuffix(k, ":jobs") || strings.Contains(k, ":documents:") {
					lines = server.Do("HKEYS", k) // a token is never the same
				}
				fmt.Fprintf(&out, "%s %q\n", k, lines)
			case "zset":
				fmt.Fprintf(&out, "%s %q\n", k, server.Do("ZRANGE", k, "0", "-1", "WITHSCORES"))
			default:
				fmt.Fprintf(&out, "%s %q\n", k, server.Do("GET", k))
			}
		}
		return out.String()
	}
	var dumps [2]string
	for n := range dumps {
		if err := source.Export(t.Context(), "", func(p transfer.Page) error { return target.Import(t.Context(), p.Units) }); err != nil {
			t.Fatal(err)
		}
		dumps[n] = dump()
	}
	if strings.Count(dumps[0], "\n") < 18 || dumps[0] != dumps[1] {
		t.Errorf("first\n%s\nthen\n%s", dumps[0], dumps[1])
	}
}

// TestCopyLeavesOthersAlone: a prefix that begins like another one, and what else
// is in the database.
func TestCopyLeavesOthersAlone(t *testing.T) {
	server := redistest.Single(t)
	server.Do("SET", "tocsin", "not ours")
	server.Do("SET", "tocsin:{zz}:keys", "not ours")
	server.Do("SET", "tocsin:{00}x", "not ours")
	filled(t, server.URL()+"?prefix=tocsin2")
	before := server.Do("DBSIZE")
	filled(t, server.URL()+"?prefix=from")
	if err := copyStore(t, server.URL()+"?prefix=from", server.URL()); err != nil {
		t.Fatal(err)
	}
	target := opened(t, OpenTarget, server.URL(), copying(t))
	defer func() { _ = target.Close() }() // nothing is under way
	if err := target.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range strings.Fields(server.Do("KEYS", "from:{*")) {
		server.Do("DEL", k)
	}
	server.Do("DEL", "tocsin:{00}:schema")
	if after := server.Do("DBSIZE"); after != before {
		t.Errorf("there are %s keys of others, before there were %s: %q", after, before, server.Do("KEYS", "*"))
	}
}

// TestMarkIsTakenBack: of a store that turns out to be in use, or not to be empty.
func TestMarkIsTakenBack(t *testing.T) {
	server := redistest.Single(t)
	for want, command := range map[string][]string{
		"gateway works on it":   {"ZADD", "tocsin:{00}:gateways", fmt.Sprint(time.Now().Unix()), "somebody"},
		"holds a store already": {"HSET", "tocsin:{07}:entries", "a", "b"},
	} {
		o := copying(t)
		o.Failpoint = func(point string) {
			if point == "copy-begun" {
				server.Do(command...)
			}
		}
		target := opened(t, OpenTarget, server.URL(), o)
		defer func() { _ = target.Close() }() // nothing is under way
		if _, err := target.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if v := server.Do("GET", "tocsin:{00}:schema"); v != "" {
			t.Errorf("%s: the schema is %q", want, v)
		}
		server.Do("DEL", command[1])
	}
}

// TestCopyAsDocumentedUser: the user of docs/operations.md needs one permission
// more, and what is missing is said.
func TestCopyAsDocumentedUser(t *testing.T) {
	server := redistest.Single(t)
	server.Do(documentedUser(t)...)
	user := strings.Replace(server.URL(), "redis://", "redis://tocsin:"+secretWord+"@", 1)
	from, to := user+"?prefix=tocsin:from", user+"?prefix=tocsin:to"
	filled(t, from)
	err := copyStore(t, from, to)
	if err == nil || !strings.Contains(err.Error(), "the user lacks a permission") || !strings.Contains(err.Error(), "scan") {
		t.Errorf("without +scan: got %v", err)
	}
	server.Do("ACL", "SETUSER", "tocsin", "+scan")
	if err := copyStore(t, from, to); err != nil {
		t.Errorf("with +scan: %v", err)
	}
	s := openSubject(t, to, Options{})
	if d, err := s.Document(t.Context(), "test", "a"); err != nil || string(d.Data) != `{"a":1}` {
		t.Errorf("the document: got %+v, %v", d, err)
	}
	target := opened(t, OpenTarget, user+"?prefix=tocsin:other", copying(t))
	defer func() { _ = target.Close() }() // nothing is under way
	if _, err := target.Begin(t.Context()); err != nil {
		t.Error(err)
	}
	if err := target.Clear(t.Context()); err != nil {
		t.Errorf("thrown away: %v", err)
	}
}
