package console

import (
	"encoding/base64"
	"fmt"
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
	// Mapping is what is written into the form, MappingOf the source that it is for: empty if
	// this source has none. Tried: it is another one than that in force.
	Mapping, MappingOf string
	Tried              bool
	Letters            []web.LetterJSON
	Recordings         []web.RecordingJSON
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
		d.Mapping, d.MappingOf = strings.ReplaceAll(values.Get("mapping"), "\r\n", "\n"), values.Get("mapping_of")
	}
	body := payload(d.Payload)
	if d.Payload == "" {
		var err error
		if body, err = k.stored(c, &d); err != nil {
			k.fail(c, err)
			return
		}
	}
	if err := k.samples(c, &d); err != nil {
		k.fail(c, err)
		return
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
	k.render(c, status, "explain", &view{Title: "Explain", Section: "explain", Data: &d})
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
	to, said := "/api/v1/explain", any(body)
	if d.Tried {
		to, said = to+"/mapping", web.TryMappingJSON{Mapping: d.Mapping, Payload: string(body)}
	}
	a, err := k.call(c, http.MethodPost, to+"?source="+url.QueryEscape(d.Source), said, 0)
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
	if d.Source == "" && len(d.Sources) > 0 {
		d.Source = d.Sources[0].Name // what a browser chooses
	}
	if err := k.mapping(c, d); err != nil {
		return err
	}
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

// mapping fills in the mapping in force where the form is not about it yet.
func (k *Console) mapping(c *gin.Context, d *explainData) error {
	n := slices.IndexFunc(d.Sources, func(s web.SourceJSON) bool { return s.Name == d.Source })
	if n < 0 || d.Sources[n].Format != "mapping" || d.Binary {
		d.Mapping, d.MappingOf = "", ""
		return nil
	}
	found, err := get[web.MappingJSON](k, c, "/api/v1/explain/mapping?source="+url.QueryEscape(d.Source))
	if err != nil {
		return err
	}
	if d.MappingOf != d.Source || strings.TrimSpace(d.Mapping) == "" {
		d.Mapping, d.MappingOf = found.Mapping, d.Source
	}
	d.Tried = strings.TrimSpace(d.Mapping) != strings.TrimSpace(found.Mapping)
	return nil
}

// File is the mapping as it stands in the configuration file.
func (d *explainData) File() string {
	var out strings.Builder
	fmt.Fprintf(&out, "sources:\n  %s:\n    format: mapping\n    mapping:\n", d.MappingOf)
	for line := range strings.Lines(d.Mapping) {
		out.WriteString("      " + line)
	}
	return out.String()
}
