package email

import (
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// methods are the ways to check a sender whose results are kept.
var methods = []string{"spf", "dkim", "dmarc"}

// domains are the properties of a result that name the domain it is about.
var domains = []string{"header.d", "header.i", "header.from", "smtp.mailfrom"}

// authResults reads the Authentication-Results (RFC 8601) of the server named id,
// for each method the best one. Those of other servers can be forged. A pass that
// is about another domain than that of From says so: anybody has one that is good.
func (m *mail) authResults(id string) map[string]string {
	results := map[string]string{}
	if id == "" {
		return results
	}
	for _, f := range m.head {
		if !strings.EqualFold(string(f.name), "Authentication-Results") {
			continue
		}
		statements := splitStatements(unfold(f.value))
		if !strings.EqualFold(serverOf(statements), id) {
			continue
		}
		for _, s := range statements[1:] {
			method, result := m.authResult(s)
			if slices.Contains(methods, method) && results[method] != "pass" {
				results[method] = result
			}
		}
	}
	return results
}

// AuthServer returns the name of the server that an Authentication-Results field is
// of, as the format reads it.
func AuthServer(value []byte) string { return serverOf(splitStatements(unfold(value))) }

func serverOf(statements []string) string {
	name, _, _ := strings.Cut(statements[0], " ") // a version may follow
	return name
}

// authResult reads one statement: method=result and properties.
func (m *mail) authResult(s string) (method, result string) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return "", ""
	}
	method, result, _ = strings.Cut(strings.ToLower(words[0]), "=")
	method, _, _ = strings.Cut(method, "/") // a version
	result, _ = fields.Clean(result)
	if result != "pass" {
		return method, result
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(strings.ToLower(w), "=")
		if domain := value[strings.LastIndexByte(value, '@')+1:]; slices.Contains(domains, name) && !related(domain, m.from.domain()) {
			domain, _ = fields.Clean(domain)
			return method, "pass of " + domain
		}
	}
	return method, result
}

// related reports whether one domain is the other, or below it.
func related(a, b string) bool {
	return a != "" && b != "" && (a == b || strings.HasSuffix(a, "."+b) || strings.HasSuffix(b, "."+a))
}

// splitStatements splits a field at its semicolons, but for those in comments and
// quotes, which may hold what the sender of the mail wrote. Comments and quotes are
// left out. There is at least one part.
func splitStatements(value string) []string {
	var parts []string
	var part strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == ';':
			parts = append(parts, strings.TrimSpace(part.String()))
			part.Reset()
		case c == '\t':
			part.WriteByte(' ')
		default:
			part.WriteByte(c)
		}
	}
	return append(parts, strings.TrimSpace(part.String()))
}
