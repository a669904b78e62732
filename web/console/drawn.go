package console

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tocsin-gateway/tocsin/web"
)

const (
	// drawnKept is how many different lists of rows are kept, drawnFor for how long: the
	// script keeps true what they say of the time that passes.
	drawnKept = 64
	drawnFor  = 10 * time.Second
)

// drawn are the rows of boards that are open, as they were drawn last. Each change has all
// of them asked for, and whoever sees the same gets the same.
type drawn struct {
	mu sync.Mutex
	of map[sameRows]*rows
}

// sameRows is what rows depend on, besides the board.
type sameRows struct {
	filter boardFilter
	// wall, and whether rows can be chosen.
	wall, chooses bool
}

// rows are drawn by one, while the others wait.
type rows struct {
	mu      sync.Mutex
	version uint64
	at      time.Time
	text    []byte
}

func (d *drawn) find(of sameRows) *rows {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.of[of]
	if r == nil {
		if len(d.of) >= drawnKept || d.of == nil {
			d.of = map[sameRows]*rows{}
		}
		r = &rows{}
		d.of[of] = r
	}
	return r
}

// rows answers with the rows of a board, or of the wall, alone: for the script. They say
// nothing of who looks, or of what is new to them.
func (k *Console) rows(c *gin.Context, filter boardFilter, wall bool) {
	chooses := !wall && web.IdentityOf(c).Role.Covers(web.RoleResponder)
	text, err := k.drawRows(c.Request.Context(), sameRows{filter, wall, chooses}, c.Request.Host)
	if err != nil {
		k.fail(c, err)
		return
	}
	k.send(c, http.StatusOK, text)
}

// drawRows returns the rows. Host is what the browser calls us, which is shown where
// nothing is open, and to nobody else.
func (k *Console) drawRows(ctx context.Context, of sameRows, host string) ([]byte, error) {
	r := k.drawn.find(of)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err // whoever waited has gone
	}
	version, err := k.options.Board.Version(ctx)
	if err != nil {
		return nil, err
	}
	now := k.options.Now()
	if r.text != nil && r.version == version && now.Sub(r.at) < drawnFor {
		return r.text, nil
	}
	name, limit, role := "board", boardRows, web.RoleViewer
	if of.wall {
		name, limit = "wall", wallRows
	}
	if of.chooses {
		role = web.RoleResponder
	}
	page, err := k.options.Board.Board(ctx, of.filter.live(limit))
	if err != nil {
		return nil, err
	}
	v := &view{Now: now, Zone: time.UTC, Role: role, Data: boardData{Page: page, Filter: of.filter, Wall: of.wall, Host: host, severities: k.options.Severities()}}
	text, err := k.draw(name, "rows", v)
	if err != nil {
		return nil, err
	}
	if page.Open > 0 {
		r.version, r.at, r.text = page.Version, now, text
	}
	return text, nil
}
