package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/incident"
)

// TestOneLetterWithACount: the same mistake again and again is one letter.
func TestOneLetterWithACount(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	var group sync.WaitGroup
	for n := range 20 {
		group.Go(func() {
			l := Letter{ID: "same", Source: "am", Reason: "broken", Body: []byte{0xff, 0, 'x'}, LastAt: epoch.Add(time.Duration(n) * time.Second), Path: "/\xff", ContentType: "a\x00\xfe"}
			if err := g.PutLetter(ctx, l); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := g.PutLetter(ctx, Letter{ID: "other", LastAt: epoch}); err != nil {
		t.Fatal(err)
	}
	l, err := g.Letter(ctx, "same")
	if err != nil || l.Count != 20 || l.FirstAt.After(l.LastAt) && l.FirstAt.IsZero() || string(l.Body) != "\xff\x00x" || l.Path != "/\uFFFD" || l.ContentType != "a\x00\uFFFD" {
		t.Errorf("got %+v (%v), want a count of 20 and valid texts", l, err)
	}
	list, err := g.Letters(ctx, "", 10)
	if err != nil || len(list) != 2 || list[0].ID != "other" || list[0].Count != 1 {
		t.Errorf("list: got %+v (%v)", list, err)
	}
	if list, err = g.Letters(ctx, "other", 10); err != nil || len(list) != 1 {
		t.Errorf("after the first: got %+v (%v)", list, err)
	}
	if err := g.DropLetter(ctx, "same"); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"letter": second(g.Letter(ctx, "same")), "drop": g.DropLetter(ctx, "same")} {
		if !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s of one that is gone: got %v", name, err)
		}
	}
}

func second(_ Letter, err error) error { return err }

// TestLettersAreBounded: whoever posts nonsense for ever fills no disk.
func TestLettersAreBounded(t *testing.T) {
	g := newGateway(t)
	ctx := context.Background()
	put := func(from, n int) {
		t.Helper()
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				for i := from + w; i < from+n; i += 8 {
					if err := g.PutLetter(ctx, Letter{ID: fmt.Sprintf("%06d", i), LastAt: epoch}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
	}
	count := func() (n int) {
		for behind := ""; ; {
			list, err := g.Letters(ctx, behind, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if n += len(list); len(list) < 1000 {
				return n
			}
			behind = list[len(list)-1].ID
		}
	}
	put(0, lettersKept+1500)
	if n := count(); n < lettersKept-100 || n > lettersKept+1000 {
		t.Errorf("got %d letters, want about %d", n, lettersKept)
	}
	full := count()
	// What is there already is still counted.
	if err := g.PutLetter(ctx, Letter{ID: "000000", LastAt: epoch}); err != nil {
		t.Fatal(err)
	}
	if l, err := g.Letter(ctx, "000000"); err != nil || l.Count != 2 {
		t.Errorf("got %+v (%v), want a count of 2", l, err)
	}
	put(50_000, 100)
	if n := count(); n != full {
		t.Errorf("got %d letters, want still %d", n, full)
	}
}
