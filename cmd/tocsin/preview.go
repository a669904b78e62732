package main

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// shown is what a target would be told as people read it: JSON with its structure,
// a mail with its subject and its plain text. What is not understood, and what is
// neither, is shown as it is.
func shown(contentType, body string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return body
	}
	switch kind {
	case "application/json":
		v := jsontext.Value(body)
		if v.Indent(jsontext.WithIndent("  ")) == nil {
			return string(v)
		}
	case "message/rfc822":
		if text, err := shownMail(body); err == nil {
			return text
		}
	}
	return body
}

var errNoText = errors.New("it has no plain text")

// shownMail reads a mail as Tocsin writes it.
func shownMail(raw string) (string, error) {
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range []string{"From", "To", "Subject"} {
		value, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	for parts := multipart.NewReader(m.Body, parameters["boundary"]); ; {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return "", errNoText
		}
		if err != nil {
			return "", err
		}
		if kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type")); kind != "text/plain" {
			continue
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			return "", err
		}
		return b.String() + "\n" + strings.ReplaceAll(string(text), "\r\n", "\n"), nil
	}
}
