package tocsin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tocsin-gateway/tocsin/process"
)

// requirements is how many each of the documents has, which docs/process.md numbers.
var requirements = []int{11, 20, 18, 4, 7}

func processDocument(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/process.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProcessDocumentLists: the lists of events and facts are those of the code, and
// every duty of a profile is described.
func TestProcessDocumentLists(t *testing.T) {
	doc := processDocument(t)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for name, want := range map[string][]string{"events": process.Events(), "facts": process.Facts()} {
		_, list, _ := strings.Cut(doc, "<!-- "+name+" -->")
		list, _, _ = strings.Cut(list, "<!-- /"+name+" -->")
		var got []string
		for _, m := range row.FindAllStringSubmatch(list, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has\n%q, the code\n%q", name, got, want)
		}
	}
	for _, profile := range process.Profiles() {
		text, _ := process.ProfileText(profile)
		var c struct{ Duties []profileDuty }
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		_, section, ok := strings.Cut(doc, "\n### "+profile+"\n")
		section, _, _ = strings.Cut(section, "\n##")
		if !ok {
			t.Errorf("the profile %s is not described", profile)
		}
		for _, d := range c.Duties {
			if !strings.Contains(section, d.row()+"\n") {
				t.Errorf("the duty %s of %s is not described, or otherwise; its line is\n%s", d.Name, profile, d.row())
			}
		}
	}
}

// profileDuty is what the document says of a duty.
type profileDuty struct {
	Name, After, Every, Text, Path string
	On                             []string
	Times                          int
}

// row is its line in the table.
func (d profileDuty) row() string {
	due := d.After + " after " + strings.Join(d.On, " or ")
	if d.After == "0s" {
		due = "at " + strings.Join(d.On, " or ")
	}
	if d.Every != "" {
		due += ", then every " + strings.TrimPrefix(d.Every, "1 ")
	}
	if d.Times > 0 {
		due += fmt.Sprintf(", %d times", d.Times)
	}
	if d.Path != "" {
		due += "; on the path `" + d.Path + "`"
	}
	return "| `" + d.Name + "` | " + due + " | " + d.Text + " |"
}

// TestRequirementsAreShown: each requirement has a line that says what shows it: a
// scenario that claims it, or a test that is there; and no scenario claims another.
func TestRequirementsAreShown(t *testing.T) {
	doc := processDocument(t)
	claims := map[string][]string{} // of each requirement
	for _, name := range scenarioFiles(t) {
		for _, p := range readScenario(t, name).Steps {
			if len(p.Shows) > 0 && p.Alert == nil && p.Post == nil && p.Report == nil && p.Do == "" && !p.Look && p.Document == "" {
				t.Errorf("%s: the step at %s shows %s, and does nothing", name, p.After, p.Shows)
			}
			for _, s := range p.Shows {
				claims[s] = append(claims[s], filepath.Base(name)[:3])
			}
		}
	}
	scenarios, tests := regexp.MustCompile(`scenario (\d\d\d)`), regexp.MustCompile(`([a-z/]+)\.(Test[A-Za-z0-9]+)`)
	for n, count := range requirements {
		for m := range count {
			id := fmt.Sprintf("S%d.%d", n, m+1)
			line := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(id) + ` \|.*\| ([^|]*) \|$`).FindStringSubmatch(doc)
			if line == nil {
				t.Errorf("%s has no line", id)
				continue
			}
			shown := scenarios.FindAllStringSubmatch(line[1], -1)
			for _, s := range shown {
				if !slices.Contains(claims[id], s[1]) {
					t.Errorf("%s: scenario %s does not claim it", id, s[1])
				}
			}
			for _, s := range claims[id] {
				if !strings.Contains(line[1], "scenario "+s) {
					t.Errorf("%s: scenario %s claims it, and the document does not say so", id, s)
				}
			}
			named := tests.FindAllStringSubmatch(line[1], -1)
			for _, test := range named {
				if !hasTest(t, test[1], test[2]) {
					t.Errorf("%s: there is no %s in %s", id, test[2], test[1])
				}
			}
			if len(shown)+len(named) == 0 && !strings.Contains(line[1], "not built") {
				t.Errorf("%s: nothing shows it", id)
			}
			delete(claims, id)
		}
	}
	for id := range claims {
		t.Errorf("a scenario claims %s, which is no requirement", id)
	}
}

// hasTest reports whether a folder has a test.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "\nfunc "+name+"(")
	})
}
