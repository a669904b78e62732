package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/alert"
)

const (
	// maxDepth is how deep a body may nest; Alertmanager's reaches 4.
	maxDepth = 32
	// maxMembers is how many members the objects of one element may have in all.
	// It is far beyond what is kept (alert.MaxLabels), and bounds what it costs
	// to find out that there are too many.
	maxMembers = 1 << 16
)

// element is one alert as Prometheus and Alertmanager write it.
type element struct {
	status, fingerprint, generatorURL string
	startsAt, endsAt                  time.Time
	labels, annotations               alert.Labels
	flags                             alert.Flag
}

// field is a member of an element that means something to us, as a bit.
type field uint8

const (
	fieldStatus field = 1 << iota
	fieldLabels
	fieldAnnotations
	fieldStartsAt
	fieldEndsAt
	fieldGeneratorURL
	fieldFingerprint
)

// fieldOf returns the field called name, 0 if there is none.
func fieldOf(name string) field {
	switch name {
	case "status":
		return fieldStatus
	case "labels":
		return fieldLabels
	case "annotations":
		return fieldAnnotations
	case "startsAt":
		return fieldStartsAt
	case "endsAt":
		return fieldEndsAt
	case "generatorURL":
		return fieldGeneratorURL
	case "fingerprint":
		return fieldFingerprint
	}
	return 0
}

// problem says what is wrong with an element.
type problem struct {
	// field is where, relative to the element: ".labels.severity".
	field, reason string
	// placed: field is complete, nothing is to be put before it.
	placed bool
	// deep: the element nests too deep, which condemns the whole body.
	deep bool
}

// within says that p is in the member field of what is being read.
func (p *problem) within(field string) *problem {
	if !p.placed {
		p.field = field + p.field
	}
	return p
}

// elements decodes the elements of one body. Each was found to be valid JSON
// before, apart from equal names in one object and invalid UTF-8.
//
// What the known senders send takes the quick way, in which jsontext is not
// asked again. Whatever is unusual takes the careful way, where each token is
// read by jsontext with all its checks. Both give the same result.
type elements struct {
	// known are the fields that the format has.
	known field
	// depth is how deep the elements are in the body.
	depth int
	// left is about how many bytes of the body are still to come; the arenas are
	// sized by it.
	left int
	// read is how many bytes the elements before this one had, and pairs how many
	// labels and annotations.
	read, pairs int
	// labels and text are arenas: one allocation for many alerts. What was given
	// out of them is never written again.
	labels []alert.Label
	text   []byte
	// in is used again for each element that is read carefully.
	in *jsontext.Decoder
}

// decode reads raw into e. It returns nil if that worked.
func (d *elements) decode(raw []byte, e *element) (p *problem) {
	defer func() {
		// unreachable: no input is known that makes a decoder panic. Should there
		// be one, it must not take its neighbours or the process with it.
		if r := recover(); r != nil {
			p = &problem{reason: "the decoder failed on it; please report this"}
		}
	}()
	d.left -= len(raw)
	*e = element{}
	if !d.quick(raw, e) {
		*e = element{}
		if p := d.careful(raw, e); p != nil {
			return p
		}
	}
	d.read += len(raw)
	d.pairs += len(e.labels) + len(e.annotations)
	return nil
}

// quick reads an element without anything unusual and reports whether it was one.
func (d *elements) quick(raw []byte, e *element) bool {
	if !utf8.Valid(raw) {
		return false
	}
	c := cursor{b: raw}
	if !c.take('{') {
		return false
	}
	var seen field
	for !c.take('}') {
		c.take(',')
		name, escaped, _ := c.quoted()
		f := fieldOf(alias(name[1 : len(name)-1]))
		if escaped || f&d.known == 0 || seen&f != 0 {
			return false
		}
		seen |= f
		c.take(':')
		if !d.quickField(&c, f, e) {
			return false
		}
	}
	return len(e.labels)+len(e.annotations)+8 < maxMembers
}

func (d *elements) quickField(c *cursor, f field, e *element) (ok bool) {
	switch f {
	case fieldLabels:
		e.labels, ok = d.quickPairs(c)
	case fieldAnnotations:
		e.annotations, ok = d.quickPairs(c)
	case fieldStatus:
		e.status, ok = d.quickText(c)
	case fieldGeneratorURL:
		e.generatorURL, ok = d.quickText(c)
	case fieldFingerprint:
		e.fingerprint, ok = d.quickText(c)
	case fieldStartsAt:
		e.startsAt, ok = d.quickTime(c)
	case fieldEndsAt:
		e.endsAt, ok = d.quickTime(c)
	}
	return ok
}

func (d *elements) quickTime(c *cursor) (time.Time, bool) {
	s, ok := d.quickText(c)
	if !ok {
		return time.Time{}, false
	}
	return parseTime(s)
}

