package alert

import (
	"slices"
	"strings"
)

// Label is a name and a value.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Labels are sorted by name, and no name occurs twice.
type Labels []Label

// Get returns the value of the label name, or "" if there is none.
func (ls Labels) Get(name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// Sort puts ls in order of names.
func (ls Labels) Sort() {
	slices.SortFunc(ls, compareNames)
}

func compareNames(a, b Label) int { return strings.Compare(a.Name, b.Name) }

// FromMap returns the labels of m.
func FromMap(m map[string]string) Labels {
	ls := make(Labels, 0, len(m))
	for name, value := range m {
		ls = append(ls, Label{name, value})
	}
	ls.Sort()
	return ls
}

// Map returns the labels as a map, never nil.
func (ls Labels) Map() map[string]string {
	m := make(map[string]string, len(ls))
	for _, l := range ls {
		m[l.Name] = l.Value
	}
	return m
}

// Clone returns a copy that shares no memory with ls.
func (ls Labels) Clone() Labels {
	out := make(Labels, len(ls))
	for i, l := range ls {
		out[i] = Label{strings.Clone(l.Name), strings.Clone(l.Value)}
	}
	return out
}

// Set returns ls with the label name set to value; ls itself is not changed.
func (ls Labels) Set(name, value string) Labels {
	i, found := slices.BinarySearchFunc(ls, name, func(l Label, name string) int { return strings.Compare(l.Name, name) })
	if found {
		out := slices.Clone(ls)
		out[i].Value = value
		return out
	}
	return slices.Insert(slices.Clone(ls), i, Label{name, value})
}

// Common returns the labels that a and b share.
func Common(a, b Labels) Labels {
	var out Labels
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch c := strings.Compare(a[i].Name, b[j].Name); {
		case c < 0:
			i++
		case c > 0:
			j++
		default:
			if a[i].Value == b[j].Value {
				out = append(out, a[i])
			}
			i, j = i+1, j+1
		}
	}
	return out
}
