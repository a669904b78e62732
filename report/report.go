// Package report makes documents of what is known: the service disruption form
// and the closure report of an incident, the bundle for whoever takes it over, the
// brief for the next shift, and the pack for the monthly review. Each kind is a
// function that returns a Document; HTML, Markdown, JSON and CSV write one.
//
// It is pure: facts and the time come in, a document goes out. Nothing is made up:
// a value says which entry of the timeline or which field of the record it comes
// from, and what nobody said is "not stated". All texts are hostile.
package report

import (
	"errors"
	"time"
)

// The kinds of documents.
const (
	KindDisruption = "disruption"
	KindClosure    = "closure"
	KindHandover   = "handover"
	KindShift      = "shift"
	KindMonthly    = "monthly"
)

// Kinds lists the kinds of documents about one incident.
func Kinds() []string { return []string{KindDisruption, KindClosure, KindHandover} }

// NotStated stands where nobody said anything.
const NotStated = "not stated"

// ErrNotTabular: the document is no table, so there is no CSV of it.
var ErrNotTabular = errors.New("only disruption and monthly reports are tables")

// Document is one report, ready to be written in any format. Its texts are clean:
// valid UTF-8 without control characters other than line ends.
type Document struct {
	Kind  string `json:"kind"`
	Title string `json:"title"`
	// Subtitle says of what, or of when.
	Subtitle string `json:"subtitle"`
	// Reference is the incident's; empty if it is about several.
	Reference string `json:"reference"`
	// Drill: it was an exercise.
	Drill bool `json:"drill"`
	// Customer is the one that the incident is told to, empty for one of our own.
	Customer    string     `json:"customer"`
	GeneratedAt *time.Time `json:"generated_at"`
	// Zone is the time zone of the texts; members named at are in UTC.
	Zone string `json:"zone"`
	// Notices say what was left out, and what is odd.
	Notices  []string  `json:"notices"`
	Sections []Section `json:"sections"`

	// sheet is the table that CSV writes.
	sheet *Table
}

// Section is a part of a document: fields, a table, or both.
type Section struct {
	Name   string  `json:"name"`
	Title  string  `json:"title"`
	Intro  string  `json:"intro"`
	Fields []Field `json:"fields"`
	Table  *Table  `json:"table"`
	// Level is 2, or 3 for a part of the section before.
	Level int `json:"level"`
}

// Field is one thing that a document wants to know.
type Field struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// Text is all values, with line ends between them, or NotStated.
	Text   string  `json:"text"`
	Stated bool    `json:"stated"`
	Values []Value `json:"values"`
}

// Value is what is known, and where from.
type Value struct {
	Text string `json:"text"`
	// At is the time and Seconds the duration that the text says; nil if it says none.
	At      *time.Time `json:"at,omitzero"`
	Seconds *float64   `json:"seconds,omitzero"`
	// URL is a link over HTTP, empty if there is none.
	URL string `json:"url,omitzero"`
	// Note says how the text is to be understood.
	Note string `json:"note,omitzero"`
	// Entry is the number of the entry of the timeline that says it, 0 for none, and
	// Field the field of the record.
	Entry uint64 `json:"entry,omitzero"`
	Field string `json:"field,omitzero"`
}

// Table is rows of values.
type Table struct {
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	// Empty is said in place of a table without rows.
	Empty string `json:"empty"`
}

// Column is one column of a table.
type Column struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	// Number: its texts are to be set to the right.
	Number bool `json:"number"`
}

// Row is one row of a table.
type Row struct {
	Cells []Value `json:"cells"`
	// Entry is the number of the entry of the timeline that the row is, 0 for none.
	Entry uint64 `json:"entry,omitzero"`
}

// View says when a document is made, and for whom.
type View struct {
	Now time.Time
	// Zone is the reader's; nil is UTC.
	Zone *time.Location
	// By is the person who fills it in; empty if nobody says.
	By string
}

// builder makes one document.
type builder struct {
	view View
	doc  Document
	mask mask
}

