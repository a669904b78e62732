package targettest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// readStrictly reads JSON that may have no members but those of v; it returns what
// is wrong with it.
func readStrictly(r *http.Request, body []byte, v any) string {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return "the content type is " + kind
	}
	if !utf8.Valid(body) {
		return "it is not UTF-8"
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err.Error()
	}
	return ""
}

// replyJSON answers with JSON.
func replyJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}

// tooLong returns what is wrong with a text of more than n characters.
func tooLong(name, text string, n int) string {
	if utf8.RuneCountInString(text) > n {
		return name + " is too long"
	}
	return ""
}

// firstOf returns the first text that says something.
func firstOf(texts ...string) string {
	n := slices.IndexFunc(texts, func(s string) bool { return s != "" })
	if n < 0 {
		return ""
	}
	return texts[n]
}

var (
	markdownEscapes = regexp.MustCompile("\\\\[!-/:-@[-`{-~]")
	bareLink        = regexp.MustCompile(`https?://\S+`)
	// markdownSigns is what Markdown, and the mentions of the tools that read it, are made
	// of: tags and their like, mentions, links under a text, emphasis and code; and at
	// the beginning of a line, quotes and headings.
	markdownSigns = regexp.MustCompile("<[@#!:/?a-zA-Z]|@[a-zA-Z0-9]|\\[[^\\]]*\\]\\(|[*_~`|]|(?m:^\\s*>)|(?m:^#+ .*)|(?m:^\\s*(?:===|---))|&[a-zA-Z#]")
)

// LiveMarkdown lists what a tool that reads Markdown would not show as it is: the
// rules are those that https://spec.commonmark.org/0.31.2/ and the pages of Discord,
// Mattermost and Webex have in common. Known says which of it is meant.
func LiveMarkdown(text string, known ...string) []string {
	text = bareLink.ReplaceAllStringFunc(markdownEscapes.ReplaceAllString(text, ""), func(link string) string {
		return strings.Join(markdownSigns.FindAllString(link[len("https://"):], -1), " ")
	})
	return slices.DeleteFunc(markdownSigns.FindAllString(text, -1), func(s string) bool { return slices.Contains(known, strings.TrimSpace(s)) })
}
