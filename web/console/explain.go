package console

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// explainedShown is how many alerts of a payload a page explains one by one.
	explainedShown = 50
	// payloadLimit is how large a form with a payload may be in bytes: the largest that the API
	// explains, each byte written as three.
	payloadLimit = 3 * web.ExplainLimit
	// rawShown is how much of the API's answer a page shows, in bytes.
	rawShown = 256 << 10
)

// explainData is what the page shows.
type explainData struct {
	Sources []web.SourceJSON
	// Source and Payload are what is written into the form.
	Source, Payload string
	// Letter and Recording name where the payload is from; Binary: it is none that a
	// form can hold, and is taken from there.
	Letter, Recording string
	Binary            bool
	Letters           []web.LetterJSON
	Recordings        []web.RecordingJSON
	// Result is nil if nothing was asked; Raw is the same as the API said it.
	Result  *web.Explanation
	Left    int
	Raw     string
	Problem *problem
}

// explain answers GET and POST /explain.
func (k *Console) explain(c *gin.Context) {
	d := explainData{Source: c.Query("source"), Letter: c.Query("letter"), Recording: c.Query("recording")}
	if c.Request.Method == http.MethodPost {
		values, err := readLargeForm(c, payloadLimit)
		if err != nil {
			k.fail(c, err)
			return
		}
		// A form ends its lines as mail does, senders do not.
		d.Source, d.Payload = values.Get("source"), strings.ReplaceAll(values.Get("payload"), "\r\n", "\n")
		d.Letter, d.Recording = values.Get("letter"), values.Get("recording")
	}
	body := payload(d.Payload)
	if d.Payload == "" {
		var err error
		if body, err = k.stored(c, &d); err != nil {
			k.fail(c, err)
			return
		}
	}
	status := http.StatusOK
	if c.Request.Method == http.MethodPost {
		var ok bool
		if d.Problem, ok = k.asProblem(c, k.explainBody(c, &d, body)); !ok {
			return
		}
		if d.Problem != nil {
			status = d.Problem.Status
		}
	}
	if err := k.samples(c, &d); err != nil {
		k.fail(c, err)
		return
	}
	k.render(c, status, "explain", &view{Title: "Explain", Section: "explain", Data: d})
}

// stored is the body of the dead letter or the recording that d names, if it names one.
func (k *Console) stored(c *gin.Context, d *explainData) (payload, error) {
	switch {
	case d.Letter != "":
		l, err := get[web.LetterBodyJSON](k, c, "/api/v1/deadletters/"+url.PathEscape(d.Letter))
		if err != nil {
			return nil, err
		}
		if d.Source == "" {
			d.Source = l.Source
		}
		if l.Text != nil {
			d.Payload = *l.Text
			return payload(d.Payload), nil
		}
		d.Binary = true
		return base64.StdEncoding.DecodeString(l.Body)
	case d.Recording != "":
		r, err := get[web.RecordingBodyJSON](k, c, "/api/v1/recordings/"+url.PathEscape(d.Recording))
		if err != nil {
			return nil, err
		}
		if d.Source == "" {
			d.Source = r.Source
		}
		if r.Encoding == "utf-8" {
			d.Payload = r.Body
			return payload(r.Body), nil
		}
		d.Binary = true
		return base64.StdEncoding.DecodeString(r.Body)
	}
	return payload{}, nil
}

// explainBody asks what becomes of a body.
func (k *Console) explainBody(c *gin.Context, d *explainData, body payload) error {
	a, err := k.call(c, http.MethodPost, "/api/v1/explain?source="+url.QueryEscape(d.Source), body, 0)
	if err != nil {
		return err
	}
	var found web.Explanation
	if err := json.Unmarshal(a.body.Bytes(), &found); err != nil {
		return err
	}
	d.Left = max(0, len(found.Alerts)-explainedShown)
	found.Alerts = found.Alerts[:len(found.Alerts)-d.Left]
	d.Result = &found
	raw := jsontext.Value(a.body.Bytes())
	if err := raw.Indent(jsontext.WithIndent("  ")); err != nil {
		return err
	}
	d.Raw = strings.ToValidUTF8(string(raw[:min(len(raw), rawShown)]), "")
	return nil
}

// samples fills in what there is to choose from.
func (k *Console) samples(c *gin.Context, d *explainData) error {
	found, err := get[web.SourcesJSON](k, c, "/api/v1/sources")
	if err != nil {
		return err
	}
	d.Sources = slices.DeleteFunc(found.Sources, func(s web.SourceJSON) bool { return s.Format == "" })
	letters, err := get[web.LettersJSON](k, c, "/api/v1/deadletters?limit=20")
	if err != nil {
		return err
	}
	d.Letters = letters.Letters
	if web.IdentityOf(c).Role.Covers(web.RoleAdmin) {
		// Without a flight recorder there are none.
		page, err := optional(get[web.RecordingsJSON](k, c, "/api/v1/recordings?limit=20"))
		if err != nil {
			return err
		}
		d.Recordings = page.Recordings
	}
	return nil
}
