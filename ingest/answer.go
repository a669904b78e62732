package ingest

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

// retryAfter is what senders are told, in seconds. Alertmanager does not listen;
// it has a back-off of its own.
const retryAfter = "5"

// refusal is any answer but 200 and 202.
type refusal struct {
	code int
	// reason and field are for the sender. No secrets: Alertmanager writes the
	// answer into its log.
	reason, field string
	// hangUp: the connection is of no more use.
	hangUp bool
	// allow are the methods that there are.
	allow []string
}

func refuse(code int, reason string) *refusal { return &refusal{code: code, reason: reason} }

// unavailable tells the sender to send it again. It is 503 and never 429, which
// Alertmanager takes for final.
func unavailable(reason string) *refusal {
	return refuse(http.StatusServiceUnavailable, reason)
}

// write sends the refusal, as reply words it if that is not nil.
func (r *refusal) write(w http.ResponseWriter, reply func(code, results int, reason string) Reply) {
	h := w.Header()
	switch r.code {
	case http.StatusUnauthorized:
		h.Add("WWW-Authenticate", `Bearer realm="tocsin"`)
		h.Add("WWW-Authenticate", `Basic realm="tocsin"`)
	case http.StatusMethodNotAllowed:
		h.Set("Allow", strings.Join(r.allow, ", "))
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", retryAfter)
	}
	if r.hangUp {
		h.Set("Connection", "close")
	}
	if reply != nil {
		words := reply(r.code, 0, r.reason)
		write(w, r.code, words.ContentType, words.Body)
		return
	}
	out := appendText([]byte(`{"error":`), r.reason)
	if r.field != "" || r.code == http.StatusBadRequest {
		out = appendText(append(out, `,"field":`...), r.field)
	}
	writeJSON(w, r.code, append(out, "}\n"...))
}

func writeJSON(w http.ResponseWriter, code int, parts ...[]byte) {
	write(w, code, "application/json", parts...)
}

func write(w http.ResponseWriter, code int, contentType string, parts ...[]byte) {
	length := 0
	for _, p := range parts {
		length += len(p)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(code)
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return // the sender is gone; it will come back, and hear "duplicate"
		}
	}
}

// results is the answer to a body that was understood, while it is being
// written. It is written by hand because it is as long as the body is.
type results struct {
	text   []byte
	buffer *[]byte // of resultBuffers
	// most is how long text may become; entries beyond it are only counted.
	most    int
	n, left int
	// verdicts counts the entries, if it is not nil.
	verdicts map[alert.Verdict]int
}

// resultBuffers keeps what results are written to; answers share no memory with
// anything else, so that these buffers can be used again.
var resultBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that is worth keeping.
const keptBuffer = 1 << 18

// newResults returns results for a body of the given length. The answer is not
// to be longer than twice the body, or 1 MiB: a body of nothing but tiny
// elements must not cost many times its size.
func newResults(body int) *results {
	buffer := resultBuffers.Get().(*[]byte)
	return &results{text: (*buffer)[:0], buffer: buffer, most: max(2*body, 1<<20)}
}

// release gives the buffer back.
func (r *results) release() {
	if cap(r.text) <= keptBuffer {
		*r.buffer = r.text
		resultBuffers.Put(r.buffer)
	}
}

// addBatch adds the elements of a batch in the order of the body. There is an
// outcome for each alert.
func (r *results) addBatch(b Batch, outcomes []alert.Outcome) {
	rejected := b.Rejected
	for i := range b.Len() {
		if len(rejected) > 0 && rejected[0].Index == b.First+i {
			r.add(&alert.Outcome{Verdict: alert.Rejected, Reason: rejected[0].Reason})
			rejected = rejected[1:]
			continue
		}
		r.add(&outcomes[0])
		outcomes = outcomes[1:]
	}
}

func (r *results) add(o *alert.Outcome) {
	r.n++
	if r.verdicts != nil {
		r.verdicts[o.Verdict]++
	}
	if len(r.text) > r.most {
		r.left++
		return
	}
	out := r.text
	if len(out) > 0 {
		out = append(out, ',')
	}
	out = append(out, `{"fingerprint":"`...)
	if !o.Fingerprint.IsZero() {
		out = hex.AppendEncode(out, o.Fingerprint[:])
	}
	out = append(out, `","verdict":"`...)
	out = append(out, o.Verdict.String()...)
	out = append(out, '"')
	if o.Incident != "" {
		out = appendText(append(out, `,"incident":`...), o.Incident)
	}
	if o.Reference != "" {
		out = appendText(append(out, `,"reference":`...), o.Reference)
	}
	if o.Reason != "" {
		out = appendText(append(out, `,"reason":`...), o.Reason)
	}
	r.text = append(out, '}')
}

// write sends the answer.
func (r *results) write(w http.ResponseWriter, code int) {
	head := strconv.AppendInt([]byte(`{"received":`), int64(r.n), 10)
	head = append(head, `,"results":[`...)
	tail := []byte("]")
	if r.left > 0 {
		tail = strconv.AppendInt(append(tail, `,"results_left_out":`...), int64(r.left), 10)
	}
	writeJSON(w, code, head, r.text, append(tail, "}\n"...))
}

// appendText appends s as a JSON string.
func appendText(out []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		out = append(out, '"')
		out = append(out, s...)
		return append(out, '"')
	}
	// The error says that invalid UTF-8 was replaced.
	out, _ = jsontext.AppendQuote(out, s)
	return out
}
