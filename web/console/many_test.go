package console_test

import (
	"net/http"
	"net/url"
	"testing"
)

const each = "correlate: {rules: [{name: each, by: [alertname, host]}]}"

// TestMany does commands to a selection, and says what became of each.
func TestMany(t *testing.T) {
	d := newDesk(t, each)
	a, b, c := d.fires("alertname", "Disk", "host", "a"), d.fires("alertname", "Disk", "host", "b"), d.fires("alertname", "Disk", "host", "c")
	selection := func(names ...string) url.Values { return url.Values{"incident": names} }
	send := func(command string, values url.Values) string {
		t.Helper()
		w := d.submit("/do/"+command, values)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: got %d\n%s", command, w.Code, w.Body)
		}
		return w.Body.String()
	}

	d.does(c, "acknowledge", "by", "bob")
	page := send("acknowledge", selection(a, b, c, a, "INC-20261121-ZZZZ"))
	d.has(page, "Acknowledge: 4 incidents", "Your name")
	values := d.form(page, "/do/acknowledge", "by", "ann")
	page = send("acknowledge", values)
	d.has(page, "3 of 4 done.", "Acknowledged.", "bob works on it already.", "<strong>Not done.</strong>", "there is no incident INC-20261121-ZZZZ")
	d.has(d.page("/incidents/"+a, 200), "<bdi>ann</bdi> works on it")
	if w := d.submit("/do/acknowledge", values); w.Code != http.StatusSeeOther {
		t.Errorf("twice: got %d", w.Code)
	}

	// Who is known need not be asked.
	d.header.Set("Cookie", "tocsin_name=cleo")
	d.has(send("acknowledge", selection(a)), "1 of 1 done.", "ann works on it already.")

	page = send("assign", selection(a, b))
	d.has(page, "Assign a role: 2 incidents", `value="cleo"`)
	d.lacks(page, "is missing")
	d.has(send("assign", d.form(page, "/do/assign", "role", "nonsense")), "0 of 2 done.", "nonsense")
	d.has(send("assign", d.form(page, "/do/assign", "role", "technical_lead", "who", "dan", "once", "another")), "2 of 2 done.")
	d.has(d.page("/incidents/"+b, 200), "<dt>Technical lead</dt><dd><bdi>dan</bdi></dd>")

	page = send("merge", selection(a, b))
	d.has(page, `<option value="`+a+`">`, `<option value="`+b+`">`)
	d.has(send("merge", d.form(page, "/do/merge", "into", a)), "2 of 2 done.", "The others are parts of it now.")
	d.has(d.page("/incidents/"+b, 200), "It is a part of")

	page = send("resolve", selection(b, c))
	d.has(page, "Resolve: 2 incidents", "Comment")
	d.has(send("resolve", d.form(page, "/do/resolve", "comment", "all over")), "2 of 2 done.")
	d.has(d.page("/incidents/"+c, 200), "all over")

	for path, want := range map[string]int{"/do/close": 404, "/do/nothing": 404, "/do/resolve": 400} {
		values := selection(a)
		if want == 400 {
			values = nil
		}
		if w := d.submit(path, values); w.Code != want {
			t.Errorf("%s: got %d, want %d", path, w.Code, want)
		}
	}
}

// TestManyGates says for each incident what is missing.
func TestManyGates(t *testing.T) {
	d := newDesk(t, people)
	a := d.fires("alertname", "Disk", "host", "a")
	w := d.submit("/do/resolve", url.Values{"incident": {a}, "sure": {"yes"}, "by": {"ann"}})
	d.has(w.Body.String(), "0 of 1 done.", "cause: say what caused it")
}
