package fields

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"

	"github.com/tocsin-gateway/tocsin/alert"
)

// maxFields bounds the fields of a form.
const maxFields = 1000

// Form reads a form, in a query's shape (application/x-www-form-urlencoded) or in
// several parts (multipart/form-data, RFC 7578), which is told from the body
// where the content type does not say it. Names and values are clean; the first
// of two equal names counts. Files are fields like others.
func Form(contentType string, body []byte) (map[string]string, alert.Flag, error) {
	if boundary := boundaryOf(contentType, body); boundary != "" {
		return parts(boundary, body)
	}
	form, flags := map[string]string{}, alert.Flag(0)
	for n, rest := 0, string(bytes.TrimSpace(body)); rest != ""; n++ {
		if n == maxFields {
			return nil, 0, fmt.Errorf("more than %d fields", maxFields)
		}
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, f := unescape(name)
		flags |= f
		value, f = unescape(value)
		flags |= f
		if _, twice := form[name]; !twice && name != "" {
			form[name] = value
		}
	}
	return form, flags, nil
}

// unescape decodes one side of a pair. Senders that do not escape at all write
// percent signs that mean themselves.
func unescape(s string) (string, alert.Flag) {
	if out, err := url.QueryUnescape(s); err == nil {
		return Clean(out)
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out.WriteByte(' ')
		case s[i] == '%' && i+2 < len(s):
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				out.WriteString(c)
				i += 2
				continue
			}
			out.WriteByte('%')
		default:
			out.WriteByte(s[i])
		}
	}
	return Clean(out.String())
}

// boundaryOf returns what separates the parts of a multipart form.
func boundaryOf(contentType string, body []byte) string {
	if media, params, err := mime.ParseMediaType(contentType); err == nil && media == "multipart/form-data" {
		return params["boundary"]
	}
	line, rest, _ := bytes.Cut(body, []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	if len(line) > 2 && len(line) <= 72 && bytes.HasPrefix(line, []byte("--")) && len(rest) >= 19 &&
		bytes.EqualFold(rest[:19], []byte("content-disposition")) {
		return string(line[2:])
	}
	return ""
}

func parts(boundary string, body []byte) (map[string]string, alert.Flag, error) {
	form, flags := map[string]string{}, alert.Flag(0)
	in := multipart.NewReader(bytes.NewReader(body), boundary)
	for n := 0; ; n++ {
		part, err := in.NextRawPart()
		switch {
		case errors.Is(err, io.EOF):
			return form, flags, nil
		case err != nil:
			return nil, 0, fmt.Errorf("the form's parts: %w", err)
		case n == maxFields:
			return nil, 0, fmt.Errorf("more than %d fields", maxFields)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, 0, fmt.Errorf("the form's parts: %w", err)
		}
		name, f := Clean(part.FormName())
		flags |= f
		value, f := Clean(string(content))
		flags |= f
		if _, twice := form[name]; !twice && name != "" {
			form[name] = value
		}
	}
}
