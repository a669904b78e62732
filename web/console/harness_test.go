package console_test

import (
	"context"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/config"
	"github.com/tocsin-gateway/tocsin/gateway"
	"github.com/tocsin-gateway/tocsin/store"
	"github.com/tocsin-gateway/tocsin/store/embedded"
)

func init() { gin.SetMode(gin.TestMode) }

// desk is a whole gateway in memory, whose console a person looks at.
type desk struct {
	t       testing.TB
	gateway *gateway.Gateway
	store   store.Store
	// header is sent with each request.
	header http.Header
}

// newDesk starts a gateway with a configuration, which may be empty.
func newDesk(t testing.TB, text string) *desk {
	t.Helper()
	st, err := embedded.Open("mem:", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return deskOn(t, text, st)
}

// deskOn starts a gateway on a store, which it closes.
func deskOn(t testing.TB, text string, st store.Store) *desk {
	t.Helper()
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := config.Load([]byte(text), "tocsin.yml")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, store: st, header: http.Header{}}
	d.gateway, err = gateway.New(context.Background(), gateway.Options{Store: st, Config: c,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registry: prometheus.NewRegistry(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// send sends a request, with a body if it is not empty, and returns the answer.
func (d *desk) send(method, path, mediaType, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	for name, values := range d.header {
		r.Header[name] = values
	}
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	w := httptest.NewRecorder()
	d.gateway.Engine.ServeHTTP(w, r)
	return w
}

// page is the text of a page, which has to come with the status.
func (d *desk) page(path string, status int) string {
	d.t.Helper()
	w := d.send("GET", path, "", "")
	if w.Code != status {
		d.t.Fatalf("GET %s: got %d, want %d\n%s", path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// submit sends a form as a browser does and returns the answer.
func (d *desk) submit(path string, form url.Values) *httptest.ResponseRecorder {
	d.t.Helper()
	return d.send("POST", path, "application/x-www-form-urlencoded", form.Encode())
}

// api sends JSON to the API; the answer has to be 200.
func (d *desk) api(method, path, body string) string {
	d.t.Helper()
	w := d.send(method, path, "application/json", body)
	if w.Code != http.StatusOK {
		d.t.Fatalf("%s %s: got %d\n%s", method, path, w.Code, w.Body)
	}
	return w.Body.String()
}

// fires sends an alert and returns the reference of its incident. Labels are pairs of
// names and values; annotations too, each with a leading "@".
func (d *desk) fires(labels ...string) string {
	d.t.Helper()
	a := map[string]any{"status": "firing", "startsAt": time.Now().Add(-time.Minute).Format(time.RFC3339)}
	named, said := map[string]string{}, map[string]string{}
	for n := 0; n < len(labels); n += 2 {
		if name, annotation := strings.CutPrefix(labels[n], "@"); annotation {
			said[name] = labels[n+1]
		} else {
			named[labels[n]] = labels[n+1]
		}
	}
	a["labels"], a["annotations"] = named, said
	if link := said["generatorURL"]; link != "" {
		a["generatorURL"] = link
	}
	body, err := json.Marshal(map[string]any{"version": "4", "alerts": []any{a}})
	if err != nil {
		d.t.Fatal(err)
	}
	var answer struct {
		Results []struct {
			Reference string `json:"reference"`
			Verdict   string `json:"verdict"`
		} `json:"results"`
	}
	if err := json.Unmarshal([]byte(d.api("POST", "/ingest/alertmanager", string(body))), &answer); err != nil || len(answer.Results) != 1 || answer.Results[0].Reference == "" {
		d.t.Fatalf("%v: %+v", err, answer)
	}
	return answer.Results[0].Reference
}

// has fails unless the page has all of these texts.
func (d *desk) has(page string, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			d.t.Errorf("the page lacks %q:\n%s", text, page)
		}
	}
}

// lacks fails if the page has any of these texts.
func (d *desk) lacks(page string, texts ...string) {
	d.t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			d.t.Errorf("the page has %q:\n%s", text, page)
		}
	}
}

// note writes a note as somebody.
func (d *desk) note(reference, by, text string) {
	d.t.Helper()
	d.api("POST", "/api/v1/incidents/"+reference+"/note", fmt.Sprintf(`{"by":%q,"text":%q}`, by, text))
}

var (
	hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
	formStart   = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
)

// form is what a browser would send of the form in a page for the address, with other
// values for some of its fields.
func (d *desk) form(page, action string, fields ...string) url.Values {
	d.t.Helper()
	values := url.Values{}
	for _, part := range strings.Split(page, "<form ")[1:] {
		part, _, _ = strings.Cut("<form "+part, "</form>")
		if m := formStart.FindStringSubmatch(part); m == nil || html.UnescapeString(m[1]) != action {
			continue
		}
		for _, m := range hiddenInput.FindAllStringSubmatch(part, -1) {
			values.Add(m[1], html.UnescapeString(m[2]))
		}
	}
	if len(values) == 0 {
		d.t.Fatalf("the page has no form for %s:\n%s", action, page)
	}
	for n := 0; n < len(fields); n += 2 {
		values.Set(fields[n], fields[n+1])
	}
	return values
}

// do opens the form of a command, fills it in, sends it and returns the answer.
func (d *desk) do(reference, command string, fields ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	at := "/incidents/" + reference + "/do/" + command
	return d.submit(at, d.form(d.page(at, 200), at, fields...))
}

// does is do for what has to work; it returns the page of the incident after it.
func (d *desk) does(reference, command string, fields ...string) string {
	d.t.Helper()
	w := d.do(reference, command, fields...)
	if want := "/incidents/" + reference + "?done=" + command; w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
		d.t.Fatalf("%s %q: got %d to %q, want 303 to %q\n%s", command, fields, w.Code, w.Header().Get("Location"), want, w.Body)
	}
	return d.page(w.Header().Get("Location"), 200)
}