func newBuilder(v View, kind, title, subtitle string) *builder {
	if v.Zone == nil {
		v.Zone = time.UTC
	}
	return &builder{view: v, doc: Document{Kind: kind, Title: title, Subtitle: subtitle, GeneratedAt: stamp(v.Now), Zone: v.Zone.String(), Notices: []string{}}}
}

// section begins a section; what follows belongs to it.
func (b *builder) section(name, title, intro string) {
	b.doc.Sections = append(b.doc.Sections, Section{Name: name, Title: title, Intro: intro, Fields: []Field{}, Level: 2})
}

// part begins a section that is a part of the one before.
func (b *builder) part(name, title, intro string) {
	b.section(name, title, intro)
	b.doc.Sections[len(b.doc.Sections)-1].Level = 3
}

func (b *builder) current() *Section { return &b.doc.Sections[len(b.doc.Sections)-1] }

// field adds a field. Values without a text do not count.
func (b *builder) field(name, label string, values ...Value) {
	f := Field{Name: name, Label: label, Values: []Value{}}
	for _, v := range values {
		if v.Text != "" {
			f.Values = append(f.Values, v)
		}
	}
	s := b.current()
	s.Fields = append(s.Fields, f)
}

// table adds the table of the current section and returns it. Columns are name,
// label, name, label; a label that begins with # is of numbers.
func (b *builder) table(empty string, columns ...string) *Table {
	t := &Table{Rows: []Row{}, Empty: empty}
	for n := 0; n < len(columns); n += 2 {
		label, number := columns[n+1], false
		if len(label) > 1 && label[0] == '#' {
			label, number = label[1:], true
		}
		t.Columns = append(t.Columns, Column{columns[n], label, number})
	}
	b.current().Table = t
	return t
}

func (t *Table) add(cells ...Value) { t.Rows = append(t.Rows, Row{Cells: cells}) }

func (b *builder) notice(text string) { b.doc.Notices = append(b.doc.Notices, text) }

// finish cleans all texts and takes out what the reader may not know.
func (b *builder) finish() *Document {
	d := &b.doc
	text := func(s *string) { *s = b.mask.hide(clean(*s)) }
	value := func(v *Value) {
		text(&v.Text)
		text(&v.Note)
		if u := webURL(v.URL); u != "" && b.mask.hide(u) == u {
			v.URL = u
		} else {
			v.URL = ""
		}
	}
	table := func(t *Table) {
		if t == nil {
			return
		}
		for r := range t.Rows {
			for c := range t.Rows[r].Cells {
				value(&t.Rows[r].Cells[c])
			}
		}
	}
	for _, s := range []*string{&d.Title, &d.Subtitle, &d.Reference, &d.Customer} {
		text(s)
		*s = oneLine(*s)
	}
	for n := range d.Notices {
		text(&d.Notices[n])
	}
	for n := range d.Sections {
		s := &d.Sections[n]
		text(&s.Title)
		s.Title = oneLine(s.Title)
		text(&s.Intro)
		for f := range s.Fields {
			for v := range s.Fields[f].Values {
				value(&s.Fields[f].Values[v])
			}
			s.Fields[f].settle()
		}
		table(s.Table)
	}
	table(d.sheet)
	return d
}

// settle says in Text what the values say.
func (f *Field) settle() {
	f.Stated = len(f.Values) > 0
	f.Text = NotStated
	for n, v := range f.Values {
		if n == 0 {
			f.Text = v.whole()
		} else {
			f.Text += "\n" + v.whole()
		}
	}
}

// whole is the text with its note.
func (v *Value) whole() string {
	if v.Note == "" {
		return v.Text
	}
	return v.Text + " (" + v.Note + ")"
}

// Origin says where the value comes from: "#3" for an entry of the timeline, or
// the field of the record; empty for what a table says by itself.
func (v *Value) Origin() string {
	if v.Entry > 0 {
		return "#" + decimal(v.Entry)
	}
	return v.Field
}
