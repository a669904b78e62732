package process

import (
	"embed"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// The profiles that come with Tocsin.
const (
	// ProfileLight is what holds without any: it asks for little and holds nothing back.
	ProfileLight = "light"
	// ProfileNone asks for nothing.
	ProfileNone = "none"
	// ProfileSupport is support in two levels, ProfileITIL a basic process after ITIL,
	// and ProfileVSHN incident handling as VSHN published it.
	ProfileSupport = "support-l2-l3"
	ProfileITIL    = "itil-basic"
	ProfileVSHN    = "vshn-like"
)

// Profiles are the names of the profiles.
func Profiles() []string {
	return []string{ProfileLight, ProfileNone, ProfileSupport, ProfileITIL, ProfileVSHN}
}

//go:embed profiles/*.yml
var profileFiles embed.FS

// profiles are the profiles by name; the empty one has nothing.
var profiles = sync.OnceValue(func() map[string]Config {
	list := map[string]Config{}
	entries, err := profileFiles.ReadDir("profiles")
	if err != nil {
		panic(err) // a programmer's mistake, as below: they are compiled in, and tested
	}
	for _, entry := range entries {
		text, err := profileFiles.ReadFile("profiles/" + entry.Name())
		if err != nil {
			panic(err)
		}
		var c Config
		d := yaml.NewDecoder(strings.NewReader(string(text)))
		d.KnownFields(true)
		if err := d.Decode(&c); err != nil {
			panic("process: profile " + entry.Name() + ": " + err.Error())
		}
		list[strings.TrimSuffix(entry.Name(), ".yml")] = c
	}
	return list
})

// ProfileText is the text of a profile, for people who want to know what it asks
// for; ok is false if there is none of that name.
func ProfileText(name string) (text string, ok bool) {
	if !slices.Contains(Profiles(), name) {
		return "", false
	}
	b, err := profileFiles.ReadFile("profiles/" + name + ".yml")
	return string(b), err == nil
}
