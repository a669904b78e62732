package elastalert

import (
	"bytes"

	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// tokens takes PagerDuty's key out of a body, which whoever sends to us in place of
// PagerDuty can set to the token of the source. Its first version calls it service_key.
func tokens(body []byte) (found []string, out []byte) {
	if !bytes.Contains(body, []byte("routing_key")) && !bytes.Contains(body, []byte("service_key")) {
		return nil, body
	}
	return fields.WithoutMembers(body, func(name string, depth int) bool {
		return depth == 1 && (name == "routing_key" || name == "service_key")
	})
}
