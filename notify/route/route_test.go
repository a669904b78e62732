package route

import (
	"fmt"
	"math/rand/v2"
	"testing"

	amconfig "github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/incident"
	"github.com/tocsin-gateway/tocsin/match"
)

// randomTree makes a tree of routes that ask for labels a to d, with values 0 to 3.
func randomTree(r *rand.Rand, depth, width int) *amconfig.Route {
	node := &amconfig.Route{Receiver: fmt.Sprint("r", r.IntN(1000)), Continue: r.IntN(3) == 0}
	for range r.IntN(3) {
		value := fmt.Sprint(r.IntN(4))
		kind := labels.MatchType(r.IntN(4))
		if kind == labels.MatchRegexp || kind == labels.MatchNotRegexp {
			value = []string{"[01]", ".+", ".*", "2|3", ""}[r.IntN(5)]
		} else if r.IntN(8) == 0 {
			value = ""
		}
		m, err := labels.NewMatcher(kind, string(rune('a'+r.IntN(4))), value)
		if err != nil {
			panic(err)
		}
		node.Matchers = append(node.Matchers, m)
	}
	if depth > 0 {
		for range r.IntN(width) {
			node.Routes = append(node.Routes, randomTree(r, depth-1, width))
		}
	}
	return node
}

// TestMatchLikeAlertmanager compares with the module's own search.
func TestMatchLikeAlertmanager(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	matched := 0
	for range 25 {
		root := randomTree(r, 3, 20)
		root.Matchers, root.Continue = nil, false
		ours, theirs := New(root), dispatch.NewRoute(root, nil)
		for range 50 {
			own, set := map[string]string{}, model.LabelSet{}
			for name := 'a'; name <= 'd'; name++ {
				if r.IntN(4) > 0 {
					v := fmt.Sprint(r.IntN(4))
					own[string(name)], set[model.LabelName(name)] = v, model.LabelValue(v)
				}
			}
			got, want := ours.Match(match.New(own)), theirs.Match(set)
			if len(got) != len(want) {
				t.Fatalf("%v: %d routes, want %d", own, len(got), len(want))
			}
			for n := range got {
				if got[n].Receiver != want[n].RouteOpts.Receiver {
					t.Fatalf("%v: route %d leads to %s, want %s", own, n, got[n].Receiver, want[n].RouteOpts.Receiver)
				}
			}
			matched += len(got)
		}
	}
	if matched < 1250 {
		t.Errorf("only %d routes matched: the trees are too strict to show anything", matched)
	}
}

// TestTwoValues: a route that asks for the sender's word and one that asks for
// ours both match.
func TestTwoValues(t *testing.T) {
	i := &incident.Incident{Severity: "critical", SeverityWord: "page", Team: "db", State: incident.Open, Labels: map[string]string{"team": "storage"}}
	for text, want := range map[string]bool{
		`severity="page"`: true, `severity="critical"`: true, `severity="warning"`: false, `severity!="critical"`: false, `severity!="page"`: false,
		`severity!="warning"`: true, `severity=~"crit.*"`: true, `severity!~"p.*"`: false, `team="db"`: true, `team="storage"`: true, `state="open"`: true,
		`nothing=""`: true, `nothing!=""`: false, `drill=""`: true,
	} {
		m, err := labels.ParseMatcher(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := match.Of(i).Is(m); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n, "_routes"), func(b *testing.B) {
			root := &amconfig.Route{Receiver: "all"}
			for k := range n {
				m, err := labels.NewMatcher(labels.MatchEqual, "team", fmt.Sprint("team", k))
				if err != nil {
					b.Fatal(err)
				}
				root.Routes = append(root.Routes, &amconfig.Route{Receiver: fmt.Sprint("r", k), Matchers: []*labels.Matcher{m}})
			}
			tree := New(root)
			l := match.New(map[string]string{"team": fmt.Sprint("team", n-1), "alertname": "DiskFull"})
			b.ReportAllocs()
			for b.Loop() {
				if len(tree.Match(l)) != 1 {
					b.Fatal("no route")
				}
			}
		})
	}
}
