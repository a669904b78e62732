package mute

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	amcommon "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/provider"
	"github.com/prometheus/common/model"

	"github.com/tocsin-gateway/tocsin/alert"
)

// theirAlerts gives the module's inhibitor what fires.
type theirAlerts struct {
	provider.Alerts
	list []*amalert.Alert
}

func (t theirAlerts) SlurpAndSubscribe(string) ([]*amalert.Alert, provider.AlertIterator) {
	return t.list, provider.NewAlertIterator(make(chan *provider.Alert), make(chan struct{}), nil)
}

// theirs is the module's inhibitor at work.
func theirs(t *testing.T, rules []amcommon.InhibitRule, firing []alert.Labels) func(alert.Labels) bool {
	var list []*amalert.Alert
	for _, l := range firing {
		list = append(list, &amalert.Alert{Alert: model.Alert{Labels: labelSet(l), StartsAt: time.Now().Add(-time.Minute), EndsAt: time.Now().Add(time.Hour)}})
	}
	ih := inhibit.NewInhibitor(theirAlerts{list: list}, rules, slog.New(slog.DiscardHandler), eventrecorder.NopRecorder())
	done := make(chan struct{})
	go func() { defer close(done); ih.Run() }()
	ih.WaitForLoading()
	t.Cleanup(func() { ih.Stop(); <-done })
	return func(l alert.Labels) bool { return ih.Mutes(context.Background(), labelSet(l)) }
}

func labelSet(l alert.Labels) model.LabelSet {
	set := model.LabelSet{}
	for _, one := range l {
		set[model.LabelName(one.Name)] = model.LabelValue(one.Value)
	}
	return set
}

func anyLabels(r *rand.Rand) alert.Labels {
	m := map[string]string{}
	for _, name := range []string{"a", "b", "c", "d"} {
		if v := r.IntN(4); v > 0 {
			m[name] = fmt.Sprint(v)
		}
	}
	return alert.FromMap(m)
}

// anySide is one side of a rule, in YAML.
func anySide(r *rand.Rand, side string) string {
	var old, oldRE, now []string
	for range 1 + r.IntN(2) {
		name, value := string(rune('a'+r.IntN(4))), fmt.Sprint(r.IntN(4))
		switch r.IntN(6) {
		case 0:
			old = append(old[:0], name+`: "`+value+`"`)
		case 1:
			oldRE = append(oldRE[:0], name+`: "[`+value+`-3]"`)
		case 2:
			now = append(now, `'`+name+`!="`+value+`"'`)
		case 3:
			now = append(now, `'`+name+`=~"[`+value+`-3]?"'`)
		case 4:
			now = append(now, `'`+name+`!~"[`+value+`-3]"'`)
		default:
			now = append(now, `'`+name+`="`+strings.Trim(value, "0")+`"'`)
		}
	}
	text := ""
	if len(old) > 0 {
		text += "    " + side + "_match: {" + old[0] + "}\n"
	}
	if len(oldRE) > 0 {
		text += "    " + side + "_match_re: {" + oldRE[0] + "}\n"
	}
	if len(now) > 0 {
		text += "    " + side + "_matchers: [" + strings.Join(now, ", ") + "]\n"
	}
	return text
}

// TestInhibitionIsTheModules: the Alertmanager module's own inhibitor says the same.
func TestInhibitionIsTheModules(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var asked, hidden, twoSided int
	for n := range 400 {
		text := "route: {receiver: a}\nreceivers: [{name: a}]\ninhibit_rules:\n"
		for k := range 1 + r.IntN(3) {
			equal := []string{"a", "b", "c", "d"}[:r.IntN(4)]
			r.Shuffle(len(equal), func(i, j int) { equal[i], equal[j] = equal[j], equal[i] })
			text += fmt.Sprintf("  - name: rule%d\n    equal: [%s]\n", k, strings.Join(equal, ", ")) + anySide(r, "source") + anySide(r, "target")
		}
		c, err := amconfig.Load(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		var firing []alert.Labels
		for range r.IntN(8) {
			firing = append(firing, anyLabels(r))
		}
		want := theirs(t, c.InhibitRules, firing)
		in, f := NewInhibition(c.InhibitRules), found{}
		for k, l := range firing {
			of := map[source]struct{}{}
			if in.sources(l, of); len(of) > 0 && !in.maySource(l.Map()) {
				t.Fatalf("%v is on a source side, and the labels are said to exclude it\n%s", l, text)
			}
			for s := range of {
				f.put(s, fmt.Sprint("INC-", k))
			}
		}
		for _, l := range append(firing, anyLabels(r), anyLabels(r), anyLabels(r), nil) {
			rule, by, got := in.inhibits(l, f)
			if got != want(l) {
				t.Fatalf("case %d: %v inhibited: got %t, the module says %t; firing %v\n%s", n, l, got, !got, firing, text)
			}
			if got && (!in.mayTarget(l.Map()) || !strings.HasPrefix(by, "INC-") || rule == nil) {
				t.Fatalf("case %d: %v is inhibited by %q, %v; may be a target: %t", n, l, by, rule, in.mayTarget(l.Map()))
			}
			asked++
			if got {
				hidden++
			}
			for k := range in.rules {
				if holds(in.rules[k].source, l) && holds(in.rules[k].target, l) {
					twoSided++
				}
			}
		}
	}
	t.Logf("%d alerts, %d hidden, %d on both sides of a rule", asked, hidden, twoSided)
	if hidden < 200 || twoSided < 200 {
		t.Errorf("of %d alerts %d were hidden and %d on both sides of a rule; that says too little", asked, hidden, twoSided)
	}
}

func TestHowRulesAreNamed(t *testing.T) {
	c, err := amconfig.Load(`
route: {receiver: a}
receivers: [{name: a}]
inhibit_rules:
  - {source_match: {b: "1"}, source_matchers: ['a="x"'], target_matchers: ['c="1"']}
  - {name: nodes, source_matchers: ['alertname="NodeDown"', 'severity=~"critical|page"'], target_matchers: ['severity="warning"'], equal: [node]}
`)
	if err != nil {
		t.Fatal(err)
	}
	in := NewInhibition(c.InhibitRules)
	for n, want := range []string{`rule 1: source_matchers b="1", a="x"`, `rule "nodes": source_matchers alertname="NodeDown", severity=~"critical|page"`} {
		if got := in.rules[n].text; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
