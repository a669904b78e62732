package config

import (
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/matcher/compat"
	commoncfg "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config/nearest"
)

// alertmanagerSections are those that Alertmanager's loader reads.
var alertmanagerSections = []string{"global", "route", "receivers", "inhibit_rules", "time_intervals",
	"mute_time_intervals", "templates", "tracing", "event_recorder"}

func isAlertmanagers(section string) bool { return slices.Contains(alertmanagerSections, section) }

var matchersOnce sync.Once

// InitMatchers lets the Alertmanager module read matchers as Alertmanager does
// by default: the UTF-8 grammar, else the classic one. The module keeps that in
// variables of its own, which must not change later; so the first call counts,
// and Load makes it if nobody has. The logger hears of matchers that only the
// classic grammar understands.
func InitMatchers(logger *slog.Logger) {
	matchersOnce.Do(func() { compat.InitFromFlags(logger, featurecontrol.NoopFlags{}) })
}

// nobody is the route of a file that has maintenance in time intervals, but tells
// nobody.
const nobody = "\nroute: {receiver: nobody}\nreceivers: [{name: nobody}]\n"

// alertmanager reads Alertmanager's sections with its own loader. It returns
// nil if there is no route and no receiver, nor a maintenance that needs time intervals, or if there is a mistake in them.
func (d *decoder) alertmanager(root *yaml.Node, text string) *amconfig.Config {
	tellsNobody := !hasKey(root, "route") && !hasKey(root, "receivers")
	if tellsNobody && !(hasKey(root, "time_intervals") && hasKey(root, "maintenance")) {
		return nil
	}
	InitMatchers(slog.New(slog.DiscardHandler))
	theirs, ok := onlyAlertmanagers(root, text)
	if !ok {
		d.wrong(d.alertmanagerStart(), "", "Alertmanager's sections cannot be read without the others",
			"begin each section in a line of its own, and use anchors only in the section that defines them")
		return nil
	}
	theirs, ok = withoutOwnBlocks(root, theirs)
	if !ok {
		d.wrong(d.firstOwnBlock(root), "", "Alertmanager's part of the receivers cannot be read without the blocks that are Tocsin's own",
			"begin these in lines of their own, not in {…}: "+strings.Join(ownBlocks, ", "))
		return nil
	}
	if tellsNobody { // the loader wants a route, and maintenance the time intervals
		theirs += nobody
	}
	c, err := loadAlertmanager(theirs)
	if err != nil {
		d.alertmanagerMistakes(root, err)
		return nil
	}
	if dir, err := filepath.Abs(d.dir); err == nil {
		// Absolute, because what is joined twice must not change: receivers share
		// the global HTTP settings.
		resolvePaths(reflect.ValueOf(c), dir)
	}
	return c
}

// loadAlertmanager calls the loader, and turns a panic in it into an error: a
// reload must not end the process.
func loadAlertmanager(text string) (c *amconfig.Config, err error) {
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("the loader cannot read this: %v", r)
		}
	}()
	return amconfig.Load(text)
}

func hasKey(root *yaml.Node, name string) bool {
	for i := 0; i < len(root.Content); i += 2 {
		if root.Content[i].Value == name {
			return true
		}
	}
	return false
}

// onlyAlertmanagers returns text with spaces in place of every section that is
// not Alertmanager's, so that lines keep their numbers. It reports whether that
// worked out.
func onlyAlertmanagers(root *yaml.Node, text string) (string, bool) {
	text = strings.TrimPrefix(text, "\ufeff")
	lines := lineStarts(text)
	var out strings.Builder
	var want []string
	copied := 0
	for i := 0; i < len(root.Content); i += 2 {
		key := root.Content[i]
		if isAlertmanagers(key.Value) && !slices.Contains(want, key.Value) {
			want = append(want, key.Value)
			continue
		}
		start, end := offset(text, lines, key), sectionsEnd(root, text)
		if i+2 < len(root.Content) {
			end = offset(text, lines, root.Content[i+2])
		}
		if start < copied || end < start {
			return "", false
		}
		out.WriteString(text[copied:start])
		out.WriteString(blank(text[start:end]))
		copied = end
	}
	out.WriteString(text[copied:])
	return out.String(), hasSections(out.String(), want)
}

