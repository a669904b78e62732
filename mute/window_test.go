package mute

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"

	"github.com/tocsin-gateway/tocsin/match"
)

func sundays(t testing.TB) *amconfig.Config {
	t.Helper()
	c, err := amconfig.Load(`
route: {receiver: a}
receivers: [{name: a}]
time_intervals:
  - {name: sundays, time_intervals: [{weekdays: [sunday], times: [{start_time: "01:00", end_time: "04:00"}]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// good is a window without mistakes.
func good() Window {
	return Window{Name: "move", Matchers: []string{`service="db"`}, From: "2026-11-21 22:00", To: "2026-11-22 04:00", Timezone: "Europe/Zurich",
		NoticeDays: 14, AnnouncedOn: "2026-11-07", Owner: "ann", Comment: "new disks"}
}

func TestWindowProblems(t *testing.T) {
	c := sundays(t)
	if problems := WindowProblems([]Window{good()}, nil); len(problems) > 0 {
		t.Fatalf("a good window: %v", problems)
	}
	for name, w := range map[string]struct {
		change func(*Window)
		path   string
		says   string
	}{
		"no name":              {func(w *Window) { w.Name = "" }, "name", "add name:"},
		"no matchers":          {func(w *Window) { w.Matchers = nil }, "matchers", "add matchers:"},
		"a bad matcher":        {func(w *Window) { w.Matchers = []string{`a="b"`, `=`} }, "matchers[1]", "not a matcher"},
		"an empty matcher":     {func(w *Window) { w.Matchers = []string{` `} }, "matchers[0]", ""},
		"an unknown zone":      {func(w *Window) { w.Timezone = "Europe/Zürich" }, "timezone", "Europe/Zurich"},
		"this machine's zone":  {func(w *Window) { w.Timezone = "Local" }, "timezone", "Europe/Zurich"},
		"no times at all":      {func(w *Window) { w.From, w.To = "", "" }, "time_intervals", "from: and to:"},
		"no beginning":         {func(w *Window) { w.From = "" }, "from", "add from:"},
		"no end":               {func(w *Window) { w.To = "" }, "to", "add to:"},
		"no time":              {func(w *Window) { w.To = "tomorrow" }, "to", "write it as 2026-11-21 22:00"},
		"the wrong way round":  {func(w *Window) { w.To = "2026-11-21 21:00" }, "to", "ends before it begins"},
		"too little notice":    {func(w *Window) { w.AnnouncedOn = "2026-11-08" }, "announced_on", "2026-11-22"},
		"no announcement":      {func(w *Window) { w.AnnouncedOn = "" }, "announced_on", "add announced_on:"},
		"no date":              {func(w *Window) { w.AnnouncedOn = "soon" }, "announced_on", "2026-11-21"},
		"less than no notice":  {func(w *Window) { w.NoticeDays = -1 }, "notice_days", "between 0"},
		"public, but no text":  {func(w *Window) { w.Public = Notice{" ", []string{"Shop"}} }, "public.text", "add text:"},
		"an unknown interval":  {func(w *Window) { w.TimeIntervals = []string{"sundays", "sunday"} }, "time_intervals[1]", "time_intervals"},
		"recurs, begins early": {func(w *Window) { w.TimeIntervals, w.AnnouncedOn = []string{"sundays"}, "2026-11-20" }, "announced_on", "2026-12-04"},
	} {
		one := good()
		w.change(&one)
		got := WindowProblems([]Window{good(), {}, one}, c)
		path := "[2]." + w.path
		maps.DeleteFunc(got, func(p, _ string) bool {
			return strings.HasPrefix(p, "[1]") || p == "[2].name" && w.path != "name" && strings.Contains(got[p], "[0]")
		})
		if len(got) != 1 || !strings.Contains(got[path], w.says) {
			t.Errorf("%s: got %v, want only %s, which says %q", name, got, path, w.says)
		}
		if _, err := NewWindows([]Window{one}, c); err == nil || !strings.Contains(err.Error(), "maintenance[0]."+w.path) {
			t.Errorf("%s: NewWindows: got %v", name, err)
		}
	}
	if got := WindowProblems([]Window{good(), good()}, c); len(got) != 1 || !strings.Contains(got["[1].name"], "[0]") {
		t.Errorf("two of a name: got %v", got)
	}
	recurs := good()
	recurs.TimeIntervals, recurs.From, recurs.To = []string{"sundays"}, "", ""
	if got := WindowProblems([]Window{recurs}, c); len(got) > 0 {
		t.Errorf("one that recurs: got %v", got)
	}
}

func TestWindows(t *testing.T) {
	z := zone(t, "Europe/Zurich")
	once, recurs, stated := good(), good(), good()
	recurs.Name, recurs.TimeIntervals, recurs.From, recurs.To, recurs.Matchers, recurs.Owner = "sundays", []string{"sundays"}, "", "", []string{`service=~"db|web"`, `tier!="one"`}, ""
	stated.Name, stated.From, stated.To, stated.Timezone, stated.Matchers = "offset", "2026-12-01T00:00:00+05:30", "2026-12-01T01:00:00Z", "", []string{`service="api"`}
	ws, err := NewWindows([]Window{once, recurs, stated}, sundays(t))
	if err != nil {
		t.Fatal(err)
	}
	local := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, z)
	}
	of := func(pairs ...string) match.Labels {
		m := map[string]string{}
		for p := range slices.Chunk(pairs, 2) {
			m[p[0]] = p[1]
		}
		return match.New(m)
	}
	for name, c := range map[string]struct {
		now    time.Time
		labels match.Labels
		text   string
		until  time.Time
	}{
		"before it begins":                    {local(11, 21, 22, 0).Add(-1), of("service", "db"), "", time.Time{}},
		"as it begins":                        {local(11, 21, 22, 0), of("service", "db"), `window "move" of ann`, local(11, 22, 4, 0)},
		"before it ends":                      {local(11, 22, 4, 0).Add(-1), of("service", "db"), `window "move" of ann`, local(11, 22, 4, 0)},
		"as it ends":                          {local(11, 22, 4, 0), of("service", "db"), "", time.Time{}},
		"something else":                      {local(11, 21, 23, 0), of("service", "mail"), "", time.Time{}},
		"recurs, in the window's zone":        {local(11, 29, 1, 0), of("service", "web"), `window "sundays"`, local(11, 29, 4, 0)},
		"recurs, over at four there":          {local(11, 29, 4, 0), of("service", "web"), "", time.Time{}},
		"recurs, another tier":                {local(11, 29, 1, 0), of("service", "web", "tier", "one"), "", time.Time{}},
		"recurs, before the notice is over":   {local(11, 15, 2, 0), of("service", "web"), "", time.Time{}},
		"recurs, when the notice is over":     {local(11, 22, 2, 0), of("service", "web"), `window "sundays"`, local(11, 22, 4, 0)},
		"stated with offsets, as it begins":   {time.Date(2026, 11, 30, 18, 30, 0, 0, time.UTC), of("service", "api"), `window "offset" of ann`, time.Date(2026, 12, 1, 1, 0, 0, 0, time.UTC)},
		"stated with offsets, before it":      {time.Date(2026, 11, 30, 18, 29, 59, 0, time.UTC), of("service", "api"), "", time.Time{}},
		"two are open, the longer one counts": {local(11, 22, 2, 0), of("service", "db"), `window "move" of ann`, local(11, 22, 4, 0)},
	} {
		h, hidden := ws.Muted(c.now, c.labels)
		if hidden != (c.text != "") || h.Text != c.text || !h.Until.Equal(c.until) {
			t.Errorf("%s: got %t, %q until %v; want %q until %v", name, hidden, h.Text, h.Until, c.text, c.until)
		}
	}
	if h, hidden := (*Windows)(nil).Muted(z0, of("a", "b")); hidden {
		t.Errorf("no windows: got %+v", h)
	}
}

var z0 = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func TestServices(t *testing.T) {
	good := []Service{{Name: "shop", DependsOn: []string{"web", "mail"}}, {Name: "web", DependsOn: []string{"db"}}, {Name: "db", DependsOn: []string{"disk"}},
		{Name: "disk"}, {Name: "mail", DependsOn: []string{"disk"}}}
	g, err := NewGraph(good)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.Upstream("shop"), []string{"web", "mail", "db", "disk"}; !slices.Equal(got, want) {
		t.Errorf("upstream of shop: got %q, want %q", got, want)
	}
	for _, name := range []string{"disk", "unknown", ""} {
		if got := g.Upstream(name); len(got) > 0 {
			t.Errorf("upstream of %q: got %q", name, got)
		}
	}
	for name, c := range map[string]struct {
		list []Service
		want map[string]string // path → what it says
	}{
		"no name":      {[]Service{{}}, map[string]string{"[0].name": "add name:"}},
		"twice":        {[]Service{{Name: "a"}, {Name: "a"}}, map[string]string{"[1].name": "[0]"}},
		"unknown":      {[]Service{{Name: "a", DependsOn: []string{"b"}}}, map[string]string{"[0].depends_on[0]": `no service "b"`}},
		"itself":       {[]Service{{Name: "a", DependsOn: []string{"a"}}}, map[string]string{"[0].depends_on[0]": "itself"}},
		"said twice":   {[]Service{{Name: "a", DependsOn: []string{"b", "b"}}, {Name: "b"}}, map[string]string{"[0].depends_on[1]": "twice"}},
		"a circle":     {[]Service{{Name: "x", DependsOn: []string{"a"}}, {Name: "a", DependsOn: []string{"b"}}, {Name: "b", DependsOn: []string{"c"}}, {Name: "c", DependsOn: []string{"d", "a"}}, {Name: "d"}}, map[string]string{"[3].depends_on[1]": "a → b → c → a"}},
		"two of them":  {[]Service{{Name: "a", DependsOn: []string{"b"}}, {Name: "b", DependsOn: []string{"a"}}, {Name: "c", DependsOn: []string{"d"}}, {Name: "d", DependsOn: []string{"c"}}}, map[string]string{"[1].depends_on[0]": "a → b → a", "[3].depends_on[0]": "c → d → c"}},
		"a diamond is": {[]Service{{Name: "a", DependsOn: []string{"b", "c"}}, {Name: "b", DependsOn: []string{"d"}}, {Name: "c", DependsOn: []string{"d"}}, {Name: "d"}}, nil},
	} {
		got := ServiceProblems(c.list)
		for path, says := range c.want {
			if !strings.Contains(got[path], says) {
				t.Errorf("%s: %s: got %q, want %q in it", name, path, got[path], says)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		if _, err := NewGraph(c.list); (err != nil) != (len(c.want) > 0) {
			t.Errorf("%s: NewGraph: got %v", name, err)
		}
	}
}
