package module

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	amcommoncfg "github.com/prometheus/alertmanager/config/common"
	commoncfg "github.com/prometheus/common/config"
)

// secretPart is how long a part of a secret URL is that is one by itself, in bytes.
const secretPart = 16

// secretFileLimit is what is read of a file with a secret, in bytes.
const secretFileLimit = 64 << 10

// secrets are the texts of one block that no error may show.
type secrets struct {
	texts []string
	// files hold more of them; they are read when there is an error to look at, since
	// what they hold may change.
	files []string
}

// secretsOf finds the secrets of a block by their types, so that one which the
// module adds is found too.
func secretsOf(blocks ...any) *secrets {
	s := &secrets{}
	for _, b := range blocks {
		s.find(reflect.ValueOf(b), "")
	}
	return s
}

func (s *secrets) find(v reflect.Value, name string) {
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() || v.CanInterface() && s.known(v.Interface()) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		s.find(v.Elem(), name)
	case reflect.Struct:
		for n := range v.NumField() {
			if f := v.Type().Field(n); f.IsExported() {
				s.find(v.Field(n), f.Name)
			}
		}
	case reflect.Slice:
		for n := range v.Len() {
			s.find(v.Index(n), name)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			s.find(v.MapIndex(key), name)
		}
	case reflect.String:
		if path := v.String(); path != "" && holdsSecret(name) {
			s.files = append(s.files, path)
		}
	}
}

// holdsSecret reports whether a field of this name is the path of a file that does.
func holdsSecret(name string) bool {
	switch name {
	case "CAFile", "CertFile", "ChatIDFile":
		return false
	}
	return strings.HasSuffix(name, "File") || name == "Files"
}

// known takes the types that secrets have.
func (s *secrets) known(v any) bool {
	switch v := v.(type) {
	case commoncfg.Secret:
		s.add(string(v))
	case amcommoncfg.SecretURL:
		s.address(v.URL)
	case amcommoncfg.URL:
		s.login(v.URL)
	case commoncfg.URL:
		s.login(v.URL)
	case *commoncfg.BasicAuth:
		if v.Password != "" {
			s.add(base64.StdEncoding.EncodeToString([]byte(v.Username + ":" + string(v.Password))))
		}
		return false
	default:
		return false
	}
	return true
}

// address adds a URL that is a secret itself.
func (s *secrets) address(u *url.URL) {
	if u == nil {
		return
	}
	s.add(u.String())
	if u.Path != "" && u.Path != "/" {
		s.add(u.RequestURI())
		s.add(u.Path)
		for part := range strings.SplitSeq(u.Path, "/") {
			if len(part) >= secretPart {
				s.add(part)
			}
		}
	}
	s.login(u)
}

// login adds what of a URL opens doors.
func (s *secrets) login(u *url.URL) {
	if u == nil {
		return
	}
	if password, set := u.User.Password(); set {
		s.add(password)
	}
	for _, values := range u.Query() {
		for _, value := range values {
			s.add(value)
		}
	}
}

// add adds a secret in the spellings in which tools and libraries repeat it.
func (s *secrets) add(secret string) {
	if secret == "" {
		return
	}
	quoted, err := json.Marshal(secret)
	if err != nil {
		quoted = []byte(`""`) // unreachable: it is a text
	}
	s.texts = append(s.texts, secret, url.QueryEscape(secret), url.PathEscape(secret), string(quoted[1:len(quoted)-1]))
}

// in hides the secrets in a text.
func (s *secrets) in(text string) string {
	all := &secrets{texts: slices.Clone(s.texts)}
	for _, path := range s.files {
		content := strings.TrimSpace(readSome(path))
		if u, err := url.Parse(content); err == nil && u.Host != "" {
			all.address(u)
		} else {
			all.add(content)
		}
	}
	all.texts = slices.DeleteFunc(all.texts, func(s string) bool { return s == "" })
	// The longest first: one may be a part of another.
	slices.SortFunc(all.texts, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	pairs := make([]string, 0, 2*len(all.texts))
	for _, secret := range all.texts {
		pairs = append(pairs, secret, "<secret>")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// readSome returns the beginning of a file, nothing if it cannot be read: then it
// has not been sent either.
func readSome(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, secretFileLimit))
	if err != nil {
		return ""
	}
	return string(text)
}
