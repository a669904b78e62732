package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestReport reports an incident, and finds what may be the same before.
func TestReport(t *testing.T) {
	d := newDesk(t, "classify: {categories: [network, hardware]}")
	old := d.fires("alertname", "PrinterOutOfPaper", "host", "lobby", "service", "printing")
	d.fires("alertname", "Disk", "host", "db", "service", "shop")

	page := d.page("/report", 200)
	d.has(page, "Impact", "Urgency", "It is a drill", `<option value="network">`, "Who noticed it")
	fields := []string{"title", "the printer in the lobby", "description", "nothing <b>prints</b>", "service", "printing", "reporter", "Mr Li", "reporter_contact", "4711", "reporter_role", "teller",
		"channel", "phone", "reported_at", "2026-11-21T09:00", "impact", "low", "urgency", "medium", "category", "hardware", "drill", "yes"}

	w := d.submit("/report", d.form(page, "/report", append(fields, "look", "yes")...))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(w.Body.String(), "Perhaps it is known already", old, "nothing &lt;b&gt;prints&lt;/b&gt;", `value="4711"`, `value="yes" checked`)
	part := d.page("/report?part=duplicates&title=PrinterOutOfPaper", 200)
	d.has(part, old)
	d.lacks(part, "<html", "Disk")
	d.has(d.page("/report?part=duplicates&title=nothing+such", 200), "Nothing like it is open")

	values := d.form(page, "/report", fields...)
	w = d.submit("/report", values)
	to := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasSuffix(to, "?reported=opened") {
		t.Fatalf("got %d to %q\n%s", w.Code, to, w.Body)
	}
	d.has(d.page(to, 200), "This incident is new.", "the printer in the lobby", "<bdi>Mr Li</bdi>, <bdi>teller</bdi>, <bdi>4711</bdi>, by phone", "drill", "<dd>low, medium</dd>", "nothing &lt;b&gt;prints&lt;/b&gt;")
	// It has no alerts, so how many fire says nothing about how bad it is.
	d.lacks(d.page(to, 200), "0 of 0", "all its alerts share")
	d.lacks(d.page("/", 200), "0 of 0")
	d.lacks(d.page("/wall", 200), "0 firing")
	if w := d.submit("/report", values); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("twice: got %d to %q", w.Code, w.Header().Get("Location"))
	}

	w = d.submit("/report", d.form(page, "/report", "title", "kept", "impact", "huge", "once", "another"))
	if w.Code != http.StatusBadRequest {
		t.Errorf("got %d", w.Code)
	}
	d.has(w.Body.String(), "What happened is missing", "Who noticed it is missing", `value="kept"`)
	w = d.submit("/report", d.form(page, "/report", "description", "x", "reporter", "ann", "impact", "huge", "once", "a third"))
	d.has(w.Body.String(), `id="f-impact-error"`)
}

// TestReportByPerson: who signed in need not say who reports.
func TestReportByPerson(t *testing.T) {
	d := newDesk(t, "")
	w := d.send("POST", "/api/v1/tokens", "application/json", `{"role":"admin","name":"boss"}`)
	_, after, _ := strings.Cut(w.Body.String(), `"token":"`)
	token, _, _ := strings.Cut(after, `"`)
	d.header.Set("Authorization", "Bearer "+token)
	d.has(d.page("/report", 200), "Empty: you, boss.")
	w = d.submit("/report", url.Values{"description": {"it smells"}})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("got %d\n%s", w.Code, w.Body)
	}
	d.has(d.page(w.Header().Get("Location"), 200), "by <bdi>boss</bdi>")
}
