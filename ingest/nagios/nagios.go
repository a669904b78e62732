// Package nagios understands what Nagios Core, and what speaks like it, says:
// notifications as the usual notification commands send them (Format), and
// results of checks (Result), which come through NRDP (NRDP) and NSCA.
package nagios

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// Format is what notification commands send. Nagios has no format of its own, it
// has macros: https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/macrolist.html
// They come as a form with fields of their names, as JSON made of the
// environment, as the environment itself, and as JSON that was written by hand
// into a command line, with names of somebody's own choice.
var Format = ingest.Format{Name: "nagios", BodyLimit: 4 * ingest.MiB, Batches: ingest.Whole(decode), Tokens: withoutSecrets}

func decode(r ingest.Request) (ingest.Batch, error) {
	body := bytes.TrimSpace(bytes.TrimPrefix(r.Body, []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return ingest.Batch{}, ingest.Errorf("", "the body is empty; a notification has at least HOSTNAME and NOTIFICATIONTYPE")
	case body[0] == '{' || body[0] == '[':
		return decodeJSON(body)
	case isEnvironment(body):
		return single(readEnvironment(body), body)
	}
	contentType := r.ContentType
	if !bytes.HasPrefix(body, []byte("--")) {
		contentType = "" // what withoutSecrets leaves has no parts any more
	}
	form, flags, err := fields.Form(contentType, r.Body)
	if err != nil {
		return ingest.Batch{}, ingest.Errorf("", "%v", err)
	}
	m := newMacros(flags).setAll(form)
	// A form has no blanks, so with one it is a text.
	if !m.known() && bytes.ContainsAny(body, " \n") && cries(body) {
		return unparsed("it is neither a form, nor JSON, nor the environment", body), nil
	}
	return single(m, body)
}

// decodeJSON takes an object, or a list of them.
func decodeJSON(body []byte) (ingest.Batch, error) {
	v, flags, err := fields.JSON(body)
	if err != nil {
		return salvage(body, err)
	}
	list, many := v.([]any)
	if !many {
		return single(fromJSON(v, flags), body)
	}
	var b ingest.Batch
	for i, v := range list {
		a, err := fromJSON(v, flags).alert()
		if err != nil {
			suffix := ""
			if err.Field != "" {
				suffix = "." + err.Field
			}
			b.Rejected = append(b.Rejected, ingest.Reject(i, fmt.Sprintf("[%d]", i), suffix, strings.TrimPrefix(err.Reason, err.Field+": "), body))
			continue
		}
		b.Alerts = append(b.Alerts, a)
	}
	return b, nil
}

// single makes the batch of one notification.
func single(m *macros, body []byte) (ingest.Batch, error) {
	a, err := m.alert()
	switch {
	case err == nil && a.Flags&alert.FlagUnparsed != 0:
		field, reason := "NOTIFICATIONTYPE", fmt.Sprintf("%q is no type of a notification; PROBLEM and RECOVERY are", alert.CutText(m.kind(), 100))
		if m.kind() == "" {
			field, reason = "SERVICESTATE", fmt.Sprintf("%q is no state; OK and CRITICAL are, or UP and DOWN of a host", alert.CutText(m.state(), 100))
		}
		return ingest.Batch{Alerts: []alert.Alert{a}, Unparsed: []ingest.Rejected{ingest.Reject(0, field, "", reason, body)}}, nil
	case err == nil:
		return ingest.Batch{Alerts: []alert.Alert{a}}, nil
	case m.isProblem():
		// A problem, but whose? Whoever reads it will know.
		return unparsed(err.Reason, body), nil
	}
	return ingest.Batch{}, err
}
