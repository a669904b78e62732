package nagios

import (
	"context"
	"encoding/xml"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin-gateway/tocsin/alert"
	"github.com/tocsin-gateway/tocsin/config/secret"
	"github.com/tocsin-gateway/tocsin/ingest"
)

// store is a sink and a spool that keep what they are given.
type store struct {
	away    bool
	kept    []string
	letters []ingest.DeadLetter
	waiting []ingest.Request
}

func (s *store) Accept(_ context.Context, _ string, alerts []alert.Alert) ([]alert.Outcome, error) {
	if s.away {
		return nil, ingest.ErrUnavailable
	}
	for _, a := range alerts {
		s.kept = append(s.kept, a.Key)
	}
	return make([]alert.Outcome, len(alerts)), nil
}

func (s *store) DeadLetter(_ context.Context, d ingest.DeadLetter) error {
	s.letters = append(s.letters, d)
	return nil
}

func (s *store) Append(_ context.Context, r ingest.Request) error {
	s.waiting = append(s.waiting, r)
	return nil
}

func (s *store) Holds(string) bool                       { return false }
func (s *store) SetAside(ingest.Request) (string, error) { return "", nil }

// TestNRDPOverHTTP: the token is in the form, the answer is NRDP's own whatever it
// is, and the token is kept nowhere.
func TestNRDPOverHTTP(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	results := "<checkresults><checkresult><hostname>gw</hostname><state>1</state></checkresult></checkresults>"
	for _, c := range []struct {
		name, method, query, body string
		away                      bool
		code, status              int
		says                      string
		kept, letters, waiting    int
	}{
		{name: "form", method: "POST", body: "token=s3cret&cmd=submitcheck&xml=" + results, code: 200, says: "1 checks processed.", kept: 1},
		{name: "query", method: "GET", query: "token=s3cret&cmd=submitcheck&XMLDATA=" + url.QueryEscape(results), code: 200, says: "1 checks processed.", kept: 1},
		{name: "wrong token", method: "POST", body: "token=other&cmd=submitcheck&xml=" + results, code: 401, status: -1, says: "wrong or missing credentials"},
		{name: "no token", method: "GET", query: "cmd=submitcheck&XMLDATA=" + url.QueryEscape(results), code: 401, status: -1, says: "wrong or missing credentials"},
		{name: "nothing to read", method: "POST", body: "token=s3cret&cmd=submitcheck&xml=<a>", code: 400, status: -1, says: "XMLDATA: not what NRDP sends: it begins with <a>", letters: 1},
		{name: "one cannot be read", method: "POST", body: `token=s3cret&json={"checkresults":[{"hostname":"a","state":"x"},{"hostname":"b","state":1}]}`, code: 200, says: "2 checks processed.", kept: 1, letters: 1},
		{name: "the store is away", method: "POST", body: "token=s3cret&xml=" + results, away: true, code: 202, says: "1 checks processed.", waiting: 1},
		{name: "not taken at all", method: "DELETE", code: 405, status: -1, says: "GET, POST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &store{away: c.away}
			h, err := ingest.New(ingest.Options{Sink: s, Spool: s, Now: func() time.Time { return received }, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
			if err != nil {
				t.Fatal(err)
			}
			h.Set([]ingest.Source{{Name: "nrdp", Format: NRDP, BodyLimit: NRDP.BodyLimit, Spools: true, Auth: ingest.AuthConfig{BearerToken: secret.New("s3cret")}}})
			engine := gin.New()
			h.Register(engine)
			w := httptest.NewRecorder()
			r := httptest.NewRequest(c.method, "/ingest/nrdp?"+c.query, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			engine.ServeHTTP(w, r)
			var answer struct {
				XMLName xml.Name `xml:"result"`
				Status  int      `xml:"status"`
				Message string   `xml:"message"`
				Output  string   `xml:"meta>output"`
			}
			if err := xml.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != c.code || answer.Status != c.status || !strings.Contains(answer.Message+answer.Output, c.says) {
				t.Errorf("got %d %s (%v), want %d, %d and %q", w.Code, w.Body, err, c.code, c.status, c.says)
			}
			if len(s.kept) != c.kept || len(s.letters) != c.letters || len(s.waiting) != c.waiting {
				t.Errorf("kept %q, %d letters, %d waiting; want %d, %d, %d", s.kept, len(s.letters), len(s.waiting), c.kept, c.letters, c.waiting)
			}
			for _, l := range s.letters {
				if strings.Contains(string(l.Body)+l.Path+l.Reason, "s3cret") {
					t.Errorf("the letter holds the token: %+v", l)
				}
			}
			for _, r := range s.waiting {
				if strings.Contains(string(r.Body)+r.Path, "s3cret") {
					t.Errorf("the spool holds the token: %s", r.Body)
				}
				s.away = false
				if err := h.Replay(t.Context(), s.waiting, true); err != nil || len(s.kept) != 1 || s.kept[0] != "gw" {
					t.Errorf("out of the spool: %v, kept %q", err, s.kept)
				}
			}
		})
	}
}
