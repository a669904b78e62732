package email

import (
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// address is one of From.
type address struct{ name, addr string }

func newAddress(name, addr string) address {
	name, _ = decodeWords(strings.TrimSpace(name))
	addr, _ = fields.Clean(strings.ToLower(strings.TrimSpace(addr)))
	name, _ = fields.Clean(strings.TrimSpace(name))
	return address{name, addr}
}

// domain is the part of the address behind the @.
func (a address) domain() string { return a.addr[strings.LastIndexByte(a.addr, '@')+1:] }

// From returns the address of the author of a raw mail in small letters: what stands
// in the field From, if there is one such field with one address in it. It is the
// address that the format counts as the sender's, so that whoever checks senders
// must check this one.
func From(raw []byte) string {
	h, _, _ := splitHeader(trimEnvelope(raw))
	return h.author().addr
}

// author is the address in From; none if there are several.
func (h header) author() address {
	var value []byte
	for _, f := range h {
		if strings.EqualFold(string(f.name), "From") {
			if value != nil {
				return address{}
			}
			value = f.value
		}
	}
	if list, sure := addresses(unfold(value)); sure && len(list) == 1 {
		return list[0]
	}
	return address{}
}

// parseAddress reads the first address of a field.
func parseAddress(s string) address {
	list, _ := addresses(s)
	if len(list) == 0 {
		return address{}
	}
	return list[0]
}

// addresses reads a list (RFC 5322, section 3.4) of name <addr>, addr (name) or addr,
// the local part alone too. Sure is false if programs may read it in different ways.
func addresses(s string) (list []address, sure bool) {
	sure = true
	for s != "" {
		var p mailbox
		s = p.read(s)
		a, ok := p.address()
		sure = sure && ok
		if a.addr != "" {
			list = append(list, a)
		}
	}
	if len(list) > 1 { // a name with a comma and without quotes: Doe, Jane <j@example.com>
		kept := list[:0:0]
		for _, a := range list {
			if strings.Contains(a.addr, "@") {
				kept = append(kept, a)
			}
		}
		list = kept
	}
	return list, sure
}

// mailbox is one address of a list in pieces.
type mailbox struct {
	// words are what stands outside of brackets, with quoted without quotes;
	// behind is what of it follows an address in brackets.
	words, behind, comment, angle strings.Builder
	angles                        int
	quoted                        bool
}

// read reads up to a comma, and returns what follows it.
func (p *mailbox) read(s string) string {
	depth, inQuotes, inAngle := 0, false, false
	for i := 0; i < len(s); i++ {
		to := &p.words
		switch {
		case depth > 0:
			to = &p.comment
		case inAngle:
			to = &p.angle
		case p.angles > 0:
			to = &p.behind
		}
		switch c := s[i]; {
		case c == '\\' && (inQuotes || depth > 0) && i+1 < len(s):
			i++
			to.WriteByte(s[i])
		case inQuotes:
			if inQuotes = c != '"'; inQuotes || inAngle {
				to.WriteByte(c)
			}
		case depth > 0:
			switch c {
			case '(':
				depth++
			case ')':
				depth--
			}
			if depth > 0 {
				to.WriteByte(c)
			}
		case c == '(':
			depth++
		case c == '"':
			if inQuotes, p.quoted = true, true; inAngle {
				to.WriteByte(c)
			}
		case c == '<' && !inAngle:
			inAngle = true
			p.angles++
		case c == '>' && inAngle:
			inAngle = false
		case c == ',' && !inAngle:
			return s[i+1:]
		default:
			to.WriteByte(c)
		}
	}
	return ""
}

// address is what the pieces say, and whether that is beyond doubt.
func (p *mailbox) address() (address, bool) {
	words, behind := strings.TrimSpace(p.words.String()), strings.TrimSpace(p.behind.String())
	if p.angles > 0 {
		addr := strings.TrimSpace(p.angle.String())
		return newAddress(words, addr), p.angles == 1 && behind == "" && !strings.ContainsAny(addr, " \t<>,;:\"")
	}
	return newAddress(p.comment.String(), words), !p.quoted && !strings.ContainsAny(words, " \t<>;:")
}
