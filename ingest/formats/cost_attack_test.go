package formats

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func fill(n int, unit string) string {
	return strings.Repeat(unit, n/len(unit)+1)[:n/len(unit)*len(unit)]
}

// TestAttackCost: 4 MiB of the worst kind must not take more than a second or 256 MiB.
func TestAttackCost(t *testing.T) {
	const n = 4<<20 - 1000
	num := func(i int) string { return fmt.Sprint(i) }
	long := func(i int) string { return fmt.Sprintf("%064d", i) }
	bodies := map[string]string{
		"deep array":        strings.Repeat("[", n),
		"deep object":       fill(n, `{"a":`),
		"many members":      `{` + members(1<<20, num) + `}`,
		"long names":        `{` + members(n, long) + `}`,
		"many elements":     `[` + strings.TrimSuffix(strings.Repeat("{},", 99_000), ",") + `]`,
		"one text":          `{"message":"` + fill(n, `\u00e9`) + `"}`,
		"bad utf8":          `{"message":"` + fill(n, "\xff") + `"}`,
		"percents":          "a=" + fill(n, "%"),
		"percents b":        "a=" + fill(n, "%zz"),
		"plus":              "xmldata=" + fill(n, "<%>"),
		"quotes":            `{"` + fill(n, `"`),
		"quotes colon":      `{` + fill(n, `"a":"`),
		"quotes comma":      `{"a":"` + fill(n, `",`),
		"lines":             fill(n, "{\n"),
		"line names":        "{\"a\n" + fill(n, `"a": "b", `),
		"env":               "NAGIOS_A=b\n" + fill(n, "A=\n"),
		"env b":             "NAGIOS_A=b\n" + fill(n, "NAGIOS_A=b\n"),
		"args":              fill(n, "arg[0]=$'\\x'\n"),
		"brackets":          fill(n, "["),
		"brackets b":        fill(n, "] ["),
		"xml attrs":         `<monit ` + fill(n, `a="" `) + `>`,
		"xml attrs nrdp":    `<checkresults ` + fill(n, `a="" `) + `>`,
		"xml elements":      `<monit>` + fill(n, `<a></a>`),
		"xml elements nrdp": `<checkresults><checkresult>` + fill(n, `<a></a>`),
		"xml text":          `<checkresults><checkresult><output>` + fill(n, `&amp;`),
		"xml comments":      `<checkresults><checkresult><output>` + fill(n, `a<!---->`),
		"xml comments m":    `<monit><event><message>` + fill(n, `a<!---->`),
		"credentials":       `<monit>` + fill(n, `<credentials></credentials>`),
		"mail headers":      "From: a\r\nSubject: b\r\n" + fill(n, "a:b\r\n"),
		"mail folded":       "From: a\r\nSubject: b\r\n" + fill(n, " b\r\n"),
		"mail words":        "From: a\r\nSubject: " + fill(n, "=?") + "\r\n\r\n",
		"mail lines":        "From: a\r\nSubject: b\r\n\r\n" + fill(n, "\n"),
		"mail html":         "From: a\r\nSubject: [FIRING:1] b\r\nContent-Type: text/html\r\n\r\n" + fill(n, "<td>"),
		"mail html pre":     "From: a\r\nSubject: [FIRING:1] b\r\nContent-Type: text/html\r\n\r\n" + fill(n, "Labels<br>"),
		"mail parts":        "From: a\r\nSubject: b\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" + fill(n, "--a\r\n\r\n"),
		"mail parts b":      "From: a\r\nSubject: b\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n" + fill(n, "--ab"),
		"mail inner":        "From: a\r\nSubject: b\r\nContent-Type: multipart/digest; boundary=a\r\n\r\n" + fill(n, "--a\r\n\r\nFrom: a\r\nSubject: Cron <a@b> c\r\n\r\n"+strings.Repeat("x\n", 100)),
		"mail inner head":   "From: a\r\nSubject: b\r\nContent-Type: multipart/digest; boundary=a\r\n\r\n" + fill(n, "--a\r\n\r\nFrom: a\r\n"+strings.Repeat("Subject: =?=?=?\r\n", 400)+"\r\nx\r\n"),
		"multipart":         fill(n, "--a\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n"),
		"multipart heads":   "--a\r\ncontent-disposition: form-data\r\n" + fill(n, "a:b\r\n"),
		"kibana prefix":     `{"` + fill(400_000, "a") + `":{` + members(10_000, num) + `}}`,
	}
	for name, f := range All {
		for what, body := range bodies {
			limit := int(f.BodyLimit)
			if len(body) > limit {
				body = body[:limit]
			}
			if d, memory := cost(f, "", []byte(body)); d > time.Second || memory > 256<<20 {
				t.Errorf("%s, %s (%d KiB): %v, %d MiB", name, what, len(body)>>10, d.Round(time.Millisecond), memory>>20)
			}
		}
	}
}

func TestAttackCostEvents(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"events":[`)
	for i := 0; b.Len() < 16<<20-100_000; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{` + members(90_000, func(i int) string { return fmt.Sprintf("statu%058d", i) }) + `}`)
	}
	b.WriteString(`]}`)
	d, memory := cost(All["events"], "", []byte(b.String()))
	t.Logf("%d MiB: %v, %d MiB", b.Len()>>20, d, memory>>20)
	if d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestAttackCostGrafana(t *testing.T) {
	one := `{"status":"firing","labels":{"a":"b"},"annotations":{},"startsAt":"2026-11-21T01:00:00Z","values":{"A":1}}`
	for name, body := range map[string]string{
		"alerts": `{"title":"` + strings.Repeat("x", 60_000) + `","alerts":[` + strings.TrimSuffix(strings.Repeat(one+",", (63<<20)/len(one)), ",") + `]}`,
		"empty":  `{"alerts":[` + strings.TrimSuffix(strings.Repeat("{},", (63<<20)/3), ",") + `]}`,
		"values": `{"alerts":[{"status":"firing","labels":{"a":"b"},"values":{` + members(60<<20, func(i int) string { return fmt.Sprint(i) }) + `}}]}`,
	} {
		d, memory := cost(All["grafana"], "", []byte(body))
		t.Logf("%s: %d MiB: %v, %d MiB in all", name, len(body)>>20, d, memory>>20)
	}
}
