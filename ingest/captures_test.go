package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The captures that testdata holds: copies of all requests that Alertmanager
// and Prometheus sent, but for mails and other products' receivers.
const (
	captureRoot        = "testdata/captures"
	capturesOfReceiver = 121
	capturesOfAPI      = 21
)

// testFormats are the formats of this package.
var testFormats = map[string]Format{Alertmanager.Name: Alertmanager, Prometheus.Name: Prometheus}

// capture is one recorded request.
type capture struct {
	file, format string
}

// listCaptures returns every recorded request below root. The first folder
// names the format.
func listCaptures(tb testing.TB) []capture {
	tb.Helper()
	var all []capture
	err := filepath.WalkDir(captureRoot, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".http") {
			return err
		}
		below, err := filepath.Rel(captureRoot, file)
		format, _, _ := strings.Cut(filepath.ToSlash(below), "/")
		all = append(all, capture{file: file, format: format})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func (c capture) body(tb testing.TB) []byte {
	tb.Helper()
	f, err := os.Open(c.file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	_, body, err := ReadHTTP(f, 64*MiB)
	if err != nil {
		tb.Fatalf("%s: %v", c.file, err)
	}
	return body
}

func TestCaptures(t *testing.T) {
	read, expectations := map[string]int{}, 0
	for _, c := range listCaptures(t) {
		read[c.format]++
		t.Run(strings.TrimPrefix(c.file, captureRoot+"/"), func(t *testing.T) {
			want := readExpectation(t, strings.TrimSuffix(c.file, ".http")+".expect.json")
			expectations++
			body := c.body(t)
			got, err := testFormats[c.format].Decode(Request{Source: c.format, Body: body, ReceivedAt: want.ReceivedAt})
			if !want.understood(body) {
				var bad *BodyError
				if !errors.As(err, &bad) || bad.Reason == "" {
					t.Fatalf("got %d alerts and error %v, want a *BodyError with a reason", len(got.Alerts), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want.check(t, got)
		})
	}
	if read["alertmanager"] != capturesOfReceiver || read["prometheus"] != capturesOfAPI || len(read) != 2 {
		t.Errorf("read %v requests, want %d of alertmanager and %d of prometheus", read, capturesOfReceiver, capturesOfAPI)
	}
	files, err := countFiles(captureRoot)
	if err != nil {
		t.Fatal(err)
	}
	if expectations+capturesOfReceiver+capturesOfAPI != files {
		t.Errorf("read %d requests and %d expectations, but there are %d files", capturesOfReceiver+capturesOfAPI, expectations, files)
	}
}

func countFiles(root string) (n int, err error) {
	err = filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}
