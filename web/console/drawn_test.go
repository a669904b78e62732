package console

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-gateway/tocsin/web/live"
)

// TestDrawnIsBounded: what viewers ask for does not fill the memory.
func TestDrawnIsBounded(t *testing.T) {
	var d drawn
	kept := d.find(sameRows{})
	if d.find(sameRows{}) != kept {
		t.Error("the same rows are kept twice")
	}
	for n := range 10 * drawnKept {
		d.find(sameRows{filter: boardFilter{Text: fmt.Sprint(n)}})
	}
	if len(d.of) > drawnKept {
		t.Errorf("%d are kept, want at most %d", len(d.of), drawnKept)
	}
}

// counted is a board that counts how often it is read.
type counted struct{ version, reads uint64 }

func (b *counted) Version(context.Context) (uint64, error) { return b.version, nil }

func (b *counted) Board(context.Context, live.Query) (live.Page, error) {
	b.reads++
	return live.Page{Version: b.version, Open: 1, Total: 1, Rows: []*live.Row{{Reference: fmt.Sprint("INC-", b.version)}}}, nil
}

// TestDrawnOnce: rows are drawn once for all who see the same, until the board changes or
// too much time has passed.
func TestDrawnOnce(t *testing.T) {
	board, now := &counted{version: 1}, time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	k := &Console{options: Options{Board: board, Severities: func() []string { return nil }, Now: func() time.Time { return now }}}
	var err error
	if k.files, err = readAssets(); err != nil {
		t.Fatal(err)
	}
	if k.pages, err = k.readPages(); err != nil {
		t.Fatal(err)
	}
	ask := func(of sameRows, reads uint64) {
		t.Helper()
		text, err := k.drawRows(t.Context(), of, "localhost")
		if want := fmt.Sprint("INC-", board.version); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("got %s, %v, want %s", text, err, want)
		}
		if got := strings.Contains(string(text), "<input"); got != of.chooses {
			t.Errorf("can be chosen: %v, want %v", got, of.chooses)
		}
		if board.reads != reads {
			t.Errorf("the board was read %d times, want %d", board.reads, reads)
		}
	}
	ask(sameRows{}, 1)
	ask(sameRows{}, 1)
	ask(sameRows{chooses: true}, 2)
	board.version++
	ask(sameRows{}, 3)
	now = now.Add(drawnFor)
	ask(sameRows{}, 4)
}
