package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	commoncfg "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/notify/receivers"
)

// ownBlocks are the blocks of a receiver that Alertmanager's loader does not see.
var ownBlocks = receivers.OwnBlocks()

// ownReceivers decodes our own blocks of the receivers, by the receiver's name.
// Everything else in them is the loader's business.
func (d *decoder) ownReceivers(root *yaml.Node) map[string]*receivers.Own {
	var all map[string]*receivers.Own
	for i, r := range receiverNodes(root) {
		own := &receivers.Own{}
		v := reflect.ValueOf(own).Elem()
		fields := fieldsOf(v.Type())
		at := slot{path: indexPath("receivers", i), depth: 2}
		d.at[at.path] = placeOf(r)
		name, found := "", false
		for n := 0; n+1 < len(r.Content); n += 2 {
			key, value := r.Content[n], r.Content[n+1]
			if key.Value == "name" && value.Kind == yaml.ScalarNode {
				name = value.Value
			}
			index, ours := fields.index[key.Value]
			if !ours {
				continue
			}
			found = true
			block := at.key(key.Value)
			d.remember(pair{key.Value, key, value}, block.path)
			d.readLater = true
			d.value(value, v.FieldByIndex(index), block)
			d.readLater = false
		}
		if found && all == nil {
			all = map[string]*receivers.Own{}
		}
		if found {
			all[name] = own
		}
	}
	return all
}

// receiverNodes are the mappings in the section receivers.
func receiverNodes(root *yaml.Node) []*yaml.Node {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "receivers" && root.Content[i+1].Kind == yaml.SequenceNode {
			return slices.DeleteFunc(slices.Clone(root.Content[i+1].Content), func(n *yaml.Node) bool { return n.Kind != yaml.MappingNode })
		}
	}
	return nil
}

// withoutOwnBlocks returns text with spaces in place of our own blocks. It
// reports whether that worked out: in unusual YAML a block may end elsewhere.
func withoutOwnBlocks(root *yaml.Node, text string) (string, bool) {
	lines := lineStarts(text)
	out := []byte(text)
	list := receiverNodes(root)
	for i, r := range list {
		end := receiversEnd(root, text, lines)
		if i+1 < len(list) {
			end = strings.LastIndexByte(text[:offset(text, lines, list[i+1])], '-')
		}
		for n := 0; n+1 < len(r.Content); n += 2 {
			if !slices.Contains(ownBlocks, r.Content[n].Value) {
				continue
			}
			from, to := offset(text, lines, r.Content[n]), end
			if n+2 < len(r.Content) {
				to = offset(text, lines, r.Content[n+2])
			}
			if to < from {
				return "", false
			}
			copy(out[from:], spaces(text[from:to]))
		}
	}
	return string(out), sameReceivers(list, string(out))
}

// firstOwnBlock is where the first of our own blocks is, one in braces before others.
func (d *decoder) firstOwnBlock(root *yaml.Node) place {
	first := d.alertmanagerStart()
	found := false
	for _, r := range receiverNodes(root) {
		for n := 0; n+1 < len(r.Content); n += 2 {
			if !slices.Contains(ownBlocks, r.Content[n].Value) {
				continue
			}
			if r.Style&yaml.FlowStyle != 0 {
				return placeOf(r.Content[n])
			}
			if !found {
				first, found = placeOf(r.Content[n]), true
			}
		}
	}
	return first
}

// spaces is blank, but keeps the number of bytes.
func spaces(text string) []byte {
	b := []byte(text)
	for i := range b {
		if b[i] != '\n' && b[i] != '\r' {
			b[i] = ' '
		}
	}
	return b
}

// receiversEnd is where the section receivers ends.
func receiversEnd(root *yaml.Node, text string, lines []int) int {
	for i := 0; i+2 < len(root.Content); i += 2 {
		if root.Content[i].Value == "receivers" {
			return offset(text, lines, root.Content[i+2])
		}
	}
	return sectionsEnd(root, text)
}

// sameReceivers reports whether text has the same receivers, with all of their
// keys but our own.
func sameReceivers(want []*yaml.Node, text string) bool {
	var document yaml.Node
	if yaml.Unmarshal([]byte(text), &document) != nil || len(document.Content) == 0 {
		return false
	}
	keys := func(list []*yaml.Node) (out [][]string) {
		for _, r := range list {
			var names []string
			for n := 0; n < len(r.Content); n += 2 {
				if name := r.Content[n].Value; !slices.Contains(ownBlocks, name) {
					names = append(names, name)
				}
			}
			out = append(out, names)
		}
		return out
	}
	return slices.EqualFunc(keys(receiverNodes(document.Content[0])), keys(want), slices.Equal)
}

var httpConfigType = reflect.TypeFor[commoncfg.HTTPClientConfig]()

// httpConfig decodes Alertmanager's http_config with its own rules.
func (d *decoder) httpConfig(n *yaml.Node, v reflect.Value, s slot) {
	c := commoncfg.DefaultHTTPClientConfig
	text, err := yaml.Marshal(n)
	if err == nil {
		decode := yaml.NewDecoder(bytes.NewReader(text))
		decode.KnownFields(true)
		err = decode.Decode(&c)
	}
	if err != nil {
		// The lines in the message are those of the part.
		message := loaderLine.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", " "), "")
		d.wrongValue(n, s.path, "Alertmanager's http_config: "+yamlQuoted.ReplaceAllString(message, "…"), "")
		return
	}
	c.SetDirectory(d.dir)
	v.Set(reflect.ValueOf(c))
}

// receiverBlocks checks our own blocks.
func (c *checker) receiverBlocks() {
	for i, r := range receiverNodes(c.root) {
		own := c.c.Receivers[nameOf(r)]
		if own == nil {
			continue
		}
		problems := own.Problems()
		for _, field := range slices.Sorted(maps.Keys(problems)) {
			what, instead, _ := strings.Cut(problems[field], "; ")
			c.mistake(indexPath("receivers", i)+"."+field, fmt.Sprintf("%s %s", lastOf(field), what), instead)
		}
	}
}

func nameOf(r *yaml.Node) string {
	for n := 0; n+1 < len(r.Content); n += 2 {
		if r.Content[n].Value == "name" {
			return r.Content[n+1].Value
		}
	}
	return ""
}

// lastOf is the last key of a path.
func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