// hasSections reports whether text consists of the sections it should, which
// unusual YAML might have prevented.
func hasSections(text string, want []string) bool {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil || len(document.Content) == 0 {
		return false
	}
	var got []string
	for i := 0; i < len(document.Content[0].Content); i += 2 {
		got = append(got, document.Content[0].Content[i].Value)
	}
	return slices.Equal(got, want)
}

// sectionsEnd returns where the last section ends: at the end of the text, or
// at the brace that closes the mapping of a file in JSON's style.
func sectionsEnd(root *yaml.Node, text string) int {
	if root.Style&yaml.FlowStyle != 0 {
		if i := strings.LastIndexByte(text, '}'); i >= 0 {
			return i
		}
	}
	return len(text)
}

// lineStarts returns the offset of each line, with lines as YAML counts them.
func lineStarts(text string) []int {
	starts := []int{0}
	for i, r := range text {
		switch {
		case r == '\r' && strings.HasPrefix(text[i+1:], "\n"):
		case r == '\n', r == '\r', r == '\u0085', r == '\u2028', r == '\u2029':
			starts = append(starts, i+utf8.RuneLen(r))
		}
	}
	return starts
}

// offset returns where a node begins in text.
func offset(text string, lines []int, n *yaml.Node) int {
	if n.Line > len(lines) {
		return len(text)
	}
	at := lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// blank returns text with a space for each character but line ends.
func blank(text string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\u0085', '\u2028', '\u2029':
			return r
		}
		return ' '
	}, text)
}

// resolvePaths makes the relative file names of a configuration relative to
// dir, as Alertmanager's LoadFile does.
func resolvePaths(v reflect.Value, dir string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		switch x := v.Interface().(type) {
		case *commoncfg.HTTPClientConfig:
			x.SetDirectory(dir)
			return
		case *amconfig.Config:
			for i, name := range x.Templates {
				x.Templates[i] = commoncfg.JoinDir(dir, name)
			}
			for i := range x.EventRecorder.FileOutputs {
				x.EventRecorder.FileOutputs[i].Path = commoncfg.JoinDir(dir, x.EventRecorder.FileOutputs[i].Path)
			}
			for _, out := range x.EventRecorder.KafkaOutputs {
				if out.TLSConfig != nil {
					out.TLSConfig.SetDirectory(dir)
				}
			}
		}
		resolvePaths(v.Elem(), dir)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				resolvePaths(v.Field(i), dir)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			resolvePaths(v.Index(i), dir)
		}
	}
}

// loaderMessages is how many messages of the loader are kept.
const loaderMessages = 100

