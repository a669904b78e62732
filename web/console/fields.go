package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-gateway/tocsin/web"
)

// kind is what a field of a form becomes in JSON.
type kind string

const (
	line   kind = "line"  // a text on one line
	area   kind = "area"  // a text
	lines  kind = "lines" // a list of texts, one on each line
	moment kind = "time"  // a time, in the zone of the form
	yes    kind = "yes"   // true if it is ticked
	number kind = "number"
)

// facts are what forms know: what the command is about, and the words there are.
type facts struct {
	Incident web.IncidentJSON
	Duties   web.DutiesJSON
	Choices  web.ChoicesJSON
	Zone     *time.Location
}

// option is one choice of a field.
type option struct{ Value, Text string }

// field is one field of a form, and a member of the body that it becomes.
type field struct {
	Name, Label, Help string
	Kind              kind
	Required          bool
	// Options are all that may be chosen; if it is nil, or there are none, people write.
	Options func(f *facts) []option
	// Suggest are words that are offered where people write.
	Suggest func(f *facts) []string
	// Value is what stands there at first, nil for nothing.
	Value func(f *facts) string
	// Clears: nothing is said too. Nothing is JSON's null for a time, else an empty text.
	Clears bool
	// InPath: it is no member of the body, but stands in the address.
	InPath bool
	// Auto is what browsers may fill in.
	Auto string
}

// fieldView is a field as it is shown.
type fieldView struct {
	*field
	Text    string
	Ticked  bool
	Choices []option
	Words   []string
	Zone    string
	Error   string
}

// ID is the id of the control.
func (v *fieldView) ID() string { return "f-" + v.Name }

// Described lists the ids of what describes the control.
func (v *fieldView) Described() string {
	var ids []string
	if v.Error != "" {
		ids = append(ids, v.ID()+"-error")
	}
	if v.Help != "" || v.Kind == moment || v.Kind == lines {
		ids = append(ids, v.ID()+"-help")
	}
	return strings.Join(ids, " ")
}

// Chosen reports whether an option is the one that was chosen.
func (v *fieldView) Chosen(o option) bool { return o.Value == v.Text }

// view is the field with what stands in it: what was said in values, or else what
// it has at first.
func (f *field) view(about *facts, values url.Values) *fieldView {
	v := &fieldView{field: f, Zone: about.Zone.String()}
	switch {
	case values.Has(f.Name):
		v.Text = values.Get(f.Name)
		v.Ticked = v.Text != ""
	case f.Value != nil:
		v.Text = f.Value(about)
	}
	if f.Options != nil {
		v.Choices = f.Options(about)
	}
	if f.Suggest != nil {
		v.Words = f.Suggest(about)
	}
	// What is there, but is none of the choices, is one all the same.
	if len(v.Choices) > 0 && v.Text != "" && !slices.ContainsFunc(v.Choices, v.Chosen) {
		v.Choices = append([]option{{v.Text, v.Text}}, v.Choices...)
	}
	return v
}

// member is what was said in the field; said is false for nothing. Mistake is what is
// wrong with it.
func (f *field) member(values url.Values, zone *time.Location) (v any, said bool, mistake string) {
	text := strings.TrimSpace(strings.ReplaceAll(values.Get(f.Name), "\r\n", "\n"))
	switch {
	case f.Kind == yes:
		return text != "", true, ""
	case f.Kind == lines:
		list := []string{}
		for l := range strings.Lines(text) {
			if l = strings.TrimSpace(l); l != "" {
				list = append(list, l)
			}
		}
		return list, len(list) > 0 || f.Clears, ""
	case text == "" && f.Required:
		return nil, false, "is missing"
	case text == "" && f.Kind == moment:
		return nil, f.Clears, ""
	case text == "":
		return "", f.Clears, ""
	case f.Kind == number:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, false, "is not a number"
		}
		return n, true, ""
	case f.Kind == moment:
		t, ok := timeIn(text, zone)
		if !ok {
			return nil, false, "is not a time such as " + time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC).Format(timeLayouts[0])
		}
		return t.UTC().Format(time.RFC3339), true, ""
	}
	return text, true, ""
}

// timeLayouts are how people write times; the first one is for examples, the second
// one is that of browsers.
var timeLayouts = [...]string{"2006-01-02 15:04", browserTime, "2006-01-02T15:04:05", "2006-01-02 15:04:05"}

// browserTime is how browsers write the value of a field for a time.
const browserTime = "2006-01-02T15:04"

// timeIn reads a time that was written in a zone.
func timeIn(text string, zone *time.Location) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, true
	}
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// writeTime is a time as the value of a field, "" for none.
func writeTime(t *time.Time, zone *time.Location) string {
	if t == nil {
		return ""
	}
	return t.In(zone).Format("2006-01-02T15:04:05")
}

// options are words as choices, written for people.
func options(list []string) []option {
	out := make([]option, len(list))
	for n, w := range list {
		out[n] = option{w, strings.ReplaceAll(w, "_", " ")}
	}
	return out
}
