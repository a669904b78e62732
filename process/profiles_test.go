package process

import (
	"slices"
	"strings"
	"testing"
)

// profileContacts are the contacts that a profile names.
func profileContacts(c Config) []string {
	var names []string
	for _, d := range c.Duties {
		names = append(names, d.Do.Notify...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestProfilesCompile: once the contacts are there that its head names, a profile
// has no mistake, and as one's own duties neither.
func TestProfilesCompile(t *testing.T) {
	for _, name := range Profiles() {
		t.Run(name, func(t *testing.T) {
			text, ok := ProfileText(name)
			if !ok {
				t.Fatal("it has no text")
			}
			head, _, _ := strings.Cut(text, "\nduties:")
			head = strings.Join(strings.Fields(strings.ReplaceAll(head, "#", "")), " ")
			base := profiles()[name]
			strict := Config{Profile: ProfileNone, Paths: base.Paths, Duties: base.Duties, Gates: base.Gates, Tiers: []Tier{{Name: "L2"}, {Name: "L3"}},
				Chains: []Chain{{Name: "calling-tree", Call: []string{"ops"}}}}
			for _, contact := range profileContacts(base) {
				if !strings.Contains(head, contact) {
					t.Errorf("its head does not name the contact %s", contact)
				}
				strict.Contacts = append(strict.Contacts, Contact{Name: contact, Receiver: "ops"})
			}
			if problems := Problems(strict, options()); len(problems) > 0 {
				t.Errorf("as one's own: %v", problems)
			}
			g, err := New(Config{Profile: name}, options())
			if err != nil {
				t.Fatal(err)
			}
			if got := len(g.duties); got != len(base.Duties) {
				t.Errorf("it has %d duties at work, want %d", got, len(base.Duties))
			}
			// An alert rule sees the first that is missed only if its series was there before.
			for _, name := range []string{"calling_chain", "action"} {
				if !slices.Contains(g.Names(), name) {
					t.Errorf("metrics do not name %s", name)
				}
			}
			for _, d := range base.Duties {
				if d.Text == "" {
					t.Errorf("%s does not say what is to be done", d.Name)
				}
			}
		})
	}
	if _, ok := ProfileText("../light"); ok {
		t.Error("there is a profile of no name")
	}
}
