// Package nsca takes the results of checks that send_nsca sends over TCP: Server
// speaks its protocol and hands over what it decrypted, and Format is what that
// looks like then. https://github.com/NagiosEnterprises/nsca
package nsca

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/nagios"
)

// Format is results of NSCA as JSON, in the words of NRDP, as Server hands them
// over and as they can wait in a spool. Packets that are not encrypted are
// understood as well, so that a captured one can be explained.
var Format = ingest.Format{Name: "nsca", BodyLimit: 4 * ingest.MiB, Batches: decode}

func decode(r ingest.Request) (iter.Seq[ingest.Batch], error) {
	body := bytes.TrimSpace(r.Body)
	if len(body) > 0 && body[0] == '{' {
		return nagios.NRDP.Batches(r)
	}
	var results []nagios.Result
	for rest := r.Body; len(rest) > 0; {
		p, err := firstPacket(rest)
		if err != nil {
			return nil, ingest.Foreignf("neither results as JSON, nor packets of send_nsca that are not encrypted (%v)", err)
		}
		results = append(results, parsePacket(p))
		rest = rest[len(p):]
	}
	if len(results) == 0 {
		return nil, ingest.Foreignf("the body is empty; results as JSON are expected")
	}
	r.Body = encode(results)
	return nagios.NRDP.Batches(r)
}

// firstPacket returns the packet that b begins with, be it a short or a long one.
func firstPacket(b []byte) ([]byte, error) {
	if len(b) < shortSize {
		return nil, errVersion
	}
	if err := checkPacket(b[:shortSize]); err == nil || len(b) < packetSize {
		return b[:shortSize], err
	}
	return b[:packetSize], checkPacket(b[:packetSize])
}

// encode writes results as Format reads them.
func encode(results []nagios.Result) []byte {
	type result struct {
		Host    string `json:"hostname"`
		Service string `json:"servicename,omitempty"`
		State   int    `json:"state"`
		Output  string `json:"output"`
	}
	body := struct {
		Results []result `json:"checkresults"`
	}{}
	for _, r := range results {
		body.Results = append(body.Results, result{r.Host, r.Service, r.State, r.Output})
	}
	out, _ := json.Marshal(body) // it cannot fail: all texts are clean
	return out
}
