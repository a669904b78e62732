package targettest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// adfBlocks are the nodes of the Atlassian Document Format that hold others, with
// what they hold, https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/.
var adfBlocks = map[string][]string{
	"doc":         {"paragraph", "heading", "bulletList", "orderedList", "codeBlock", "blockquote", "panel", "rule"},
	"paragraph":   {"text", "hardBreak", "mention", "emoji", "inlineCard"},
	"heading":     {"text", "hardBreak", "mention", "emoji", "inlineCard"},
	"codeBlock":   {"text"},
	"blockquote":  {"paragraph", "bulletList", "orderedList"},
	"panel":       {"paragraph", "heading", "bulletList", "orderedList"},
	"bulletList":  {"listItem"},
	"orderedList": {"listItem"},
	"listItem":    {"paragraph", "bulletList", "orderedList", "codeBlock"},
}

var adfMarks = []string{"strong", "em", "code", "link", "strike", "underline", "subsup", "textColor"}

// checkADF says what is wrong with a document, and what in it is live: links and
// mentions.
func checkADF(v any) (live []string, err error) {
	doc, ok := v.(map[string]any)
	if !ok || doc["type"] != "doc" || doc["version"] != float64(1) {
		return nil, fmt.Errorf("it is not a document of version 1: %.100v", v)
	}
	err = checkNode(doc, &live)
	return live, err
}

func checkNode(node map[string]any, live *[]string) error {
	kind, _ := node["type"].(string)
	allowed, block := adfBlocks[kind]
	content, _ := node["content"].([]any)
	if !block {
		return checkLeaf(kind, node, live)
	}
	if _, there := node["content"]; !there && kind != "paragraph" {
		return fmt.Errorf("%s has no content", kind)
	}
	for _, c := range content {
		inner, _ := c.(map[string]any)
		if kind, _ := inner["type"].(string); !slices.Contains(allowed, kind) {
			return fmt.Errorf("%s is in %s", kind, node["type"])
		}
		if err := checkNode(inner, live); err != nil {
			return err
		}
	}
	return nil
}

func checkLeaf(kind string, node map[string]any, live *[]string) error {
	switch kind {
	case "hardBreak", "rule":
		return nil
	case "mention", "emoji", "inlineCard":
		*live = append(*live, kind)
		return nil
	case "text":
	default:
		return fmt.Errorf("there is no node %q", kind)
	}
	if text, _ := node["text"].(string); text == "" || strings.ContainsAny(text, "\x00") {
		return fmt.Errorf("a text node is empty or has a NUL")
	}
	marks, _ := node["marks"].([]any)
	for _, v := range marks {
		mark, _ := v.(map[string]any)
		kind, _ := mark["type"].(string)
		if !slices.Contains(adfMarks, kind) {
			return fmt.Errorf("there is no mark %q", kind)
		}
		if kind != "link" {
			continue
		}
		attrs, _ := mark["attrs"].(map[string]any)
		href, _ := attrs["href"].(string)
		if u, err := url.Parse(href); err != nil || u.Host == "" {
			return fmt.Errorf("a link leads to %q", href)
		}
		*live = append(*live, href)
	}
	return nil
}
