package elastalert

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// tokens takes PagerDuty's key out of a body, which whoever sends to us in place of
// PagerDuty can set to the token of the source.
func tokens(body []byte) (found []string, out []byte) {
	if !bytes.Contains(body, []byte("routing_key")) {
		return nil, body
	}
	in := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if token, err := in.ReadToken(); err != nil || token.Kind() != jsontext.KindBeginObject {
		return nil, body
	}
	taken := 0
	for in.PeekKind() == jsontext.KindString {
		name, err := in.ReadToken()
		if err != nil {
			break
		}
		key := name.String() == "routing_key"
		value, err := in.ReadValue()
		if err != nil {
			break
		}
		if !key {
			continue
		}
		if text, err := jsontext.AppendUnquote(nil, value); err == nil && len(text) > 0 {
			found = append(found, string(text))
		}
		end := int(in.InputOffset())
		out = append(append(out, body[taken:end-len(value)]...), "null"...)
		taken = end
	}
	return found, append(out, body[taken:]...)
}
