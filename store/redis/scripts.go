package redis

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
)

// The scripts are the only thing that writes. Each says above itself what its
// KEYS, ARGV and result are, and each is the same whether it runs once or twice.
//
//go:embed scripts/*.lua scripts/parts/*.lua
var sources embed.FS

// script is a text that the server knows by its hash.
type script struct {
	name, text, sha string
	reads           bool // it writes nothing
}

// Flags of scripts, see https://redis.io/docs/latest/develop/programmability/lua-api/#script-flags.
const (
	reads = " flags=no-writes"
	// frees: it makes room, so it may run when there is none.
	frees = " flags=allow-oom"
	// writes: the server refuses it as a whole when it is out of memory, cannot
	// save, or is a replica.
	writes = ""
)

var (
	scriptRead      = newScript("read", reads)
	scriptMore      = newScript("more", reads, "lists")
	scriptCommit    = newScript("commit", writes, "times", "lists", "keys", "pages", "entries", "incidents", "jobs")
	scriptRelease   = newScript("release", frees)
	scriptRepeats   = newScript("repeats", writes, "times", "lists", "incidents")
	scriptClaim     = newScript("claim", frees, "times", "jobs")
	scriptArmed     = newScript("armed", reads, "times", "jobs")
	scriptFinish    = newScript("finish", frees, "times", "jobs")
	scriptList      = newScript("list", reads)
	scriptAlerts    = newScript("alerts", reads, "lists", "listed")
	scriptScan      = newScript("scan", reads, "lists", "listed")
	scriptDocument  = newScript("document", writes, "times")
	scriptDocuments = newScript("documents", reads, "lists")
	scriptSwap      = newScript("swap", writes)
	scriptEpoch     = newScript("epoch", writes)
	scriptRemove    = newScript("remove", frees, "times", "lists", "listed", "pages", "incidents", "jobs")
	scriptProbe     = newScript("probe", writes)
)

// newScript puts the text of a script behind the parts that it uses.
func newScript(name, flags string, parts ...string) *script {
	text := "#!lua" + flags + "\n"
	for _, part := range parts {
		text += source("parts/"+part) + "\n"
	}
	text += source(name)
	sum := sha1.Sum([]byte(text)) // what EVALSHA wants; it protects nothing
	return &script{name: name, text: text, sha: hex.EncodeToString(sum[:]), reads: flags == reads}
}

// command is what runs the script, or has the server learn it. A script that
// only reads is run by a command that only reads, so that the server's figures
// tell the two apart.
func (s *script) command() string {
	if s.reads {
		return "EVALSHA_RO"
	}
	return "EVALSHA"
}

func (s *script) commandSourced() string {
	if s.reads {
		return "EVAL_RO"
	}
	return "EVAL"
}

func source(name string) string {
	text, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	return string(text)
}
