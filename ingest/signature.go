package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signatureHeader is where Grafana puts the signature unless it is told otherwise.
const signatureHeader = "X-Grafana-Alerting-Signature"

// signatureWindow is how far the time of signing may be off unless the source says.
const signatureWindow = 5 * time.Minute

// signature checks the signatures of one source.
type signature struct {
	secret             []byte
	header, timeHeader string
	window             time.Duration
}

func newSignature(c HMACConfig) *signature {
	s := &signature{secret: []byte(c.Secret.Reveal()), header: c.Header, timeHeader: c.TimestampHeader, window: time.Duration(c.Window)}
	if s.header == "" {
		s.header = signatureHeader
	}
	if s.window == 0 {
		s.window = signatureWindow
	}
	return s
}

// valid reports whether the header carries a signature of the body, made about now.
func (s *signature) valid(h http.Header, body []byte, now time.Time) bool {
	sum := hmac.New(sha256.New, s.secret)
	fresh := true
	if s.timeHeader != "" {
		stamp := h.Get(s.timeHeader)
		at, err := strconv.ParseInt(stamp, 10, 64)
		off := now.Sub(time.Unix(at, 0)).Abs()
		fresh = err == nil && off <= s.window
		sum.Write([]byte(stamp + ":"))
	}
	sum.Write(body)
	given, err := hex.DecodeString(strings.TrimPrefix(h.Get(s.header), "sha256="))
	return err == nil && hmac.Equal(given, sum.Sum(nil)) && fresh
}
