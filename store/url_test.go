package store

import (
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestURLHidesPasswords(t *testing.T) {
	for url, want := range map[URL]string{
		"file:data":                          "file:data",
		"file:/srv/a@b":                      "file:/srv/a@b",
		"mem:":                               "mem:",
		"redis://h:1/0?prefix=a":             "redis://h:1/0?prefix=a",
		"redis://user@h":                     "redis://user@h",
		"redis://user:s3cret@h":              "redis://user:xxxxx@h",
		"redis://:s3cret@h/1":                "redis://:xxxxx@h/1",
		"redis://u:s3@cret:s@h":              "redis://u:xxxxx@h",
		"redis://u:s3cret/s3@h/1":            "redis://u:xxxxx@h/1",
		"redis://u:s3cret?s3#c@h":            "redis://u:xxxxx@h",
		"redis:u:s3cret@h":                   "redis:xxxxx",
		"redis-cluster://u:s3cret@a:1,b:2/x": "redis-cluster://u:xxxxx@a:1,b:2/x",
		"redis-sentinel://a:1,b:2/m?sentinel_username=u&sentinel_password=s3cret&database=1": "redis-sentinel://a:1,b:2/m?sentinel_username=u&sentinel_password=xxxxx&database=1",
		"redis-sentinel://a/m?sentinel_password=s3@cret":                                     "redis-sentinel://a/m?sentinel_password=xxxxx",
		"": "",
	} {
		if got := url.String(); got != want {
			t.Errorf("%s: got %s, want %s", url.Reveal(), got, want)
		}
		if got := url.HasPassword(); got != strings.Contains(want, "xxxxx") {
			t.Errorf("%s: has a password: got %v", url.Reveal(), got)
		}
	}
}

func TestURLShowsNoPasswordHoweverItIsPrinted(t *testing.T) {
	v := struct{ U URL }{"redis://user:s3cret@h"}
	asJSON, err := stdjson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "url", v.U, "all", v)
	for _, shown := range []string{string(asJSON), string(asYAML), logged.String(), fmt.Sprint(v, v.U), fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v.U),
		fmt.Sprintf("%#v %q", v.U, v.U)} {
		if strings.Contains(shown, "s3cret") || !strings.Contains(shown, "redis://user:xxxxx@h") {
			t.Errorf("got %s, want the URL without its password", shown)
		}
	}
	if v.U.Reveal() != "redis://user:s3cret@h" {
		t.Errorf("Reveal: got %s", v.U.Reveal())
	}
}
