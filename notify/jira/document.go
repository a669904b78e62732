package jira

import (
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/wire"
)

// node is one of the Atlassian Document Format,
// https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/. What
// is in a text node is text: nothing in it needs to be escaped.
type node struct {
	Type    string `json:"type"`
	Version int    `json:"version,omitzero"`
	Content []node `json:"content,omitempty"`
	Text    string `json:"text,omitzero"`
	Marks   []mark `json:"marks,omitempty"`
}

type mark struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs,omitempty"`
}

// document is the description: the document that the template writes as JSON, or
// one made of the text that it writes.
func (s *Sender) document(m *notify.Message) any {
	plain := wire.Clean(m.Plain())
	text := s.templates.Texts(m, wire.Clean).Text("description", s.config.Description.Template, plain)
	if doc := s.written(m, text); doc != nil {
		return doc
	}
	return document(text, m)
}

// written is the document that a template wrote, nil if it wrote none. It may put
// what came with an alert into it without encoding it. If that changes the
// document, it is written again with what cannot.
func (s *Sender) written(m *notify.Message, text string) map[string]any {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return nil
	}
	tame := parse(s.templates.Texts(m, unquoted).Text("description", s.config.Description.Template, ""))
	if tame == nil {
		return nil
	}
	doc := parse(text)
	if doc == nil || !reflect.DeepEqual(skeleton(doc), skeleton(tame)) {
		doc = tame
	}
	content, _ := doc["content"].([]any)
	for _, n := range footer(m) {
		content = append(content, n)
	}
	doc["content"] = content
	if out, err := json.Marshal(doc); err != nil || wire.Length(string(out)) > descriptionLimit {
		return nil
	}
	return doc
}

// unquoted is text that does not end a string of JSON.
func unquoted(s string) string {
	return strings.NewReplacer(`"`, "”", `\`, "＼", "\n", " ", "\t", " ").Replace(wire.Clean(s))
}

// parse returns a document, nil if the text is none.
func parse(text string) map[string]any {
	var doc map[string]any
	if json.Unmarshal([]byte(text), &doc) != nil || doc["type"] != "doc" {
		return nil
	}
	doc, _ = wire.Value(doc).(map[string]any)
	return doc
}

// skeleton is a document without its texts.
func skeleton(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for n := range v {
			out[n] = skeleton(v[n])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name := range v {
			if out[name] = skeleton(v[name]); name == "text" {
				out[name] = ""
			}
		}
		return out
	}
	return v
}

// document makes one of a text: a paragraph of each block of lines, and the footer
// of m, if there is one. The text is cut until Jira takes it.
func document(text string, m *notify.Message) *node {
	for limit := descriptionLimit; ; limit = limit * 3 / 4 {
		doc := &node{Type: "doc", Version: 1, Content: append(paragraphs(wire.Cut(strings.TrimSpace(wire.Clean(text)), limit)), footer(m)...)}
		if out, err := json.Marshal(doc); err == nil && wire.Length(string(out)) <= descriptionLimit || limit < 100 {
			return doc
		}
	}
}

func paragraphs(text string) (out []node) {
	for _, block := range strings.Split(text, "\n\n") {
		var p node
		for _, line := range strings.Split(block, "\n") {
			if line = strings.TrimRight(line, " \t"); line != "" {
				p.line(node{Type: "text", Text: line})
			}
		}
		if len(p.Content) > 0 {
			p.Type = "paragraph"
			out = append(out, p)
		}
	}
	return out
}

// line adds a line to a paragraph.
func (n *node) line(of node) {
	if len(n.Content) > 0 {
		n.Content = append(n.Content, node{Type: "hardBreak"})
	}
	n.Content = append(n.Content, of)
}

// footer is a paragraph of what is said beside the description; nil has none.
func footer(m *notify.Message) []node {
	if m == nil {
		return nil
	}
	p := node{Type: "paragraph"}
	for _, line := range wire.Facts(m) {
		p.line(node{Type: "text", Text: line})
	}
	for _, l := range wire.Links(m) {
		p.line(node{Type: "text", Text: l.Text, Marks: []mark{{"link", map[string]string{"href": l.URL}}}})
	}
	if len(p.Content) == 0 {
		return nil
	}
	return []node{p}
}
