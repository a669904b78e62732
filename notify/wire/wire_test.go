package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-gateway/tocsin/notify"
	"github.com/tocsin-gateway/tocsin/notify/targettest"
)

func TestCut(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{
		{"", 5, ""}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"},
		{"😀😀", 4, "😀😀"}, {"😀😀😀", 4, "😀…"}, {"a😀😀", 4, "a😀…"}, {"abc", 0, "…"},
	} {
		if got := Cut(test.text, test.n); got != test.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", test.text, test.n, got, test.want)
		}
	}
	for _, text := range targettest.HostileTexts() {
		for _, n := range []int{1, 10, 299, 300, 1024} {
			got := Cut(Clean(text), n)
			if Length(got) > n || !utf8.ValidString(got) {
				t.Errorf("Cut(%.20q, %d) has %d characters: %.40q", text, n, Length(got), got)
			}
		}
	}
}

func TestClean(t *testing.T) {
	got := Clean("a\r\nb\tc\x00\x1b[31m \u202ered\u202c \xff\u2028d\ufeff")
	if want := "a\nb\tc[31m red \uFFFD\nd"; got != want {
		t.Errorf("Clean() = %q, want %q", got, want)
	}
}

func TestUntagged(t *testing.T) {
	for text, want := range map[string]string{"a < b, x <5%": "a < b, x <5%", "<b>x</b>": "‹b>x‹/b>", "<!-- x": "‹!-- x", "cut <": "cut ‹", "<\u200bscript>": "‹script>"} {
		if got := Untagged(text); got != want {
			t.Errorf("Untagged(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	if got := Line(" a\r\nb\tc " + strings.Repeat("x", 400)); got != "a b c "+strings.Repeat("x", 400) {
		t.Errorf("Line() = %q", got)
	}
}

func TestValueAlwaysEncodes(t *testing.T) {
	var deep any = "x"
	for range 100 {
		deep = []any{deep}
	}
	in := map[string]any{"nan": math.NaN(), "inf": math.Inf(-1), "text\xff": "a\xffb", "deep": deep, "time": time.Unix(0, 0).UTC(), "list": []any{1, true, nil}, "odd": struct{ A int }{1}}
	out, err := json.Marshal(Value(in))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"nan":"NaN"`, `"inf":"-Inf"`, "\"text\uFFFD\":\"a\uFFFDb\"", `"list":[1,true,null]`, `"odd":"{1}"`, `"time":"1970-01-01T00:00:00Z"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("Value() encodes to %s, want %s in it", out, want)
		}
	}
}

func TestFooterFitsTheState(t *testing.T) {
	for event, want := range map[notify.Event]string{
		notify.Opened:       "Open INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\nAcknowledge: https://tocsin.example.com/a/ack-token\nResolve: https://tocsin.example.com/a/resolve-token\n",
		notify.Acknowledged: "alice works on it\nOpen INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\nResolve: https://tocsin.example.com/a/resolve-token\n",
		notify.Resolved:     "Resolved by tocsin\nOpen INC-20261121-7KQ2: https://tocsin.example.com/incidents/INC-20261121-7KQ2\n",
	} {
		if got := Footer(targettest.Message(event)); got != want {
			t.Errorf("%s: got %q, want %q", event, got, want)
		}
	}
	long := WithFooter(strings.Repeat("x", 500), "the end", 100)
	if Length(long) > 100 || !strings.HasSuffix(long, "x…\n\nthe end") {
		t.Errorf("WithFooter() = %q", long)
	}
}
