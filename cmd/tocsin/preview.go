package main

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
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

// chatText is a message to Slack as people read it: its title, its text, and what
// stands below.
func chatText(body string) (string, error) {
	type element struct {
		Type string         `json:"type"`
		Text jsontext.Value `json:"text"`
	}
	var m struct {
		Attachments []struct {
			Title  string `json:"title"`
			Text   string `json:"text"`
			Blocks []struct {
				Elements []element `json:"elements"`
			} `json:"blocks"`
		} `json:"attachments"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return "", err
	}
	var lines []string
	for _, a := range m.Attachments {
		lines = append(lines, a.Title, a.Text)
		for _, b := range a.Blocks {
			var row []string
			for _, e := range b.Elements {
				var text string
				if json.Unmarshal(e.Text, &text) != nil {
					var inner struct {
						Text string `json:"text"`
					}
					if err := json.Unmarshal(e.Text, &inner); err != nil {
						return "", err
					}
					text = inner.Text
				}
				if e.Type == "button" {
					text = "[" + text + "]"
				}
				row = append(row, text)
			}
			lines = append(lines, strings.Join(row, " "))
		}
	}
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return line == "" }), "\n"), nil
}
