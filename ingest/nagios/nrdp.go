package nagios

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/ingest"
	"github.com/tocsin-gateway/tocsin/ingest/fields"
)

// NRDP is what the clients of the Nagios Remote Data Processor send: results of
// checks as XML or JSON in a form, which GET has in the query. Its own server
// answers in XML, and its clients complain about everything else:
// https://github.com/NagiosEnterprises/nrdp
var NRDP = ingest.Format{
	Name:      "nrdp",
	BodyLimit: 4 * ingest.MiB,
	Batches:   ingest.Whole(decodeNRDP),
	Query:     true,
	Tokens:    nrdpTokens,
	Reply:     nrdpReply,
}

func decodeNRDP(r ingest.Request) (ingest.Batch, error) {
	form, flags, err := readSubmission(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	var data submission
	// Of two names for the same the first one counts.
	for _, name := range slices.Sorted(maps.Keys(form)) {
		value := form[name]
		switch strings.ToLower(name) {
		case "cmd":
			data.cmd = cmp.Or(data.cmd, value)
		case "xml", "xmldata":
			data.xml = cmp.Or(data.xml, value)
		case "json", "jsondata":
			data.json = cmp.Or(data.json, value)
		}
	}
	var results []named
	switch {
	case data.cmd != "" && !strings.EqualFold(data.cmd, "submitcheck"):
		return ingest.Batch{}, ingest.Errorf("cmd", "%q is not taken here, only submitcheck", alert.CutText(data.cmd, 100))
	case data.xml != "":
		results, err = readXML(data.xml)
	case data.json != "":
		var f alert.Flag
		results, f, err = readJSON(data.json)
		flags |= f
	case data.cmd != "":
		return ingest.Batch{}, ingest.Errorf("XMLDATA", "absent, and so is JSONDATA; the results stand there")
	default:
		return ingest.Batch{}, ingest.Foreignf("not a request of NRDP; a form with cmd=submitcheck and the results in XMLDATA or JSONDATA would be one")
	}
	if err != nil {
		return ingest.Batch{}, err
	}
	var b ingest.Batch
	for i := range results {
		n := &results[i]
		result, suffix, reason := n.result()
		if reason != "" {
			b.Rejected = append(b.Rejected, ingest.Reject(i, n.place, suffix, reason, r.Body))
			continue
		}
		a := result.Alert()
		a.Flags |= flags
		b.Alerts = append(b.Alerts, a)
	}
	return b, nil
}

// submission is what a form says.
type submission struct{ cmd, xml, json string }

// readSubmission reads the form. XML or JSON alone are taken as well.
func readSubmission(r ingest.Request) (map[string]string, alert.Flag, error) {
	body := bytes.TrimSpace(bytes.TrimPrefix(r.Body, []byte("\ufeff")))
	if len(body) > 0 && (body[0] == '<' || body[0] == '{') {
		name := map[byte]string{'<': "xml", '{': "json"}[body[0]]
		text, flags := fields.Clean(string(body))
		return map[string]string{name: text}, flags, nil
	}
	contentType, text := r.ContentType, ""
	if !bytes.HasPrefix(body, []byte("--")) {
		contentType = "" // what nrdpTokens leaves has no parts any more
		body, text = cutXML(body)
	}
	form, flags, err := fields.Form(contentType, body)
	if err != nil {
		return nil, 0, ingest.Errorf("", "%v", err)
	}
	if text != "" {
		clean, f := fields.Clean(text)
		form["xml"] = clean
		flags |= f
	}
	return form, flags, nil
}

// cutXML takes XML that is not escaped out of a form, as send_nrdp.sh writes it. In it
// + means itself, but what looks like an escape is one: that is how the client
// writes &.
func cutXML(form []byte) (rest []byte, text string) {
	begin, end := bytes.IndexByte(form, '<'), bytes.LastIndexByte(form, '>')+1
	if begin < 0 || end < begin {
		return form, ""
	}
	start := bytes.LastIndexByte(form[:begin], '&') + 1
	name, _, _ := strings.Cut(strings.ToLower(string(form[start:begin])), "=")
	if name != "xml" && name != "xmldata" {
		return form, ""
	}
	rest = append(bytes.Clone(form[:start]), bytes.TrimLeft(form[end:], "& \t\r\n")...)
	return rest, unescapePercent(string(form[begin:end]))
}

// unescapePercent decodes %XX, and leaves a % that begins none.
func unescapePercent(s string) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(s, "%")
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		c, err := url.PathUnescape("%" + after[:min(2, len(after))])
		if err != nil {
			c, s = "%", after
		} else {
			s = after[2:]
		}
		out.WriteString(c)
	}
}

// nrdpTokens takes the token out of the form.
func nrdpTokens(r ingest.Request) (tokens []string, body []byte) {
	form, _, err := readSubmission(r)
	if err != nil {
		return nil, nil // there may be a token in what cannot be read
	}
	kept := url.Values{}
	for name, value := range form {
		if strings.EqualFold(name, "token") {
			tokens = append(tokens, value)
		} else {
			kept.Set(name, value)
		}
	}
	return tokens, []byte(kept.Encode())
}

// nrdpReply answers as NRDP's own server does: status 0, or -1 and why.
func nrdpReply(code, results int, reason string) ingest.Reply {
	type meta struct {
		Output string `xml:"output"`
	}
	answer := struct {
		XMLName xml.Name `xml:"result"`
		Status  int      `xml:"status"`
		Message string   `xml:"message"`
		Meta    *meta    `xml:"meta"`
	}{Message: "OK"}
	if code == http.StatusOK || code == http.StatusAccepted {
		answer.Meta = &meta{fmt.Sprintf("%d checks processed.", results)}
	} else {
		answer.Status, answer.Message = -1, reason
	}
	out, _ := xml.MarshalIndent(answer, "", "  ") // it cannot fail: numbers and texts only
	return ingest.Reply{ContentType: "application/xml", Body: append([]byte(xml.Header), append(out, '\n')...)}
}
