package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/config/secret"
)

// secretFileLimit is how large the file of a secret may be, in bytes.
const secretFileLimit = 64 << 10

// secret decodes a secret, in which ${NAME} stands for an environment variable
// and $$ for a dollar sign.
func (d *decoder) secret(n *yaml.Node, v reflect.Value, s slot) {
	s.quiet = true
	if n.Kind != yaml.ScalarNode {
		d.wrongKind(n, s, "a text")
		return
	}
	value, err := expand(n.Value)
	switch {
	case err != nil:
		d.wrongValue(n, s.path, err.Error(), "set the variable, or write $$ for a dollar sign")
	case value == "":
		d.wrongValue(n, s.path, "is empty", "write the secret, or remove the key")
	default:
		v.Set(reflect.ValueOf(secret.New(value)))
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} by the environment variable NAME and $$ by $. Any
// other $ stays as it is.
func expand(text string) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String(), nil
		}
		out.WriteString(text[:i])
		switch rest := text[i+1:]; rest[0] {
		case '$':
			out.WriteByte('$')
			text = rest[1:]
		case '{':
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed || !variableName.MatchString(name) {
				// The text is part of a secret and is not repeated.
				return "", fmt.Errorf("${ is not followed by the name of an environment variable and }")
			}
			value, set := os.LookupEnv(name)
			if !set {
				return "", fmt.Errorf("the environment variable %s is not set", name)
			}
			out.WriteString(value)
			text = after
		default:
			out.WriteByte('$')
			text = rest
		}
	}
}

// secretFiles reads the files of a struct's secrets: beside the key of each
// secret, or list of secrets, stands one with _file at its end.
func (d *decoder) secretFiles(v reflect.Value, s slot) {
	fields := fieldsOf(v.Type())
	for _, name := range fields.names {
		twin, there := fields.index[name+"_file"]
		field := v.FieldByIndex(fields.index[name])
		list := field.Type() == secretsType
		if field.Type() != secretType && !list || !there || v.FieldByIndex(twin).String() == "" {
			continue
		}
		path := keyPath(s.path, name+"_file")
		if _, both := d.at[keyPath(s.path, name)]; both {
			d.wrong(d.at[path], path, fmt.Sprintf("%s and %s_file are both there", name, name), "remove one of them")
			continue
		}
		file := v.FieldByIndex(twin)
		value, err := d.readSecret(file.String(), path)
		if err != nil {
			d.bad[path] = true
			d.wrong(d.at[path], path, err.Error(), "")
			continue
		}
		switch {
		case d.readLater:
			file.SetString(d.beside(file.String()))
			continue
		case list:
			field.Set(reflect.ValueOf(lines(value)))
			continue
		}
		field.Set(reflect.ValueOf(secret.New(value)))
	}
}

// lines are the secrets of a file that has one in each line.
func lines(text string) []secret.String {
	var out []secret.String
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, secret.New(line))
		}
	}
	return out
}

// readSecret returns what a secret's file holds, without the line's end.
func (d *decoder) readSecret(name, path string) (string, error) {
	name = d.beside(name)
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // a pipe would make us wait for ever
		return "", fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, secretFileLimit+1))
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(content), "\r\n")
	switch {
	case len(content) > secretFileLimit:
		return "", fmt.Errorf("%s is larger than %d bytes", name, secretFileLimit)
	case value == "":
		return "", fmt.Errorf("%s is empty", name)
	}
	d.warnOpen(info, name, path)
	return value, nil
}

// warnOpen says that everybody can read what is in a file.
func (d *decoder) warnOpen(info os.FileInfo, name, path string) {
	if info.Mode().Perm()&0o004 != 0 {
		d.warn(path, name+" can be read by every user of this machine", "chmod o-r "+name)
	}
}

// beside is the path of a file that the configuration names.
func (d *decoder) beside(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(d.dir, name)
}

// warn records something odd that does not keep the file from being used.
func (d *decoder) warn(path, message, suggestion string) {
	if len(d.warnings) < mistakeLimit {
		p := d.find(path)
		d.warnings = append(d.warnings, Mistake{d.file, p.line, p.column, path, message, suggestion})
	}
}

// find returns where path is, or else the nearest thing around it that the
// file has.
func (d *decoder) find(path string) place {
	for path != "" {
		if p, ok := d.at[path]; ok {
			return p
		}
		path = parentPath(path)
	}
	return place{1, 1}
}

// parentPath returns path without its last key or index.
func parentPath(path string) string {
	if strings.HasSuffix(path, `"]`) { // a quoted key may hold dots and brackets
		return path[:max(strings.LastIndex(path, `["`), 0)]
	}
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// blankNode is what stands for a file without content.
func blankNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1} }