// quickText reads a string that is as it should be.
func (d *elements) quickText(c *cursor) (string, bool) {
	quoted, escaped, ok := c.quoted()
	if !ok {
		return "", false
	}
	if !escaped {
		return alias(quoted[1 : len(quoted)-1]), true
	}
	s, err := d.unquote(quoted)
	return s, err == nil
}

// quickPairs reads an object of strings whose names are all different.
func (d *elements) quickPairs(c *cursor) (alert.Labels, bool) {
	if !c.take('{') {
		return nil, false
	}
	first := len(d.labels)
	for !c.take('}') {
		c.take(',')
		name, ok := d.quickText(c)
		if !ok {
			return nil, false
		}
		c.take(':')
		value, ok := d.quickText(c)
		if !ok || len(d.labels)-first > maxMembers {
			return nil, false
		}
		first = d.add(first, alert.Label{Name: name, Value: value})
	}
	ls := alert.Labels(d.labels[first:len(d.labels):len(d.labels)])
	_, twice := order(ls)
	return ls, !twice
}

// careful reads an element of any shape.
func (d *elements) careful(raw []byte, e *element) *problem {
	depth, members := measure(raw)
	if d.depth+depth > maxDepth {
		return &problem{reason: fmt.Sprintf("nested deeper than %d", maxDepth), deep: true}
	}
	if members >= maxMembers {
		return &problem{reason: fmt.Sprintf("%d members, at most %d are read", members, maxMembers-1)}
	}
	in := d.open(raw)
	if kind := in.PeekKind(); kind != jsontext.KindBeginObject {
		return &problem{reason: kindName(kind) + ", must be an object"}
	}
	if _, err := in.ReadToken(); err != nil {
		return syntaxProblem(err)
	}
	for in.PeekKind() != jsontext.KindEndObject {
		name, err := in.ReadValue()
		if err != nil {
			return syntaxProblem(err)
		}
		unquoted := text(name) // the decoder reads from raw itself, so it stays as it is
		f := fieldOf(unquoted) & d.known
		if f == 0 {
			if err := in.SkipValue(); err != nil {
				return syntaxProblem(err)
			}
			continue
		}
		if p := d.carefulField(in, f, e); p != nil {
			return p.within("." + unquoted)
		}
	}
	return nil
}

// open returns a decoder of raw that accepts invalid UTF-8, but no name twice.
func (d *elements) open(raw []byte) *jsontext.Decoder {
	if d.in == nil {
		d.in = new(jsontext.Decoder)
	}
	d.in.Reset(bytes.NewBuffer(raw), jsontext.AllowInvalidUTF8(true))
	return d.in
}

func (d *elements) carefulField(in *jsontext.Decoder, f field, e *element) (p *problem) {
	if in.PeekKind() == jsontext.KindNull { // Go writes it for what is absent
		if err := in.SkipValue(); err != nil {
			return syntaxProblem(err) // unreachable: null was peeked
		}
		return nil
	}
	switch f {
	case fieldLabels:
		e.labels, p = d.carefulPairs(in, e)
	case fieldAnnotations:
		e.annotations, p = d.carefulPairs(in, e)
	case fieldStatus:
		e.status, p = d.carefulText(in, e)
	case fieldGeneratorURL:
		e.generatorURL, p = d.carefulText(in, e)
	case fieldFingerprint:
		e.fingerprint, p = d.carefulText(in, e)
	case fieldStartsAt:
		e.startsAt, p = d.carefulTime(in, e)
	case fieldEndsAt:
		e.endsAt, p = d.carefulTime(in, e)
	}
	return p
}

func (d *elements) carefulTime(in *jsontext.Decoder, e *element) (time.Time, *problem) {
	s, p := d.carefulText(in, e)
	if p != nil {
		return time.Time{}, p
	}
	t, ok := parseTime(s)
	if !ok {
		return time.Time{}, &problem{reason: excerpt(s) + " is not RFC 3339"}
	}
	return t, nil
}

// carefulText reads a string, with U+FFFD in place of what cannot be in one.
func (d *elements) carefulText(in *jsontext.Decoder, e *element) (string, *problem) {
	if kind := in.PeekKind(); kind != jsontext.KindString {
		return "", &problem{reason: kindName(kind) + ", must be a string"}
	}
	quoted, err := in.ReadValue()
	if err != nil {
		return "", syntaxProblem(err) // unreachable: the string was peeked
	}
	s, err := d.unquote(quoted)
	if err != nil {
		e.flags |= alert.FlagInvalidUTF8
	}
	return s, nil
}

