package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config/nearest"
	"github.com/tocsin-gateway/tocsin/config/secret"
)

const (
	// depthLimit is how deep a file may be nested. Ours needs six levels.
	depthLimit = 64
	// aliasLimit is how many values may come from aliases, so that a few lines
	// of anchors cannot grow into billions of values.
	aliasLimit = 10_000
	// entryLimit is how many entries a list or a mapping may have.
	entryLimit = 10_000
	// sectionLimit is how many sections the file may have.
	sectionLimit = 100
	// mistakeLimit is how many mistakes are kept. Nobody reads more.
	mistakeLimit = 1000
)

// place is a position in the file, counted from 1.
type place struct{ line, column int }

// decoder fills structs from YAML nodes by their yaml tags. It goes on after a
// mistake and remembers where each value was, for what is checked later.
type decoder struct {
	file     string
	dir      string
	mistakes []Mistake
	warnings []Mistake
	// at has the position of everything in the file, by path.
	at map[string]place
	// bad has the paths whose value could not be used, so that nothing else is
	// said about the default that stands in its place.
	bad map[string]bool
	// aliases is how deep we are in aliases, expanded how many values they gave.
	aliases, expanded int
	// readLater: the files of secrets are read whenever they are used.
	readLater bool
	// root is the whole file.
	root *yaml.Node
}

var (
	secretType   = reflect.TypeFor[secret.String]()
	secretsType  = reflect.TypeFor[[]secret.String]()
	durationType = reflect.TypeFor[model.Duration]()
)

// wrong records a mistake at a place.
func (d *decoder) wrong(p place, path, message, suggestion string) {
	if len(d.mistakes) == mistakeLimit-1 {
		p, path, message, suggestion = place{}, "", "there are more mistakes, only some are shown", ""
	}
	if len(d.mistakes) < mistakeLimit {
		d.mistakes = append(d.mistakes, Mistake{d.file, p.line, p.column, path, message, suggestion})
	}
}

// wrongValue records that the value at path cannot be used.
func (d *decoder) wrongValue(n *yaml.Node, path, message, suggestion string) {
	d.bad[path] = true
	d.wrong(placeOf(n), path, message, suggestion)
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// slot is a place that a value goes to.
type slot struct {
	path string
	// depth is how deep it is nested.
	depth int
	// quiet: the value may be a secret that stands in the wrong place, so
	// messages do not repeat it.
	quiet bool
}

func (s slot) key(name string) slot {
	return slot{keyPath(s.path, name), s.depth + 1, s.quiet}
}

func (s slot) index(i int) slot {
	return slot{s.path + "[" + strconv.Itoa(i) + "]", s.depth + 1, s.quiet}
}

// keyPath appends a key to a path; odd keys are quoted.
func keyPath(path, name string) string {
	if name == "" {
		return path + `[""]`
	}
	for _, r := range name {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return path + "[" + quote(name) + "]"
		}
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// value decodes n into v.
func (d *decoder) value(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind == yaml.AliasNode {
		d.aliases++
		defer func() { d.aliases-- }()
		n = n.Alias
	}
	if !d.mayGoOn(n, s) {
		return
	}
	if len(n.Content) > 2*entryLimit || n.Kind == yaml.SequenceNode && len(n.Content) > entryLimit {
		d.wrongValue(n, s.path, fmt.Sprintf("more than %d entries", entryLimit), "")
		return
	}
	if isNull(n) {
		d.empty(n, v, s)
		return
	}
	switch {
	case v.Type() == secretType:
		d.secret(n, v, s)
	case v.Type() == durationType:
		d.duration(n, v, s)
	case v.Type() == httpConfigType:
		d.httpConfig(n, v, s)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), s)
	case v.CanAddr() && v.Addr().Type().Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		d.text(n, v, s)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, s)
	case v.Kind() == reflect.Map:
		d.dictionary(n, v, s)
	case v.Kind() == reflect.Slice:
		d.list(n, v, s)
	default:
		d.scalar(n, v, s)
	}
}

// mayGoOn bounds depth and what aliases make.
func (d *decoder) mayGoOn(n *yaml.Node, s slot) bool {
	if s.depth > depthLimit {
		d.wrongValue(n, s.path, fmt.Sprintf("nested more than %d levels deep", depthLimit), "")
		return false
	}
	if d.aliases == 0 {
		return true
	}
	d.expanded++
	if d.expanded == aliasLimit+1 {
		d.wrongValue(n, s.path, fmt.Sprintf("aliases make more than %d values", aliasLimit), "write them out, or use fewer")
	}
	return d.expanded <= aliasLimit
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// empty handles a key without a value: the default stays, but a secret that
// somebody began to write must not silently be none.
func (d *decoder) empty(n *yaml.Node, v reflect.Value, s slot) {
	if v.Type() == secretType {
		d.wrongValue(n, s.path, "has no value", "write the secret, or remove the key")
	}
}

// structure decodes a mapping into a struct.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, s slot) {
	s.quiet = s.quiet || hasSecret(v.Type())
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, s, "keys and values")
		return
	}
	fields := fieldsOf(v.Type())
	for _, p := range d.pairs(n, s, 0) {
		index, known := fields.index[p.name]
		if !known {
			d.wrong(placeOf(p.key), s.path, "unknown key "+quote(p.name), nearest.Suggest(p.name, fields.names))
			continue
		}
		at := s.key(p.name)
		d.remember(p, at.path)
		d.value(p.value, v.FieldByIndex(index), at)
	}
	d.secretFiles(v, s)
}

