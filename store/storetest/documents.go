package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

var documentTests = []test{
	{"a document is written in versions", documentVersions},
	{"of several writers one wins", documentConflict},
	{"documents in pages", documentPages},
	{"documents outlive the process", documentsOutlive},
}

func (f *fixture) put(d incident.Document) uint64 {
	f.Helper()
	version, err := f.PutDocument(f.ctx(), d)
	f.must(err)
	return version
}

func (f *fixture) wantDocument(typ, id, data string, version uint64) {
	f.Helper()
	d, err := f.Document(f.ctx(), typ, id)
	if err != nil {
		f.Errorf("document %s %s: %v", typ, id, err)
		return
	}
	var got, want any
	f.must(json.Unmarshal(d.Data, &got))
	f.must(json.Unmarshal([]byte(data), &want))
	if fmt.Sprint(got) != fmt.Sprint(want) || d.Version != version || d.Type != typ || d.ID != id || d.UpdatedAt.IsZero() {
		f.Errorf("got %+v, want %s in version %d", d, data, version)
	}
}

func documentVersions(f *fixture) {
	_, err := f.Document(f.ctx(), "token", "a")
	f.wantErr("a document that is not there", err, incident.ErrNotFound)
	if v := f.put(incident.Document{Type: "token", ID: "a", Data: []byte(`{"n": 1}`)}); v != 1 {
		f.Errorf("the first version is %d", v)
	}
	f.wantDocument("token", "a", `{"n":1}`, 1)
	f.clock.add(time.Minute)
	if v := f.put(incident.Document{Type: "token", ID: "a", Version: 1, Data: []byte(`{"n":2}`)}); v != 2 {
		f.Errorf("the second version is %d", v)
	}
	f.wantDocument("token", "a", `{"n":2}`, 2)
	if d, err := f.Document(f.ctx(), "token", "a"); err != nil || !d.UpdatedAt.Equal(f.clock.Now()) {
		f.Errorf("updated at %s, want %s", d.UpdatedAt, f.clock.Now())
	}
	for _, version := range []uint64{0, 1, 3} {
		_, err := f.PutDocument(f.ctx(), incident.Document{Type: "token", ID: "a", Version: version, Data: []byte(`{}`)})
		f.wantErr(fmt.Sprint("writing over version 2 with ", version), err, incident.ErrConflict)
		_, err = f.PutDocument(f.ctx(), incident.Document{Type: "token", ID: "a", Version: version})
		f.wantErr(fmt.Sprint("deleting version 2 with ", version), err, incident.ErrConflict)
	}
	_, err = f.PutDocument(f.ctx(), incident.Document{Type: "token", ID: "b", Version: 1, Data: []byte(`{}`)})
	f.wantErr("a new document with a version", err, incident.ErrConflict)
	f.put(incident.Document{Type: "token", ID: "a", Version: 2})
	_, err = f.Document(f.ctx(), "token", "a")
	f.wantErr("a deleted document", err, incident.ErrNotFound)
	f.put(incident.Document{Type: "token", ID: "a", Data: []byte(`[]`)})
	if _, err := f.PutDocument(f.ctx(), incident.Document{Type: "token", ID: "bad", Data: []byte(`{"n":`)}); err == nil {
		f.Error("a document that is not JSON was accepted")
	}
}

func documentConflict(f *fixture) {
	f.put(incident.Document{Type: "count", ID: "a", Data: []byte(`0`)})
	const workers, each = 5, 10
	together(workers, func(int) {
		for done := 0; done < each; {
			d, err := f.Document(f.ctx(), "count", "a")
			if err != nil {
				f.Error(err)
				return
			}
			var n int
			if err := json.Unmarshal(d.Data, &n); err != nil {
				f.Error(err)
				return
			}
			d.Data = fmt.Append(nil, n+1)
			if _, err = f.PutDocument(f.ctx(), d); err == nil {
				done++
			} else {
				f.wantErr("a lost race", err, incident.ErrConflict)
			}
		}
	})
	f.wantDocument("count", "a", fmt.Sprint(workers*each), workers*each+1)
}

func documentPages(f *fixture) {
	for n := range 23 {
		f.put(incident.Document{Type: "letter", ID: fmt.Sprintf("%03d", n), Data: fmt.Append(nil, n)})
	}
	f.put(incident.Document{Type: "lette", ID: "999", Data: []byte(`1`)})
	f.put(incident.Document{Type: "letters", ID: "000", Data: []byte(`1`)})
	for _, page := range []int{1, 5, 23, 100} {
		n, after := 0, ""
		for {
			list, err := f.Documents(f.ctx(), "letter", after, page)
			f.must(err)
			for _, d := range list {
				if want := fmt.Sprintf("%03d", n); d.ID != want || d.Type != "letter" || string(d.Data) != fmt.Sprint(n) || d.Version != 1 {
					f.Errorf("pages of %d: got %+v, want %s", page, d, want)
				}
				n++
				after = d.ID
			}
			if len(list) < page {
				break
			}
		}
		if n != 23 {
			f.Errorf("pages of %d: got %d documents, want 23", page, n)
		}
	}
	if list, err := f.Documents(f.ctx(), "none", "", 10); err != nil || len(list) > 0 {
		f.Errorf("of an unknown type: got %v, %v", list, err)
	}
}

func documentsOutlive(f *fixture) {
	f.put(incident.Document{Type: "token", ID: "a", Data: []byte(`{"secret":"x"}`)})
	if f.reopen() {
		f.wantDocument("token", "a", `{"secret":"x"}`, 1)
		f.put(incident.Document{Type: "token", ID: "a", Version: 1, Data: []byte(`{}`)})
	}
}
