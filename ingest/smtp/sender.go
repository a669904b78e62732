package smtp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/publicsuffix"

	"github.com/tocsin-gateway/tocsin/ingest/email"
)

// Resolver looks up names, as *net.Resolver does.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

const (
	// lookupTimeout is how long all look-ups for a mail may take.
	lookupTimeout = 5 * time.Second
	// maxSignatures is how many signatures of a mail are checked.
	maxSignatures = 3
)

// results checks the sender by SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC
// 7489), and writes what came out as a field (RFC 8601). Nothing is refused for
// it here: the source says what it requires.
func (s *session) results(raw []byte) string {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	from := domainOf(email.From(raw))
	envelope := domainOf(s.from)
	spfResult := s.spf(ctx)
	signed, dkimResult := s.dkim(ctx, raw)
	passed := spfResult == string(spf.Pass)
	return "Authentication-Results: " + s.s.Hostname + ";\r\n spf=" + spfResult + " smtp.mailfrom=" + token(envelope) +
		dkimStatements(dkimResult, signed) + ";\r\n dmarc=" + s.dmarc(ctx, from, passed, envelope, signed) + " header.from=" + token(from) + "\r\n"
}

// dkimStatements has one for each signature that is good.
func dkimStatements(result string, signed []string) string {
	if len(signed) == 0 {
		return ";\r\n dkim=" + result
	}
	out := ""
	for _, domain := range signed {
		out += ";\r\n dkim=pass header.d=" + token(domain)
	}
	return out
}

// token is a domain as it may stand in the field.
func token(domain string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(domain))
	if out == "" {
		return "none"
	}
	return out
}

func (s *session) spf(ctx context.Context) string {
	tcp, ok := s.conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return "none"
	}
	result, _ := spf.CheckHostWithSender(tcp.IP, s.c.Hostname(), s.from, spf.WithContext(ctx), spf.WithResolver(s.s.Resolver))
	return string(result) // the error says why
}

// dkim returns the domains that have signed, and the best result.
func (s *session) dkim(ctx context.Context, raw []byte) (signed []string, result string) {
	result = "none"
	checked, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{MaxVerifications: maxSignatures,
		LookupTXT: func(domain string) ([]string, error) { return s.s.Resolver.LookupTXT(ctx, domain) }})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil, "permerror"
	}
	for _, v := range checked {
		switch {
		case v.Err == nil:
			signed, result = append(signed, v.Domain), "pass"
		case result == "pass":
		case dkim.IsTempFail(v.Err):
			result = "temperror"
		default:
			result = "fail"
		}
	}
	return signed, result
}

// dmarc says whether the domain in From is the one that SPF or DKIM has confirmed.
func (s *session) dmarc(ctx context.Context, from string, spfPassed bool, envelope string, signed []string) string {
	if from == "" {
		return "permerror"
	}
	options := &dmarc.LookupOptions{LookupTXT: func(domain string) ([]string, error) { return s.s.Resolver.LookupTXT(ctx, domain) }}
	record, err := dmarc.LookupWithOptions(from, options)
	if errors.Is(err, dmarc.ErrNoPolicy) && organization(from) != from {
		record, err = dmarc.LookupWithOptions(organization(from), options)
	}
	switch {
	case errors.Is(err, dmarc.ErrNoPolicy):
		return "none"
	case err != nil && dmarc.IsTempFail(err):
		return "temperror"
	case err != nil:
		return "permerror"
	}
	if spfPassed && aligned(from, envelope, record.SPFAlignment) {
		return "pass"
	}
	for _, domain := range signed {
		if aligned(from, domain, record.DKIMAlignment) {
			return "pass"
		}
	}
	return "fail"
}

func aligned(from, domain string, mode dmarc.AlignmentMode) bool {
	if strings.EqualFold(from, domain) {
		return true
	}
	return mode != dmarc.AlignmentStrict && domain != "" && strings.EqualFold(organization(from), organization(domain))
}

// organization is the domain that somebody registered.
func organization(domain string) string {
	if registered, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(domain)); err == nil {
		return registered
	}
	return strings.ToLower(domain)
}

func domainOf(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return strings.ToLower(addr[i+1:])
	}
	return ""
}
