package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// parse returns the top of the file, or nil if the file cannot be read as one
// mapping; then it has recorded why.
func (d *decoder) parse(text []byte) *yaml.Node {
	if len(text) > sizeLimit {
		d.wrong(place{}, "", fmt.Sprintf("the file is larger than %d MiB", sizeLimit>>20), "")
		return nil
	}
	if p, bad := oddCharacter(text); bad {
		d.wrong(p, "", "the file holds a character that is not text", "write the file in UTF-8, without control characters")
		return nil
	}
	parser := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	if err := parser.Decode(&document); errors.Is(err, io.EOF) {
		return blankNode()
	} else if err != nil {
		d.syntax(err, text)
		return nil
	}
	if err := parser.Decode(&second); err == nil {
		d.wrong(placeOf(&second), "", "the file has a second document", "remove the line --- and join the parts")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err, text)
		return nil
	}
	return d.top(&document)
}

// top returns the mapping that a document must consist of.
func (d *decoder) top(document *yaml.Node) *yaml.Node {
	root := document.Content[0]
	switch {
	case isNull(root):
		return blankNode()
	case root.Kind != yaml.MappingNode:
		d.wrong(placeOf(root), "", "expected sections such as sources: at the top, got "+describe(root, true), "")
		return nil
	}
	if len(root.Content) > 2*sectionLimit {
		d.wrong(placeOf(root), "", fmt.Sprintf("more than %d sections", sectionLimit), "")
		return nil
	}
	for _, key := range root.Content {
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			d.wrong(placeOf(key), "", "sections cannot be merged with <<", "write them out")
			return nil
		}
	}
	if n := tooDeep(root, depthLimit); n != nil {
		d.wrong(placeOf(n), "", fmt.Sprintf("nested more than %d levels deep", depthLimit), "")
		return nil
	}
	return root
}

// tooDeep returns a node below n that is more than limit levels down.
func tooDeep(n *yaml.Node, limit int) *yaml.Node {
	if limit < 0 {
		return n
	}
	for _, child := range n.Content {
		if found := tooDeep(child, limit-1); found != nil {
			return found
		}
	}
	return nil
}

// oddCharacter returns where the text has something that YAML does not allow.
// The YAML module notices too, but does not say where.
func oddCharacter(text []byte) (place, bool) {
	p := place{1, 1}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || !isText(r) {
			return p, true
		}
		text = text[size:]
		p.column++
		if r == '\n' {
			p = place{p.line + 1, 1}
		}
	}
	return place{}, false
}

// isText reports whether YAML allows the character.
func isText(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == '\u0085':
		return true
	}
	return r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) && r != '\ufffe' && r != '\uffff'
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)
	yamlQuoted  = regexp.MustCompile("`[^`]*`")
	anchorNamed = regexp.MustCompile(`(?s)^unknown anchor '(.*)' referenced$`)
	parserError = regexp.MustCompile(`^did not find expected (<document start>|node content|'-' indicator|key|',' or '.')`)
)

// syntax records what the YAML module could not read.
func (d *decoder) syntax(err error, text []byte) {
	line, message := splitYAML(err)
	if parserError.MatchString(message) {
		line = problemLine(text, message, line)
	}
	lines := strings.Split(string(text), "\n")
	line = min(max(line, 1), len(lines))
	content := strings.TrimLeft(lines[line-1], " ")
	at := place{line, 1 + len(lines[line-1]) - len(content)}
	suggestion := ""
	anchor := anchorNamed.FindStringSubmatch(message)
	switch {
	case strings.HasPrefix(content, "\t"):
		suggestion = "indent with spaces, not with tabs"
	case strings.HasPrefix(message, "mapping values are not allowed"):
		suggestion = "check the indentation, and quote a value that holds \": \""
	case message == "did not find expected key", message == "did not find expected '-' indicator":
		suggestion = "check the indentation"
	case strings.HasPrefix(message, "did not find expected ',' or"):
		suggestion = "a bracket before this place is not closed"
	case anchor != nil:
		// The name is not repeated: it may be a password that begins with *.
		message, suggestion = "an alias refers to an anchor that is not there", "quote a value that begins with *"
		at = placeIn(text, "*"+anchor[1])
	}
	d.wrong(at, "", "not YAML: "+message, suggestion)
}

// splitYAML takes a message of a YAML module apart. The line is 0 if it has none.
func splitYAML(err error) (line int, message string) {
	found := yamlLine.FindStringSubmatch(err.Error())
	line, _ = strconv.Atoi(found[1]) // no digits: 0
	return line, err.Error()[len(found[0]):]
}

// problemLine returns the line of a mistake in the structure of the text. There
// yaml/v3 only says where the surrounding structure begins; yaml/v2, whose
// parser is the same, says where the mistake is, counted from 0.
func problemLine(text []byte, message string, otherwise int) int {
	var ignored any
	err := yamlv2.Unmarshal(text, &ignored)
	if err == nil {
		return otherwise
	}
	if line, same := splitYAML(err); same == message {
		return line + 1
	}
	return otherwise
}

// placeIn returns where part first is in text, or its beginning.
func placeIn(text []byte, part string) place {
	before, _, found := strings.Cut(string(text), part)
	if !found {
		return place{1, 1}
	}
	start := strings.LastIndexByte(before, '\n') + 1
	return place{1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])}
}