// loaderLine finds the line in a message of Alertmanager's loader.
var loaderLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:)?\s*(?:line (\d+): )?`)

// alertmanagerMistakes records the message of Alertmanager's loader, which may
// be one line or a list.
func (d *decoder) alertmanagerMistakes(root *yaml.Node, err error) {
	message := strings.TrimSuffix(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n"), "\n")
	if !strings.HasPrefix(err.Error(), "yaml: unmarshal errors:\n") {
		message = strings.ReplaceAll(message, "\n", " ")
	}
	hidden := secretsOf(root)
	for i, text := range strings.Split(message, "\n") {
		if i == loaderMessages {
			break
		}
		at := place{}
		if found := loaderLine.FindStringSubmatch(text); found != nil {
			text = text[len(found[0]):]
			if line, err := strconv.Atoi(found[1]); err == nil {
				at = place{line, firstColumn(root, line)}
			}
		}
		if at.line == 0 {
			at = d.mentioned(root, text)
		}
		if found := unknownField.FindStringSubmatch(text); found != nil {
			text = "unknown key " + quote(found[1])
			if at, names := alertmanagerKey(root, reflect.TypeFor[amconfig.Config](), at.line, found[1]); at.line > 0 {
				d.wrong(at, "", "Alertmanager: "+hidden.Replace(text), nearest.Suggest(found[1], names))
				continue
			}
		}
		d.wrong(at, "", "Alertmanager: "+hidden.Replace(yamlQuoted.ReplaceAllString(text, "…")), "")
	}
}

// unknownField is how the loader says it: with a type of its program, which tells people nothing.
var unknownField = regexp.MustCompile(`^field (\S+) not found in type \S+$`)

// alertmanagerKey finds a key that the type t of a part of the file does not have, and those
// that it has.
func alertmanagerKey(n *yaml.Node, t reflect.Type, line int, name string) (place, []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, element := range n.Content {
			if at, names := alertmanagerKey(element, t.Elem(), line, name); at.line > 0 {
				return at, names
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := yamlFields(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if inner, known := fields[key.Value]; known {
				if at, names := alertmanagerKey(n.Content[i+1], inner, line, name); at.line > 0 {
					return at, names
				}
			} else if key.Line == line && key.Value == name {
				names := slices.Sorted(maps.Keys(fields))
				if t == reflect.TypeFor[amconfig.Receiver]() {
					names = append(names, ownBlocks...)
				}
				return placeOf(key), names
			}
		}
	}
	return place{}, nil
}

// yamlFields are the keys of a struct, with the types of their values.
func yamlFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, options, _ := strings.Cut(f.Tag.Get("yaml"), ","); {
		case options == "inline":
			maps.Copy(fields, yamlFields(f.Type))
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
	return fields
}

// firstColumn returns the column of the first node in a line, 1 if none begins there.
func firstColumn(n *yaml.Node, line int) int {
	best := 0
	walk(n, func(n *yaml.Node) {
		if n.Line == line && n.Column > 0 && (best == 0 || n.Column < best) {
			best = n.Column
		}
	})
	return max(best, 1)
}

var doubleQuoted = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)

// mentioned returns where a message without a line belongs: the first value in
// Alertmanager's sections that it quotes, or the first of these sections.
func (d *decoder) mentioned(root *yaml.Node, message string) place {
	for _, found := range doubleQuoted.FindAllString(message, -1) {
		value, err := strconv.Unquote(found)
		if err != nil || value == "" {
			continue
		}
		at := place{}
		for i := 0; i+1 < len(root.Content); i += 2 {
			if !isAlertmanagers(root.Content[i].Value) {
				continue
			}
			walk(root.Content[i+1], func(n *yaml.Node) {
				if at.line == 0 && n.Kind == yaml.ScalarNode && n.Value == value {
					at = placeOf(n)
				}
			})
		}
		if at.line > 0 {
			return at
		}
	}
	return d.alertmanagerStart()
}

// alertmanagerStart is where the first of Alertmanager's sections begins.
func (d *decoder) alertmanagerStart() place {
	first := place{}
	for _, section := range alertmanagerSections {
		if p, ok := d.at[section]; ok && (first.line == 0 || p.line < first.line) {
			first = p
		}
	}
	return first
}

// walk calls f for n and all below it, without following aliases.
func walk(n *yaml.Node, f func(*yaml.Node)) {
	f(n)
	for _, child := range n.Content {
		walk(child, f)
	}
}

// secretKey names the keys of Alertmanager whose values are secrets, among them
// the URLs of chat hooks.
var secretKey = regexp.MustCompile(`(?:password|secret|token|credentials|_key|url|headers|auth)$`)

// secretsOf returns what replaces the secrets of the file in a message: the
// loader quotes what it does not understand.
func secretsOf(root *yaml.Node) *strings.Replacer {
	const shortest = 4 // shorter ones would replace ordinary words
	var pairs []string
	walk(root, func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if value := n.Content[i+1]; secretKey.MatchString(n.Content[i].Value) {
				walk(value, func(n *yaml.Node) {
					if n.Kind == yaml.ScalarNode && len(n.Value) >= shortest {
						pairs = append(pairs, n.Value, "<secret>")
					}
				})
			}
		}
	})
	return strings.NewReplacer(pairs...)
}
