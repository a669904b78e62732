package redis

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
)

// The scripts are the only thing that writes. Each says above itself what its
// KEYS, ARGV and result are, and each is the same whether it runs once or twice.
//
//go:embed scripts/*.lua
var sources embed.FS

// script is a text that the server knows by its hash.
type script struct{ name, text, sha string }

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
	scriptMore      = newScript("more", reads)
	scriptCommit    = newScript("commit", writes)
	scriptRepeats   = newScript("repeats", writes)
	scriptClaim     = newScript("claim", frees)
	scriptFinish    = newScript("finish", frees)
	scriptList      = newScript("list", reads)
	scriptAlerts    = newScript("alerts", reads)
	scriptScan      = newScript("scan", reads)
	scriptDocument  = newScript("document", writes)
	scriptDocuments = newScript("documents", reads)
	scriptSwap      = newScript("swap", writes)
	scriptEpoch     = newScript("epoch", writes)
	scriptRemove    = newScript("remove", frees)
)

func newScript(name, flags string) *script {
	common, err := sources.ReadFile("scripts/common.lua")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	body, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // unreachable: likewise
	}
	text := "#!lua" + flags + "\n" + string(common) + "\n" + string(body)
	sum := sha1.Sum([]byte(text)) // what EVALSHA wants; it protects nothing
	return &script{name: name, text: text, sha: hex.EncodeToString(sum[:])}
}