func (d *elements) carefulPairs(in *jsontext.Decoder, e *element) (alert.Labels, *problem) {
	if kind := in.PeekKind(); kind != jsontext.KindBeginObject {
		return nil, &problem{reason: kindName(kind) + ", must be an object of strings"}
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, syntaxProblem(err) // unreachable: the brace was peeked
	}
	first := len(d.labels)
	for in.PeekKind() != jsontext.KindEndObject {
		quoted, err := in.ReadValue()
		if err != nil {
			return nil, syntaxProblem(err)
		}
		name, err := d.unquote(quoted)
		if err != nil {
			e.flags |= alert.FlagInvalidUTF8
		}
		value, p := d.carefulText(in, e)
		if p != nil {
			return nil, p.within(member(name))
		}
		first = d.add(first, alert.Label{Name: name, Value: value})
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, syntaxProblem(err) // unreachable: the brace was peeked
	}
	ls := alert.Labels(d.labels[first:len(d.labels):len(d.labels)])
	if name, twice := order(ls); twice {
		return nil, &problem{field: member(name), reason: "occurs twice"}
	}
	return ls, nil
}

// order sorts ls by name. If a name occurs twice, it is returned.
func order(ls alert.Labels) (name string, twice bool) {
	sorted := true
	for i := 1; i < len(ls) && sorted; i++ {
		sorted = ls[i-1].Name < ls[i].Name
	}
	if sorted {
		return "", false
	}
	ls.Sort()
	for i := 1; i < len(ls); i++ {
		if ls[i-1].Name == ls[i].Name {
			return ls[i].Name, true
		}
	}
	return "", false
}

// withoutEmpty takes the labels without a value out of ls, in place: for
// Prometheus an empty label is the same as none.
func withoutEmpty(ls alert.Labels) alert.Labels {
	for i := range ls {
		if ls[i].Value == "" {
			return slices.DeleteFunc(ls, func(l alert.Label) bool { return l.Value == "" })
		}
	}
	return ls
}

// add appends l to the arena, in which an object's pairs begin at first. If it
// is full, these pairs move to a new one. It returns where they begin now.
func (d *elements) add(first int, l alert.Label) int {
	if len(d.labels) == cap(d.labels) {
		begun := d.labels[first:]
		room := max(2*len(begun), min(d.expected(), 4096)) + 16
		d.labels = append(make([]alert.Label, 0, room), begun...)
		first = 0
	}
	d.labels = append(d.labels, l)
	return first
}

// expected is about how many labels and annotations are still to come, as the
// elements before tell. The first one has what is usual, a pair per 58 bytes,
// and does not decide for all.
func (d *elements) expected() int {
	if d.pairs == 0 {
		return min(max(d.left/58, 0), 16)
	}
	n := int(int64(max(d.left, 0)) * int64(d.pairs) / int64(d.read))
	return n + n/32
}

var errReplaced = errors.New("ingest: characters were replaced")

// unquote returns the text of a JSON string. The error says that something in
// it cannot be in a text (invalid UTF-8, half a surrogate pair, NUL), in the
// place of which there is U+FFFD now.
func (d *elements) unquote(quoted []byte) (string, error) {
	if cap(d.text)-len(d.text) < len(quoted) {
		d.text = make([]byte, 0, len(quoted)+min(max(d.left/6, 256), 16<<10))
	}
	first := len(d.text)
	text, err := jsontext.AppendUnquote(d.text, quoted)
	d.text = text
	if s := text[first:]; bytes.IndexByte(s, 0) >= 0 {
		return string(bytes.ReplaceAll(s, []byte{0}, []byte("\uFFFD"))), errReplaced
	}
	return alias(text[first:]), err
}

// alias returns b as a string without copying it. Nothing may write to b after
// that; bodies and arenas are never used twice for this reason.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// syntaxProblem turns an error of jsontext into a problem. In an element that
// is valid JSON these are equal names in one object.
func syntaxProblem(err error) *problem {
	p := &problem{reason: err.Error()}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		p.field, p.placed = path(syntax.JSONPointer), true
		p.reason = syntax.Err.Error()
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		p.reason = "occurs twice"
	}
	return p
}

// path writes a JSON pointer as people write it: alerts[3].labels.severity,
// with a dot before the first name.
func path(pointer jsontext.Pointer) string {
	var out []byte
	for token := range pointer.Tokens() {
		if n, err := strconv.ParseUint(token, 10, 32); err == nil {
			out = append(out, '[')
			out = strconv.AppendUint(out, n, 10)
			out = append(out, ']')
			continue
		}
		out = append(out, member(token)...)
	}
	return string(out)
}

// member writes an object's member as part of a path. A name that is not a
// plain one is quoted, because it is the sender's.
func member(name string) string {
	plain := name != "" && len(name) <= 64
	for i := 0; i < len(name) && plain; i++ {
		c := name[i]
		plain = c == '_' || c == '-' || c == ':' || c == '/' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
	}
	if plain {
		return "." + name
	}
	return "[" + excerpt(name) + "]"
}

// excerpt quotes the sender's text for a message, at most 64 bytes of it.
func excerpt(s string) string {
	if len(s) > 64 {
		return strconv.Quote(alert.CutText(s, 64)) + "…"
	}
	return strconv.Quote(s)
}

// kindName names a kind of JSON value with its article.
func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindFalse, jsontext.KindTrue:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return "no value"
}
