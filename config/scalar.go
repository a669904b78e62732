package config

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// scalar decodes a text, a number, or true or false.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, s slot) {
	switch v.Kind() {
	case reflect.String:
		if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!binary" {
			d.wrongKind(n, s, "a text")
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		d.boolean(n, v, s)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.integer(n, v, s)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, v, s)
	default:
		// A programmer's mistake: a section has a type that files cannot express.
		panic(fmt.Sprintf("config: %s: cannot decode into %s", s.path, v.Type()))
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		d.wrongKind(n, s, "true or false")
		return
	}
	v.SetBool(strings.EqualFold(n.Value, "true"))
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.wrongKind(n, s, "a whole number")
		return
	}
	number, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 0, 64)
	switch {
	case err != nil, v.CanInt() && v.OverflowInt(number):
		d.wrongValue(n, s.path, "the number "+describe(n, s.quiet)+" is too large", "")
	case v.CanUint() && number < 0:
		d.wrongValue(n, s.path, "expected a number that is not negative, got "+describe(n, s.quiet), "")
	case v.CanUint() && v.OverflowUint(uint64(number)):
		d.wrongValue(n, s.path, "the number "+describe(n, s.quiet)+" is too large", "")
	case v.CanUint():
		v.SetUint(uint64(number))
	default:
		v.SetInt(number)
	}
}

// text decodes into a type that reads its own texts.
func (d *decoder) text(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.ScalarNode {
		d.wrongKind(n, s, "a single value")
		return
	}
	fresh := reflect.New(v.Type())
	if err := fresh.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		// Such types say what is wrong; what to write; see ingest.ByteSize.
		message, suggestion, _ := strings.Cut(err.Error(), "; ")
		if s.quiet {
			message = "the value cannot be understood"
		}
		d.wrongValue(n, s.path, message, suggestion)
		return
	}
	v.Set(fresh.Elem())
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, s slot) {
	if n.Kind != yaml.ScalarNode {
		d.wrongKind(n, s, "a duration such as 5m")
		return
	}
	duration, err := model.ParseDuration(n.Value)
	if err != nil {
		suggestion := suggestDuration(n.Value)
		if s.quiet {
			suggestion = ""
		}
		d.wrongValue(n, s.path, "expected a duration such as 5m, got "+describe(n, s.quiet), suggestion)
		return
	}
	v.SetInt(int64(duration))
}

var (
	spelledOut = regexp.MustCompile(`^(\d{1,9})\s*(ms|s|m|h|d|w|y)[a-z]*$`)
	bareNumber = regexp.MustCompile(`^\d{1,9}$`)
)

// suggestDuration says how to write what was probably meant.
func suggestDuration(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	switch found := spelledOut.FindStringSubmatch(text); {
	case strings.HasPrefix(text, "-"):
		return "a duration cannot be negative"
	case bareNumber.MatchString(text):
		return "add the unit: " + text + "s for seconds, " + text + "m for minutes"
	case strings.HasSuffix(text, "month"), strings.HasSuffix(text, "months"):
		return "months differ, write days such as 30d"
	case found != nil:
		return "write " + found[1] + found[2]
	}
	return "write whole numbers with units, as in 90s, 1h30m or 7d"
}
