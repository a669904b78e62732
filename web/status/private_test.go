package status

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tocsin-gateway/tocsin/incident"
	_ "github.com/tocsin-gateway/tocsin/testseed"
)

const (
	// private is in every text that nobody may read. Every time that nobody may know is
	// longAgo, at this second of an hour, and so is the opening.
	private = "PRIVATE"
	second  = ":29:13"
)

var longAgo = time.Date(1999, 3, 4, 5, 29, 13, 0, time.UTC)

// fill puts something private into every field of v that can hold it.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(private)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.Set(reflect.ValueOf([]byte(private)).Convert(v.Type()))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for n := range v.Len() {
			fill(v.Index(n))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(longAgo))
			return
		}
		for n := range v.NumField() {
			if v.Field(n).CanSet() {
				fill(v.Field(n))
			}
		}
	}
}

func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

// drawUpdate is an update that may be public; it says what is then.
func drawUpdate(t *rapid.T, n int, hidden bool) (u incident.Update, public string) {
	u = filled[incident.Update]()
	u.ID, u.At, u.SignedAt = uint64(n+1), noon.Add(time.Duration(n-30)*time.Minute), time.Time{}
	u.Phase = rapid.SampledFrom(incident.Phases()).Draw(t, "phase")
	u.Public, u.NeedsSignature = rapid.Bool().Draw(t, "public"), rapid.Bool().Draw(t, "needs a signature")
	if rapid.Bool().Draw(t, "unsigned") {
		u.SignedBy = ""
	} else {
		u.SignedAt = u.At.Add(time.Minute)
	}
	if hidden || !u.Public || u.Waits() {
		return u, ""
	}
	u.What, u.Forecast, u.Restoration = fmt.Sprintf("what everybody may read %d", n), fmt.Sprintf("soon %d", n), noon.Add(time.Hour)
	return u, u.What
}

// drawIncident is an incident of which some may be public.
func drawIncident(t *rapid.T, n int) (i incident.Incident, public []string) {
	i = filled[incident.Incident]()
	i.ID = incident.NewID(noon.Add(-time.Hour), [16]byte{byte(n)}, 0, 1)
	i.OpenedAt = time.Date(2026, 11, 21, 10, 29, 13, 0, time.UTC)
	i.State = rapid.SampledFrom(incident.States()).Draw(t, "state")
	i.Phase, i.Impact = rapid.SampledFrom(incident.Phases()).Draw(t, "phase"), rapid.SampledFrom(incident.Grades()).Draw(t, "impact")
	i.Service = rapid.SampledFrom([]string{private + "-shop", private + "-mail", private + "-other", ""}).Draw(t, "service")
	i.Drill = rapid.Bool().Draw(t, "drill")
	if i.Process.Customer = ""; rapid.Bool().Draw(t, "of a customer") {
		i.Process.Customer = private
	}
	if i.ResolvedAt = noon; i.IsOpen() {
		i.ResolvedAt = time.Time{}
	}
	hidden := i.Drill || i.Process.Customer != "" || i.Service == "" || i.Service == private+"-other"
	i.Process.Updates = nil
	for k := range rapid.IntRange(0, 4).Draw(t, "updates") {
		u, text := drawUpdate(t, k, hidden)
		i.Process.Updates = append(i.Process.Updates, u)
		if text != "" {
			public = append(public, text)
		}
	}
	return i, public
}

// TestNothingPrivate: whatever incidents hold, nobody reads a word of it that was not
// made public, in any form of the page; and what was made public is there.
func TestNothingPrivate(t *testing.T) {
	c := shop()
	c.Components[0].Services, c.Components[1].Services = []string{private + "-shop"}, []string{private + "-mail"}
	rapid.Check(t, func(r *rapid.T) {
		d := newDesk(t, c, Planned{Text: "new disks", Components: []string{"Mail"}, Since: noon, From: noon, To: noon.Add(time.Hour)})
		var public []string
		var ids []incident.ID
		for n := range rapid.IntRange(0, 4).Draw(r, "incidents") {
			i, texts := drawIncident(r, n)
			public, ids = append(public, texts...), append(ids, i.ID)
			d.shelf.put(&i)
		}
		all := d.after(0).everything()
		for path, text := range all {
			if at := strings.Index(text, private); at >= 0 {
				r.Fatalf("%s: something private: %.300s", path, text[max(0, at-100):])
			}
			if strings.Contains(text, second) || strings.Contains(text, " 1999") {
				r.Fatalf("%s: a private time: %s", path, text)
			}
			for _, id := range ids {
				if strings.Contains(text+path, id.String()) || strings.Contains(text+path, strings.ReplaceAll(id.String(), "-", "")) {
					r.Fatalf("%s: tells the id %s", path, id)
				}
			}
		}
		for _, text := range public {
			for _, path := range []string{"/status.json", "/status/feed.atom", "/status/feed.rss"} {
				if !strings.Contains(all[path], text) {
					r.Fatalf("%s lacks %q: %s", path, text, all[path])
				}
			}
		}
	})
}

// TestPrivateIsFound: the test above bites.
func TestPrivateIsFound(t *testing.T) {
	i := filled[incident.Incident]()
	if i.Title != private || i.Labels[private] != private || i.Hosts[1] != private || i.Process.Findings.Cause != private || i.Process.Updates[0].By != private ||
		i.Process.Contacts[0].Note != private || !i.Process.Duties[0].Base.Equal(longAgo) || i.Reporter != private || i.Links[0].URL != private {
		t.Errorf("fields were left out: %+v", i)
	}
}
