package fields

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWithoutMembers(t *testing.T) {
	hidden := func(name string, depth int) bool { return name == "k" || name == "top" && depth == 1 }
	for body, want := range map[string]struct {
		taken []string
		out   string
	}{
		`{"a":"k","b":["k"]}`:           {nil, `{"a":"k","b":["k"]}`},
		`{"a":{"k": "1"},"k":2}`:        {[]string{"1"}, `{"a":{"k": null},"k":null}`},
		`[{"top":"1"}, {"\u006b":"2"}]`: {[]string{"2"}, `[{"top":"1"}, {"\u006b":null}]`},
		`{"top":"1","a":{"top":"2"}}`:   {[]string{"1"}, `{"top":null,"a":{"top":"2"}}`},
		`{"k":{"a":[1]},"b":1} `:        {nil, `{"k":null,"b":1} `},
		// Broken, before it or in it.
		`{"a":"say "x", y","k":"1","b":"2"}`: {[]string{"1"}, `{"a":"say "x", y","k":null,"b":"2"}`},
		`{"k":"1","a":"say "x"","k":"2"`:     {[]string{"1", "2"}, `{"k":null,"a":"say "x"","k":null`},
		`{"k":"1 "x" 2","b":3`:               {[]string{`1 "x" 2`}, `{"k":null,"b":3`},
		`{"k":"1`:                            {[]string{"1"}, `{"k":null`},
		`{"k":12x,"b":3}`:                    {nil, `{"k":null,"b":3}`},
		`{x,"k":{"a":"1"},"b":3}`:            {nil, `{x,"k":null`},
		`{x,"a":{"k":"1"},"b":3}`:            {[]string{`1"},"b":3}`}, `{x,"a":{"k":null`}, // more than there was
		`{"a":1} {"k":"1"}`:                  {[]string{"1"}, `{"a":1} {"k":null}`},
		``:                                   {nil, ``},
	} {
		if taken, out := WithoutMembers([]byte(body), hidden); !slices.Equal(taken, want.taken) || string(out) != want.out {
			t.Errorf("%s: got %q and %s, want %q and %s", body, taken, out, want.taken, want.out)
		}
	}
}

// TestLooseTime: the time for broken JSON does not grow with its square.
func TestLooseTime(t *testing.T) {
	for _, unit := range []string{`"`, `"a":`, `"a":{`, `"k":"`, `",`, `"k" : "" , `, `"` + strings.Repeat("a", 65), strings.Repeat(" ", 300) + `"`} {
		start := time.Now()
		WithoutMembers([]byte("{x"+strings.Repeat(unit, (4<<20)/len(unit))), func(name string, _ int) bool { return name == "k" })
		if took := time.Since(start); took > time.Minute { // it takes parts of a second; by the square it takes much longer than this
			t.Errorf("%q took %v", unit, took)
		}
	}
}

// FuzzWithoutMembers: nothing hidden, nothing changed; valid JSON stays valid and
// has no value of what is hidden.
func FuzzWithoutMembers(f *testing.F) {
	for _, s := range []string{`{"a":{"k": "1"},"k":[2]}`, `{"a":"say "x"","k":"2"`, `{x,"a":{"k":"1"}`, `{"k":"1 "x" 2","b":3`, `[1] {"k":"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if taken, out := WithoutMembers(body, func(string, int) bool { return false }); string(out) != string(body) || taken != nil {
			t.Errorf("%q became %q (%q)", body, out, taken)
		}
		hidden := func(name string, _ int) bool { return name == "k" }
		_, out := WithoutMembers(body, hidden)
		if _, _, err := JSON(body); err != nil {
			return
		}
		v, _, err := JSON(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", body, out, err)
		}
		if o, ok := v.(Object); ok && o["k"] != nil {
			t.Errorf("%q became %q", body, out)
		}
	})
}