// dictionary decodes a mapping into a map. What the map already has stays: a
// file adds to the defaults and overrides them.
func (d *decoder) dictionary(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.MappingNode {
		d.wrongKind(n, s, "keys and values")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, p := range d.pairs(n, s, 0) {
		at := s.key(p.name)
		d.remember(p, at.path)
		element := reflect.New(v.Type().Elem()).Elem()
		if old := v.MapIndex(reflect.ValueOf(p.name)); old.IsValid() {
			element.Set(old)
		}
		d.value(p.value, element, at)
		v.SetMapIndex(reflect.ValueOf(p.name), element)
	}
}

// list decodes a sequence into a slice; it takes the place of the default.
func (d *decoder) list(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.SequenceNode {
		d.wrongKind(n, s, "a list such as [a, b]")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := s.index(i)
		d.at[at.path] = placeOf(item)
		if isNull(item) {
			d.wrongValue(item, at.path, "the entry is empty", "remove it, or write a value")
			continue
		}
		d.value(item, out.Index(i), at)
	}
	v.Set(out)
}

// remember records where the value of a key is: at the value itself if it is
// short, at its key otherwise.
func (d *decoder) remember(p pair, path string) {
	if p.value.Kind == yaml.ScalarNode && !isNull(p.value) {
		d.at[path] = placeOf(p.value)
		return
	}
	d.at[path] = placeOf(p.key)
}

// wrongKind says that a value has another shape than it should have.
func (d *decoder) wrongKind(n *yaml.Node, s slot, want string) {
	d.wrongValue(n, s.path, "expected "+want+", got "+describe(n, s.quiet), "")
}

// describe says what a node is, for a message.
func describe(n *yaml.Node, quiet bool) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case quiet:
		return "another kind of value"
	}
	return quote(n.Value)
}

// pair is a key with its value.
type pair struct {
	name       string
	key, value *yaml.Node
}

// pairs returns the keys and values of a mapping, with what is merged into it
// by << keys behind its own. A key that occurs twice is a mistake.
func (d *decoder) pairs(n *yaml.Node, s slot, merges int) []pair {
	var own []pair
	var merged []*yaml.Node
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			merged = append(merged, value)
			continue
		case key.Kind != yaml.ScalarNode || isNull(key):
			d.wrong(placeOf(key), s.path, "a key must be a simple text, got "+describe(key, s.quiet), "")
			continue
		}
		if line, twice := lines[key.Value]; twice {
			d.wrong(placeOf(key), s.path, fmt.Sprintf("the key %s is already in line %d", quote(key.Value), line), "remove one of them")
			continue
		}
		lines[key.Value] = key.Line
		own = append(own, pair{key.Value, key, value})
	}
	for _, from := range merged {
		for _, p := range d.merge(from, s, merges+1) {
			if _, overridden := lines[p.name]; !overridden {
				lines[p.name] = p.key.Line
				own = append(own, p)
			}
		}
	}
	return own
}

// merge returns what a << key brings: the pairs of a mapping, or of several.
func (d *decoder) merge(from *yaml.Node, s slot, merges int) []pair {
	d.expanded++
	if merges > depthLimit || d.expanded > aliasLimit {
		d.wrong(placeOf(from), s.path, "too much is merged with <<", "write it out")
		return nil
	}
	switch from.Kind {
	case yaml.AliasNode:
		return d.merge(from.Alias, s, merges+1)
	case yaml.MappingNode:
		d.expanded += len(from.Content) / 2
		return d.pairs(from, s, merges)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range from.Content {
			all = append(all, d.merge(item, s, merges+1)...)
		}
		return all
	}
	d.wrong(placeOf(from), s.path, "<< merges keys and values, got "+describe(from, s.quiet), "write an alias such as *name")
	return nil
}

// fields are the keys of a struct.
type fields struct {
	index map[string][]int
	names []string
}

func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string][]int{}}
	for i := range t.NumField() {
		if field := t.Field(i); field.Anonymous && strings.HasSuffix(field.Tag.Get("yaml"), ",inline") {
			inner := fieldsOf(field.Type)
			for _, name := range inner.names {
				f.index[name] = append([]int{i}, inner.index[name]...)
			}
			f.names = append(f.names, inner.names...)
		} else if name := tagOf(field); name != "" {
			f.index[name] = []int{i}
			f.names = append(f.names, name)
		}
	}
	return f
}

// tagOf returns the key of a field, empty if the file cannot set it.
func tagOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

func hasSecret(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).Type == secretType {
			return true
		}
	}
	return false
}
